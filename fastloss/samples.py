# SPDX-License-Identifier: BSD-3-Clause
"""Losses of samples, 8 bytes each, and their statistics, which need no second copy of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ._arrays import Array

QUANTILES = ("0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99")
SEGMENT = 1 << 17  # samples that are worked on at a time
LEAST = 16  # samples by which the array grows at least
# A nan that no arithmetic gives marks samples in which nothing counts.
LEFT_OUT = np.uint64(0x7FF8_6C65_6674_6F75)
SIGN = np.uint64(1 << 63)
Pieces = Callable[[], Iterable[Array]]  # each call begins a pass over the losses


class Samples:
    """The losses of samples in order; those in which nothing counts are marked.

    One array, which grows in place: where it is large, realloc moves no bytes but the table of its pages.
    """

    def __init__(self) -> None:
        self._losses = np.empty(0)  # filled up to `_used`
        self._used = 0
        self._appended = 0  # of them by the last call
        self.keep = True  # else those of the last call alone

    def __len__(self) -> int:
        return self._used

    def append(self, losses: Array, counted: Array) -> None:
        """losses (n,) float64, counted (n,) bool: whether anything in the sample counts."""
        self._store(losses)
        added = self._losses[self._used - len(losses) : self._used]
        added[np.isnan(added)] = np.nan  # of nans the usual one alone
        added.view(np.uint64)[~counted] = LEFT_OUT

    def extend(self, other: Samples) -> None:
        """Those of another come behind these."""
        losses = other._losses[: other._used]
        self._store(losses.copy() if other is self else losses)

    def _store(self, losses: Array) -> None:
        if not self.keep:
            self._used = 0
        needed = self._used + len(losses)
        if needed > len(self._losses):
            self._grow(needed + needed // 32 + LEAST)
        self._losses[self._used : needed] = losses
        self._used, self._appended = needed, len(losses)

    def _grow(self, size: int) -> None:
        try:
            self._losses.resize(size)
        except ValueError:  # somebody looks at it
            self._losses = np.concatenate([self._losses[: self._used], np.empty(size - self._used)])

    def give(self) -> Array:
        """The losses themselves, marked; none are left here."""
        losses = self._losses[: self._used]
        self.__init__()  # type: ignore[misc]
        return losses

    def pieces(self, first: int = 0, last: int | None = None) -> Iterator[Array]:
        """Samples [first, last), marked, in pieces that are not to be kept."""
        last = len(self) if last is None else min(last, len(self))
        for start in range(first, last, SEGMENT):
            yield self._losses[start : min(last, start + SEGMENT)]

    def losses(self, first: int = 0, last: int | None = None) -> Array:
        """Of samples [first, last), float64, a copy; nan where nothing counts."""
        return np.concatenate([np.empty(0), *(np.where(np.isnan(s), np.nan, s) for s in self.pieces(first, last))])

    def latest(self) -> Array:
        """Those of the last `append` or `extend`, marked, a copy."""
        return self._losses[self._used - self._appended : self._used].copy()

    def counted(self, first: int = 0, last: int | None = None) -> Array:
        """Of samples [first, last), bool: whether anything in the sample counts."""
        pieces = (counts(s) for s in self.pieces(first, last))
        return np.concatenate([np.empty(0, np.bool_), *pieces])

    def counting(self) -> Iterator[tuple[Array, Array]]:
        """Piece by piece (index, loss) of the samples that count."""
        first = 0
        for piece in self.pieces():
            index = np.flatnonzero(counts(piece))
            yield first + index, piece[index]
            first += len(piece)

    def worst(self, k: int) -> tuple[Array, Array]:
        """(index, loss) of the k worst samples: nan first, then from the largest down; equal ones in order."""
        found = Largest(k, np.empty(0), np.empty(0, np.int64))
        for index, losses in self.counting():
            found.add(losses, index)
        losses, index = found.columns
        return index, losses

    def statistics(self) -> dict[str, Any]:
        """Of the samples that count: "n", "mean", "std", "quantiles", "min", "max"."""
        return statistics_of(lambda: (losses for _, losses in self.counting()))

    def __getstate__(self) -> dict[str, Any]:
        return {"losses": self._losses[: self._used], "appended": self._appended}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        self._store(state["losses"])
        self._appended = state["appended"]


def counts(losses: Array) -> Array:
    """(n,) bool: whether anything in these samples counts, by the marks of their losses."""
    return losses.view(np.uint64) != LEFT_OUT


class Largest:
    """The k largest of numbers that come in pieces, with what belongs to each: nan first, equal ones in order."""

    def __init__(self, k: int, *empty: Array) -> None:
        self.k, self.columns = k, list(empty)

    def add(self, *columns: Array) -> None:
        """(n,) numbers and, beside them, columns that belong to them."""
        chosen, held = list(columns), self.columns[0]
        if 0 < self.k == len(held):  # of equal ones the earlier stay: only what is larger than the last one gets in
            larger = ~(chosen[0] <= held[-1])
            chosen = [c[larger] for c in chosen]
        if len(chosen[0]):
            joined = [np.concatenate(pair) for pair in zip(self.columns, chosen, strict=True)]
            order = worst_first(joined[0])[: self.k]
            self.columns = [c[order] for c in joined]


def worst_first(losses: Array) -> Array:
    """Indices: nan first, then from the largest down; equal losses in the data's order."""
    return np.lexsort((-losses, ~np.isnan(losses)))


def statistics_of(pieces: Pieces) -> dict[str, Any]:
    """Of losses that come in pieces, none of which is kept."""
    n, total, least, most = 0, 0.0, math.inf, -math.inf
    with np.errstate(invalid="ignore", over="ignore"):
        for losses in pieces():
            n += len(losses)
            total += losses.sum()
            least = np.minimum(least, losses.min(initial=math.inf))
            most = np.maximum(most, losses.max(initial=-math.inf))
        if n == 0:
            nothing = dict.fromkeys(("mean", "std", "min", "max"), math.nan)
            return {"n": 0, **nothing, "quantiles": dict.fromkeys(QUANTILES, math.nan)}
        mean = total / n
        variance = sum(np.square(losses - mean).sum() for losses in pieces()) / n
    at = quantiles([float(q) for q in QUANTILES], n, pieces) if most == most else [math.nan] * len(QUANTILES)
    return {
        "n": n,
        "mean": float(mean),
        "std": math.sqrt(variance) if variance == variance else math.nan,
        "min": float(least),
        "max": float(most),
        "quantiles": dict(zip(QUANTILES, at, strict=True)),
    }


def quantiles(at: list[float], n: int, pieces: Pieces) -> list[float]:
    """By linear interpolation between the two nearest of n numbers; the larger of them where that says inf - inf."""
    ranks = [q * (n - 1) for q in at]
    wanted = sorted({k for r in ranks for k in (math.floor(r), math.ceil(r))})
    found = dict(zip(wanted, order_statistics(wanted, pieces), strict=True))
    result = []
    for r in ranks:
        low, high = found[math.floor(r)], found[math.ceil(r)]
        part = r - math.floor(r)
        between = (low + (high - low) * part) if math.isfinite(high - low) else high
        result.append(low if low == high or part == 0 else between)
    return result


def order_statistics(ranks: list[int], pieces: Pieces) -> list[float]:
    """The numbers of these ranks (0: the smallest), none of them nan, 16 bits at a time in four passes: no copy, no
    sort. Ordered as integers whose high bits are found first."""
    prefixes = [0] * len(ranks)
    left = list(ranks)  # within the numbers of that prefix
    for shift in (48, 32, 16, 0):
        known = np.unique(np.array(prefixes, np.uint64))
        counts = np.zeros((len(known), 1 << 16), np.int64)
        for losses in pieces():
            keys = ordered(losses)
            head = keys >> np.uint64(shift)
            digit = (head & np.uint64(0xFFFF)).astype(np.int64)
            if shift < 48:
                head >>= np.uint64(16)
                row = np.minimum(np.searchsorted(known, head), len(known) - 1)
                has = known[row] == head
                digit, row = digit[has], row[has]
                digit += row << 16
            counts += np.bincount(digit, minlength=counts.size).reshape(counts.shape)
        for k, prefix in enumerate(prefixes):
            below = np.cumsum(counts[np.searchsorted(known, np.uint64(prefix))])
            digit = int(np.searchsorted(below, left[k], side="right"))
            left[k] -= int(below[digit - 1]) if digit else 0
            prefixes[k] = prefix << 16 | digit
    keys = np.array(prefixes, np.uint64)
    return np.where(keys & SIGN, keys ^ SIGN, ~keys).view(np.float64).tolist()


def ordered(losses: Array) -> Array:
    """Unsigned integers in the order of the numbers: those below 0 have all bits turned, the others their sign."""
    bits = (losses + 0.0).view(np.uint64)  # -0.0 is 0.0
    return np.where(bits & SIGN, ~bits, bits | SIGN)


def sample_means(values: Array, counted: Array | None) -> tuple[Array, Array]:
    """Mean loss (float64) and number of counted positions of each sample; positions that do not count are 0."""
    samples = values.shape[0] if values.ndim else 1
    width = math.prod(values.shape[1:])
    rows = values.reshape(samples, width)
    with np.errstate(over="ignore", invalid="ignore"):
        means = rows[:, 0].astype(np.float64) if width == 1 else rows.sum(axis=1, dtype=np.float64)
    counts = np.broadcast_to(width, samples) if counted is None else counted.reshape(samples, width).sum(axis=1)
    if width > 1:
        means /= np.maximum(counts, 1)
    return means, counts


def counted_positions(arguments: dict[str, Any], shape: tuple[int, ...]) -> Array | None:
    """Which positions of the unreduced loss `mask` and `ignore_index` leave in; None for all."""
    counted = None
    if arguments.get("mask") is not None:
        counted = np.broadcast_to(np.asarray(arguments["mask"]).astype(bool), shape)
    target = np.asarray(arguments.get("target"))
    if "ignore_index" in arguments and target.shape == shape and target.dtype.kind in "iu":
        labelled = target != arguments["ignore_index"]
        counted = labelled if counted is None else counted & labelled
    return counted

# SPDX-License-Identifier: BSD-3-Clause
"""Two models on the same targets: ``--compare``."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrow import Field, whole_columns
from ..columns import column_of, is_array_like
from ..samples import SEGMENT, Largest, counts
from .loading import Inputs, Part, columns_of, files_of, load_npy, load_part
from .losses import Loss
from .refusal import Refusal, reason
from .summary import texts_of

LEVEL = 0.95
METHOD = "paired percentile bootstrap"
CHUNK_BYTES = 4 << 20  # of an array that is compared with another
DRAWN = 1 << 17  # samples drawn at a time
# What comes with the predictions of one model: the number of its frames.
OF_THE_MODEL = frozenset({"input_lengths"})


def load_other(
    loss: Loss, given: list[str], options: argparse.Namespace, inputs: Inputs, stack: contextlib.ExitStack
) -> Inputs:
    """The other model's inputs: predictions from its files, everything else from the first, which must be equal if it
    stands in both."""
    paths, columns = files_of(given), columns_of(options)
    if len(paths) != len(inputs.parts):
        raise Refusal(f"--compare: expected one other file per FILE, got {len(paths)} for {len(inputs.parts)}")
    pairs = zip(paths, inputs.parts, strict=True)
    return Inputs([other_part(loss, path, part, columns, stack) for path, part in pairs], inputs.reduction)


def other_part(loss: Loss, path: str, part: Part, columns: dict[str, str], stack: contextlib.ExitStack) -> Part:
    check_rereadable(part.path, part.arguments)
    if path.endswith(".npy"):
        first = next(iter(loss.parameters))
        return Part(path, {**part.arguments, first: load_npy(path, first)}, part.text)
    other, keys = load_part(loss, path, {}, columns, [], stack)
    check_rereadable(other.path, other.arguments)
    predictions = [name for name in loss.predictions if name in other.arguments]
    if not predictions:
        expected, held = " or ".join(map(repr, loss.predictions)), ", ".join(sorted(keys)) or "nothing"
        raise Refusal(f"{path} has no {expected} to compare (it holds {held})")
    replaced = {}
    for name, value in other.arguments.items():
        if name in predictions or name in OF_THE_MODEL:
            replaced[name] = value
        elif name != "reduction" or name in part.arguments:
            check_equal(name, part.arguments.get(name, loss.parameters[name].default), value, path)
    return Part(other.path, of_one_table({**part.arguments, **replaced}, replaced), part.text)


def check_rereadable(path: str | None, arguments: dict[str, Any]) -> None:
    """Targets are read by the evaluation of each model."""
    if any(isinstance(v, Field) and v.table.once for v in arguments.values()):
        raise Refusal(f"--compare: {path} is an Arrow stream, which is read once: save it as a Parquet or Feather file")


def of_one_table(arguments: dict[str, Any], replaced: dict[str, Any]) -> dict[str, Any]:
    """Rows of two tables do not come in step: of the table without the predictions the columns are read whole."""
    tables = [v.table for v in replaced.values() if isinstance(v, Field)]
    if not tables:
        return arguments
    return {k: whole(k, v) if isinstance(v, Field) and v.table is not tables[0] else v for k, v in arguments.items()}


def whole(name: str, value: Any) -> Any:
    """What is no column of a table stays what it is."""
    if not isinstance(value, Field):
        return value
    try:
        return whole_columns({name: value})[name]
    except ValueError as error:
        raise Refusal(f"{value.table.name}: {name}: {reason(error).removeprefix(f'{value.table.name} ')}") from None


def check_equal(name: str, ours: Any, theirs: Any, path: str) -> None:
    """Refuse what differs from the first model's, and say where."""
    ours, theirs = whole(name, ours), whole(name, theirs)
    ours, theirs = (a if is_array_like(a) else np.asarray(a) for a in (ours, theirs))
    if ours.shape != theirs.shape or (ours.dtype.kind in "OUS") != (theirs.dtype.kind in "OUS"):
        raise Refusal(f"{path}: {name} has shape {theirs.shape}, the first file's {ours.shape}: not the same data")
    samples = ours.shape[0] if ours.shape else 1
    try:
        with contextlib.closing(column(ours)) as one, contextlib.closing(column(theirs)) as two:
            step = max(1, int(CHUNK_BYTES / max(one.sample_bytes, two.sample_bytes, 1)))
            for first in range(0, samples, step):
                differing = differences(*(c.read(first, min(samples, first + step)) for c in (one, two)))
                if differing is not None:
                    raise Refusal(f"{path}: {place(name, ours.shape, differing, first)}: not the same data")
    except ValueError as error:  # a damaged member
        raise Refusal(f"{path}: {name}: {reason(error)}") from None


def column(array: Any) -> Any:
    return column_of(array if array.shape else array.reshape(1), 0)


def differences(one: np.ndarray, two: np.ndarray) -> tuple[tuple[int, ...], Any, Any] | None:
    """The first position at which they differ, and what stands there; nan equals nan."""
    differing = (one != two) & ~((one != one) & (two != two))
    if not np.any(differing):
        return None
    at = tuple(int(i) for i in np.unravel_index(int(np.argmax(differing)), np.shape(differing)))
    return at, one[at], two[at]


def place(name: str, shape: tuple[int, ...], found: tuple[tuple[int, ...], Any, Any], first: int) -> str:
    at, ours, theirs = found
    index = f"[{', '.join(map(str, (at[0] + first, *at[1:])))}]" if shape else ""
    return f"{name}{index} = {theirs}, in the first file {ours}"


class Differences:
    """The other model's losses less the first's, of the samples that count in both, as the other's come. They take the
    place of the first's, so that there is one array of the length of the samples; below 0 the other is better."""

    def __init__(self, losses: np.ndarray, top: int) -> None:
        """losses: (samples,) the first's, marked, to be written over."""
        self.losses, self.at, self.n = losses, 0, 0
        self.better = self.worse = self.equal = 0
        self.largest = Largest(top, np.empty(0), np.empty(0, np.int64), *[np.empty(0)] * 3)

    def append(self, theirs: np.ndarray) -> None:
        """(n,) losses of the other's next samples, marked."""
        for k in range(0, len(theirs), SEGMENT):
            self._append(theirs[k : k + SEGMENT])

    def _append(self, theirs: np.ndarray) -> None:
        first, self.at = self.at, self.at + len(theirs)
        ours = self.losses[first : self.at]
        if len(ours) < len(theirs):  # it is refused at the end, when both numbers are known
            return
        index = np.flatnonzero(counts(ours) & counts(theirs))
        ours, theirs = ours[index], theirs[index]
        with np.errstate(invalid="ignore"):
            differences = theirs - ours
        self.better += int(np.sum(differences < 0))
        self.worse += int(np.sum(differences > 0))
        self.equal += int(np.sum(differences == 0))
        unequal = differences != 0
        columns = (np.abs(differences), first + index, differences, ours, theirs)
        self.largest.add(*(c[unequal] for c in columns))
        self.losses[self.n : self.n + len(index)] = differences
        self.n += len(index)

    def found(self) -> np.ndarray:
        """(n,) all of them."""
        if self.at != len(self.losses):
            raise Refusal(f"--compare: {self.at} samples, the first has {len(self.losses)}: not the same data")
        return self.losses[: self.n]


def compare(
    inputs: Inputs, other: Inputs, differences: Differences, value: float, *, resamples: int, seed: int,
    show: Callable[[int], None],
) -> dict[str, Any]:  # fmt: skip
    """What stands under "compare" in the report."""
    found, n = differences.found(), max(1, differences.n)
    low, high = bootstrap_interval(found, resamples, seed, show)
    _, index, *columns = (c.tolist() for c in differences.largest.columns)
    with np.errstate(invalid="ignore"):
        mean = float(np.mean(found)) if len(found) else math.nan
    return {
        "files": [part.path for part in other.parts],
        "n": len(found),
        "value": value,
        "difference": mean,
        "interval": {
            "low": low, "high": high, "level": LEVEL, "method": METHOD, "resamples": resamples, "seed": seed,
        },
        "better": differences.better / n,
        "worse": differences.worse / n,
        "equal": differences.equal / n,
        "largest": [
            {"index": i, "difference": difference, "loss": ours, "other": theirs, "text": text}
            for i, difference, ours, theirs, text in zip(index, *columns, texts_of(inputs, index), strict=True)
        ],
    }  # fmt: skip


def bootstrap_interval(
    differences: np.ndarray, resamples: int, seed: int, show: Callable[[int], None]
) -> tuple[float, float]:
    """Quantiles of the mean of the (n,) differences over samples drawn anew with replacement, n of them each time.

    Pairs stay together, since it is their differences that are drawn. `show` hears of the samples drawn so far.
    """
    n = len(differences)
    if not n or not resamples:
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    for k in range(resamples):
        total = 0.0
        for start in range(0, n, DRAWN):
            drawn = generator.integers(0, n, min(DRAWN, n - start))
            with np.errstate(invalid="ignore"):
                total += float(np.sum(differences[drawn]))
        means[k] = total / n
        show((k + 1) * n)
    tail = (1 - LEVEL) / 2
    if np.isnan(means).any():
        return math.nan, math.nan
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)

# SPDX-License-Identifier: BSD-3-Clause
"""`wasserstein_distance_1d` of samples that are too many to be sorted at once: span by span of their values, ascending.

What counts in a span are the samples in it and the masses below it, of each side. The value is the area between the
two distribution functions. A sample's own mass lies in an interval [a, b] of cumulated mass; with the other side's mass
below it, `under`, and up to it, `upto`, what it sends to the left is the part of the interval below `under`, and what
it sends to the right the part above `upto`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ._arrays import Array

SPAN = 1 << 18  # samples that are sorted at once
GROUP = 8 << 20  # bytes of the values that are looked up at once, of several spans, where nothing but values counts
CHUNK = 1 << 16  # samples that are looked at in one step
PILOT = 1 << 15  # samples, of each side, by which the spans are chosen
FULL = 0.8  # of a span, as chosen


class Side(NamedTuple):
    """One of the two samples: where its gradient goes, and the mass of each: the same, or that of its weight."""

    samples: Array
    weight: Array | None
    mass: float  # of one sample, or of a unit of weight
    real: np.dtype[Any]
    grad: Array | None

    def chunks(self) -> Iterator[tuple[int, Array]]:
        for first in range(0, self.samples.size, CHUNK):
            yield first, self.samples[first : first + CHUNK].astype(self.real, copy=False)

    def masses(self, index: Array) -> Array:
        if self.weight is None:
            return np.full(index.size, self.mass)
        return self.weight[index].astype(np.float64) * self.mass


class Span(NamedTuple):
    """Values between two bounds (None: none), the upper one among them or not; or one value alone, in any number."""

    low: Any = None
    high: Any = None
    closed: bool = False
    alone: bool = False
    size: int = 0  # samples in it, unless it is one value

    def holds(self, values: Array) -> Array:
        if self.alone:
            return values == self.high
        inside = np.ones(values.shape, bool) if self.low is None else values > self.low
        if self.high is not None:
            inside &= values <= self.high if self.closed else values < self.high
        return inside

    def part(self, ascending: Array) -> Array:
        """Those of sorted values that are in it."""
        first = 0 if self.low is None else np.searchsorted(ascending, self.low, "right")
        if self.high is None:
            return ascending[first:]
        return ascending[first : np.searchsorted(ascending, self.high, "right" if self.closed else "left")]


@np.errstate(invalid="ignore")  # the difference of two infinite samples
def distance(sides: tuple[Side, Side], total: float, factor: float) -> float:
    """The value; gradients, times the factor, are written where there is room for them. `total`: the mass of a side."""
    if any(np.isnan(values).any() for side in sides for _, values in side.chunks()):
        for side in sides:
            if side.grad is not None:
                side.grad[...] = np.nan
        return math.nan
    area = Area(sides, factor / total)
    for group in _groups(spans(sides, Span()), GROUP // sides[0].real.itemsize):
        if group[0].alone:
            area.add_value(group[0])
        else:
            area.add_spans(group)
    return area.value() / total


def _groups(spans: Iterator[Span], most: int) -> Iterator[list[Span]]:
    """Adjoining spans, of at most so many samples together; one value stays alone."""
    group: list[Span] = []
    for span in spans:
        if group and (span.alone or group[-1].alone or sum(s.size for s in group) + span.size > most):
            yield group
            group = []
        group.append(span)
    if group:
        yield group


def spans(sides: tuple[Side, Side], within: Span) -> Iterator[Span]:
    """Spans of at most SPAN samples, and values of any number, that make up one of more."""
    pivots = _pivots(sides, within)
    inside, equal = _counts(sides, within, pivots)
    bounds = [within.low, *pivots, within.high]
    for k, (n, at_high) in enumerate(zip(inside, equal, strict=True)):
        last = k == len(pivots)
        span = Span(bounds[k], bounds[k + 1], closed=not last, size=n)
        between = span._replace(closed=False, size=n - at_high)
        if n <= SPAN:
            yield from [span] if n else []
        else:
            if n - at_high > SPAN:
                yield from spans(sides, between)
            elif n > at_high:
                yield between
            if not last:
                yield Span(None, span.high, alone=True)


def _pivots(sides: tuple[Side, Side], within: Span) -> Array:
    """Values that divide the samples of a span into parts that are as large."""
    found, n = [], 0
    for side in sides:
        step = max(1, side.samples.size // PILOT)
        for _, values in side.chunks():
            own = values[within.holds(values)]
            n += own.size
            found.append(own[::step].copy())
    pilot = np.sort(np.concatenate(found))
    parts = min(max(2, math.ceil(n / (FULL * SPAN))), pilot.size)
    return np.unique(pilot[np.linspace(0, pilot.size - 1, parts + 1).astype(np.intp)[1:-1]]) if parts > 1 else pilot[:1]


def _counts(sides: tuple[Side, Side], within: Span, pivots: Array) -> tuple[list[int], list[int]]:
    """How many samples lie above each pivot (first: above none), up to the next; and how many of them are that one."""
    inside, equal = np.zeros(pivots.size + 1, np.int64), np.zeros(pivots.size + 1, np.int64)
    for side in sides:
        for _, values in side.chunks():
            own = np.sort(values[within.holds(values)])
            below, upto = (np.searchsorted(own, pivots, where) for where in ("left", "right"))
            inside += np.diff(upto, prepend=0, append=own.size)
            equal[:-1] += upto - below
    return inside.tolist(), equal.tolist()


class Area:
    """What is between the two distribution functions so far."""

    def __init__(self, sides: tuple[Side, Side], factor: float) -> None:
        self.sides, self.factor = sides, factor
        self.below = [0.0, 0.0]  # mass of each side below what comes
        self.last: float | None = None  # the largest value so far
        self.parts: list[float] = []

    def value(self) -> float:
        finite = all(map(math.isfinite, self.parts))
        return math.fsum(self.parts) if finite else sum(self.parts)

    def add_spans(self, group: list[Span]) -> None:
        """Sort what lies in these spans, in each of both sides together."""
        if any(side.weight is not None or side.grad is not None for side in self.sides):
            for span in group:
                self._add_samples(span)
            return
        whole = Span(group[0].low, group[-1].high, group[-1].closed)
        found = [_values_inside(side, whole) for side in self.sides]
        for values in found:
            values.sort()
        for span in group:
            own = [span.part(values) for values in found]
            values = np.concatenate(own)
            order = np.argsort(values, kind="stable")  # merges the two
            self._add_sorted(values[order], order < own[0].size, [side.mass for side in self.sides])

    def _add_samples(self, span: Span) -> None:
        """By their indices, as weights and gradients need them."""
        found = [np.concatenate(list(_inside(side, span))) for side in self.sides]
        values = np.concatenate(
            [s.samples[i].astype(s.real, copy=False) for s, i in zip(self.sides, found, strict=True)]
        )
        order = np.argsort(values)
        values, first = values[order], order < found[0].size
        masses: list[Any] = [side.mass for side in self.sides]
        if any(side.weight is not None for side in self.sides):
            masses = [np.concatenate([s.masses(i) for s, i in zip(self.sides, found, strict=True)])[order]] * 2
        ends = self._add_sorted(values, first, masses)
        if self.sides[0].grad is not None:
            sent = np.empty(order.size)
            sent[order] = _all_sent(values, first, ends) * self.factor
            for side, index, own in zip(self.sides, found, np.split(sent, [found[0].size]), strict=True):
                side.grad[index] = own  # type: ignore[index]

    def _add_sorted(self, values: Array, first: Array, masses: list[Any]) -> list[Array]:
        """Ascending values, and which are of the first side. Returns the cumulated mass of each side, from below on."""
        ends = [_cumulated(*of) for of in zip(self.below, (first, ~first), masses, strict=True)]
        self._add_gaps(values.astype(np.float64), ends[0][1:-1] - ends[1][1:-1])
        self.below = [float(ends[0][-1]), float(ends[1][-1])]
        return ends

    def _add_gaps(self, places: Array, ahead: Array) -> None:
        """Ascending values, and by how much the first distribution function is ahead of the second between them."""
        self._add_gap(places[0])
        gaps = np.diff(places)
        self.parts.append(float(np.where(gaps == 0, 0.0, gaps * np.abs(ahead)).sum()))
        self.last = float(places[-1])

    def _add_gap(self, place: float) -> None:
        if self.last is not None and self.last != place:
            self.parts.append((float(place) - self.last) * abs(self.below[0] - self.below[1]))

    def add_value(self, span: Span) -> None:
        self._add_gap(float(span.high))
        self.last = float(span.high)
        held = [math.fsum(float(side.masses(i).sum()) for i in _inside(side, span)) for side in self.sides]
        for k, side in enumerate(self.sides):
            other = self.below[1 - k]
            a = self.below[k]
            for index in _inside(side, span) if side.grad is not None else ():
                ends = np.concatenate([[a], a + np.cumsum(side.masses(index))])
                a = float(ends[-1])
                side.grad[index] = _sent(ends[:-1], ends[1:], other, other + held[1 - k]) * self.factor  # type: ignore[index]
        self.below = [below + mass for below, mass in zip(self.below, held, strict=True)]


def _all_sent(values: Array, first: Array, ends: list[Array]) -> Array:
    """What each of ascending values sends, of either side."""
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1], [True]]))  # of equal values
    low, high = (np.repeat(at, np.diff(starts)) for at in (starts[:-1], starts[1:]))
    sent = np.empty(values.size)
    for k in range(0, values.size, CHUNK):
        part = slice(k, k + CHUNK)
        own, below, upto = first[part], low[part], high[part]
        sent[part] = _sent(
            np.where(own, ends[0][:-1][part], ends[1][:-1][part]), np.where(own, ends[0][1:][part], ends[1][1:][part]),
            np.where(own, ends[1][below], ends[0][below]), np.where(own, ends[1][upto], ends[0][upto]),
        )  # fmt: skip
    return sent


def _sent(a: Array, b: Array, under: Any, upto: Any) -> Array:
    """Mass that goes to the left less mass that goes to the right."""
    return np.maximum(np.minimum(b, under) - a, 0.0) - np.maximum(b - np.maximum(a, upto), 0.0)


def _cumulated(below: float, own: Array, mass: Any) -> Array:
    """Sums of the mass of those that are the side's own, from what is below them on."""
    ends = np.empty(own.size + 1)
    ends[0] = below
    np.multiply(own, mass, out=ends[1:])
    return np.cumsum(ends, out=ends)


def _inside(side: Side, span: Span) -> Iterator[Array]:
    """Indices of the samples in a span, a chunk at a time."""
    for first, values in side.chunks():
        yield first + np.flatnonzero(span.holds(values))


def _values_inside(side: Side, span: Span) -> Array:
    return np.concatenate([values[span.holds(values)] for _, values in side.chunks()])

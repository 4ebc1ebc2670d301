# SPDX-License-Identifier: BSD-3-Clause
"""What losses over whole batches pick, by definition: from all distances at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .distance import measure

Array = NDArray[Any]


@np.errstate(all="ignore")
def hardest(x: Array, labels: Array) -> tuple[Array, Array]:
    """Per anchor the farthest vector of its label and the nearest of another, -1 where there is none.

    nan is harder than any number.
    """
    positive, negative = np.full(len(x), -1), np.full(len(x), -1)
    for k in range(len(x)):
        d = ((x[k] - x) ** 2).sum(axis=1)
        same = labels == labels[k]
        others = np.flatnonzero(~same)
        same[k] = False
        alike = np.flatnonzero(same)
        if alike.size:
            positive[k] = alike[np.argmax(d[alike])]
        if others.size:
            negative[k] = others[np.argmin(d[others])]
    return positive, negative


@np.errstate(all="ignore")
def all_triplets(
    x: Array, labels: Array, counted: Array, upstream: Array, margin: float, metric: str
) -> tuple[Array, int, int, Array]:
    """Every hinge max(0, margin + d(a, p) - d(a, n)): sums by anchor, how many there are, how many are above 0, and the
    gradient of the sum of the hinges times their anchors' `upstream`."""
    totals, gradient, valid, active = np.zeros(len(x)), np.zeros(x.shape), 0, 0
    for a in np.flatnonzero(counted):
        alike = np.flatnonzero((labels == labels[a]) & (np.arange(len(x)) != a))
        others = np.flatnonzero(labels != labels[a])
        near, near_a, near_p = measure(metric, x[[a]], x[alike], 2.0, 0.0)
        far, far_a, far_n = measure(metric, x[[a]], x[others], 2.0, 0.0)
        hinge = margin + near[:, np.newaxis] - far
        slope = upstream[a] * np.where(np.isnan(hinge), np.nan, (hinge >= 0).astype(np.float64))
        totals[a] = np.where(hinge < 0, 0.0, hinge).sum()
        valid, active = valid + hinge.size, active + int(np.count_nonzero(~(hinge <= 0)))
        by_near, by_far = slope.sum(axis=1)[:, np.newaxis], slope.sum(axis=0)[:, np.newaxis]
        gradient[a] += (by_near * near_a).sum(axis=0) - (by_far * far_a).sum(axis=0)
        np.add.at(gradient, alike, by_near * near_p)
        np.add.at(gradient, others, -by_far * far_n)
    return totals, valid, active, gradient


@np.errstate(all="ignore")
def directions(x: Array, least: float) -> tuple[Array, Array, Array]:
    """Vectors over their lengths, at least `least`; these (N, 1), and which of them were less."""
    largest = np.abs(x).max(axis=1, keepdims=True, initial=0.0)
    safe = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)  # squares neither overflow nor vanish
    length = np.sqrt(((x / safe) ** 2).sum(axis=1, keepdims=True)) * safe
    clamped = length < least
    length = np.where(clamped, least, length)
    return x / length, length, clamped


@np.errstate(all="ignore")
def directions_gradient(x: Array, g: Array, least: float) -> Array:
    """The gradient by the vectors from that by their directions."""
    unit, length, clamped = directions(x, least)
    along = np.where(clamped, 0.0, (g * unit).sum(axis=1, keepdims=True))
    return (g - along * unit) / length

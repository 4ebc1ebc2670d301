# SPDX-License-Identifier: BSD-3-Clause
"""Exact results of the margin losses for the accuracy contract: float64 for float32 kernels, integers for float64 ones.

Both losses are sums of hinges over pairs of a positive and another class, so one definition does: `pairs`, on arrays of
float64 or of Python's integers in units that no float64 is a fraction of. What is twice the change of a result when an
input moves by half an ulp is found by moving it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from mpmath import mpf

MARGIN = 1
UNITS = 2**1075  # in 1; half an ulp of any float64 is a whole number of units


def _changes(a: np.ndarray, ends: list[np.ndarray], axis: tuple[int, ...] = ()) -> np.ndarray:
    """The larger of the changes from `a` to both ends, summed over the axes beforehand."""
    return np.maximum(*(np.abs(np.sum(end - a, axis=axis)) for end in ends))


def pairs(
    positive: np.ndarray, other: np.ndarray, half: tuple[np.ndarray, np.ndarray], margin: int
) -> tuple[list, list]:
    """[value, gradient of positives, gradient of others], and twice the change of each; times the number of classes.

    positive is (rows, P), other (rows, O), half the half ulp of both.
    """

    def z(moved_positive: int, moved_other: int) -> np.ndarray:
        p = positive + moved_positive * half[0]
        return margin - p[:, :, np.newaxis] + (other + moved_other * half[1])[:, np.newaxis, :]

    zero = z(0, 0) * 0
    states = [z(0, 0), *(z(s, 0) for s in (1, -1)), *(z(0, s) for s in (1, -1))]
    hinges = [np.maximum(zero, state) for state in states]
    steps = [(state > 0) + zero for state in states]
    h, by_positive, by_other = hinges[0], hinges[1:3], hinges[3:]
    step, step_by_positive, step_by_other = steps[0], steps[1:3], steps[3:]
    results = [h.sum(axis=(1, 2)), -step.sum(axis=2), step.sum(axis=1)]
    alone = _changes(step, step_by_positive), _changes(step, step_by_other)  # of each pair
    slack = [
        _changes(h, by_positive, (2,)).sum(axis=1) + _changes(h, by_other, (1,)).sum(axis=1),
        _changes(step, step_by_positive, (2,)) + alone[1].sum(axis=2),
        alone[0].sum(axis=1) + _changes(step, step_by_other, (1,)),
    ]
    return results, [2 * part for part in slack]


def exact_rows(
    x: np.ndarray, positives: np.ndarray, half: np.ndarray, margin: int = MARGIN
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """[value, gradient per class] of (rows, classes), and twice the change of each; times the number of classes.

    positives: (rows, P) indices.
    """
    is_other = np.ones(x.shape, bool)
    np.put_along_axis(is_other, positives, False, axis=1)
    others = np.nonzero(is_other)[1].reshape(len(x), -1)

    def taken(a: np.ndarray, where: np.ndarray) -> np.ndarray:
        return np.take_along_axis(a, where, axis=1)

    halves = taken(half, positives), taken(half, others)
    results, slack = pairs(taken(x, positives), taken(x, others), halves, margin)
    found = []
    for value, at_positives, at_others in (results, slack):
        grad = np.zeros_like(x)
        np.put_along_axis(grad, positives, at_positives, axis=1)
        np.put_along_axis(grad, others, at_others, axis=1)
        found.append([value, *grad.T])
    return found[0], found[1]


def positives_of(target: np.ndarray) -> np.ndarray:
    """(rows, P) from single labels, or from lists of one length that name no class twice."""
    if target.ndim == 1:
        return target[:, np.newaxis]
    return target[:, : int(np.argmax(target[0] < 0)) if target[0].min() < 0 else target.shape[1]]


def exactly(row: np.ndarray, target: np.ndarray, half: np.ndarray) -> tuple[list[mpf], list[mpf]]:
    """The same of one row of float64, divided by the number of classes, and not rounded on the way."""
    x, half = (np.array([int(Fraction(float(v)) * UNITS) for v in a], object)[np.newaxis] for a in (row, half))
    parts = exact_rows(x, positives_of(target[np.newaxis]), half, MARGIN * UNITS)
    found = [[mpf(int(part[0])) / row.size for part in some] for some in parts]
    return tuple([some[0] / UNITS, *some[1:]] for some in found)


def draw(drawer: Any, kernel: str) -> tuple[dict, dict]:
    """Operands that are hard in the drawer's way: hinges near 0 at the kink."""
    classes, rng = drawer.shape[1], drawer.rng
    order = np.argsort(rng.random(drawer.shape), axis=1)
    most = 20 if drawer.dtype == np.float32 else 4  # large integers are slow
    count = min(most, max(1, classes // 4))
    if drawer.kind == "normal":
        x = drawer.normal(2)
    elif drawer.kind == "wide":
        x = np.where(rng.random(drawer.shape) < 0.5, drawer.wide(), drawer.wide(-3, 3))
    elif drawer.kind == "subnormal":
        x = drawer.subnormal()
    else:
        x = drawer.near(np.broadcast_to(drawer.normal()[:, :1], drawer.shape))
        x = drawer.near(x + MARGIN * rng.choice([-1, 0, 1], drawer.shape))
    if kernel == "multi_margin":
        return {"input": x, "target": order[:, 0]}, {}
    return {"input": x, "target": np.where(np.arange(classes) < count, order, -1)}, {}

# SPDX-License-Identifier: BSD-3-Clause
"""Margin losses by definition, on float64 rows of shape (rows, classes).

Both are made of hinges max(0, margin - x_positive + x_other). A class at -inf costs nothing. At the kink the derivative
is 0, as in torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _hinge(positive: Array, other: Array, margin: float) -> Array:
    return np.where(np.isneginf(other), 0.0, np.maximum(0.0, margin - positive + other))


def _step(h: Array) -> Array:
    """The hinge's derivative in the other class; that in the positive one is minus this."""
    return np.where(np.isnan(h), h, (h > 0.0).astype(np.float64))


@np.errstate(all="ignore")
def multi_margin(x: Array, target: NDArray[Any], power: float, margin: float) -> tuple[Array, Array]:
    """Sum over c != target of max(0, margin - x_target + x_c)^power / classes for each row, and its gradient."""
    rows, classes = np.arange(x.shape[0]), x.shape[1]
    h = _hinge(x[rows, target][:, np.newaxis], x, margin)
    h[rows, target] = 0.0
    grad = power * h ** (power - 1.0) * _step(h) / classes
    grad[rows, target] = -grad.sum(axis=1)
    return np.sum(h**power, axis=1) / classes, grad


@np.errstate(all="ignore")
def multilabel_margin(x: Array, times: NDArray[Any], power: float, margin: float) -> tuple[Array, Array]:
    """Sum over positives j, others i of times_j max(0, margin - x_j + x_i)^power / classes per row, and its gradient.

    `times` says how often each class is named as positive; the others are those that never are.
    """
    values, grads = np.zeros(x.shape[0]), np.zeros(x.shape)
    classes = x.shape[1]
    for row in range(x.shape[0]):
        positive, other = np.flatnonzero(times[row]), np.flatnonzero(times[row] == 0)
        named = times[row, positive][:, np.newaxis]
        h = _hinge(x[row, positive][:, np.newaxis], x[row, other], margin)
        slope = named * power * h ** (power - 1.0) * _step(h) / classes
        values[row] = np.sum(named * h**power) / classes
        grads[row, other] = slope.sum(axis=0)
        grads[row, positive] = -slope.sum(axis=1)
    return values, grads

# SPDX-License-Identifier: BSD-3-Clause
"""Elementwise losses by definition.

Each function takes its operands as float64 arrays of one shape, then its parameters, and returns
`(value, gradients, hess)`: the unreduced loss, one derivative per prediction operand, and the second derivative in the
first prediction. The names are those of the rows in `csrc/elementwise.def`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Term = tuple[Array, tuple[Array, ...], Array | None]


@np.errstate(all="ignore")
def l1(x: Array, y: Array) -> Term:
    """|x - y|. At x == y the gradient is 0, as in torch."""
    d = x - y
    return np.abs(d), (np.sign(d),), np.where(np.isnan(d), d, 0.0)


@np.errstate(all="ignore")
def mse(x: Array, y: Array) -> Term:
    """(x - y)^2."""
    d = x - y
    return d * d, (2.0 * d,), np.where(np.isnan(d), d, 2.0)


@np.errstate(all="ignore")
def huber(x: Array, y: Array, delta: float) -> Term:
    """Half the squared distance up to `delta`, then delta (|x - y| - delta / 2)."""
    d = x - y
    distance = np.abs(d)
    quadratic = distance <= delta
    value = np.where(quadratic, 0.5 * d * d, delta * (distance - 0.5 * delta))
    hess = np.where(np.isnan(d), d, np.where(quadratic, 1.0, 0.0))
    return value, (np.clip(d, -delta, delta),), hess


def _softplus(x: Array) -> Array:
    """log(1 + exp(x)), without overflow."""
    return np.logaddexp(0.0, x)


def _sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), with all its digits on both tails."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0.0, e, 1.0) / (1.0 + e)


@np.errstate(all="ignore")
def bce_logits_pos(x: Array, y: Array, pos_weight: Array) -> Term:
    """-pos_weight y log(sigmoid(x)) - (1 - y) log(1 - sigmoid(x)).

    Written with -log(sigmoid(x)) = softplus(-x), and the gradient as (1 - y) p - pos_weight y (1 - p) rather than
    p - y, which would lose the small gradient of a good prediction.
    """
    positive, negative = pos_weight * y, 1.0 - y
    p, q = _sigmoid(x), _sigmoid(-x)
    value = positive * _softplus(-x) + negative * _softplus(x)
    return value, (negative * p - positive * q,), (positive + negative) * p * q


def bce_logits(x: Array, y: Array) -> Term:
    """-y log(sigmoid(x)) - (1 - y) log(1 - sigmoid(x))."""
    return bce_logits_pos(x, y, np.ones_like(x))


@np.errstate(all="ignore")
def gaussian_nll(x: Array, y: Array, var: Array, eps: float, full: float) -> Term:
    """(log v + (x - y)^2 / v) / 2 with v = max(var, eps); `full` adds log(2 pi) / 2.

    Gradients are in x and in var. As in torch the clamp is no part of what is differentiated: below eps, var's gradient
    is the one at eps.
    """
    d = x - y
    v = np.maximum(var, eps)
    value = 0.5 * (np.log(v) + d * d / v)
    if full:
        value = value + 0.5 * np.log(2.0 * np.pi)
    return value, (d / v, 0.5 * (1.0 - d * d / v) / v), 1.0 / v

# SPDX-License-Identifier: BSD-3-Clause
"""Losses of yes-or-no targets by definition; see `elementwise` for what these functions take and give."""

from __future__ import annotations

import numpy as np

from ._term import Array, Term

__all__ = [
    "bce",
    "bce_logits",
    "bce_logits_pos",
    "focal",
    "focal_square",
    "hinge_embedding",
    "margin_ranking",
    "soft_margin",
]


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
def bce(p: Array, y: Array) -> Term:
    """-y log(p) - (1 - y) log(1 - p), each logarithm at least -100, as in torch.

    The gradient is that without these bounds, (p - y) / (p (1 - p)), its denominator at least 1e-12.
    """
    value = y * np.minimum(-np.log(p), 100.0) + (1.0 - y) * np.minimum(-np.log1p(-p), 100.0)
    w = np.maximum(p * (1.0 - p), 1e-12)
    return value, ((p - y) / w,), (y * (1.0 - p) ** 2 + (1.0 - y) * p**2) / w**2


@np.errstate(all="ignore")
def soft_margin(x: Array, y: Array) -> Term:
    """log(1 + exp(-y x))."""
    p, q = _sigmoid(y * x), _sigmoid(-y * x)
    return _softplus(-y * x), (-y * q,), y * y * p * q


@np.errstate(all="ignore")
def hinge_embedding(x: Array, y: Array, margin: float) -> Term:
    """x where y is not -1, plus max(0, margin - x) where y is not 1; nan where x or y is.

    The clamp passes the gradient at x = margin, as in torch.
    """
    nan = np.where(np.isnan(x + y) & ~np.isinf(x), x + y, 0.0)
    both = np.maximum(x, margin)  # their sum, without its rounding error
    value = np.select([y == 1, y == -1], [x, np.maximum(0.0, margin - x)], both)
    grad = np.where(y != -1, 1.0, 0.0) - np.where((y != 1) & (x <= margin), 1.0, 0.0)
    return value + nan, (grad + nan,), nan


@np.errstate(all="ignore")
def margin_ranking(x1: Array, x2: Array, y: Array, margin: float) -> Term:
    """max(0, -y (x1 - x2) + margin). The clamp passes the gradient at 0, as in torch."""
    v = -y * (x1 - x2) + margin
    grad = np.where(v >= 0.0, -y, np.where(np.isnan(v), v, 0.0))
    return np.maximum(0.0, v), (grad, -grad), np.where(np.isnan(v), v, 0.0)


@np.errstate(all="ignore")
def focal(x: Array, y: Array, alpha: float, gamma: float) -> Term:
    """a u^gamma bce(x, y), with p = sigmoid(x) and u = p (1 - y) + (1 - p) y; a = alpha y + (1 - alpha) (1 - y), or 1
    if alpha is negative.

    Derivatives by the product rule: u' = (1 - 2 y) p (1 - p), and u'' = u' (1 - 2 p). The products with u' are put as
    those with u' / u, which has a limit where u is 0 and its powers have none.
    """
    p, q = _sigmoid(x), _sigmoid(-x)
    ce, (slope,), _ = bce_logits(x, y)  # its second derivative is p (1 - p)
    u = p * (1.0 - y) + q * y
    a = alpha * y + (1.0 - alpha) * (1.0 - y) if alpha >= 0.0 else 1.0
    ratio = np.where(u == 0.0, 1.0 - 2.0 * y, (1.0 - 2.0 * y) * p * q / u)
    power = a * u**gamma
    fall = gamma * ratio * np.where(np.isinf(ce), 0.0, ce)
    hess = fall * (gamma * ratio + (q - p) - ratio) + 2.0 * gamma * ratio * slope + p * q
    return power * ce, (power * (fall + slope),), power * hess


def focal_square(x: Array, y: Array, alpha: float) -> Term:
    """`focal` with gamma = 2."""
    return focal(x, y, alpha, 2.0)

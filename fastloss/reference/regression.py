# SPDX-License-Identifier: BSD-3-Clause
"""Regression losses by definition; see `elementwise` for what these functions take and give."""

from __future__ import annotations

import numpy as np

from ._term import Array, Term

__all__ = ["huber", "l1", "log_cosh", "mape", "mse", "msle", "quantile", "quantiles", "rmse", "smape", "smooth_l1"]


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


@np.errstate(all="ignore")
def smooth_l1(x: Array, y: Array, beta: float) -> Term:
    """d^2 / (2 beta) for |d| < beta, else |d| - beta / 2."""
    d = x - y
    distance = np.abs(d)
    quadratic = distance < beta
    value = np.where(quadratic, 0.5 * d * (d / beta), distance - 0.5 * beta)
    hess = np.where(np.isnan(d), d, np.where(quadratic, 1.0 / np.float64(beta), 0.0))
    return value, (np.where(quadratic, d / beta, np.sign(d)),), hess


@np.errstate(all="ignore")
def rmse(x: Array, y: Array, scale: float) -> Term:
    """The square of the scaled difference, and that difference: the root is taken of the mean."""
    d = (x - y) * scale
    return np.square(d), (d,), np.where(np.isnan(d), d, 1.0)


@np.errstate(all="ignore")
def log_cosh(x: Array, y: Array) -> Term:
    """log(cosh(d)), as log(1 + 2 sinh(d / 2)^2) near 0 and |d| + log(1 + exp(-2 |d|)) - log(2) beyond."""
    d = x - y
    distance = np.abs(d)
    near = np.log1p(2.0 * np.square(np.sinh(0.5 * d)))
    far = distance + np.log1p(np.exp(-2.0 * distance)) - np.log(2.0)
    e = np.exp(-distance)
    return np.where(distance < 1.0, near, far), (np.tanh(d),), np.square(2.0 * e / (1.0 + e * e))


@np.errstate(all="ignore")
def quantiles(x: Array, y: Array, q: Array) -> Term:
    """max(q (y - x), (q - 1) (y - x)). At x == y the gradient is 0. The second derivative is 1 by convention."""
    d = x - y
    grad = np.where(d > 0.0, 1.0 - q, np.where(d < 0.0, -q, d))
    value = np.where(d > 0.0, 1.0 - q, q) * np.abs(d)
    return value, (grad,), np.where(np.isnan(d), d, 1.0)


def quantile(x: Array, y: Array, q: float) -> Term:
    """The same with one q."""
    return quantiles(x, y, np.full_like(x, q))


@np.errstate(all="ignore")
def mape(x: Array, y: Array, eps: float) -> Term:
    """|x - y| / max(|y|, eps). At x == y the gradient is 0."""
    d, size = x - y, np.maximum(np.abs(y), eps)
    return np.abs(d) / size, (np.sign(d) / size,), np.where(np.isnan(d), d, 0.0)


@np.errstate(all="ignore")
def smape(x: Array, y: Array) -> Term:
    """2 |x - y| / (|x| + |y|), 0 where both are 0; halves are taken first, lest the sum overflow."""
    factor = np.where(x == 0.0, 2.0, np.where(np.sign(x) == np.sign(y), 4.0, 0.0))
    unit = np.where(np.maximum(np.abs(x), np.abs(y)) > 4e307, 0.5, 1.0)
    x, y = x * unit, y * unit
    d, total = x - y, np.abs(x) + np.abs(y)
    value = np.where(total == 0.0, 0.0, 2.0 * (np.abs(d) / total))
    share = np.abs(y) / total / total * unit
    flat = (y == 0.0) | (d == 0.0) | (factor == 0.0)
    grad = np.where(flat, 0.0 * d, np.sign(d) * factor * share)
    return value, (grad,), np.where(flat, 0.0 * d, -2.0 * np.sign(x) * grad / total * unit)


@np.errstate(all="ignore")
def msle(x: Array, y: Array) -> Term:
    """(log(1 + x) - log(1 + y))^2, by the logarithm of one quotient unless that might overflow."""
    low, high = np.minimum(x, y), np.maximum(x, y)
    ratio = (high - low) / (1.0 + low)
    size = np.where(ratio < 1e300, np.log1p(ratio), np.log1p(high) - np.log1p(low))
    log = np.copysign(size, x - y)
    return np.square(log), (2.0 * log / (1.0 + x),), 2.0 * (1.0 - log) / np.square(1.0 + x)

# SPDX-License-Identifier: BSD-3-Clause
"""Regression losses by definition; see `elementwise` for what these functions take and give."""

from __future__ import annotations

import numpy as np

from ._term import Array, Term

__all__ = ["huber", "l1", "mse"]


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

# SPDX-License-Identifier: BSD-3-Clause
"""Costs of a critic's scores by definition; see `elementwise` for what these functions take and give."""

from __future__ import annotations

import numpy as np

from ._term import Array, Term

__all__ = ["hinge", "least_squares", "linear", "logistic"]


@np.errstate(all="ignore")
def logistic(x: Array, label: float) -> Term:
    """log(1 + exp(-y x))."""
    t = label * x
    z = np.exp(-np.abs(t))
    value = np.maximum(-t, 0.0) + np.log1p(z)
    slope = np.where(t >= 0.0, z, 1.0) / (1.0 + z)
    return value, (-label * slope,), label * label * z / np.square(1.0 + z)


@np.errstate(all="ignore")
def least_squares(x: Array, label: float) -> Term:
    """(x - y)^2 / 2."""
    d = x - label
    return 0.5 * d * d, (d,), np.where(np.isnan(d), d, 1.0)


@np.errstate(all="ignore")
def hinge(x: Array, label: float) -> Term:
    """max(0, 1 - y x); no slope at the kink."""
    h = np.maximum(0.0, 1.0 - label * x)
    return h, (np.where(h > 0.0, -label, h),), np.where(np.isnan(h), h, 0.0)


@np.errstate(all="ignore")
def linear(x: Array, label: float) -> Term:
    """y x."""
    h = label * x
    return h, (np.where(np.isnan(h), h, label),), np.where(np.isnan(h), h, 0.0)

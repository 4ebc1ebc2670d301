# SPDX-License-Identifier: BSD-3-Clause
"""Negative log-likelihoods by definition; see `elementwise` for what these functions take and give."""

from __future__ import annotations

import numpy as np

from ._term import Array, Term

__all__ = ["gaussian_nll"]


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

# SPDX-License-Identifier: BSD-3-Clause
"""Losses of yes-or-no targets by definition; see `elementwise` for what these functions take and give."""

from __future__ import annotations

import numpy as np

from ._term import Array, Term

__all__ = ["bce_logits", "bce_logits_pos"]


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

# SPDX-License-Identifier: BSD-3-Clause
"""Row losses by definition, on inputs of shape (outer, classes, inner) and labels of shape (outer, inner).

Labels are in range: the caller saw to it, and to positions that are left out. Each function returns the values, of
shape (outer, inner), and their gradients in the input, of its shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def one_hot(target: NDArray[Any], classes: int) -> NDArray[np.bool_]:
    """True at each position's label."""
    return np.arange(classes).reshape(1, -1, 1) == target[:, np.newaxis, :]


def weighted(factor: Array, x: Array) -> Array:
    """Their product, where a factor of 0 leaves nothing, even of infinity."""
    return np.where((factor != 0) | np.isnan(x), factor * x, 0.0)


@np.errstate(all="ignore")
def cross_entropy(logits: Array, target: NDArray[Any]) -> tuple[Array, Array]:
    """-log softmax(logits)[target] at each position, and its gradient in the logits.

    With S = sum over k != target of exp(x_k - x_target), the loss is log(1 + S): the target is kept out of the sum, so
    that the small loss of a sure and right prediction is not rounded away.

    Returns
    -------
    value : (outer, inner)
    grad : (outer, classes, inner), softmax(logits) - onehot(target)
    """
    is_target = one_hot(target, logits.shape[1])
    at_target = np.sum(np.where(is_target, logits, 0.0), axis=1)

    # log of the sum over the other classes, shifted by their largest logit (0 where they are all at -inf, or none)
    others = np.where(is_target, -np.inf, logits)
    shift = np.max(others, axis=1, keepdims=True)
    shift = np.where(np.isneginf(shift), 0.0, shift)
    log_others = shift[:, 0, :] + np.log(np.sum(np.exp(others - shift), axis=1))
    value = np.logaddexp(0.0, log_others - at_target)

    # the softmax; its entry at the target, less 1, is minus the sum of the other entries
    e = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    total = np.sum(e, axis=1, keepdims=True)
    rest = np.sum(np.where(is_target, 0.0, e), axis=1, keepdims=True)
    grad = np.where(is_target, -rest, e) / total

    # a row that holds +inf has no softmax
    value = np.where(np.isposinf(logits).any(axis=1), np.nan, value)
    return value, grad


@np.errstate(all="ignore")
def soft_cross_entropy(logits: Array, q: Array) -> tuple[Array, Array]:
    """-sum over c of q_c log softmax(logits)_c, and its gradient (sum of q) softmax(logits) - q."""
    top = np.argmax(logits, axis=1)
    is_top = one_hot(top, logits.shape[1])
    log_sum, from_top = cross_entropy(logits, top)  # that of the largest logit is log of the sum of exp(x - max)
    below = np.max(logits, axis=1, keepdims=True) - logits
    cost = np.where(is_top, 0.0, below) + log_sum[:, np.newaxis, :]
    value = np.sum(weighted(q, cost), axis=1)

    # at the largest logit p - 1 keeps its digits: (sum of q) p - q = (sum of the other q) p + q (p - 1)
    p = np.where(is_top, 1 + from_top, from_top)
    rest = np.sum(np.where(is_top, 0.0, q), axis=1, keepdims=True)
    total = np.sum(q, axis=1, keepdims=True)
    return value, np.where(is_top, rest * p + q * from_top, total * p - q)


@np.errstate(all="ignore")
def squared_log_sum_exp(logits: Array) -> tuple[Array, Array]:
    """The square of log(sum of exp(x)), and its gradient 2 log(sum of exp(x)) softmax(x)."""
    top = np.argmax(logits, axis=1)
    log_sum, from_top = cross_entropy(logits, top)  # that of the largest logit is log of the sum of exp(x - max)
    lse = np.max(logits, axis=1) + log_sum
    p = np.where(one_hot(top, logits.shape[1]), 1 + from_top, from_top)
    return lse**2, 2 * lse[:, np.newaxis, :] * p


@np.errstate(all="ignore")
def focal_loss(logits: Array, target: NDArray[Any], gamma: float) -> tuple[Array, Array]:
    """-(1 - p)^gamma log(p) with p = softmax(logits)[target]; 1 - p is the sum of the other probabilities."""
    is_target = one_hot(target, logits.shape[1])
    cost, slope = cross_entropy(logits, target)
    off = -np.sum(np.where(is_target, slope, 0.0), axis=1)  # 1 - p
    p = np.exp(-cost)
    factor = off**gamma * (gamma * weighted(p, cost) + off)  # of d(log p) / dx, times -(1 - p)
    others = np.where(off[:, np.newaxis, :] > 0, slope / off[:, np.newaxis, :], 0.0)  # the others' probabilities, of 1
    others = np.where(np.isnan(off)[:, np.newaxis, :], np.nan, others)
    return off**gamma * cost, np.where(is_target, -1.0, others) * factor[:, np.newaxis, :]


def nll(log_p: Array, target: NDArray[Any]) -> tuple[Array, Array]:
    """-log_p[target], and its gradient."""
    is_target = one_hot(target, log_p.shape[1])
    return -np.sum(np.where(is_target, log_p, 0.0), axis=1), np.where(is_target, -1.0, 0.0)


@np.errstate(all="ignore")
def probability_nll(p: Array, target: NDArray[Any]) -> tuple[Array, Array]:
    """-log(p[target]), and its gradient."""
    is_target = one_hot(target, p.shape[1])
    at_target = np.sum(np.where(is_target, p, 0.0), axis=1)
    return -np.log(at_target), np.where(is_target, -1 / p, 0.0)


@np.errstate(all="ignore")
def soft_probability_nll(p: Array, q: Array) -> tuple[Array, Array]:
    """-sum over c of q_c log p_c, and its gradient."""
    return np.sum(weighted(q, -np.log(p)), axis=1), weighted(q, -1 / p)


@np.errstate(all="ignore")
def probability_focal(p: Array, target: NDArray[Any], gamma: float) -> tuple[Array, Array]:
    """-(1 - p)^gamma log(p) of the probability p of the target, and its gradient."""
    is_target = one_hot(target, p.shape[1])
    at_target = np.sum(np.where(is_target, p, 0.0), axis=1)
    cost, off = -np.log(at_target), 1 - at_target
    ratio = np.where(off == 0, 1.0, cost / off)
    slope = -(off**gamma) * (weighted(np.float64(gamma), ratio) + 1 / at_target)
    return off**gamma * cost, np.where(is_target, slope[:, np.newaxis, :], 0.0)

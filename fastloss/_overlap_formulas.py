# SPDX-License-Identifier: BSD-3-Clause
"""Losses as functions of the sums of overlaps, and their derivatives: a few numbers per image and class, in float64.

I is the sum of p t (`shared`), P that of p, T that of t, each (groups, classes). P - I, what is predicted and not true,
and T - I, what is true and not predicted, are at least 0; rounding may say otherwise. Where all is 0, nothing is
missing: the loss is 0, and so are its derivatives.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._arrays import Array

Losses = tuple[Array, Array, Array]  # the loss, its derivatives by I and by P


def _over(x: Array, y: Array) -> Array:
    """x / y, 0 where y is 0."""
    return np.where(y == 0, 0.0, x / np.where(y == 0, 1.0, y))


def _rest(whole: Array, shared: Array) -> Array:
    return np.maximum(whole - shared, 0.0)


@np.errstate(all="ignore")
def tversky(shared: Array, predicted: Array, true: Array, alpha: float, beta: float, smooth: float) -> Losses:
    """1 - (I + smooth) / (I + alpha (P - I) + beta (T - I) + smooth)."""
    wrong = alpha * _rest(predicted, shared) + beta * _rest(true, shared)
    kept = shared + smooth
    whole = kept + wrong
    share = _over(kept, whole)
    return _over(wrong, whole), _over(share * (1 - alpha - beta) - 1, whole), _over(alpha * share, whole)


def dice(shared: Array, predicted: Array, true: Array, smooth: float) -> Losses:
    """1 - (2 I + smooth) / (P + T + smooth)."""
    return tversky(shared, predicted, true, 0.5, 0.5, smooth / 2)


def jaccard(shared: Array, predicted: Array, true: Array, smooth: float) -> Losses:
    """1 - (I + smooth) / (P + T - I + smooth)."""
    return tversky(shared, predicted, true, 1.0, 1.0, smooth)


@np.errstate(all="ignore")
def focal_tversky(
    shared: Array, predicted: Array, true: Array, alpha: float, beta: float, gamma: float, smooth: float
) -> Losses:
    """The Tversky loss to the power gamma. At 0 it has no derivative unless gamma is 1."""
    loss, by_shared, by_predicted = tversky(shared, predicted, true, alpha, beta, smooth)
    slope = np.where(loss == 0, float(gamma == 1), gamma * loss ** (gamma - 1))
    return loss**gamma, slope * by_shared, slope * by_predicted


def _class_weights(true: Array, weighting: str) -> Array:
    """1, 1 / T or 1 / T^2; a class that is true nowhere gets the largest weight of the others of its group, or 1."""
    if weighting == "uniform":
        return np.ones(true.shape)
    weight = _over(np.ones(true.shape), true if weighting == "simple" else true * true)
    largest = np.max(weight, axis=1, keepdims=True, initial=0.0)
    return np.where(true > 0, weight, np.where(largest > 0, largest, 1.0))


@np.errstate(all="ignore")
def generalized_dice(shared: Array, predicted: Array, true: Array, weighting: str, smooth: float) -> Losses:
    """1 - (2 sum w I + smooth) / (sum w (P + T) + smooth), one per group."""
    weight = _class_weights(true, weighting)
    wrong = np.sum(weight * (_rest(predicted, shared) + _rest(true, shared)), axis=1, keepdims=True)
    kept = 2 * np.sum(weight * shared, axis=1, keepdims=True) + smooth
    whole = kept + wrong
    return _over(wrong, whole), _over(-2 * weight, whole), weight * _over(_over(kept, whole), whole)


FORMULAS: dict[str, Callable[..., Losses]] = {
    "dice": dice,
    "jaccard": jaccard,
    "tversky": tversky,
    "focal_tversky": focal_tversky,
    "generalized_dice": generalized_dice,
}

# SPDX-License-Identifier: BSD-3-Clause
"""Losses of overlapping masks by definition, on float64 probabilities and truths (groups, positions, classes).

A group is an image, or the batch. Positions that do not count are 0 in both. Each function gives the losses, (groups,
classes) or (groups, 1), and their derivatives by the probabilities. Where what is divided by is 0, nothing is there to
be found and nothing was: the loss is 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Losses = tuple[Array, Array]


def _score(numerator: Array, denominator: Array, by_numerator: Array, by_denominator: Array) -> Losses:
    """1 - numerator / denominator, and its derivatives from theirs."""
    none = denominator == 0
    loss = np.where(none, 0.0, 1 - numerator / denominator)
    n, d = numerator[:, np.newaxis], denominator[:, np.newaxis]
    return loss, np.where(none[:, np.newaxis], 0.0, -(by_numerator * d - n * by_denominator) / d**2)


def dice(p: Array, t: Array, smooth: float) -> Losses:
    """1 - (2 sum p t + smooth) / (sum p + sum t + smooth)."""
    return _score(2 * (p * t).sum(axis=1) + smooth, (p + t).sum(axis=1) + smooth, 2 * t, np.ones(p.shape))


def jaccard(p: Array, t: Array, smooth: float) -> Losses:
    """1 - (sum p t + smooth) / (sum p + sum t - sum p t + smooth)."""
    return _score((p * t).sum(axis=1) + smooth, (p + t - p * t).sum(axis=1) + smooth, t, 1 - t)


def tversky(p: Array, t: Array, alpha: float, beta: float, smooth: float) -> Losses:
    """1 - (hits + smooth) / (hits + alpha false + beta missed + smooth)."""
    hits, false, missed = p * t, p * (1 - t), t * (1 - p)
    whole = (hits + alpha * false + beta * missed).sum(axis=1) + smooth
    return _score(hits.sum(axis=1) + smooth, whole, t, t + alpha * (1 - t) - beta * t)


def focal_tversky(p: Array, t: Array, alpha: float, beta: float, gamma: float, smooth: float) -> Losses:
    """The Tversky loss to the power gamma, without a derivative at a loss of 0 unless gamma is 1."""
    loss, grad = tversky(p, t, alpha, beta, smooth)
    loss = np.where(np.abs(loss) < 1e-15, 0.0, loss)
    slope = np.where(loss == 0, float(gamma == 1), gamma * loss ** (gamma - 1))
    return loss**gamma, slope[:, np.newaxis] * grad


def generalized_dice(p: Array, t: Array, weighting: str, smooth: float) -> Losses:
    """1 - (2 sum w p t + smooth) / (sum w (p + t) + smooth), sums over positions and classes; w of a class that is true
    nowhere is the largest of the others, or 1."""
    power = {"uniform": 0, "simple": -1, "square": -2}[weighting]
    sizes = t.sum(axis=1, keepdims=True)
    w = np.where(sizes > 0, sizes**power, 0.0)
    largest = w.max(axis=2, keepdims=True, initial=0.0)
    w = np.where(sizes > 0, w, np.where((largest > 0) & (power != 0), largest, 1.0))
    numerator = 2 * (w * p * t).sum(axis=(1, 2)) + smooth
    denominator = (w * (p + t)).sum(axis=(1, 2)) + smooth
    return _score(numerator[:, np.newaxis], denominator[:, np.newaxis], 2 * w * t, w * np.ones(p.shape))


def jaccard_steps(t: Array) -> Array:
    """For truths (positions,) in the order of falling errors: by how much the Jaccard loss grows with each."""
    true, hits, misses = t.sum(), np.cumsum(t), np.cumsum(1 - t)
    loss = 1 - (true - hits) / (true + misses)
    return np.diff(loss, prepend=0.0)


def _lovasz(errors: Array, t: Array, slope: Array) -> Losses:
    """The Lovasz extension at errors whose derivatives are `slope`; those that are not positive cost nothing."""
    groups, _, classes = errors.shape
    losses, grads = np.zeros((groups, classes)), np.zeros(errors.shape)
    for g in range(groups):
        for c in range(classes):
            e = errors[g, :, c]
            order = np.argsort(-e, kind="stable")
            steps = np.full(e.shape, np.nan) if np.isnan(e).any() else jaccard_steps(t[g, order, c])
            positive = ~(e[order] <= 0)
            losses[g, c] = np.sum(np.where(positive, e[order] * steps, 0.0))
            grads[g, order, c] = np.where(positive, steps * slope[g, order, c], 0.0)
    return losses, grads


def lovasz_softmax(p: Array, t: Array) -> Losses:
    """The Lovasz extension of the Jaccard loss at |t - p|."""
    return _lovasz(np.abs(t - p), t, 1 - 2 * t)


def lovasz_hinge(x: Array, t: Array) -> Losses:
    """The same at max(0, 1 - x s), s = 2 t - 1, of logits. Positions that do not count hold nan in t."""
    counted = ~np.isnan(t)
    errors = np.where(counted, 1 - x * (2 * t - 1), -1.0)
    return _lovasz(errors, np.where(counted, t, 0.0), np.where(counted, 1 - 2 * t, 0.0))


LOSSES: dict[str, Callable[..., Losses]] = {
    "dice": dice,
    "jaccard": jaccard,
    "tversky": tversky,
    "focal_tversky": focal_tversky,
    "generalized_dice": generalized_dice,
    "lovasz_softmax": lovasz_softmax,
    "lovasz_hinge": lovasz_hinge,
}


def softmax(x: Array) -> Array:
    """Of the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=-1, keepdims=True)


def through_softmax(p: Array, grad: Array) -> Array:
    """A gradient by probabilities as one by logits."""
    return p * (grad - (p * grad).sum(axis=-1, keepdims=True))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def through_sigmoid(x: Array, grad: Array) -> Array:
    """The same, from the logits: 1 - p keeps its digits."""
    return grad * sigmoid(x) * sigmoid(-x)

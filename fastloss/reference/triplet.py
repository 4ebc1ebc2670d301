# SPDX-License-Identifier: BSD-3-Clause
"""Losses on pairs and triplets of vectors by definition, on float64 rows: values, and one gradient per vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .distance import measure

if TYPE_CHECKING:
    from .._call_distance import VectorJob

Array = NDArray[np.float64]


def _clamped(x: Array) -> tuple[Array, Array]:
    """max(0, x), and its derivative, which a clamp passes at 0."""
    return np.where(x < 0, 0.0, x), np.where(np.isnan(x), np.nan, (x >= 0).astype(np.float64))


def _times(slope: Array, grad: Array) -> Array:
    """A loss that does not depend on a distance gets nothing from it, however steep that is."""
    return np.where(slope[:, np.newaxis] == 0, 0.0, slope[:, np.newaxis] * grad)


@np.errstate(all="ignore")
def triplet(job: VectorJob, a: Array, p: Array, n: Array) -> tuple[Array, tuple[Array, ...]]:
    """max(0, margin + d(a, p) - d(a, n)); with swap d(a, n) is the smaller of itself and d(p, n), a tie being split."""
    near, near_a, near_p = measure(job.metric, a, p, job.p, job.eps)
    far, far_a, far_n = measure(job.metric, a, n, job.p, job.eps)
    other, other_p, other_n = measure(job.metric, p, n, job.p, job.eps)
    least = np.minimum(far, other) if job.swap else far
    share = np.where(far == other, 0.5, (far < other).astype(np.float64)) if job.swap else np.ones(far.shape)
    loss, slope = _clamped(job.margin + near - least)
    from_far, from_other = slope * share, slope * (1 - share)
    grads = (
        _times(slope, near_a) - _times(from_far, far_a),
        _times(slope, near_p) - _times(from_other, other_p),
        -_times(from_far, far_n) - _times(from_other, other_n),
    )
    return loss, grads


@np.errstate(all="ignore")
def cosine_embedding(job: VectorJob, x: Array, y: Array, target: Array) -> tuple[Array, tuple[Array, ...]]:
    """1 - cos of pairs with target 1, max(0, cos - margin) of those with -1."""
    c, grad_x, grad_y = measure(job.metric, x, y, job.p, job.eps)
    beyond, step = _clamped(c - job.margin)
    slope = np.where(target > 0, -1.0, step)
    return np.where(target > 0, 1 - c, beyond), (_times(slope, grad_x), _times(slope, grad_y))


@np.errstate(all="ignore")
def contrastive(job: VectorJob, x: Array, y: Array, target: Array) -> tuple[Array, tuple[Array, ...]]:
    """(1 - t) d^2 / 2 + t max(0, margin - d)^2 / 2"""
    d, grad_x, grad_y = measure(job.metric, x, y, job.p, job.eps)
    short_of = np.where(d > job.margin, 0.0, job.margin - d)
    slope = (1 - target) * d - target * short_of
    value = 0.5 * ((1 - target) * d**2 + target * short_of**2)
    return value, (_times(slope, grad_x), _times(slope, grad_y))


def loss(job: VectorJob, rows: list[Array], target: Array) -> tuple[Array, tuple[Array, ...]]:
    """By the name of the loss in a job."""
    if job.loss == "triplet":
        return triplet(job, *rows)
    if job.loss == "pair":
        value, grad_x, grad_y = measure(job.metric, rows[0], rows[1], job.p, job.eps)
        return value, (grad_x, grad_y)
    function = cosine_embedding if job.loss == "cosine_embedding" else contrastive
    return function(job, rows[0], rows[1], target)

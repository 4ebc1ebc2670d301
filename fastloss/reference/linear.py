# SPDX-License-Identifier: BSD-3-Clause
"""Cross entropy of a matrix product by definition: all logits at once, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .tokens import _log_softmax

if TYPE_CHECKING:
    from .._call_linear import LinearJob

Array = NDArray[np.float64]


def _factors(job: LinearJob) -> tuple[Array, Array]:
    """What -log p of each class is multiplied by, (N, K, V): for the label, and for probabilities or smoothing."""
    classes = job.linear_weight.shape[0]
    weight = np.ones(classes) if job.weight is None else job.weight
    spread = job.smoothing / max(classes, 1)
    if job.labels is None:
        assert job.probabilities is not None
        q = np.moveaxis(job.probabilities.astype(np.float64), 1, 2)
        return np.zeros(q.shape), (q * (1.0 - job.smoothing) + spread) * weight
    one_hot = np.arange(classes) == job.labels[..., np.newaxis]
    counted = job.labels[..., np.newaxis] >= 0
    return np.where(one_hot, weight, 0.0) * (1.0 - job.smoothing), np.where(counted, spread * weight, 0.0)


@np.errstate(all="ignore")
def cross_entropy(job: LinearJob) -> tuple[Array, tuple[Array, ...]]:
    """-sum f log softmax(x w^T + b), f being the one-hot label or probabilities, smoothed and weighted.

    The label's own part of the gradient, p - 1, is taken as minus the sum of the other probabilities, so that the small
    gradient of a good prediction is not rounded away.

    Returns
    -------
    value : (N, K)
    grads : those of input (N, D), linear_weight (V, K, D) and, if there is one, linear_bias (V, K)
    """
    x, w = job.input.astype(np.float64), job.linear_weight.astype(np.float64)
    logits = np.einsum("nd,vkd->nkv", x, w)
    if job.linear_bias is not None:
        logits = logits + job.linear_bias.astype(np.float64).T
    if job.excluded is not None:
        logits[np.arange(len(logits)), :, job.excluded] = -np.inf
    if logits.size == 0:
        value = np.full(logits.shape[:2], np.nan)
        if job.labels is not None:
            value[job.labels < 0] = 0.0
        grads = (np.zeros(x.shape), np.zeros(w.shape), np.zeros(w.shape[:2]))
        return value, grads[: 2 if job.linear_bias is None else 3]
    picked, spread = _factors(job)
    counted = np.ones(logits.shape[:2], bool) if job.labels is None else job.labels >= 0
    log_p = _log_softmax(logits)
    terms = sum(np.where((f == 0.0) & ~np.isnan(log_p), 0.0, -f * log_p) for f in (picked, spread))
    value = np.where(counted, np.sum(terms, axis=-1), 0.0)

    p, e = np.exp(log_p), np.exp(logits - logits.max(axis=-1, keepdims=True))
    others = np.where(picked != 0.0, 0.0, e).sum(axis=-1, keepdims=True)
    at_label = -picked * others / e.sum(axis=-1, keepdims=True)
    of_picked = np.where(picked != 0.0, at_label, p * picked.sum(axis=-1, keepdims=True))
    g = of_picked + p * spread.sum(axis=-1, keepdims=True) - spread
    g = np.where(counted[..., np.newaxis], g * job.factors()[..., np.newaxis], 0.0)
    grads = (np.einsum("nkv,vkd->nd", g, w), np.einsum("nkv,nd->vkd", g, x), np.einsum("nkv->vk", g))
    return value, grads[: 2 if job.linear_bias is None else 3]

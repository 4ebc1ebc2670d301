# SPDX-License-Identifier: BSD-3-Clause
"""Token quantities by definition, on float64 logits with the classes on the last axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _log_softmax(x: Array) -> Array:
    """x - max - log(1 + the sum of the others' exponentials): the maximum is kept out of the sum, so that the
    log-probability of a sure prediction is not rounded away. nan where the row has no probabilities."""
    top = np.argmax(x, axis=-1, keepdims=True)
    largest = np.take_along_axis(x, top, axis=-1)
    e = np.exp(x - largest)
    np.put_along_axis(e, top, np.take_along_axis(e, top, axis=-1) - 1.0, axis=-1)
    return (x - largest) - np.log1p(e.sum(axis=-1, keepdims=True))


@np.errstate(all="ignore")
def log_prob(x: Array, target: NDArray[Any]) -> Array:
    """log softmax(x) at the target."""
    return np.take_along_axis(_log_softmax(x), target[..., np.newaxis], axis=-1)[..., 0]


@np.errstate(all="ignore")
def logsumexp(x: Array) -> Array:
    """log of the sum of exponentials; -inf and inf have their usual exponentials."""
    shift = np.clip(x.max(axis=-1), -np.finfo(np.float64).max, np.finfo(np.float64).max)
    return shift + np.log(np.exp(x - shift[..., np.newaxis]).sum(axis=-1))


@np.errstate(all="ignore")
def entropy(x: Array) -> Array:
    """-sum p log p, where 0 log 0 is 0."""
    log_p = _log_softmax(x)
    p = np.exp(log_p)
    return -np.where(p == 0.0, 0.0, p * log_p).sum(axis=-1)


@np.errstate(all="ignore")
def topk(x: Array, k: int) -> tuple[Array, NDArray[np.int64]]:
    """Log-probabilities and indices of the k largest, of equal ones the first; nan ranks as -inf does."""
    ranked = np.argsort(-np.where(np.isnan(x), -np.inf, x), axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(_log_softmax(x), ranked, axis=-1), ranked.astype(np.int64)


@np.errstate(all="ignore")
def divergence(x: Array, y: Array) -> Array:
    """sum p log(p / q), where 0 log(0 / q) is 0."""
    log_p, log_q = _log_softmax(x), _log_softmax(y)
    terms = np.where(np.isneginf(log_q), np.inf, np.exp(log_p) * (log_p - log_q))
    return np.where(np.isneginf(log_p), 0.0, terms).sum(axis=-1)

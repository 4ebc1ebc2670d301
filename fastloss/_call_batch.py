# SPDX-License-Identifier: BSD-3-Clause
"""Losses that compare every embedding of a batch with every other: operands, checks, mining, and the two reductions to
losses that exist, triplets and cross entropy of a matrix product."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from . import _config, reference
from ._arrays import Array, as_array, as_mask, working_dtype
from ._call import check_options, outputs, reduced, result, scale_of, split_grad_output
from ._call_distance import Measure, VectorJob, general_vectors
from ._call_distance import run as run_vectors
from ._call_linear import whole_lanes

TILE_BYTES = 16 * 2**20  # of a block of rows of the matrix of all pairs
METRICS = ("euclidean", "sqeuclidean")
NEAR = 1e-3  # squared distances below this share of the squared lengths are lost in a matrix product


class Batch(NamedTuple):
    """Embeddings (N, D) as the caller has them and in the working type, labels as small integers."""

    given: Array
    vectors: Array
    labels: Array
    real: np.dtype[Any]


def embeddings_of(x: Any, name: str) -> Array:
    a = as_array(x, name)
    if a.ndim != 2:
        raise ValueError(f"{name} has shape {a.shape}, expected (N, D)")
    return a


def batch_of(embeddings: Any, labels: Any) -> Batch:
    given = embeddings_of(embeddings, "embeddings")
    a = as_array(labels, "labels")
    if a.dtype.kind not in "iub":
        raise TypeError(f"labels has dtype {a.dtype}, expected integers")
    if a.shape != given.shape[:1]:
        raise ValueError(f"labels has shape {a.shape}, expected {given.shape[:1]}: one per embedding")
    real = working_dtype((embeddings, given))
    codes = np.unique(a, return_inverse=True)[1].reshape(a.shape)
    return Batch(given, np.require(given, real, ["C", "A"]), codes, real)


def metric_of(metric: Any) -> str:
    if not isinstance(metric, str) or metric not in METRICS:
        raise ValueError(f"metric must be 'euclidean' or 'sqeuclidean', got {metric!r}")
    return metric


def blocks(rows: int, columns: int, itemsize: int) -> Iterator[slice]:
    """Rows at a time of which a block of the matrix of all pairs consists."""
    step = max(1, min(1024, TILE_BYTES // max(1, columns * itemsize)))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


def add_rows(total: Array, places: Array, rows: Array) -> None:
    """`np.add.at(total, places, rows)`, the same sums in the same order, some ten times faster: each place's first row,
    then each place's second, and so on."""
    order = np.argsort(places, kind="stable")
    by_place = places[order]
    first = np.flatnonzero(np.diff(by_place, prepend=-1))
    turn = np.arange(by_place.size) - np.repeat(first, np.diff(first, append=by_place.size))
    order = order[np.argsort(turn, kind="stable")]
    for at in np.split(order, np.cumsum(np.bincount(turn))[:-1]):
        total[places[at]] += rows[at]


# ---- hardest triplets ------------------------------------------------------------------------------------------------


def padded_lanes(a: Array, fill: Any, dtype: Any) -> Array:
    """The last axis padded to whole lanes."""
    n = a.shape[-1]
    own = np.full((*a.shape[:-1], whole_lanes(n)), fill, dtype)
    own[..., :n] = a
    return own


def hardest(batch: Batch) -> tuple[Array, Array]:
    """Per anchor the farthest vector of its label and the nearest of another, the lowest index among equals; -1 where
    there is none."""
    if _config.get_backend() == "reference":
        return reference.ranking.hardest(batch.vectors.astype(np.float64), batch.labels)
    assert _config.native is not None
    n, features = batch.vectors.shape
    positive, negative = np.full(n, -1), np.full(n, -1)
    if n == 0:
        return positive, negative
    x = batch.vectors if features % 16 == 0 and features else padded_lanes(batch.vectors, 0, batch.real)
    with np.errstate(all="ignore"):
        square = np.einsum("nd,nd->n", x, x, dtype=np.float64)
        lengths = padded_lanes(square, np.inf, batch.real)
        largest = float(square.max())
        labels = padded_lanes(batch.labels, -1, np.int32 if batch.real == np.float32 else np.int64)
        bound = 2 * (features + 8) * float(np.finfo(batch.real).eps)
        rows = next(blocks(n, n, batch.real.itemsize))
        buffer = np.zeros((rows.stop, lengths.size), batch.real)
        for rows in blocks(n, n, batch.real.itemsize):
            products = buffer[: rows.stop - rows.start]
            products[:, n:] = 0
            _config.native.product(x[rows], x.T, products[:, :n])
            _config.native.mine(
                products, x, lengths, labels, rows.start, largest, bound, positive[rows], negative[rows]
            )
    return positive, negative


class Call(NamedTuple):
    """What both losses check: operands, which anchors count, and the arrays to write."""

    batch: Batch
    metric: str
    counted: Array
    factor: float
    grad_output: Array | None
    value: Array | None
    grads: tuple[Array, ...] | None


def anchors_counted(mask: Array | None, n: int, of: str) -> Array:
    if mask is not None and mask.shape not in ((), (1,), (n,)):
        raise ValueError(f"mask has shape {mask.shape}, expected ({n},): one per {of}")
    return np.ones(n, bool) if mask is None else np.broadcast_to(mask, (n,))


def checked(
    embeddings: Any, labels: Any, metric: Any, reduction: Any, mask: Any, return_grad: Any, grad_output: Any, out: Any,
    grad_out: Any,
) -> Call:  # fmt: skip
    check_options(reduction, return_grad, grad_output, out, grad_out)
    batch, mask_array = batch_of(embeddings, labels), as_mask(mask)
    n, name = len(batch.labels), metric_of(metric)
    counted = anchors_counted(mask_array, n, "anchor")
    factor, upstream = split_grad_output(grad_output, (n,))
    inputs = [a for a in (batch.given, as_array(labels, "labels"), mask_array, upstream) if a is not None]
    value, grads = outputs(out, grad_out, (n,), [batch.given.shape], batch.real, inputs, reduction, return_grad)
    return Call(batch, name, counted, factor, upstream, value, grads)


def batch_hard(
    embeddings: Any, labels: Any, margin: float, metric: Any, reduction: Any, mask: Any, return_grad: Any,
    grad_output: Any, out: Any, grad_out: Any,
) -> Any:  # fmt: skip
    call = checked(embeddings, labels, metric, reduction, mask, return_grad, grad_output, out, grad_out)
    batch, given = call.batch, call.grad_output
    positive, negative = hardest(batch)
    anchors = np.flatnonzero(call.counted & (positive >= 0) & (negative >= 0))
    places = anchors, positive[anchors], negative[anchors]
    denominator = float(anchors.size) if reduction == "mean" else 1.0
    triples = tuple(batch.vectors[k] for k in places)
    job = VectorJob(
        "triplet", call.metric, batch.real, triples, margin=margin,
        scale=scale_of(reduction, denominator) * call.factor,
        grad_output=None if given is None else np.broadcast_to(given, call.counted.shape)[anchors],
        value=None if call.value is None else np.empty(anchors.size, batch.real),
        grads=None if call.grads is None else tuple(np.empty_like(t) for t in triples),
    )  # fmt: skip
    total = run_vectors(job, ("anchor", "positive", "negative"))
    if call.value is not None:
        call.value[...] = 0
        call.value[anchors] = job.value
    if call.grads is not None and job.grads is not None:
        gradient = np.zeros(batch.vectors.shape, np.float64)
        for place, g in zip(places, job.grads, strict=True):
            add_rows(gradient, place, g)
        with np.errstate(all="ignore"):
            np.copyto(call.grads[0], gradient, casting="same_kind")
    return result(reduced(total, reduction, denominator, call.value), call.grads)


# ---- all triplets ----------------------------------------------------------------------------------------------------


def distances(batch: Batch, rows: slice, metric: str) -> Array:
    """Distances of these anchors to all, measured directly."""
    value: Array = general_vectors(
        "pair", Measure(metric), (batch.vectors[rows, np.newaxis], batch.vectors), ("anchors", "embeddings"), None, 0.0,
        False, -1, "none", None, False, None, None, None,
    )  # fmt: skip
    return value


class AnchorSums(NamedTuple):
    """Of one anchor's triplets: sum of the losses, how many there are, how many cost something, and the derivative of
    the sum by every distance."""

    total: float
    valid: int
    active: int
    slopes: Array


def anchor_sums(d: Array, same: Array, anchor: int, margin: float) -> AnchorSums:
    """All hinges max(0, margin + d[p] - d[n]) over positives p and negatives n: the thresholds margin + d[p] are
    sorted, and a negative counts for those that it does not exceed, O(N log P). A hinge of 0 passes the gradient; nan
    makes all of them nan."""
    positives = np.flatnonzero(same)
    positives = positives[positives != anchor]
    valid = positives.size * (d.size - positives.size - 1)
    if np.isnan(d).any():
        return AnchorSums(math.nan, valid, valid, np.full(d.size, math.nan))
    order = positives[np.argsort(d[positives], kind="stable")]
    threshold, few = margin + d[order], order.size
    far = np.where(same, math.nan, d)  # nan comes behind all thresholds
    exceeded = np.searchsorted(threshold, far, side="left")
    reached = np.cumsum(np.bincount(exceeded, minlength=few + 1)[:few])
    sums = np.cumsum(np.bincount(exceeded, far, few + 1)[:few])
    at_zero = np.flatnonzero(far == threshold[np.minimum(exceeded, few - 1)])
    zeros = np.searchsorted(threshold, far[at_zero], side="right") - exceeded[at_zero]
    slopes = (exceeded - few).astype(np.float64)
    slopes[order] = reached
    return AnchorSums(float((reached * threshold - sums).sum()), valid, int(reached.sum()) - int(zeros.sum()), slopes)


def add_gradient(gradient: Array, x: Array, rows: slice, slopes: Array, d: Array, square: Array, metric: str) -> None:
    """Add sum over pairs of slope * d(distance)/d(vectors). Most pairs by a matrix product; near ones, whose difference
    it would lose, one by one."""
    assert _config.native is not None
    with np.errstate(all="ignore"):
        factors = np.where(d == 0, 0.0, slopes / d) if metric == "euclidean" else 2.0 * slopes
    squared = d**2 if metric == "euclidean" else d
    near = (squared < NEAR * (square[rows, np.newaxis] + square)) & (factors != 0)
    i, j = np.nonzero(near)
    for k in range(0, i.size, 4096):
        a, b = i[k : k + 4096], j[k : k + 4096]
        pull = factors[a, b, np.newaxis] * (x[rows][a] - x[b])
        add_rows(gradient, rows.start + a, pull)
        add_rows(gradient, b, -pull)
    factors[near] = 0
    to_anchors, to_others = np.empty(x[rows].shape), np.empty(x.shape)
    _config.native.product(factors, x, to_anchors)
    _config.native.product(factors.T, x[rows], to_others)
    gradient[rows] += factors.sum(axis=1, keepdims=True) * x[rows] - to_anchors
    gradient += factors.sum(axis=0)[:, np.newaxis] * x - to_others


class BatchSums(NamedTuple):
    """Of all anchors: sums of their triplets' losses (N,), how many triplets are valid, how many cost something, and
    the gradient (N, D) of the sum of the losses times their factors."""

    totals: Array
    valid: int
    active: int
    gradient: Array | None


def all_triplets(
    batch: Batch, counted: Array, upstream: Array, margin: float, metric: str, with_gradient: bool
) -> BatchSums:
    """What `reference.ranking.all_triplets` says, with sorted distances in place of triplets."""
    n, x = len(batch.labels), batch.vectors.astype(np.float64)
    square = np.einsum("nd,nd->n", x, x)
    totals, valid, active = np.zeros(n), 0, 0
    gradient = np.zeros(x.shape) if with_gradient else None
    for rows in blocks(n, n, 24):
        d = distances(batch, rows, metric).astype(np.float64)
        slopes = np.zeros(d.shape)
        for r, anchor in enumerate(range(rows.start, rows.stop)):
            same = batch.labels == batch.labels[anchor]
            if not counted[anchor] or same.all() or np.count_nonzero(same) < 2:
                continue
            own = anchor_sums(d[r], same, anchor, margin)
            totals[anchor], slopes[r] = own.total, own.slopes * upstream[anchor]
            valid, active = valid + own.valid, active + own.active
        if gradient is not None:
            add_gradient(gradient, x, rows, slopes, d, square, metric)
    return BatchSums(totals, valid, active, gradient)


def batch_all(
    embeddings: Any, labels: Any, margin: float, metric: Any, active_only: bool, reduction: Any, mask: Any,
    return_grad: Any, grad_output: Any, out: Any, grad_out: Any,
) -> Any:  # fmt: skip
    """The unreduced loss is that of an anchor: the sum over its triplets."""
    call = checked(embeddings, labels, metric, reduction, mask, return_grad, grad_output, out, grad_out)
    given = call.grad_output
    upstream = np.broadcast_to(np.ones(()) if given is None else given.astype(np.float64), call.counted.shape)
    with np.errstate(all="ignore"):
        if _config.get_backend() == "reference":
            x = call.batch.vectors.astype(np.float64)
            found = BatchSums(
                *reference.ranking.all_triplets(x, call.batch.labels, call.counted, upstream, margin, call.metric)
            )
        else:
            found = all_triplets(call.batch, call.counted, upstream, margin, call.metric, call.grads is not None)
        denominator = float(found.active if active_only else found.valid) if reduction == "mean" else 1.0
        if call.value is not None:
            np.copyto(call.value, found.totals, casting="same_kind")
        if call.grads is not None and found.gradient is not None:
            scale = scale_of(reduction, denominator) * call.factor
            np.copyto(call.grads[0], scale * found.gradient, casting="same_kind")
        total = float(found.totals.sum())
    return result(reduced(total, reduction, denominator, call.value), call.grads)

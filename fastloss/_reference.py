# SPDX-License-Identifier: BSD-3-Clause
"""The reference backend's end of a call: what `_native` does with the kernels, done with `reference` in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import reference
from ._arrays import Array

if TYPE_CHECKING:
    from ._call import Job
    from ._call_actions import ActionJob, ScanJob
    from ._call_ctc import CtcJob
    from ._call_distance import VectorJob
    from ._call_linear import LinearJob
    from ._call_overlap import OverlapJob
    from ._call_rows import RowJob


def _float64(a: Array, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(a.astype(np.float64), shape)


def _sum_to(g: Array, shape: tuple[int, ...]) -> Array:
    """Sum over the axes along which an operand of this shape was broadcast."""
    extra = g.ndim - len(shape)
    axes = (*range(extra), *(extra + k for k, n in enumerate(shape) if n == 1 and g.shape[extra + k] != 1))
    return g.sum(axis=axes).reshape(shape) if axes else g


def exact_sum(values: Array) -> float:
    """The exactly rounded sum, or what plain addition makes of infinities."""
    with np.errstate(all="ignore"):
        try:
            return math.fsum(values.ravel().tolist())
        except (OverflowError, ValueError):
            return float(values.sum())


def _store(to: Array, values: Array) -> None:
    with np.errstate(all="ignore"):
        np.copyto(to, values, casting="same_kind")


def _param(p: float, real: np.dtype[Any]) -> float:
    """A parameter in the working type, as the kernels take it; a positive one stays positive."""
    with np.errstate(all="ignore"):
        rounded = float(real.type(p))
    return float(np.finfo(real).smallest_subnormal) if p > 0 and rounded == 0 else rounded


def _first_outside(job: Job, operands: list[Array], counted: Array) -> tuple[int, int]:
    for k, domain in job.spec.domains:
        outside = domain.excludes(operands[k]) & counted
        if outside.any():
            return int(np.argmax(outside.ravel())), k
    return -1, 0


def elementwise(job: Job) -> tuple[float, int, int]:
    operands = [_float64(a, job.shape) for a in job.operands]
    counted = np.ones(job.shape, bool) if job.mask is None else np.broadcast_to(job.mask, job.shape)
    bad, operand = _first_outside(job, operands, counted)
    if bad >= 0:
        return 0.0, bad, operand
    grads: tuple[Array, ...] = ()
    hess: Array | None = None
    if job.spec.name == "identity":
        value = operands[0]
    else:
        params = [_param(p, job.real) for p in job.params]
        value, grads, hess = getattr(reference.elementwise, job.spec.name)(*operands, *params)
    weight = np.ones(()) if job.weight is None else job.weight.astype(np.float64)
    factor = weight if job.grad_output is None else weight * job.grad_output.astype(np.float64)
    with np.errstate(all="ignore"):
        value = np.where(counted, value * weight, 0.0)
        for to, g in zip(job.grads or (), grads, strict=False):
            _store(to, _sum_to(np.where(counted, g * factor * job.scale, 0.0), to.shape))
        if job.hess is not None and hess is not None:
            _store(job.hess, np.where(counted, hess * factor * job.scale, 0.0))
    if job.value is None:
        return exact_sum(value), -1, 0
    samples = 1 if job.spec.summed else value.size // max(job.value.size, 1)  # elements that a value is the mean of
    with np.errstate(all="ignore"):
        _store(job.value, _sum_to(value, job.value.shape) / max(samples, 1))
    return 0.0, -1, 0


def _bad_label(labels: Array, counted: Array, classes: int) -> int:
    """The first label that is no class and not left out, or -1."""
    bad = counted & ((labels < 0) | (labels >= classes))
    return int(np.argmax(bad.ravel())) if bad.any() else -1


def _bad_label_of_lists(labels: Array, counted: Array, classes: int) -> int:
    """The same of lists along the last axis, which end at their first -1."""
    return _bad_label(labels, counted[..., np.newaxis] & np.logical_and.accumulate(labels != -1, axis=-1), classes)


def _times(labels: Array, counted: Array, classes: int) -> Array:
    """How often each class stands in each list, on the last axis."""
    if labels.dtype.kind == "b":
        return labels.astype(np.int64)
    listed = counted[..., np.newaxis] & np.logical_and.accumulate(labels != -1, axis=-1)
    times = np.zeros((*counted.shape, classes), np.int64)
    np.add.at(times, (*np.nonzero(listed)[:-1], labels[listed].astype(np.int64)), 1)
    return times


def _softmax_terms(job: RowJob, x: Array, labels: Array, weight: Array, mass: Array) -> Iterator[tuple[Array, Array]]:
    """(values, gradients) whose sum is the loss of each position; weight is the labels' class weight, mass the soft
    targets, both times their part of the target."""
    holds = job.loss.holds
    if job.gamma is not None:
        focal = reference.softmax.probability_focal if holds else reference.softmax.focal_loss
        value, grad = focal(x, labels, job.gamma)
        yield reference.softmax.weighted(weight, value), weight[:, np.newaxis] * grad
        return
    if job.labels is not None:
        value, grad = (reference.softmax.cross_entropy, reference.softmax.probability_nll, reference.softmax.nll)[
            holds
        ](x, labels)
        yield reference.softmax.weighted(weight, value), reference.softmax.weighted(weight[:, np.newaxis], grad)
    if job.labels is None or job.smoothing:
        yield (reference.softmax.soft_probability_nll if holds else reference.softmax.soft_cross_entropy)(x, mass)
    if job.z_loss:
        value, grad = reference.softmax.squared_log_sum_exp(x)
        yield job.z_loss * value, job.z_loss * grad


def _rows(job: RowJob, x: Array, labels: Array | None, weight: Array, counted: Array) -> tuple[Array, Array]:
    """Losses and gradients of rows (positions, classes)."""
    if job.loss.lists:
        assert labels is not None
        times = _times(labels, counted, x.shape[-1]).reshape(x.shape)
        return reference.margin.multilabel_margin(x, times, job.power, job.margin)
    if job.loss.name == "multi_margin":
        assert labels is not None
        value, grad = reference.margin.multi_margin(x, labels.ravel(), job.power, job.margin)
        idle = (grad == 0) & (np.arange(x.shape[-1]) != labels.reshape(-1, 1))  # a hinge of 0, whatever its weight
        return value * weight.ravel(), np.where(idle, grad, grad * weight.reshape(-1, 1))
    if job.advantage is not None:
        assert labels is not None
        advantage = np.broadcast_to(job.advantage, weight.shape).astype(np.float64).ravel()
        return reference.reinforcement.policy_gradient(x, labels.ravel(), advantage, job.entropy, job.loss.holds == 0)
    class_weight = np.ones(x.shape[-1]) if job.class_weight is None else job.class_weight.astype(np.float64)
    keep, spread = 1 - job.smoothing, job.smoothing / max(x.shape[-1], 1)
    target = 0.0 if job.distribution is None else np.moveaxis(job.distribution, job.axis, -1).astype(np.float64)
    mass = np.broadcast_to(class_weight * (keep * target + spread), (*weight.shape, x.shape[-1])).reshape(x.shape)
    safe = np.zeros(len(x), np.int64) if labels is None else labels.ravel()
    values, grads = np.zeros(len(x)), np.zeros(x.shape)
    terms = _softmax_terms(
        job, x[..., np.newaxis], safe[:, np.newaxis], keep * weight.reshape(-1, 1), mass[..., np.newaxis]
    )
    for value, grad in terms:
        values, grads = values + value[:, 0], grads + grad[..., 0]
    return values, grads


def run_rows(job: RowJob, labels_only: bool = False) -> tuple[float, float, int, int]:
    """As `_native.run_rows`."""
    rows = np.moveaxis(job.logits, job.axis, -1)
    shape, classes, lists, labels = rows.shape[:-1], rows.shape[-1], job.loss.lists, job.labels
    if lists and labels is not None:
        labels = np.moveaxis(labels, job.axis, -1)
    counted = np.ones(shape, bool)
    if job.ignore_index is not None and labels is not None:
        counted = labels != job.ignore_index
    if job.mask is not None:
        counted = counted & job.mask
    if labels is not None and labels.dtype.kind != "b":
        bad = (_bad_label_of_lists if lists else _bad_label)(labels, counted, classes)
        if bad >= 0:
            return 0.0, 0.0, bad, 1
    weight = np.ones(shape)
    if labels is not None and not lists:
        labels = np.where(counted, labels, 0).astype(np.int64)
        if job.class_weight is not None and classes:
            weight = job.class_weight.astype(np.float64)[labels]
    weight = np.where(counted, weight, 0.0)
    denominator = float(np.sum(counted)) if job.loss.name == "multi_margin" else exact_sum(weight)
    if labels_only:
        return 0.0, denominator, -1, 0
    if job.loss.holds == 1:
        outside = ((rows < 0) | (rows > 1)).any(axis=-1) & counted
        if outside.any():
            return 0.0, 0.0, int(np.argmax(outside.ravel())), 0
    with np.errstate(all="ignore"):
        x = rows.astype(np.float64).reshape(math.prod(shape), classes)
        values, grads = _rows(job, x, labels, weight, counted)
        unreduced = np.where(counted, values.reshape(shape), 0.0)
        if job.grad is not None:
            factor = np.full(shape, job.scale)
            if job.grad_output is not None:
                factor = factor * job.grad_output.astype(np.float64)
            kept = np.where(counted[..., np.newaxis], grads.reshape(rows.shape) * factor[..., np.newaxis], 0.0)
            _store(np.moveaxis(job.grad, job.axis, -1), kept)
    if job.value is not None:
        _store(job.value, unreduced)
    return exact_sum(unreduced), denominator, -1, 0


def ctc(job: CtcJob) -> float:
    """As `_native.run_ctc`, labels having been checked."""
    samples = range(job.log_probs.shape[1])
    targets = [job.targets.of(n).astype(np.int64) for n in samples]
    losses, grads = reference.ctc.ctc(
        job.log_probs.astype(np.float64), targets, job.input_lengths, job.blank, job.from_logits
    )
    if job.zero_infinity:
        losses = np.where(np.isposinf(losses), 0.0, losses)
    per_label = 1.0 / np.maximum(job.targets.lengths, 1) if job.per_label else np.ones(len(samples))
    if job.grad is not None:
        factor = job.scale * per_label
        if job.grad_output is not None:
            factor = factor * job.grad_output.astype(np.float64)
        _store(job.grad, grads * factor[:, np.newaxis])
    if job.value is not None:
        _store(job.value, losses)
    return exact_sum(losses * per_label)


def tokens(
    kind: str, real_size: int, logits: Array, axis: int, labels: Array | None, mask: Array | None, ignore_index: int,
    value: Any, other: Array | None = None, index: Any = None,
) -> tuple[float, float, int]:  # fmt: skip
    """As `_native.run_tokens`."""
    x = np.moveaxis(logits.astype(np.float64), axis, -1)
    counted = np.ones(x.shape[:-1], bool) if mask is None else np.broadcast_to(mask, x.shape[:-1])
    operands: list[Any] = [x]
    if labels is not None:
        counted = counted & (labels != ignore_index)
        bad = counted & ((labels < 0) | (labels >= x.shape[-1]))
        if bad.any():
            return 0.0, 0.0, int(np.argmax(bad.ravel()))
        operands.append(np.where(counted, labels, 0).astype(np.int64))
    if x.size == 0:
        values = np.full(counted.shape, -np.inf if kind == "logsumexp" else np.nan)
        if value is not None:
            _store(value, np.where(counted, values, 0.0))
        return (float(values.sum()) if counted.any() else 0.0), float(np.count_nonzero(counted)), -1
    if index is not None:
        values, indices = reference.tokens.topk(x, index.shape[-1])
        _store(value, np.where(counted[..., np.newaxis], values, 0.0))
        index[...] = np.where(counted[..., np.newaxis], indices, -1)
        return 0.0, 0.0, -1
    if other is not None:
        operands.append(np.moveaxis(other.astype(np.float64), axis, -1))
    values = np.where(counted, getattr(reference.tokens, kind)(*operands), 0.0)
    if value is not None:
        _store(value, values)
    return exact_sum(values), float(np.count_nonzero(counted)), -1


def vectors(job: VectorJob) -> tuple[float, int]:
    """As `_native.run_vectors`."""
    *shape, features = job.vectors[0].shape
    counted = np.ones(shape, bool) if job.mask is None else np.broadcast_to(job.mask, shape)
    target = np.ones(shape)
    if job.target is not None:
        target = _float64(job.target, tuple(shape))
        inside = np.abs(target) == 1 if job.loss == "cosine_embedding" else ~((target < 0) | (target > 1))
        if not inside[counted].all():
            return 0.0, int(np.argmax((counted & ~inside).ravel()))
    rows = [v.astype(np.float64).reshape(math.prod(shape), features) for v in job.vectors]
    values, grads = reference.triplet.loss(job, rows, target.ravel())
    values = np.where(counted, values.reshape(shape), 0.0)
    factor = job.scale if job.grad_output is None else job.scale * job.grad_output.astype(np.float64)[..., np.newaxis]
    for to, g in zip(job.grads or (), grads, strict=False):
        with np.errstate(all="ignore"):
            _store(to, np.where(counted[..., np.newaxis], g.reshape(to.shape) * factor, 0.0))
    if job.value is not None:
        _store(job.value, values)
    return exact_sum(values), -1


def linear_cross_entropy(job: LinearJob) -> Array:
    """As `_call_linear.tiled`."""
    value, grads = reference.linear.cross_entropy(job)
    for to, g in zip(job.grads or (), grads, strict=False):
        _store(to, g)
    return value


BOX_LOSSES = ("iou", "giou", "diou", "ciou")  # as box.h counts them


def run_boxes(
    kind: int, centers: bool, real_size: int, input: Array, target: Array, mask: Array | None,
    grad_output: Array | None, eps: float, scale: float, value: Array | None, grad: Array | None,
) -> tuple[float, float]:  # fmt: skip
    """As `_native.run_boxes`."""
    real: np.dtype[Any] = np.dtype(f"f{real_size}")
    eps = max(_param(eps, real), float(np.finfo(real).tiny)) if eps > 0 else 0.0
    own, other = input.astype(np.float64), target.astype(np.float64)
    if centers:
        own, other = reference.box.corners(own), reference.box.corners(other)
    counted = np.ones(own.shape[:-1], bool) if mask is None else np.broadcast_to(mask, own.shape[:-1])
    values, grads = getattr(reference.box, BOX_LOSSES[kind])(own, other, eps)
    values = np.where(counted, values, 0.0)
    if grad is not None:
        factor = scale if grad_output is None else scale * grad_output.astype(np.float64)[..., np.newaxis]
        grads = reference.box.from_corners(grads) if centers else grads
        _store(grad, np.where(counted[..., np.newaxis], grads * factor, 0.0))
    if value is not None:
        _store(value, values)
    return exact_sum(values), float(np.count_nonzero(counted))


def run_box_matrix(centers: bool, boxes1: Array, boxes2: Array, value: Array) -> None:
    """As `_native.run_box_matrix`."""
    first, second = boxes1.astype(np.float64), boxes2.astype(np.float64)
    if centers:
        first, second = reference.box.corners(first), reference.box.corners(second)
    _store(value, reference.box.matrix(first, second))


def _masks(job: OverlapJob) -> tuple[Array, Array, Array, int]:
    """Truths (groups, positions, classes) and which of them count; the place of the first that is none, or -1."""
    rows = np.moveaxis(job.logits, job.axis, -1)
    space = (job.groups, -1, job.classes) if rows.size else (job.groups, 0, job.classes)
    mask = np.ones(rows.shape[:-1], bool) if job.mask is None else np.broadcast_to(job.mask, rows.shape[:-1])
    if job.labels is not None:
        counted = mask & (job.labels != job.ignore_index)
        bad = _bad_label(job.labels, counted, job.classes)
        truth = (job.labels[..., np.newaxis] == np.arange(job.classes)).astype(np.float64)
        every = np.broadcast_to(counted[..., np.newaxis], truth.shape)
    else:
        assert job.masks is not None
        truth = np.moveaxis(job.masks, job.axis, -1).astype(np.float64)
        every = mask[..., np.newaxis] & (truth != job.ignore_index)
        wrong = (truth < 0) | (truth > 1) | (job.hard & (truth != 0) & (truth != 1))
        bad = int(np.argmax((wrong & every).ravel())) if (wrong & every).any() else -1
    return truth.reshape(space), every.reshape(space), rows.astype(np.float64).reshape(space), bad


def _overlap(job: OverlapJob, name: str, params: dict[str, Any]) -> tuple[Array, Array, Array, int, int]:
    """Losses, their derivatives by the input, (groups, classes, 4) sums that say what is true and counts, and the first
    offender with its operand."""
    truth, counted, x, bad = _masks(job)
    sums = np.zeros((job.groups, job.classes, 4))
    if bad >= 0:
        return sums[..., 0], x, sums, bad, 1
    if job.holds == 1:
        outside = ((x < 0) | (x > 1)) & counted
        if outside.any():
            return sums[..., 0], x, sums, int(np.argmax(outside.ravel())), 0
    kept = np.where(counted, truth, 0.0)
    sums[..., 2], sums[..., 3] = kept.sum(axis=1), counted.sum(axis=1)
    loss = reference.overlap.LOSSES[name]
    with np.errstate(all="ignore"):
        if job.hinge:
            losses, grads = loss(x, np.where(counted, truth, np.nan), **params)
        else:
            to_probability = reference.overlap.softmax if job.labels is not None else reference.overlap.sigmoid
            p = np.where(counted, x if job.holds == 1 else to_probability(x), 0.0)
            losses, grads = loss(p, kept, **params)
    return losses, np.where(counted, grads, 0.0), sums, -1, 0


def overlap_losses(job: OverlapJob, name: str, params: dict[str, Any]) -> tuple[Array, Array, int, int]:
    """Losses (groups, classes or 1), sums as `_native.overlap_sums`, and the first offender with its operand."""
    losses, _, sums, bad, operand = _overlap(job, name, params)
    return losses, sums, bad, operand


def overlap_gradient(job: OverlapJob, name: str, params: dict[str, Any], factors: Array) -> None:
    """The gradient of the losses times their factors (groups, classes or 1)."""
    _, grads, _, _, _ = _overlap(job, name, params)
    _, counted, x, _ = _masks(job)
    with np.errstate(all="ignore"):
        scaled = np.where(factors[:, np.newaxis] == 0, 0.0, grads * factors[:, np.newaxis])
        if job.holds == 0 and not job.hinge:
            if job.labels is not None:
                scaled = reference.overlap.through_softmax(reference.overlap.softmax(x), scaled)
            else:
                scaled = reference.overlap.through_sigmoid(x, scaled)
        scaled = np.where(counted, scaled, 0.0)
    assert job.grad is not None
    rows = np.moveaxis(job.grad, job.axis, -1)
    _store(rows, scaled.reshape(rows.shape))


def run_actions(job: ActionJob, labels_only: bool) -> tuple[float, float, int]:
    """As `_native.run_actions`."""
    shape = job.actions.shape
    counted = np.ones(shape, bool) if job.mask is None else np.broadcast_to(job.mask, shape)
    bad = _bad_label(job.actions, counted, job.q.shape[job.axis])
    if bad >= 0 or labels_only:
        return 0.0, float(np.count_nonzero(counted)), bad

    def rows(a: Array) -> Array:
        return np.moveaxis(a, job.axis, -1).astype(np.float64).reshape(-1, a.shape[job.axis])

    def each(a: Array | None, absent: float) -> Array:
        return np.broadcast_to(absent if a is None else a.astype(np.float64), shape).ravel()

    q, actions = rows(job.q), np.where(counted, job.actions, 0).astype(np.int64).ravel()
    following = rows(job.next_q)
    judge = following if job.judge is None else rows(job.judge)
    discount, delta = (float(job.real.type(x)) for x in (job.discount, job.delta))
    weight = each(job.weight, 1.0)
    with np.errstate(all="ignore"):
        values, grads = reference.reinforcement.action_values(
            q, actions, each(job.reward, 0.0), following, each(job.done, 0.0), judge, discount, delta
        )
        unreduced = np.where(counted, (values * weight).reshape(shape), 0.0)
        if job.grad is not None:
            factor = np.where(counted.ravel(), weight * job.scale * each(job.grad_output, 1.0), 0.0)[:, np.newaxis]
            kept = np.where(factor == 0.0, 0.0, grads * factor)
            _store(np.moveaxis(job.grad, job.axis, -1), kept.reshape(*shape, q.shape[-1]))
    if job.value is not None:
        _store(job.value, unreduced)
    return exact_sum(unreduced), float(np.count_nonzero(counted)), -1


def scan(job: ScanJob) -> None:
    """As `_native.run_scan`."""
    reward = np.moveaxis(job.reward, job.axis, 0).astype(np.float64)

    def each(a: Array | None) -> Array:
        return np.zeros(reward.shape) if a is None else np.moveaxis(a, job.axis, 0).astype(np.float64)

    if job.next_value.ndim == job.reward.ndim:
        following = each(job.next_value)
    else:
        following = np.concatenate([each(job.value)[1:], job.next_value[np.newaxis].astype(np.float64)])
    ends = each(job.done), each(job.cut)
    if job.horizon:
        found = reference.reinforcement.returns(reward, following, *ends, job.discount, job.horizon)
    else:
        found = reference.reinforcement.advantages(reward, each(job.value), following, *ends, job.discount, job.trace)
        assert job.advantage is not None
        _store(np.moveaxis(job.advantage, job.axis, 0), found)
        found = found + each(job.value)
    _store(np.moveaxis(job.target, job.axis, 0), found)

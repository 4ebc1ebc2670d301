# SPDX-License-Identifier: BSD-3-Clause
"""The reference backend's end of a call: what `_native` does with the kernels, done with `reference` in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ._arrays import Array
from .reference import elementwise as definitions
from .reference import softmax

if TYPE_CHECKING:
    from ._call import Job
    from ._softmax import RowJob


def _float64(a: Array, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(a.astype(np.float64), shape)


def _sum_to(g: Array, shape: tuple[int, ...]) -> Array:
    """Sum over the axes along which an operand of this shape was broadcast."""
    extra = g.ndim - len(shape)
    axes = (*range(extra), *(extra + k for k, n in enumerate(shape) if n == 1 and g.shape[extra + k] != 1))
    return g.sum(axis=axes).reshape(shape) if axes else g


def _total(values: Array) -> float:
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
    if job.spec.name == "identity":
        value = operands[0]
    else:
        params = [_param(p, job.real) for p in job.params]
        value, grads, _ = getattr(definitions, job.spec.name)(*operands, *params)
    weight = np.ones(()) if job.weight is None else job.weight.astype(np.float64)
    factor = weight if job.grad_output is None else weight * job.grad_output.astype(np.float64)
    with np.errstate(all="ignore"):
        value = np.where(counted, value * weight, 0.0)
        for to, g in zip(job.grads or (), grads, strict=False):
            _store(to, _sum_to(np.where(counted, g * factor * job.scale, 0.0), to.shape))
    if job.value is None:
        return _total(value), -1, 0
    _store(job.value, value)
    return 0.0, -1, 0


def _row_terms(job: RowJob, x: Array, labels: Array, weight: Array, mass: Array) -> Iterator[tuple[Array, Array]]:
    """(values, gradients) whose sum is the loss of each position; weight is the labels' class weight, mass the soft
    targets, both times their part of the target."""
    if job.gamma is not None:
        focal = softmax.focal_loss if job.holds == 0 else softmax.probability_focal
        value, grad = focal(x, labels, job.gamma)
        yield softmax.weighted(weight, value), weight[:, np.newaxis, :] * grad
        return
    hard = (softmax.cross_entropy, softmax.probability_nll, softmax.nll)[job.holds]
    if job.labels is not None:
        value, grad = hard(x, labels)
        yield softmax.weighted(weight, value), softmax.weighted(weight[:, np.newaxis, :], grad)
    if job.labels is None or job.smoothing:
        yield (softmax.soft_cross_entropy if job.holds == 0 else softmax.soft_probability_nll)(x, mass)
    if job.z_loss:
        value, grad = softmax.squared_log_sum_exp(x)
        yield job.z_loss * value, job.z_loss * grad


def row_loss(job: RowJob, labels_only: bool = False) -> tuple[float, float, int, int]:
    """As `_native.run_row_loss`: (sum of values, what counts, first offender or -1, its operand)."""
    classes, shape = job.logits.shape[job.axis], _without(job.logits.shape, job.axis)
    counted = np.ones(shape, bool) if job.mask is None else np.broadcast_to(job.mask, shape)
    class_weight = np.ones(classes) if job.class_weight is None else job.class_weight.astype(np.float64)
    labels, weight = np.zeros(shape, np.int64), np.ones(shape)
    if job.labels is not None:
        counted = counted & (job.labels != job.ignore_index)
        bad = counted & ((job.labels < 0) | (job.labels >= classes))
        if bad.any():
            return 0.0, 0.0, int(np.argmax(bad.ravel())), 1
        labels = np.where(counted, job.labels, 0).astype(np.int64)
        weight = class_weight[labels] if classes else weight
    weight = np.where(counted, weight, 0.0)
    if labels_only:
        return 0.0, _total(weight), -1, 0

    outer, inner = math.prod(job.logits.shape[: job.axis]), math.prod(job.logits.shape[job.axis + 1 :])
    x = job.logits.astype(np.float64).reshape(outer, classes, inner)
    if job.holds == 1:
        outside = ((x < 0) | (x > 1)).any(axis=1).reshape(shape) & counted
        if outside.any():
            return 0.0, 0.0, int(np.argmax(outside.ravel())), 0
    keep, spread = 1 - job.smoothing, job.smoothing / max(classes, 1)
    target = 0.0 if job.distribution is None else job.distribution.astype(np.float64).reshape(x.shape)
    mass = np.broadcast_to(class_weight.reshape(1, -1, 1) * (keep * target + spread), x.shape)
    values, grads = np.zeros((outer, inner)), np.zeros(x.shape)
    with np.errstate(all="ignore"):
        for value, grad in _row_terms(job, x, labels.reshape(outer, inner), keep * weight.reshape(outer, inner), mass):
            values, grads = values + value, grads + grad
        unreduced = np.where(counted, values.reshape(shape), 0.0)
        if job.grad is not None:
            factor = np.full(shape, job.scale) * (
                1.0 if job.grad_output is None else job.grad_output.astype(np.float64)
            )
            product = grads.reshape(job.logits.shape) * np.expand_dims(factor, job.axis)
            _store(job.grad, np.where(np.expand_dims(counted, job.axis), product, 0.0))
    if job.value is not None:
        _store(job.value, unreduced)
    return _total(unreduced), _total(weight), -1, 0


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]

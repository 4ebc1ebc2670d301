# SPDX-License-Identifier: BSD-3-Clause
"""The reference backend's end of a call: what `_native` does with the kernels, done with `reference` in float64."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ._arrays import Array
from .reference import elementwise as definitions
from .reference import softmax

if TYPE_CHECKING:
    from ._call import Job


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
    hess: Array | None = None
    if job.spec.name == "identity":
        value = operands[0]
    else:
        params = [_param(p, job.real) for p in job.params]
        value, grads, hess = getattr(definitions, job.spec.name)(*operands, *params)
    weight = np.ones(()) if job.weight is None else job.weight.astype(np.float64)
    factor = weight if job.grad_output is None else weight * job.grad_output.astype(np.float64)
    with np.errstate(all="ignore"):
        value = np.where(counted, value * weight, 0.0)
        for to, g in zip(job.grads or (), grads, strict=False):
            _store(to, _sum_to(np.where(counted, g * factor * job.scale, 0.0), to.shape))
        if job.hess is not None and hess is not None:
            _store(job.hess, np.where(counted, hess * factor * job.scale, 0.0))
    if job.value is None:
        return _total(value), -1, 0
    samples = value.size // max(job.value.size, 1)  # elements that a value is the mean of
    with np.errstate(all="ignore"):
        _store(job.value, _sum_to(value, job.value.shape) / max(samples, 1))
    return 0.0, -1, 0


def cross_entropy(
    real_size: int, logits: Array, axis: int, labels: Array, class_weight: Array | None, mask: Array | None,
    grad_output: Array | None, ignore_index: int, scale: float, value: Any, grad: Any, labels_only: bool = False,
) -> tuple[float, float, int]:  # fmt: skip
    """As `_native.run_cross_entropy`."""
    classes = logits.shape[axis]
    counted = labels != ignore_index
    if mask is not None:
        counted = counted & mask
    bad = counted & ((labels < 0) | (labels >= classes))
    if bad.any():
        return 0.0, 0.0, int(np.argmax(bad.ravel()))
    safe = np.where(counted, labels, 0).astype(np.int64)
    weight = np.ones(labels.shape) if class_weight is None else class_weight.astype(np.float64)[safe]
    weight = np.where(counted, weight, 0.0)
    if labels_only:
        return 0.0, _total(weight), -1
    outer, inner = math.prod(logits.shape[:axis]), math.prod(logits.shape[axis + 1 :])
    values, grads = softmax.cross_entropy(
        logits.astype(np.float64).reshape(outer, classes, inner), safe.reshape(outer, inner)
    )
    with np.errstate(all="ignore"):
        unreduced = np.where(counted, values.reshape(labels.shape) * weight, 0.0)
        if grad is not None:
            factor = weight * scale if grad_output is None else weight * scale * grad_output.astype(np.float64)
            factor = np.broadcast_to(np.expand_dims(factor, axis), logits.shape)
            kept = np.broadcast_to(np.expand_dims(counted, axis), logits.shape)
            _store(grad, np.where(kept, grads.reshape(logits.shape) * factor, 0.0))
    if value is not None:
        _store(value, unreduced)
    return _total(unreduced), _total(weight), -1

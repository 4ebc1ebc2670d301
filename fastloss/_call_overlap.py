# SPDX-License-Identifier: BSD-3-Clause
"""The path of a call for losses of overlapping masks, the same for both backends, beside `_call`.

A pass over the data gives four sums per group (an image, or the batch) and class; the loss is a function of these, and
a second pass writes the gradient from its derivatives by two of them. Lovasz losses sort each class of each group.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import _config, _reference
from ._arrays import Array, as_array, as_mask, at, check_broadcast, where, working_dtype
from ._call import (
    INT32_MAX,
    boolean,
    check_options,
    outputs,
    reduced,
    result,
    scale_of,
    split_grad_output,
)
from ._call_rows import as_labels, bad_label, checked_ignore_index, class_axis_of
from ._record import Record

MODES = ("multiclass", "multilabel", "binary")
CLASSES = ("all", "present")
CLASS_WEIGHTS = {"square": 2, "simple": 1, "uniform": 0}  # powers of 1 / T
Formula = tuple[int, float, float, float, float, int]  # as in _overlap_fast.pxi
TVERSKY, GENERALIZED_DICE = 0, 1


def tversky(alpha: float, beta: float, smooth: float, gamma: float = 1.0) -> Formula:
    return TVERSKY, alpha, beta, gamma, smooth, 0


def generalized_dice(weighting: str, smooth: float) -> Formula:
    return GENERALIZED_DICE, 0.0, 0.0, 1.0, smooth, CLASS_WEIGHTS[weighting]


class OverlapJob(Record):
    """One checked call, for either backend. The truth is `labels`, or `masks` of the shape of `logits`."""

    real: np.dtype[Any]
    logits: Array
    axis: int
    labels: Array | None
    masks: Array | None
    mask: Array | None
    ignore_index: int
    groups: int
    binary: bool  # the class axis was added here
    holds: int = 0  # 0 logits, 1 probabilities, as in fastloss.h
    hard: bool = False  # masks of 0 and 1 only
    hinge: bool = False
    softmax: tuple[Array, Array] | None = None  # per position, written by the first pass for the next
    grad: Array | None = None

    @property
    def classes(self) -> int:
        return self.logits.shape[self.axis]


def one_of(x: Any, name: str, known: tuple[str, ...]) -> str:
    if not isinstance(x, str) or x not in known:
        raise ValueError(f"{name} must be {', '.join(map(repr, known[:-1]))} or {known[-1]!r}, got {x!r}")
    return x


def as_masks(target: Any, logits: Array, mode: str) -> Array:
    masks = as_array(target, "target")
    if masks.shape != logits.shape:
        other = " (class indices are for mode='multiclass')" if masks.ndim < logits.ndim else ""
        raise ValueError(
            f"target has shape {masks.shape}, expected that of input, {logits.shape}: mode={mode!r}{other}"
        )
    return masks


def job_of(
    input: Any, target: Any, mode: Any, from_logits: Any, class_axis: Any, per_image: Any, ignore_index: Any, mask: Any
) -> OverlapJob:
    kind, logits = one_of(mode, "mode", MODES), as_array(input, "input")
    binary, images = kind == "binary", boolean(per_image, "per_image")
    axis = logits.ndim if binary else class_axis_of(logits, class_axis)
    shape = logits.shape[:axis] + logits.shape[axis + 1 :]
    labels = as_labels(target, shape, logits, axis) if kind == "multiclass" else None
    masks = None if labels is not None else as_masks(target, logits, kind)
    if axis < logits.ndim and logits.shape[axis] > INT32_MAX:
        raise ValueError(f"input has {logits.shape[axis]} classes, at most {INT32_MAX} are supported")
    mask_array = as_mask(mask)
    check_broadcast(mask_array, "mask", shape, "input" if binary else "input without its class axis")
    truth = labels if masks is None else masks
    assert truth is not None
    ignored = checked_ignore_index(ignore_index, truth)
    real = working_dtype((input, logits), (target, masks))
    holds = 0 if boolean(from_logits, "from_logits") else 1
    if binary:
        logits, masks = logits[..., np.newaxis], truth[..., np.newaxis]
    groups = shape[0] if images and axis != 0 and shape else 1
    return OverlapJob(real, logits, axis, labels, masks, mask_array, ignored, groups, binary, holds)


# ---- refusals --------------------------------------------------------------------------------------------------------


def refuse(job: OverlapJob, bad: int, operand: int) -> None:
    """Raise for the offender that an engine reports, if there is one."""
    if bad < 0:
        return
    if operand == 1 and job.labels is not None:
        raise bad_label(job.labels, where(bad, job.labels.shape), job.classes)
    moved = np.moveaxis(job.logits, job.axis, -1).shape
    *row, c = where(bad, moved)
    place = (*row[: job.axis], c, *row[job.axis :])
    a, name = (job.masks, "target") if operand == 1 else (job.logits, "input")
    assert a is not None
    words = "is not a probability" if operand == 0 else "is neither 0 nor 1" if job.hard else "is outside [0, 1]"
    raise ValueError(f"{at(name, tuple(row) if job.binary else place)} = {a[place]} {words}")


# ---- the path --------------------------------------------------------------------------------------------------------


def unreduced_shape(job: OverlapJob, per_image: bool, per_class: bool) -> tuple[int, ...]:
    images = (job.groups,) if per_image and job.axis != 0 and job.logits.ndim > 1 else ()
    return (*images, job.classes) if per_class and not job.binary else images


def counts_of(sums: Array, job: OverlapJob, classes: str, per_class: bool) -> Array:
    """Which losses (groups, classes) are averaged: those of groups with a position that counts, and with classes
    "present", of classes that are true somewhere."""
    true = sums[..., 2]
    counted = true.sum(axis=1, keepdims=True) if job.labels is not None else sums[..., 3]
    if not per_class:
        return counted.sum(axis=1, keepdims=True) > 0
    counts: Array = np.broadcast_to(counted > 0, true.shape)
    return counts & (true > 0) if classes == "present" else counts


def spread(a: Array | float, shape: tuple[int, ...], losses: tuple[int, ...]) -> Array:
    """What broadcasts to the unreduced loss as (groups, classes)."""
    return np.broadcast_to(np.asarray(a, np.float64), shape).reshape(losses)


class Call:
    """What all losses of this topic do around their formula: options, outputs, reduction."""

    def __init__(
        self, job: OverlapJob, per_image: bool, per_class: bool, reduction: Any, return_grad: Any,
        grad_output: Any, out: Any, grad_out: Any,
    ) -> None:  # fmt: skip
        self.reduction = reduction
        self.shape = unreduced_shape(job, per_image, per_class)
        self.losses = (job.groups, job.classes if per_class else 1)
        factor, given = split_grad_output(grad_output, self.shape)
        self.factor: Array | float = factor if given is None else given.astype(np.float64)
        taken = [a for a in (job.logits, job.labels, job.masks, job.mask, given) if a is not None]
        whole = job.logits[..., 0] if job.binary else job.logits
        self.value, self.grads = outputs(
            out, grad_out, self.shape, [whole.shape], job.real, taken, reduction, return_grad
        )
        if self.grads is not None:
            job.grad = self.grads[0][..., np.newaxis] if job.binary else self.grads[0][...]

    def factors(self, counts: Array) -> Array:
        """Of the gradients of each loss, 0 where it is not averaged."""
        scale = scale_of(self.reduction, float(np.count_nonzero(counts)))
        return np.where(counts, spread(self.factor, self.shape, self.losses) * scale, 0.0)

    def finish(self, losses: Array, counts: Array) -> Any:
        kept = np.where(counts, losses, 0.0)
        if self.value is not None:
            with np.errstate(over="ignore"):
                np.copyto(self.value, kept.reshape(self.shape), casting="same_kind")
        total = _reference.exact_sum(kept)
        return result(reduced(total, self.reduction, float(np.count_nonzero(counts)), self.value), self.grads)


def check_bad(job: OverlapJob, bad: int) -> None:
    """A label that was good has been changed since."""
    refuse(job, bad, 1)


def general_overlap(
    name: str, formula: Formula, params: dict[str, Any], input: Any, target: Any, mode: Any, from_logits: Any,
    class_axis: Any, per_image: Any, classes: Any, ignore_index: Any, reduction: Any, mask: Any, return_grad: Any,
    grad_output: Any, out: Any, grad_out: Any,
) -> Any:  # fmt: skip
    """A loss that is a function of the sums, any operands and options: `formula` says which to the kernels, `name` and
    `params` to the reference."""
    check_options(reduction, return_grad, grad_output, out, grad_out)
    averaged = one_of(classes, "classes", CLASSES)
    job = job_of(input, target, mode, from_logits, class_axis, per_image, ignore_index, mask)
    per_class = name != "generalized_dice"
    call = Call(job, per_image, per_class, reduction, return_grad, grad_output, out, grad_out)
    native = _config.native if _config.get_backend() == "native" else None
    if native is None:
        losses, sums, bad, operand = _reference.overlap_losses(job, name, params)
    else:
        sums, bad, operand = native.overlap_sums(job)
    refuse(job, bad, operand)
    counts = counts_of(sums, job, averaged, per_class)
    if native is not None:
        losses, derivatives = native.overlap_formula_of(formula, sums)
    if call.grads is not None:
        factors = call.factors(counts)
        if native is None:
            _reference.overlap_gradient(job, name, params, factors)
        else:
            factor = factors[..., np.newaxis]
            with np.errstate(all="ignore"):
                slopes = np.where(factor == 0, 0.0, derivatives * factor)
            check_bad(job, native.overlap_gradient(job, slopes))
    return call.finish(losses, counts)


def lovasz_loss(
    hinge: bool, input: Any, target: Any, mode: Any, from_logits: Any, class_axis: Any, per_image: Any, classes: Any,
    ignore_index: Any, reduction: Any, mask: Any, return_grad: Any, grad_output: Any, out: Any, grad_out: Any,
) -> Any:  # fmt: skip
    """A Lovasz extension: of hinges of logits, or of the errors of probabilities."""
    check_options(reduction, return_grad, grad_output, out, grad_out)
    averaged = one_of(classes, "classes", CLASSES)
    job = job_of(input, target, mode, from_logits, class_axis, per_image, ignore_index, mask)
    job.hinge = job.hard = hinge
    positions = math.prod(job.logits.shape) // max(job.classes, 1)
    if positions // max(job.groups, 1) > INT32_MAX:
        raise ValueError(f"input has {positions} positions, at most {INT32_MAX} are supported")
    call = Call(job, per_image, True, reduction, return_grad, grad_output, out, grad_out)
    name = "lovasz_hinge" if hinge else "lovasz_softmax"
    native = _config.native if _config.get_backend() == "native" else None
    if native is None:
        losses, sums, bad, operand = _reference.overlap_losses(job, name, {})
    else:
        if job.holds == 0 and not hinge:
            job.softmax = (np.empty(positions, job.real), np.empty(positions, job.real))
        sums, bad, operand = native.overlap_sums(job)
    refuse(job, bad, operand)
    counts = counts_of(sums, job, averaged, True)
    factors = call.factors(counts) if call.grads is not None else np.zeros(counts.shape)
    if native is not None:
        wanted = np.ascontiguousarray(counts, np.uint8)
        losses, bad = native.lovasz(job, wanted, np.ascontiguousarray(factors))
        check_bad(job, bad)
    elif call.grads is not None:
        _reference.overlap_gradient(job, name, {}, factors)
    return call.finish(losses, counts)


if _config.native is not None:
    _config.native._connect_overlap(general_overlap, lambda losses: _reference.exact_sum(np.array(losses)))
    overlap_loss: Callable[..., Any] = _config.native.overlap_loss
else:
    overlap_loss = general_overlap

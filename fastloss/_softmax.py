# SPDX-License-Identifier: BSD-3-Clause
"""The general path of softmax losses and likelihoods, the same for both backends, beside `_call`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _config, _reference
from ._arrays import Array, as_array, as_mask, at, check_broadcast, where, working_dtype
from ._call import (
    INT32_MAX,
    as_class_weight,
    as_labels,
    bad_label,
    boolean,
    check_options,
    class_axis_of,
    integer,
    outputs,
    real_number,
    reduced,
    result,
    scale_of,
    split_grad_output,
    unwrap,
)

# What `input` holds: the numbers of fastloss.h.
LOGITS, PROBABILITIES, LOG_PROBABILITIES = 0, 1, 2


@dataclass(slots=True)
class RowJob:
    """One checked call, for either backend. The target is `labels`, or a `distribution` of the shape of `logits`."""

    real: np.dtype[Any]
    logits: Array
    axis: int
    labels: Array | None
    distribution: Array | None
    class_weight: Array | None
    mask: Array | None
    grad_output: Array | None
    ignore_index: int
    holds: int
    smoothing: float
    z_loss: float
    gamma: float | None  # of the focal loss
    scale: float = 1.0
    value: Array | None = None
    grad: Array | None = None


def holding(from_logits: Any) -> int:
    return LOGITS if boolean(from_logits, "from_logits") else PROBABILITIES


def nonnegative(x: Any, name: str) -> float:
    number = real_number(x, name)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be at least 0 and finite, got {x!r}")
    return number


def share(x: Any, name: str) -> float:
    number = real_number(x, name)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {x!r}")
    return number


def ignored_label(ignore_index: Any, labels: Array | None) -> int:
    ignored = integer(ignore_index, "ignore_index")
    if labels is None and ignored >= 0:
        raise ValueError(f"ignore_index = {ignored} is for class indices: with class probabilities it must be negative")
    if not -(2**63) <= ignored < 2**63:
        raise ValueError(f"ignore_index = {ignored} does not fit in 64 bits")
    if labels is not None and labels.dtype.kind == "u" and ignored < 0:
        return -1  # no unsigned label is negative; those beyond int64 reach the kernel as its smallest number
    return ignored


def as_targets(target: Any, shape: tuple[int, ...], logits: Array, axis: int) -> tuple[Array | None, Array | None]:
    """(labels, None), or (None, distribution): a floating-point target of the shape of the logits."""
    a = as_array(target, "target")
    if a.dtype.kind in "biu":
        return as_labels(a, shape, logits, axis), None
    if a.shape != logits.shape:
        raise TypeError(
            f"target has dtype {a.dtype} and shape {a.shape}, expected integer class indices of shape {shape}, or "
            f"class probabilities of the shape {logits.shape} of input"
        )
    if a.shape[axis] == 0:
        raise ValueError(f"input has shape {logits.shape}: 0 classes")
    return None, a


def bad_probability(logits: Array, axis: int, flat: int, real: np.dtype[Any]) -> ValueError:
    """The first entry of a position that is no probability, as the kernel reads it."""
    position = where(flat, logits.shape[:axis] + logits.shape[axis + 1 :])
    row = np.moveaxis(logits, axis, -1)[position].astype(real)
    with np.errstate(invalid="ignore"):
        k = int(np.argmax((row < 0) | (row > 1)))
    place = (*position[:axis], k, *position[axis:])
    return ValueError(f"{at('input', place)} = {logits[place]} is not a probability")


def run(job: RowJob, labels_only: bool) -> tuple[float, float]:
    """(sum of the values, what counts: class weights of labels, or rows); with `labels_only` nothing is written."""
    engine: Callable[[RowJob, bool], tuple[float, float, int, int]] = _reference.row_loss
    if _config.get_backend() == "native":
        assert _config.native is not None
        engine = _config.native.run_row_loss
    total, counted, bad, operand = engine(job, labels_only)
    if bad >= 0 and operand == 0:
        raise bad_probability(job.logits, job.axis, bad, job.real)
    if bad >= 0:
        assert job.labels is not None
        raise bad_label(job.labels, bad, job.logits.shape[job.axis])
    return total, counted


def general_row_loss(
    input: Any, target: Any, weight: Any, ignore_index: Any, reduction: Any, class_axis: Any, mask: Any,
    return_grad: Any, grad_output: Any, out: Any, grad_out: Any, holds: int, label_smoothing: Any, z_loss: Any,
    gamma: Any,
) -> Any:  # fmt: skip
    """Cross entropy, its relatives and likelihoods: any layout, targets and options."""
    check_options(reduction, return_grad, grad_output, out, grad_out)
    smoothing, z = share(label_smoothing, "label_smoothing"), nonnegative(z_loss, "z_loss")
    focal = None if gamma is None else nonnegative(gamma, "gamma")
    if z and holds != LOGITS:
        raise ValueError("z_loss is for logits: it needs from_logits=True")
    logits = as_array(input, "input")
    axis = class_axis_of(logits, class_axis)
    classes = logits.shape[axis]
    shape = logits.shape[:axis] + logits.shape[axis + 1 :]
    if classes > INT32_MAX:
        raise ValueError(f"input has {classes} classes, at most {INT32_MAX} are supported")
    labels, distribution = (
        (as_labels(target, shape, logits, axis), None)
        if holds == LOG_PROBABILITIES or focal is not None
        else as_targets(target, shape, logits, axis)
    )
    weights, mask_array = as_class_weight(weight, classes), as_mask(mask)
    check_broadcast(mask_array, "mask", shape, "target")
    factor, grad_output_array = split_grad_output(grad_output, shape)
    ignored = ignored_label(ignore_index, labels)
    real = working_dtype((input, logits), (weight, weights), (target, distribution))
    inputs = [a for a in (logits, labels, distribution, weights, mask_array, grad_output_array) if a is not None]
    value, grads = outputs(out, grad_out, shape, [logits.shape], real, inputs, reduction, return_grad)
    if weights is not None:
        weights = np.require(weights, real, ["C", "A"])
    with np.errstate(all="ignore"):
        smoothing, z = float(real.type(smoothing)), float(real.type(z))
        focal = None if focal is None else float(real.type(focal))
    job = RowJob(
        real, logits, axis, labels, distribution, weights, mask_array, grad_output_array, ignored, holds, smoothing, z,
        focal, factor, None if value is None else value[...], None if grads is None else grads[0][...],
    )  # fmt: skip
    if grads is not None or out is not None or holds == PROBABILITIES:
        # labels are checked before anything is written, and before probabilities; the mean's scale is known then
        job.scale *= scale_of(reduction, run(job, True)[1])
    total, counted = run(job, False)
    return result(reduced(total, reduction, counted) if value is None else unwrap(value), grads)


if _config.native is not None:
    _config.native._connect_rows(general_row_loss)
    row_loss: Callable[..., Any] = _config.native.row_loss
else:
    row_loss = general_row_loss

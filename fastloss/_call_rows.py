# SPDX-License-Identifier: BSD-3-Clause
"""The general path of losses over rows of classes, the same for both backends, beside `_call`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import _config, _reference
from ._arrays import Array, as_array, as_mask, as_optional, at, check_broadcast, where, working_dtype
from ._call import (
    INT32_MAX,
    boolean,
    check_options,
    integer,
    nonnegative,
    outputs,
    real_number,
    reduced,
    result,
    scale_of,
    share,
    split_grad_output,
)
from ._record import Record


class RowLoss(NamedTuple):
    """What the general path, and the engines, must know of a row loss."""

    name: str
    code: int  # of its kernel in _rows.pxi
    holds: int = 0  # what `input` holds: 0 logits, 1 probabilities, 2 log-probabilities, as in fastloss.h
    lists: bool = False  # several labels at each position, along the class axis
    soft: bool = False  # the target may be a probability per class, along the class axis
    ignores: bool = True  # it has an ignore_index


CROSS_ENTROPY = RowLoss("cross_entropy", 0, soft=True)
CROSS_ENTROPY_OF_PROBABILITIES = RowLoss("cross_entropy", 1, holds=1, soft=True)
FOCAL = RowLoss("focal_loss", 0)
FOCAL_OF_PROBABILITIES = RowLoss("focal_loss", 1, holds=1)
NLL = RowLoss("nll_loss", 1, holds=2)
MULTI_MARGIN = RowLoss("multi_margin", 2, ignores=False)
POLICY = RowLoss("policy_gradient", 4, ignores=False)
POLICY_OF_LOG_PROBS = RowLoss("policy_gradient", 4, holds=2, ignores=False)
MULTILABEL_MARGIN = RowLoss("multilabel_margin", 3, lists=True, ignores=False)


class RowJob(Record):
    """One checked call, for either backend. The target is `labels`, or a `distribution` of the shape of `logits`."""

    loss: RowLoss
    real: np.dtype[Any]
    logits: Array
    axis: int
    labels: Array | None
    distribution: Array | None
    class_weight: Array | None
    mask: Array | None
    grad_output: Array | None
    ignore_index: int | None
    scale: float = 1.0
    value: Array | None = None
    grad: Array | None = None
    smoothing: float = 0.0
    z_loss: float = 0.0
    gamma: float | None = None  # of the focal loss
    power: float = 1.0  # of margin losses
    margin: float = 1.0
    entropy: float = 0.0  # of policy gradients: factor of the entropy
    advantage: Array | None = None  # per position


# ---- operands and options --------------------------------------------------------------------------------------------


def class_axis_of(logits: Array, class_axis: Any) -> int:
    """Axis of the classes; torch's axis 1 is axis 0 of a single row."""
    axis = integer(class_axis, "class_axis")
    if logits.ndim == 0:
        raise ValueError("input has shape (), expected (C,), (N, C) or (N, C, d1, ...)")
    if logits.ndim == 1 and axis in (0, 1, -1):
        return 0
    if not -logits.ndim <= axis < logits.ndim:
        raise ValueError(f"class_axis = {axis} is out of range for input of shape {logits.shape}")
    return axis % logits.ndim


def as_labels(target: Any, shape: tuple[int, ...], logits: Array, axis: int) -> Array:
    labels = as_array(target, "target")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"target has dtype {labels.dtype}, expected integer class indices")
    if labels.shape != shape:
        raise ValueError(
            f"target has shape {labels.shape}, expected {shape}: the shape {logits.shape} of input without its class "
            f"axis {axis}"
        )
    return labels


def as_label_lists(target: Any, shape: tuple[int, ...], logits: Array, axis: int) -> Array:
    """Labels of several classes per position: lists of indices along the class axis, or a bool per class."""
    labels = as_array(target, "target")
    if labels.dtype.kind not in "iub":
        raise TypeError(f"target has dtype {labels.dtype}, expected integer class indices or bool")
    lists = labels.dtype.kind != "b" and labels.ndim == logits.ndim and labels.shape[axis] <= logits.shape[axis]
    if labels.shape != logits.shape and not (lists and labels.shape[:axis] + labels.shape[axis + 1 :] == shape):
        fewer = "" if labels.dtype.kind == "b" else f", or fewer slots along its class axis {axis}"
        raise ValueError(f"target has shape {labels.shape}, expected the shape {logits.shape} of input{fewer}")
    return labels


def as_targets(
    loss: RowLoss, target: Any, shape: tuple[int, ...], logits: Array, axis: int
) -> tuple[Array | None, Array | None]:
    """(labels, None), or (None, distribution): a floating-point target of the shape of the logits."""
    if loss.lists:
        return as_label_lists(target, shape, logits, axis), None
    a = as_array(target, "target")
    if not loss.soft or a.dtype.kind in "biu":
        return as_labels(a, shape, logits, axis), None
    if a.shape != logits.shape:
        raise TypeError(
            f"target has dtype {a.dtype} and shape {a.shape}, expected integer class indices of shape {shape}, or "
            f"class probabilities of the shape {logits.shape} of input"
        )
    if a.shape[axis] == 0:
        raise ValueError(f"input has shape {logits.shape}: 0 classes")
    return None, a


def as_class_weight(weight: Any, classes: int) -> Array | None:
    a = as_optional(weight, "weight")
    if a is not None and a.shape != (classes,):
        raise ValueError(f"weight has shape {a.shape}, expected ({classes},): one per class")
    return a


def checked_ignore_index(ignore_index: Any, labels: Array | None) -> int:
    ignored = integer(ignore_index, "ignore_index")
    if labels is None and ignored >= 0:
        raise ValueError(f"ignore_index = {ignored} is for class indices: with class probabilities it must be negative")
    if not -(2**63) <= ignored < 2**63:
        raise ValueError(f"ignore_index = {ignored} does not fit in 64 bits")
    # No unsigned label is negative; those beyond int64 reach the kernel as its smallest number.
    return -1 if labels is not None and labels.dtype.kind == "u" and ignored < 0 else ignored


# ---- refusals --------------------------------------------------------------------------------------------------------


def bad_label(labels: Array, position: tuple[int, ...], classes: int) -> ValueError:
    return ValueError(f"{at('target', position)} = {labels[position]} is out of range for {classes} classes")


def bad_target(job: RowJob, flat: int) -> ValueError:
    """Of the label that an engine reports."""
    labels, axis = job.labels, job.axis
    assert labels is not None
    position = where(flat, labels.shape)
    if job.loss.lists:
        *row, slot = where(flat, np.moveaxis(labels, axis, -1).shape)
        position = (*row[:axis], slot, *row[axis:])
    return bad_label(labels, position, job.logits.shape[axis])


def bad_probability(job: RowJob, flat: int) -> ValueError:
    """The first entry of a position that is no probability, as the kernel reads it."""
    logits, axis = job.logits, job.axis
    position = where(flat, logits.shape[:axis] + logits.shape[axis + 1 :])
    row = np.moveaxis(logits, axis, -1)[position].astype(job.real)
    with np.errstate(invalid="ignore"):
        k = int(np.argmax((row < 0) | (row > 1)))
    place = (*position[:axis], k, *position[axis:])
    return ValueError(f"{at('input', place)} = {logits[place]} is not a probability")


# ---- the path --------------------------------------------------------------------------------------------------------


def run(job: RowJob, labels_only: bool) -> tuple[float, float]:
    """(sum of the values, the mean's denominator); with `labels_only` nothing is written."""
    engine: Callable[[RowJob, bool], tuple[float, float, int, int]] = _reference.run_rows
    if _config.get_backend() == "native":
        assert _config.native is not None
        engine = _config.native.run_rows
    total, counted, bad, operand = engine(job, labels_only)
    if bad >= 0:
        raise (bad_probability if job.loss.holds == 1 and operand == 0 else bad_target)(job, bad)
    return total, counted


def general_rows(
    loss: RowLoss, input: Any, target: Any, weight: Any, ignore_index: Any, reduction: Any, class_axis: Any, mask: Any,
    return_grad: Any, grad_output: Any, out: Any, grad_out: Any, advantage: Any = None, **params: Any,
) -> Any:  # fmt: skip
    """A row loss: any layout, targets and options. `params` are fields of the job, checked."""
    check_options(reduction, return_grad, grad_output, out, grad_out)
    logits = as_array(input, "input")
    axis = class_axis_of(logits, class_axis)
    classes = logits.shape[axis]
    shape = logits.shape[:axis] + logits.shape[axis + 1 :]
    if classes > INT32_MAX:
        raise ValueError(f"input has {classes} classes, at most {INT32_MAX} are supported")
    labels, distribution = as_targets(loss, target, shape, logits, axis)
    weights, mask_array = as_class_weight(weight, classes), as_mask(mask)
    check_broadcast(mask_array, "mask", shape, "target")
    advantage_array = as_optional(advantage, "advantages")
    check_broadcast(advantage_array, "advantages", shape, "target")
    factor, grad_output_array = split_grad_output(grad_output, shape)
    ignored = checked_ignore_index(ignore_index, labels) if loss.ignores else None
    real = working_dtype((input, logits), (weight, weights), (target, distribution), (advantage, advantage_array))
    read = (logits, labels, distribution, weights, mask_array, grad_output_array, advantage_array)
    inputs = [a for a in read if a is not None]
    value, grads = outputs(out, grad_out, shape, [logits.shape], real, inputs, reduction, return_grad)
    if weights is not None:
        weights = np.require(weights, real, ["C", "A"])
    with np.errstate(all="ignore"):  # options in the working type, as the kernels take them
        rounded: dict[str, Any] = {name: None if x is None else float(real.type(x)) for name, x in params.items()}
    job = RowJob(
        loss, real, logits, axis, labels, distribution, weights, mask_array, grad_output_array, ignored, factor,
        None if value is None else value[...], None if grads is None else grads[0][...], advantage=advantage_array,
        **rounded,
    )  # fmt: skip
    if grads is not None or out is not None or loss.holds == 1:
        # labels are checked before anything is written, and before probabilities; the mean's scale is known then
        job.scale *= scale_of(reduction, run(job, True)[1])
    total, counted = run(job, False)
    return result(reduced(total, reduction, counted, value), grads)


def general_softmax(
    loss: RowLoss, input: Any, target: Any, weight: Any, ignore_index: Any, reduction: Any, class_axis: Any, mask: Any,
    return_grad: Any, grad_output: Any, out: Any, grad_out: Any, label_smoothing: Any, z_loss: Any, gamma: Any,
) -> Any:  # fmt: skip
    """Cross entropy and its relatives, what the fast path does not take."""
    smoothing, z = share(label_smoothing, "label_smoothing"), nonnegative(z_loss, "z_loss")
    if z and loss.holds:
        raise ValueError("z_loss is for logits: it needs from_logits=True")
    return general_rows(
        loss, input, target, weight, ignore_index, reduction, class_axis, mask, return_grad, grad_output, out, grad_out,
        smoothing=smoothing, z_loss=z, gamma=None if gamma is None else nonnegative(gamma, "gamma"),
    )  # fmt: skip


def of_logits(from_logits: Any, logits: RowLoss, probabilities: RowLoss) -> RowLoss:
    return logits if boolean(from_logits, "from_logits") else probabilities


def general_multi_margin(input: Any, target: Any, weight: Any, p: Any, margin: Any, *options: Any) -> Any:
    """Hinges between the target and every other class."""
    power = real_number(p, "p")
    if power not in (1.0, 2.0):
        raise ValueError(f"p must be 1 or 2, got {p!r}")
    margin = real_number(margin, "margin")
    return general_rows(MULTI_MARGIN, input, target, weight, None, *options, power=power, margin=margin)


def general_multilabel_margin(input: Any, target: Any, *options: Any) -> Any:
    """Hinges between every positive class and every other class."""
    return general_rows(MULTILABEL_MARGIN, input, target, None, None, *options)


if _config.native is not None:
    _config.native._connect_rows(general_softmax, general_multi_margin, general_multilabel_margin)
    softmax: Callable[..., Any] = _config.native.softmax
    multi_margin: Callable[..., Any] = _config.native.multi_margin
    multilabel_margin: Callable[..., Any] = _config.native.multilabel_margin
else:
    softmax = general_softmax
    multi_margin = general_multi_margin
    multilabel_margin = general_multilabel_margin

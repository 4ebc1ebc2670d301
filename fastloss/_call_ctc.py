# SPDX-License-Identifier: BSD-3-Clause
"""The general path of CTC, the same for both backends: operands, labels and lengths checked, then reduced.

The common case stands in `_native` (_ctc.pxi); whatever it does not take, or finds wrong, comes here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import _config, _reference
from ._arrays import Array, as_array, at, check_output, where, working_dtype
from ._call import (
    INT32_MAX,
    boolean,
    check_options,
    integer,
    keeps_values,
    reduced,
    result,
    scale_of,
    split_grad_output,
)
from ._record import Record

Integers = np.ndarray[Any, np.dtype[np.int64]]


class Targets(Record):
    """Labels of N samples, (N, S) padded or in a row, with the position at which each sample's start."""

    labels: Array
    starts: Integers
    lengths: Integers

    def sample_of(self, flat: int) -> int:
        """The sample that the label at this logical position belongs to."""
        return int(np.nonzero((self.starts <= flat) & (flat < self.starts + self.lengths))[0][0])

    def of(self, n: int) -> Array:
        """The labels of one sample."""
        row = self.labels[n] if self.labels.ndim == 2 else self.labels[self.starts[n] :]
        return row[: self.lengths[n]]


class CtcJob(Record):
    """One checked call, for either backend."""

    real: np.dtype[Any]
    log_probs: Array  # (T, N, C)
    targets: Targets
    input_lengths: Integers
    blank: int
    from_logits: bool
    zero_infinity: bool
    per_label: bool  # each loss is divided by its number of labels
    grad_output: Array | None
    scale: float
    value: Array | None  # (N,), written
    grad: Array | None  # (T, N, C), written
    grad_is_zero: bool  # already, and need not be where it stays so
    exact: bool


# ---- lengths and labels ----------------------------------------------------------------------------------------------


def as_lengths(x: Any, name: str, samples: int, batched: bool, most: int | None) -> Integers:
    """A private int64 copy of one length per sample, each in [0, most]."""
    a = as_array(x, name)
    if a.dtype.kind not in "iu" and not (a.size == 0 and isinstance(x, (list, tuple))):
        raise TypeError(f"{name} has dtype {a.dtype}, expected integers")
    if a.shape != (samples,) and (batched or a.ndim > 0):
        raise ValueError(f"{name} has shape {a.shape}, expected ({samples},): one per sample")
    a = a.reshape(samples).copy()
    most = 2**63 - 1 if most is None else most
    for wrong in np.nonzero((a < 0) | (a > most))[0][:1]:
        raise ValueError(f"{at(name, (int(wrong),))} = {a[wrong]} is out of range [0, {most}]")
    return a.astype(np.int64)


def as_targets(targets: Any, lengths: Any, samples: int, batched: bool) -> Targets:
    """Targets with their lengths; the labels themselves are not looked at."""
    labels = as_array(targets, "targets")
    if labels.dtype.kind not in "iu" and not (labels.size == 0 and isinstance(targets, (list, tuple))):
        raise TypeError(f"targets has dtype {labels.dtype}, expected integer labels")
    if labels.dtype.kind not in "iu":
        labels = labels.astype(np.int64)
    if labels.ndim == 2 and labels.shape[0] == samples:
        width = labels.shape[1]
        lengths64 = as_lengths(lengths, "target_lengths", samples, batched, width)
        return Targets(labels, np.arange(samples, dtype=np.int64) * width, lengths64)
    if labels.ndim != 1:
        raise ValueError(
            f"targets has shape {labels.shape}, expected ({samples}, S), or one dimension with all labels in a row"
        )
    lengths64 = as_lengths(lengths, "target_lengths", samples, batched, None)
    total = sum(lengths64.tolist())
    if total != labels.size:
        raise ValueError(f"targets holds {labels.size} labels in a row, but target_lengths add up to {total}")
    return Targets(labels, np.cumsum(lengths64) - lengths64, lengths64)


def counted_labels(targets: Targets) -> Array:
    """Which entries of the labels lie within their target's length."""
    if targets.labels.ndim == 1:
        return np.ones(targets.labels.shape, bool)
    return np.arange(targets.labels.shape[1]) < targets.lengths[:, np.newaxis]


def first_bad_label(targets: Targets, classes: int, blank: int) -> int:
    """The logical position of the first label that is no class, or the blank; else -1."""
    labels = targets.labels
    bad = counted_labels(targets) & ((labels < 0) | (labels >= classes) | (labels == blank))
    return int(np.argmax(bad)) if bad.any() else -1


def bad_label(targets: Targets, flat: int, classes: int, blank: int) -> ValueError:
    position = where(flat, targets.labels.shape)
    label = targets.labels[position]
    shown = f"{at('targets', position)} = {label}"
    if targets.labels.ndim == 1:
        n = targets.sample_of(flat)
        shown += f" (label {flat - int(targets.starts[n])} of sample {n})"
    if label == blank:
        return ValueError(f"{shown} is the blank, which is no label")
    return ValueError(f"{shown} is out of range for {classes} classes")


def feasible(targets: Any, input_lengths: Any, target_lengths: Any) -> Any:
    """`ctc_feasible`: a frame for each label, and one more for each that repeats the one before."""
    given = as_array(target_lengths, "target_lengths")
    batched = given.ndim > 0
    samples = given.shape[0] if batched else 1
    checked = as_targets(targets, target_lengths, samples, batched)
    lengths = as_lengths(input_lengths, "input_lengths", samples, batched, None)
    again = np.zeros(checked.labels.shape, bool)
    again[..., 1:] = checked.labels[..., 1:] == checked.labels[..., :-1]
    again &= counted_labels(checked)
    if again.ndim == 2:
        repeats = again.sum(axis=1)
    else:
        again[checked.starts[checked.lengths > 0]] = False  # a sample's first label repeats nothing
        before = np.concatenate([[0], np.cumsum(again)])
        repeats = before[checked.starts + checked.lengths] - before[checked.starts]
    possible = lengths - checked.lengths >= repeats
    return possible if batched else possible[0]


# ---- the call --------------------------------------------------------------------------------------------------------


def as_frames(log_probs: Any) -> tuple[Array, bool]:
    """(T, N, C), and whether it came so."""
    a = as_array(log_probs, "log_probs")
    if a.ndim not in (2, 3):
        raise ValueError(f"log_probs has shape {a.shape}, expected (T, N, C) or (T, C)")
    return (a if a.ndim == 3 else a[:, np.newaxis]), a.ndim == 3


def as_blank(blank: Any, classes: int) -> int:
    label = integer(blank, "blank")
    if not 0 <= label < classes:
        raise ValueError(f"blank = {label} is out of range for {classes} classes")
    if classes > INT32_MAX:
        raise ValueError(f"log_probs has {classes} classes, at most {INT32_MAX} are supported")
    return label


def run(job: CtcJob) -> float:
    """Sum of the losses; value and gradient are written."""
    if _config.get_backend() == "reference":
        return _reference.ctc(job)
    assert _config.native is not None
    total, bad = _config.native.run_ctc(
        job.real.itemsize, job.log_probs, job.targets.labels, job.targets.starts, job.targets.lengths,
        job.input_lengths, job.blank, job.from_logits, job.zero_infinity, job.per_label, job.grad_output, job.scale,
        job.value, job.grad, job.grad_is_zero, job.exact,
    )  # fmt: skip
    if bad >= 0:  # changed since they were checked
        raise bad_label(job.targets, bad, job.log_probs.shape[2], job.blank)
    return float(total)


def general_ctc(
    log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, *, blank: Any, reduction: Any,
    zero_infinity: Any, from_logits: Any, return_grad: Any, grad_output: Any, out: Any, grad_out: Any,
    exact: bool = False,
) -> Any:  # fmt: skip
    """Any layout, types and options. `exact`, for tests: the kernels' exact recursion for every sequence."""
    check_options(reduction, return_grad, grad_output, out, grad_out)
    boolean(zero_infinity, "zero_infinity")
    boolean(from_logits, "from_logits")
    frames, batched = as_frames(log_probs)
    longest, samples, classes = frames.shape
    blank = as_blank(blank, classes)
    lengths = as_lengths(input_lengths, "input_lengths", samples, batched, longest)
    checked = as_targets(targets, target_lengths, samples, batched)
    shape = (samples,) if batched else ()
    factor, grad_output_array = split_grad_output(grad_output, shape)
    real = working_dtype((log_probs, frames))
    inputs = [a for a in (frames, checked.labels, grad_output_array) if a is not None]
    inputs += [a for a in (input_lengths, target_lengths) if isinstance(a, np.ndarray)]
    value: Array | None = None
    if keeps_values(reduction):
        value = np.empty(shape, real) if out is None else check_output(out, "out", shape, real, inputs)
    grad: Array | None = None
    grad_shape = frames.shape if batched else (longest, classes)
    if return_grad and grad_out is not None:
        taken = inputs if value is None else [*inputs, value]
        grad = check_output(grad_out, "grad_out", grad_shape, real, taken)
    elif return_grad:
        grad = np.zeros(grad_shape, real)
    bad = first_bad_label(checked, classes, blank)
    if bad >= 0:
        raise bad_label(checked, bad, classes, blank)
    job = CtcJob(
        real, frames, checked, lengths, blank, bool(from_logits), bool(zero_infinity), reduction == "mean",
        grad_output_array, scale_of(reduction, samples) * factor, None if value is None else value.reshape(samples),
        None if grad is None else grad.reshape(frames.shape), grad_out is None, exact,
    )  # fmt: skip
    total = run(job)
    return result(reduced(total, reduction, samples, value), None if grad is None else (grad,))


if _config.native is not None:
    _config.native._connect_ctc(general_ctc)
    ctc_loss: Callable[..., Any] = _config.native.ctc_loss
else:
    ctc_loss = general_ctc

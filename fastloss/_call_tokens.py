# SPDX-License-Identifier: BSD-3-Clause
"""The path of a call for token quantities, the same for both backends: operands, checks, allocation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import _config, _reference
from ._arrays import Array, as_array, as_mask, as_optional, at, check_broadcast, check_output, where, working_dtype
from ._call import INT32_MAX, integer, reduced, unwrap
from ._call_rows import bad_label
from ._record import Record


class Rows(Record):
    """Checked logits: the axis of their classes, and what is left without it, the positions."""

    logits: Array
    axis: int
    mask: Array | None
    real: np.dtype[Any]

    @property
    def classes(self) -> int:
        return self.logits.shape[self.axis]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.logits.shape[: self.axis] + self.logits.shape[self.axis + 1 :]


def _axis(logits: Array, name: str, class_axis: Any) -> int:
    axis = integer(class_axis, "class_axis")
    if logits.ndim == 0:
        raise ValueError(f"{name} has shape (), expected at least one axis, that of the classes")
    if not -logits.ndim <= axis < logits.ndim:
        raise ValueError(f"class_axis = {axis} is out of range for {name} of shape {logits.shape}")
    return axis % logits.ndim


def _within(lengths: Any, shape: tuple[int, ...]) -> Array | None:
    """The mask that lengths of sequences mean: True for the first of each."""
    a = as_optional(lengths, "lengths")
    if a is None:
        return None
    if not shape:
        raise ValueError("lengths is given, but the logits are one row, not a sequence")
    if a.dtype.kind not in "iu":
        raise TypeError(f"lengths has dtype {a.dtype}, expected integers")
    if a.shape != shape[:-1]:
        raise ValueError(
            f"lengths has shape {a.shape}, expected {shape[:-1]}: one per sequence of {shape[-1]} positions"
        )
    own = a.copy()  # another thread may change the caller's
    outside = (own < 0) | (own > shape[-1])
    if outside.any():
        position = where(int(np.argmax(outside.ravel())), own.shape)
        raise ValueError(f"{at('lengths', position)} = {own[position]} is out of range for {shape[-1]} positions")
    return np.arange(shape[-1]) < own[..., np.newaxis]


def rows_of(logits: Any, name: str, class_axis: Any, mask: Any, lengths: Any) -> Rows:
    a = as_array(logits, name)
    rows = Rows(a, _axis(a, name, class_axis), None, working_dtype((logits, a)))
    if rows.classes > INT32_MAX:
        raise ValueError(f"{name} has {rows.classes} classes, at most {INT32_MAX} are supported")
    given = as_mask(mask)
    check_broadcast(given, "mask", rows.shape, f"{name} without its class axis")
    within = _within(lengths, rows.shape)
    rows.mask = given if within is None else within if given is None else within & given
    return rows


def labels_of(target: Any, rows: Rows, ignore_index: Any) -> tuple[Array, int]:
    """Labels of the rows, and the one that leaves its position out."""
    labels = as_array(target, "target")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"target has dtype {labels.dtype}, expected integer class indices")
    if labels.shape != rows.shape:
        raise ValueError(
            f"target has shape {labels.shape}, expected {rows.shape}: the shape {rows.logits.shape} of logits without "
            f"its class axis {rows.axis}"
        )
    ignored = integer(ignore_index, "ignore_index")
    if not -(2**63) <= ignored < 2**63:
        raise ValueError(f"ignore_index = {ignored} does not fit in 64 bits")
    # No unsigned label is negative; those beyond int64 reach the kernel as its smallest number.
    return labels, -1 if labels.dtype.kind == "u" and ignored < 0 else ignored


def run(
    kind: str, rows: Rows, value: Array | None = None, labels: Array | None = None, ignored: int = 0,
    other: Array | None = None, index: Array | None = None,
) -> tuple[float, float]:  # fmt: skip
    """Sum of the values and number of the positions whose label counts; `value` and `index` are written."""
    engine: Callable[..., tuple[float, float, int]] = _reference.tokens
    if _config.get_backend() == "native":
        assert _config.native is not None
        engine = _config.native.run_tokens
    total, counted, bad = engine(
        kind, rows.real.itemsize, rows.logits, rows.axis, labels, rows.mask, ignored, value, other, index
    )
    if bad >= 0:
        assert labels is not None
        raise bad_label(labels, where(bad, labels.shape), rows.classes)
    return total, counted


def _value(out: Any, rows: Rows, inputs: list[Array]) -> Array:
    return np.empty(rows.shape, rows.real) if out is None else check_output(out, "out", rows.shape, rows.real, inputs)


def per_position(kind: str, logits: Any, class_axis: Any, mask: Any, lengths: Any, out: Any) -> Any:
    """A quantity of each row of logits."""
    rows = rows_of(logits, "logits", class_axis, mask, lengths)
    value = _value(out, rows, [a for a in (rows.logits, rows.mask) if a is not None])
    run(kind, rows, value[...])
    return unwrap(value)


def log_probs(
    logits: Any, target: Any, ignore_index: Any, class_axis: Any, mask: Any, lengths: Any, out: Any
) -> Any:  # fmt: skip
    rows = rows_of(logits, "logits", class_axis, mask, lengths)
    labels, ignored = labels_of(target, rows, ignore_index)
    value = _value(out, rows, [a for a in (rows.logits, labels, rows.mask) if a is not None])
    if out is not None:
        run("log_prob", rows, None, labels, ignored)  # labels are checked before anything is written
    run("log_prob", rows, value[...], labels, ignored)
    return unwrap(value)


def total_log_prob(rows: Rows, labels: Array, ignored: int) -> tuple[float, float]:
    """Sum of the tokens' log-probabilities, and how many count."""
    return run("log_prob", rows, None, labels, ignored)


def perplexity(
    logits: Any, target: Any, ignore_index: Any, class_axis: Any, mask: Any, lengths: Any
) -> np.float64:  # fmt: skip
    rows = rows_of(logits, "logits", class_axis, mask, lengths)
    labels, ignored = labels_of(target, rows, ignore_index)
    total, counted = total_log_prob(rows, labels, ignored)
    with np.errstate(over="ignore"):
        return np.float64(np.exp(-reduced(total, "mean", counted)))


def bits_per_byte(
    logits: Any, target: Any, n_bytes: Any, ignore_index: Any, class_axis: Any, mask: Any, lengths: Any
) -> np.float64:  # fmt: skip
    rows = rows_of(logits, "logits", class_axis, mask, lengths)
    labels, ignored = labels_of(target, rows, ignore_index)
    counts = as_array(n_bytes, "n_bytes").copy()
    if counts.dtype.kind not in "iu":
        raise TypeError(f"n_bytes has dtype {counts.dtype}, expected integers")
    if counts.ndim and counts.shape != rows.shape:
        raise ValueError(f"n_bytes has shape {counts.shape}, expected () or the shape {rows.shape} of target")
    if (counts < 0).any():
        position = where(int(np.argmax((counts < 0).ravel())), counts.shape)
        raise ValueError(f"{at('n_bytes', position)} = {counts[position]} is negative")
    if counts.ndim:
        counts[labels == ignored] = 0
        if rows.mask is not None:
            counts[~np.broadcast_to(rows.mask, rows.shape)] = 0
    total, _ = total_log_prob(rows, labels, ignored)
    return reduced(-total, "mean", math.log(2.0) * float(counts.sum(dtype=np.float64)))


def topk(logits: Any, k: Any, class_axis: Any, mask: Any, lengths: Any) -> tuple[Any, Any]:
    rows = rows_of(logits, "logits", class_axis, mask, lengths)
    wanted = integer(k, "k")
    if not 1 <= wanted <= rows.classes:
        raise ValueError(f"k = {wanted} is out of range for {rows.classes} classes")
    value, index = np.empty((*rows.shape, wanted), rows.real), np.empty((*rows.shape, wanted), np.int64)
    run("topk", rows, value, index=index)
    return np.moveaxis(value, -1, rows.axis), np.moveaxis(index, -1, rows.axis)


def divergence(p_logits: Any, q_logits: Any, class_axis: Any, mask: Any, lengths: Any, out: Any) -> Any:
    rows = rows_of(p_logits, "p_logits", class_axis, mask, lengths)
    other = as_array(q_logits, "q_logits")
    if other.shape != rows.logits.shape:
        raise ValueError(f"q_logits has shape {other.shape}, expected {rows.logits.shape}: that of p_logits")
    rows.real = working_dtype((p_logits, rows.logits), (q_logits, other))
    value = _value(out, rows, [a for a in (rows.logits, other, rows.mask) if a is not None])
    run("divergence", rows, value[...], other=other)
    return unwrap(value)

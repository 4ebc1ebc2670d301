# SPDX-License-Identifier: BSD-3-Clause
"""The general path of a call, the same for both backends: operands, checks, allocation, scales, reduction.

The fast path of the common case stands in `_native`; whatever it does not take comes here (row losses: to
`_call_rows`, CTC to `_call_ctc`), and goes back to C (`run_elementwise`) or to the reference with everything checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import _config, _reference
from ._arrays import (
    Array,
    as_array,
    as_mask,
    as_optional,
    at,
    check_broadcast,
    check_output,
    own_position,
    where,
    working_dtype,
)
from ._record import Record

REDUCTIONS = ("none", "mean", "sum")
AVERAGES = ("mean", "batchmean")
INT32_MAX = 2**31 - 1


class Domain(NamedTuple):
    """Values that an operand must not hold; the kernel's own test of the same name stands in elementwise.h."""

    excludes: Callable[[Array], Array]
    words: str


NONNEGATIVE = Domain(lambda x: x < 0, "is negative")
POSITIVE = Domain(lambda x: x <= 0, "is not positive")
ABOVE_MINUS_ONE = Domain(lambda x: x <= -1, "is not greater than -1")
UNIT = Domain(lambda x: (x < 0) | (x > 1), "is outside [0, 1]")


INDEX = {name: row[0] for name, row in _config.native.losses().items()} if _config.native else {}


class Elementwise:
    """What the general path must know of an elementwise loss."""

    def __init__(
        self, name: str, operands: tuple[str, ...] = ("input", "target"), predictions: tuple[int, ...] = (0,),
        weighted_mean: bool = False, domains: tuple[tuple[int, Domain], ...] = (), per_row: tuple[int, ...] = (),
        weak: tuple[int, ...] = (), batchmean: bool = False, same_shape: tuple[int, ...] = (),
        per_sample: bool = False, summed: bool = False,
    ) -> None:  # fmt: skip
        self.name = name  # of its row in elementwise.def and of its function in the reference
        self.operands = operands
        self.predictions = predictions  # which operands get gradients
        self.weighted_mean = weighted_mean  # "mean" divides by the sum of weights instead of the count
        self.domains = domains  # operand -> what it must not hold
        self.per_row = per_row  # operands that may have the shape input.shape[:-1]: one number per row
        self.weak = weak  # operands that do not decide the working type
        self.batchmean = batchmean  # takes this reduction too: the sum divided by the length of the first axis
        self.same_shape = same_shape  # operands that must have the shape of the first
        self.per_sample = per_sample  # the unreduced loss is the mean over the last axis
        self.summed = summed  # the unreduced loss is the sum over the last axis
        self.index = INDEX.get(name, -1)

    @property
    def by_row(self) -> bool:
        """Whether the unreduced loss has one number per row."""
        return self.per_sample or self.summed


class Job(Record):
    """One checked elementwise call, for either backend."""

    spec: Elementwise
    real: np.dtype[Any]
    shape: tuple[int, ...]
    operands: tuple[Array, ...]
    params: tuple[float, ...]
    weight: Array | None
    mask: Array | None
    grad_output: Array | None
    scale: float = 1.0
    value: Array | None = None  # written for reduction "none"; an axis of size 1 takes the mean, or sum, over it
    grads: tuple[Array, ...] | None = None  # written, each of its operand's own shape
    hess: Array | None = None  # written, of the first operand's shape
    expanded: tuple[int, ...] = ()  # operands that were given one number per row: their last axis was added here


# ---- options ---------------------------------------------------------------------------------------------------------


def check_options(
    reduction: Any, return_grad: Any, grad_output: Any, out: Any, grad_out: Any, return_hess: Any = False,
    hess_out: Any = None, batchmean: bool = False,
) -> None:  # fmt: skip
    known = isinstance(reduction, str) and (reduction in REDUCTIONS or (batchmean and reduction == "batchmean"))
    if not known:
        names = "'none', 'mean', 'sum' or 'batchmean'" if batchmean else "'none', 'mean' or 'sum'"
        raise ValueError(f"reduction must be {names}, got {reduction!r}")
    boolean(return_grad, "return_grad")
    if out is not None and reduction != "none":
        raise ValueError(f"out takes the unreduced loss: it needs reduction='none', got {reduction!r}")
    for name, given in (("grad_output", grad_output), ("grad_out", grad_out)):
        if given is not None and not return_grad:
            raise ValueError(f"{name} is given, but return_grad is False")
    if boolean(return_hess, "return_hess") and not return_grad:
        raise ValueError("return_hess is True, but return_grad is False: they come from one pass")
    if hess_out is not None and not return_hess:
        raise ValueError("hess_out is given, but return_hess is False")


def real_number(x: Any, name: str) -> float:
    """A finite or infinite real parameter as a float; NaN and everything else is refused."""
    if type(x) is float and x == x:  # the common case, without the cost of the others
        return x
    if isinstance(x, (bool, np.bool_)) or not isinstance(x, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a real number, got {type(x).__name__}")
    if x != x:
        raise ValueError(f"{name} must not be nan")
    try:
        return float(x)
    except OverflowError:
        raise ValueError(f"{name} is too large for a float") from None


def nonnegative(x: Any, name: str) -> float:
    number = real_number(x, name)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be at least 0 and finite, got {x!r}")
    return number


def share(x: Any, name: str) -> float:
    number = real_number(x, name)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {x!r}")
    return number


def boolean(x: Any, name: str) -> bool:
    if x is True or x is False:  # the common case, without the cost of the others
        return x
    if not isinstance(x, (bool, np.bool_)):
        raise TypeError(f"{name} must be a bool, got {type(x).__name__}")
    return bool(x)


def integer(x: Any, name: str) -> int:
    if isinstance(x, (bool, np.bool_)) or not isinstance(x, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {type(x).__name__}")
    return int(x)


def split_grad_output(grad_output: Any, shape: tuple[int, ...]) -> tuple[float, Array | None]:
    """A scalar joins the gradient's scale; an array multiplies position by position."""
    if grad_output is None:
        return 1.0, None
    g = as_array(grad_output, "grad_output")
    check_broadcast(g, "grad_output", shape, "the unreduced loss")
    return (float(g), None) if g.ndim == 0 else (1.0, g)


def scale_of(reduction: str, denominator: float) -> float:
    """Factor of the gradients; 0 when nothing counts, so that no gradient is nan for want of data."""
    if reduction not in AVERAGES:
        return 1.0
    return 1.0 / denominator if denominator != 0 else 0.0


class Sums(NamedTuple):
    """A reduced loss before its division, and the unreduced one if asked for."""

    total: float
    denominator: float
    values: Array | None = None


class Unfinished(str):
    """A reduction ("mean" or "sum") that gives `Sums`: what accumulators add up."""

    with_values = False


class UnfinishedWithValues(Unfinished):
    """The same, with the unreduced loss from the same pass."""

    with_values = True


def keeps_values(reduction: str) -> bool:
    """Whether the unreduced loss is written."""
    return reduction == "none" or getattr(reduction, "with_values", False)


def reduced(total: float, reduction: str, denominator: float, value: Array | None = None) -> Any:
    """np.float64 by IEEE division, without NumPy's warnings or Python's exception; or the unreduced loss, or `Sums`, if
    asked for."""
    if isinstance(reduction, Unfinished):
        return Sums(total, denominator, value)
    if value is not None:
        return unwrap(value)
    if reduction not in AVERAGES:
        return np.float64(total)
    if denominator != 0:
        return np.float64(total / denominator)
    return np.float64(math.nan if total == 0 or math.isnan(total) else math.copysign(math.inf, total))


def unwrap(a: Array) -> Any:
    """0-d arrays as NumPy scalars."""
    return a[()] if a.ndim == 0 else a


def outputs(
    out: Any, grad_out: Any, shape: tuple[int, ...], grad_shapes: list[tuple[int, ...]], real: np.dtype[Any],
    inputs: list[Array], reduction: str, return_grad: bool,
) -> tuple[Array | None, tuple[Array, ...] | None]:  # fmt: skip
    """The arrays that the call writes: the caller's, checked, or fresh ones."""
    value: Array | None = None
    if keeps_values(reduction):
        value = np.empty(shape, real) if out is None else check_output(out, "out", shape, real, inputs)
    if not return_grad:
        return value, None
    if grad_out is None:
        return value, tuple(np.empty(s, real) for s in grad_shapes)
    several = len(grad_shapes) > 1
    if several and not (isinstance(grad_out, (tuple, list)) and len(grad_out) == len(grad_shapes)):
        raise TypeError(f"grad_out must be a tuple of {len(grad_shapes)} arrays, one per prediction operand")
    taken = list(inputs) if value is None else [*inputs, value]
    grads: list[Array] = []
    for k, (given, s) in enumerate(zip(grad_out if several else (grad_out,), grad_shapes, strict=True)):
        grads.append(check_output(given, f"grad_out[{k}]" if several else "grad_out", s, real, taken))
        taken.append(grads[-1])
    return value, tuple(grads)


def result(value: Any, grads: tuple[Array, ...] | None, hess: Array | None = None) -> Any:
    if grads is None:
        return value
    grad = unwrap(grads[0]) if len(grads) == 1 else tuple(unwrap(g) for g in grads)
    return (value, grad) if hess is None else (value, grad, unwrap(hess))


# ---- elementwise losses ----------------------------------------------------------------------------------------------


def run(job: Job) -> float:
    """Sum of the values (unless `job.value` takes them); gradients are written."""
    if _config.get_backend() == "reference":
        total, bad, operand = _reference.elementwise(job)
    else:
        total, bad, operand = _run_native(job)
    if bad >= 0:
        name, a = job.spec.operands[operand], job.operands[operand]
        position = own_position(a, where(bad, job.shape))
        shown = position[:-1] if operand in job.expanded else position
        raise ValueError(f"{at(name, shown)} = {a[position]} {dict(job.spec.domains)[operand].words}")
    return total


def _run_native(job: Job) -> tuple[float, int, int]:
    """A gradient whose operand was broadcast is summed in float64 of the operand's shape, then rounded once; so is a
    value per sample."""
    assert _config.native is not None
    folded = job.value is not None and (job.value.shape != job.shape or job.value.dtype != job.real)
    value_sums = np.zeros(job.value.shape, np.float64) if job.value is not None and folded else None
    whole: list[Array | None] = []
    sums: list[Array | None] = []
    for g in job.grads or ():
        broadcast = g.shape != job.shape
        whole.append(None if broadcast else g)
        sums.append(np.zeros(g.shape, np.float64) if broadcast else None)
    total, bad, operand = _config.native.run_elementwise(
        job.spec.index, job.real.itemsize, job.shape, job.operands, job.params, job.weight, job.mask, job.grad_output,
        job.scale, None if folded else job.value, None if job.grads is None else tuple(whole), tuple(sums), job.hess,
        value_sums,
    )  # fmt: skip
    for g, s in zip(job.grads or (), sums, strict=False):
        if s is not None:
            with np.errstate(over="ignore"):
                np.copyto(g, s, casting="same_kind")
    if job.value is not None and value_sums is not None:
        with np.errstate(over="ignore"):
            np.copyto(job.value, value_sums / (1 if job.spec.summed else job.shape[-1]), casting="same_kind")
    return total, bad, operand


IDENTITY = Elementwise("identity", ("input",), ())


def total_of(a: Array, mask: Array | None, shape: tuple[int, ...], real: np.dtype[Any]) -> float:
    """Sum of `a` broadcast to `shape` where the mask is True: weights, or the mask itself to count it."""
    return run(Job(IDENTITY, real, shape, (a,), (), None, mask, None))


def denominator_of(
    spec: Elementwise, reduction: str, weight: Array | None, mask: Array | None, shape: tuple[int, ...],
    real: np.dtype[Any],
) -> float:  # fmt: skip
    if reduction not in AVERAGES:
        return 1.0
    if reduction == "batchmean":
        return float(shape[0])
    if weight is not None and spec.weighted_mean:
        return total_of(weight, mask, shape, real)
    return float(math.prod(shape)) if mask is None else total_of(mask, None, shape, real)


def aligned(spec: Elementwise, arrays: tuple[Array, ...]) -> tuple[tuple[Array, ...], tuple[int, ...]]:
    """The operands, checked, as views that broadcast to the first one; and which of them were given one number per
    row."""
    shape, first = arrays[0].shape, spec.operands[0]
    for k in spec.same_shape:
        if arrays[k].shape != shape:
            raise ValueError(f"{spec.operands[k]} has shape {arrays[k].shape}, expected that of {first}, {shape}")
    expanded = tuple(k for k in spec.per_row if arrays[k].ndim and arrays[k].shape == shape[:-1])
    views = tuple(a[..., np.newaxis] if k in expanded else a for k, a in enumerate(arrays))
    for a, name in zip(views[1:], spec.operands[1:], strict=True):
        check_broadcast(a, name, shape, first)
    return views, expanded


def positions_of(spec: Elementwise, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the unreduced loss."""
    if not spec.by_row:
        return shape
    if not shape or shape[-1] == 0:
        raise ValueError(f"{spec.operands[0]} has shape {shape}, expected (C,), (N, C) or (..., C) with C >= 1")
    return shape[:-1]


def general_elementwise(
    spec: Elementwise, operands: tuple[Any, ...], params: tuple[float, ...], reduction: Any, return_grad: Any,
    weight: Any, mask: Any, grad_output: Any, out: Any, grad_out: Any, return_hess: Any = False, hess_out: Any = None,
) -> Any:  # fmt: skip
    """Any elementwise loss, any operands and options."""
    check_options(reduction, return_grad, grad_output, out, grad_out, return_hess, hess_out, spec.batchmean)
    arrays = tuple(as_array(x, name) for x, name in zip(operands, spec.operands, strict=True))
    views, expanded = aligned(spec, arrays)
    shape = arrays[0].shape
    if reduction == "batchmean" and not shape:
        raise ValueError("input has shape (), expected (N, ...): reduction 'batchmean' divides by N")
    positions = positions_of(spec, shape)
    weight_array, mask_array = as_optional(weight, "weight"), as_mask(mask)
    check_broadcast(weight_array, "weight", shape, spec.operands[0])
    check_broadcast(mask_array, "mask", positions, "the unreduced loss" if spec.by_row else spec.operands[0])
    factor, grad_output_array = split_grad_output(grad_output, positions)
    deciding = [pair for k, pair in enumerate(zip(operands, arrays, strict=True)) if k not in spec.weak]
    real = working_dtype(*deciding, (weight, weight_array))
    inputs = [a for a in (*arrays, weight_array, mask_array, grad_output_array) if a is not None]
    grad_shapes = [arrays[k].shape for k in spec.predictions]
    value, grads = outputs(out, grad_out, positions, grad_shapes, real, inputs, reduction, return_grad)
    hess: Array | None = None
    if return_hess:
        taken = [a for a in (*inputs, value, *(grads or ())) if a is not None]
        hess = np.empty(shape, real) if hess_out is None else check_output(hess_out, "hess_out", shape, real, taken)

    # Views of ours, as of the inputs; one number per row, or sample, gets its last axis.
    written = None if grads is None else tuple(
        g.reshape(views[k].shape) for k, g in zip(spec.predictions, grads, strict=True)
    )  # fmt: skip
    unreduced = None if value is None else value[...]
    if spec.by_row:
        unreduced, mask_array, grad_output_array = (
            None if a is None else a[..., np.newaxis] for a in (unreduced, mask_array, grad_output_array)
        )
    for g in written or ():
        if math.prod(shape) == 0:
            g[...] = 0

    denominator = float(shape[-1]) if spec.per_sample else 1.0
    if reduction in AVERAGES:
        counted = (*positions, 1) if spec.summed else shape
        denominator = denominator_of(spec, reduction, weight_array, mask_array, counted, real)
    divides = "mean" if spec.per_sample else reduction  # per sample, even a sum is one of means
    scale = scale_of(divides, denominator)
    scale = scale * factor if scale != 0 else 0.0  # nothing counts: whatever the factor
    job = Job(
        spec, real, shape, views, params, weight_array, mask_array, grad_output_array, scale, unreduced, written,
        None if hess is None else hess[...], expanded,
    )  # fmt: skip
    total = run(job)
    if value is not None and reduction != "none":  # where values are written the kernels sum none
        total = run(job.but(value=None)) if spec.by_row else total_of(value, None, positions, real)
    if divides != reduction:
        total, denominator = total / denominator, 1.0
    return result(reduced(total, reduction, denominator, value), grads, hess)


if _config.native is not None:
    _config.native._connect(_config.chosen, general_elementwise)
    elementwise: Callable[..., Any] = _config.native.elementwise
else:
    elementwise = general_elementwise

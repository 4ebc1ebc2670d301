# SPDX-License-Identifier: BSD-3-Clause
"""The path of losses that are a function of a sum over each row, the same for both backends, beside `_call`: the sums,
then the gradients that their function scales."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import _config, _reference, reference
from ._arrays import Array, as_array, as_mask, at, check_broadcast, where, working_dtype
from ._call import (
    Elementwise,
    Job,
    aligned,
    check_options,
    outputs,
    positions_of,
    reduced,
    result,
    run,
    scale_of,
    split_grad_output,
)

RENYI, PENALTY, PENALTY_ABOVE = range(3)  # as in _row_sums.pxi
OUTER = ("renyi", "penalty", "penalty_above")


def general_row_sums(
    spec: Elementwise, operands: tuple[Any, ...], params: tuple[float, ...], outer: int, parameter: float,
    whole_samples: bool, reduction: Any, mask: Any, return_grad: Any, grad_output: Any, out: Any, grad_out: Any,
) -> Any:  # fmt: skip
    """The function `outer` of the sum of an elementwise loss over the last axis (`whole_samples`: over all axes but the
    first), any operands and options; no gradient where the sum is 0 or not finite."""
    check_options(reduction, return_grad, grad_output, out, grad_out)
    arrays = tuple(as_array(x, name) for x, name in zip(operands, spec.operands, strict=True))
    aligned(spec, arrays)
    shape = arrays[0].shape
    positions = shape[:1] if whole_samples else positions_of(spec, shape)
    mask_array = as_mask(mask)
    check_broadcast(mask_array, "mask", positions, "the unreduced loss")
    factor, grad_output_array = split_grad_output(grad_output, positions)
    real = working_dtype(*zip(operands, arrays, strict=True))
    inputs = [a for a in (*arrays, mask_array, grad_output_array) if a is not None]
    value, grads = outputs(
        out, grad_out, positions, [shape] * len(spec.predictions), real, inputs, reduction, return_grad
    )
    count = math.prod(positions)
    counted = None if mask_array is None else np.broadcast_to(mask_array, positions).reshape(count)
    denominator = float(count if counted is None else np.count_nonzero(counted))
    scale = scale_of(reduction, denominator)
    factor = scale * factor if scale != 0 else 0.0  # nothing counts: whatever the factor
    incoming = None
    if grad_output_array is not None:
        incoming = np.ascontiguousarray(np.broadcast_to(grad_output_array, positions), np.float64).reshape(count)
    row = math.prod(shape[len(positions) :])
    if _config.get_backend() == "reference":
        job = Job(spec, real, (count, row), tuple(a.reshape(count, row) for a in arrays), params, None, None, None)
        total = _by_reference(
            job, getattr(reference.row_sums, OUTER[outer]), parameter, counted, incoming, factor, value, grads
        )
    else:
        assert _config.native is not None
        total, bad, operand = _config.native.run_row_sums(
            spec.index, real.itemsize, params, outer, parameter, shape, arrays, row, count, counted, incoming, factor,
            value, grads,
        )  # fmt: skip
        if bad >= 0:
            name, a = spec.operands[operand], arrays[operand]
            position = where(bad, shape)
            raise ValueError(f"{at(name, position)} = {a[position]} {dict(spec.domains)[operand].words}")
    return result(reduced(total, reduction, denominator, value), grads)


def _by_reference(
    job: Job, outer: Callable[[Array, float], tuple[Array, Array]], parameter: float, counted: Array | None,
    incoming: Array | None, factor: float, value: Array | None, grads: tuple[Array, ...] | None,
) -> float:  # fmt: skip
    """Sum of the losses of (rows, elements); values and gradients are written."""
    sums = np.empty((job.shape[0], 1))
    counts = np.ones(job.shape[0], bool) if counted is None else counted
    run(job.but(value=sums, mask=counts[:, np.newaxis]))
    usable = counts & (np.isfinite(sums[:, 0]) & (sums[:, 0] != 0) | np.isnan(sums[:, 0]))
    with np.errstate(all="ignore"):
        losses = np.where(counts, outer(sums[:, 0], parameter)[0], 0)
        if value is not None:
            np.copyto(value, losses.reshape(value.shape), casting="same_kind")
        if grads is not None:
            factors = outer(np.where(usable, sums[:, 0], 1.0), parameter)[1] * (1 if incoming is None else incoming)
            rows = tuple(np.empty(job.shape, g.dtype) for g in grads)
            run(job.but(mask=usable[:, np.newaxis], grad_output=factors[:, np.newaxis], grads=rows, scale=factor))
            for g, own in zip(grads, rows, strict=True):
                g[...] = own.reshape(g.shape)
    return _reference.exact_sum(losses)


if _config.native is not None:
    _config.native._connect_row_sums(general_row_sums)
    row_sums: Callable[..., Any] = _config.native.row_sums
else:
    row_sums = general_row_sums

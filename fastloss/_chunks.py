# SPDX-License-Identifier: BSD-3-Clause
"""Losses that are a function of a sum over each row: the sums, then the gradients that their function scales. Both
passes are made over a few rows at a time, which are in cache when they are read again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ._arrays import Array, as_array, as_mask, check_broadcast, working_dtype
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
    total_of,
)

CHUNK = 1 << 18  # elements of an operand
FLOAT64 = np.dtype(np.float64)


def of_row_sums(
    spec: Elementwise, operands: tuple[Any, ...], params: tuple[float, ...], outer: Callable[[Array], Array],
    slope: Callable[[Array], Array], reduction: Any, return_grad: Any, mask: Any, grad_output: Any, out: Any,
    grad_out: Any, whole_samples: bool = False,
) -> Any:  # fmt: skip
    """`outer` of the sum of an elementwise loss over the last axis (`whole_samples`: over all axes but the first), with
    gradients by its derivative `slope`; 0 where the sum is 0 or not finite."""
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
    denominator = float(count) if counted is None else total_of(counted, None, (count,), FLOAT64)
    scale = scale_of(reduction, denominator)
    factor = scale * factor if scale != 0 else 0.0
    incoming = None if grad_output_array is None else np.broadcast_to(grad_output_array, positions).reshape(count)
    rows = Rows(spec, params, real, arrays, outer, slope, counted, incoming, factor, count)
    total = rows.run(None if value is None else value.reshape(count), grads)
    return result(reduced(total, reduction, denominator, value), grads)


class Rows:
    """Checked operands, chunk by chunk; `count` rows."""

    def __init__(
        self, spec: Elementwise, params: tuple[float, ...], real: np.dtype[Any], arrays: tuple[Array, ...],
        outer: Callable[[Array], Array], slope: Callable[[Array], Array], counted: Array | None, incoming: Array | None,
        factor: float, count: int,
    ) -> None:  # fmt: skip
        self.spec, self.params, self.real, self.arrays = spec, params, real, arrays
        self.outer, self.slope, self.factor, self.count = outer, slope, factor, count
        self.counted, self.incoming = counted, incoming

    def run(self, value: Array | None, grads: tuple[Array, ...] | None) -> float:
        """Sum of the losses; values and gradients are written."""
        shape = self.arrays[0].shape
        samples = shape[0] if len(shape) > 1 else 1
        step = max(1, CHUNK * samples // max(self.arrays[0].size, 1))
        totals = []
        for first in range(0, samples if self.count else 0, step):
            last = min(samples, first + step)
            totals.append(self._chunk(first, last, samples, value, grads))
        return math.fsum(totals) if all(map(math.isfinite, totals)) else sum(totals)

    def _chunk(
        self, first: int, last: int, samples: int, value: Array | None, grads: tuple[Array, ...] | None
    ) -> float:  # fmt: skip
        lo, hi = (k * self.count // samples for k in (first, last))
        operands = tuple(self._part(a, first, last, hi - lo) for a in self.arrays)
        counted = None if self.counted is None else self.counted[lo:hi]
        sums = np.empty((hi - lo, 1), FLOAT64)
        mask = None if counted is None else counted[:, np.newaxis]
        job = Job(self.spec, self.real, (hi - lo, operands[0].shape[-1]), operands, self.params, None, mask, None)
        self._run(replace(job, value=sums))
        with np.errstate(all="ignore"):
            losses = self.outer(sums[:, 0])
            if value is not None:
                np.copyto(
                    value[lo:hi], losses if counted is None else np.where(counted, losses, 0), casting="same_kind"
                )
            total = total_of(losses, counted, losses.shape, FLOAT64)
            if grads is not None:
                self._gradients(job, sums[:, 0], lo, hi, tuple(self._part(g, first, last, hi - lo) for g in grads))
        return total

    def _part(self, a: Array, first: int, last: int, rows: int) -> Array:
        """The rows of some samples; what is no array of the loss's shape stays as it is."""
        if a.ndim == 0:
            return a
        return a.reshape(rows, -1) if a.ndim == 1 else a[first:last].reshape(rows, -1)

    def _gradients(self, job: Job, sums: Array, lo: int, hi: int, grads: tuple[Array, ...]) -> None:
        usable = np.isfinite(sums) & (sums != 0) | np.isnan(sums)
        factors = self.slope(np.where(usable, sums, 1.0))
        if self.incoming is not None:
            factors = factors * self.incoming[lo:hi].astype(FLOAT64)
        counts = usable if job.mask is None else usable & job.mask[:, 0]
        self._run(
            replace(job, mask=counts[:, np.newaxis], grad_output=factors[:, np.newaxis], grads=grads, scale=self.factor)
        )

    def _run(self, job: Job) -> None:
        try:
            run(job)
        except ValueError:  # found in a chunk: the whole says where it stands
            mask = None if self.counted is None else self._spread(self.counted)
            run(
                replace(
                    job,
                    shape=self.arrays[0].shape,
                    operands=self.arrays,
                    mask=mask,
                    value=None,
                    grads=None,
                    grad_output=None,
                )
            )
            raise

    def _spread(self, counted: Array) -> Array:
        shape = self.arrays[0].shape
        positions = shape[:-1] if math.prod(shape[:-1]) == self.count else shape[:1]
        return counted.reshape(positions + (1,) * (len(shape) - len(positions)))

# SPDX-License-Identifier: BSD-3-Clause
"""The path of triplets under a distance of the caller's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ._arrays import Array, as_array, as_mask, check_broadcast, working_dtype
from ._call import boolean, check_options, outputs, reduced, result, scale_of, split_grad_output
from ._call_distance import Measure, common_shape, named, norm_of, positive, sum_to, vectors

NAMES = ("anchor", "positive", "negative")
PAIRS = ((0, 1), (0, 2), (1, 2))


def with_distance(
    distance_function: Any, anchor: Any, positive_vectors: Any, negative: Any, margin: Any, swap: Any, *options: Any
) -> Any:
    operands = (anchor, positive_vectors, negative)
    bound, swaps = positive(margin, "margin"), boolean(swap, "swap")
    if callable(distance_function):
        return _by_function(distance_function, operands, bound, swaps, *options)
    measure: Measure
    if distance_function is None or distance_function == "pairwise":
        measure = norm_of(2.0, 1e-6)
    else:
        measure = named(distance_function, "distance_function")
    return vectors("triplet", measure, operands, NAMES, None, bound, swaps, -1, *options)


def _distances(function: Callable[..., Any], x: Array, y: Array, positions: tuple[int, ...]) -> Array:
    d = np.asarray(function(x, y), np.float64)
    if d.shape != positions:
        raise ValueError(f"distance_function returned shape {d.shape}, expected {positions}")
    return d


def _gradients(function: Callable[..., Any], x: Array, y: Array, upstream: Array) -> tuple[Array, Array]:
    """Of both vectors, as the function gives them for these factors of its distances."""
    answer = function(x, y, return_grad=True, grad_output=upstream)
    if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], tuple) and len(answer[1]) == 2):
        raise TypeError(
            "distance_function must return (distances, (gradient by x, gradient by y)) with return_grad=True"
        )
    by_x, by_y = (np.asarray(g, np.float64) for g in answer[1])
    if by_x.shape != x.shape or by_y.shape != y.shape:
        raise ValueError(
            f"distance_function returned gradients of shapes {by_x.shape} and {by_y.shape}, expected {x.shape}"
        )
    return by_x, by_y


def _slopes(near: Array, far: Array, other: Array | None, margin: float) -> tuple[Array, list[Array]]:
    """The loss, and its derivatives by the distances; ties of swap are split."""
    least = far if other is None else np.minimum(far, other)
    hinge = margin + near - least
    step = np.where(np.isnan(hinge), hinge, (hinge >= 0).astype(np.float64))
    loss = np.where(hinge < 0, 0.0, hinge)
    if other is None:
        return loss, [step, -step]
    share = np.where(far == other, 0.5, (far < other).astype(np.float64))
    return loss, [step, -step * share, -step * (1 - share)]


def _by_function(
    function: Callable[..., Any], operands: tuple[Any, ...], margin: float, swap: bool, reduction: Any, mask: Any,
    return_grad: Any, grad_output: Any, out: Any, grad_out: Any,
) -> Any:  # fmt: skip
    check_options(reduction, return_grad, grad_output, out, grad_out)
    arrays = tuple(as_array(x, name) for x, name in zip(operands, NAMES, strict=True))
    shape = common_shape(arrays, NAMES)
    positions, mask_array = shape[:-1], as_mask(mask)
    check_broadcast(mask_array, "mask", positions, "the unreduced loss")
    factor, grad_output_array = split_grad_output(grad_output, positions)
    real = working_dtype(*zip(operands, arrays, strict=True))
    inputs = [a for a in (*arrays, mask_array, grad_output_array) if a is not None]
    value, grads = outputs(out, grad_out, positions, [a.shape for a in arrays], real, inputs, reduction, return_grad)
    counted = np.ones(positions, bool) if mask_array is None else np.broadcast_to(mask_array, positions)
    rows = [np.broadcast_to(a, shape).astype(real) for a in arrays]
    pairs = PAIRS if swap else PAIRS[:2]
    with np.errstate(all="ignore"):
        near, far, *other = (_distances(function, rows[i], rows[j], positions) for i, j in pairs)
        loss, slopes = _slopes(near, far, other[0] if swap else None, margin)
        loss = np.where(counted, loss, 0.0)
        denominator = float(np.count_nonzero(counted)) if reduction == "mean" else 1.0
        if value is not None:
            np.copyto(value, loss, casting="same_kind")
        if grads is not None:
            upstream = np.broadcast_to(1.0 if grad_output_array is None else grad_output_array, positions)
            upstream = upstream * (scale_of(reduction, denominator) * factor)
            totals = [np.zeros(shape) for _ in rows]
            for (i, j), slope in zip(pairs, slopes, strict=True):
                by_x, by_y = _gradients(function, rows[i], rows[j], np.where(counted, slope * upstream, 0.0))
                totals[i] += np.where(counted[..., np.newaxis], by_x, 0.0)
                totals[j] += np.where(counted[..., np.newaxis], by_y, 0.0)
            for g, total in zip(grads, totals, strict=True):
                sum_to(total, g)
    summed = math.fsum(loss.ravel().tolist()) if np.isfinite(loss).all() else float(loss.sum())
    return result(reduced(summed, reduction, denominator, value), grads)

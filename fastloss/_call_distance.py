# SPDX-License-Identifier: BSD-3-Clause
"""The general path of distances, and of losses on pairs and triplets of vectors, the same for both backends."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import _config, _reference
from ._arrays import Array, as_array, as_mask, as_optional, at, check_broadcast, own_position, where, working_dtype
from ._call import (
    boolean,
    check_options,
    integer,
    outputs,
    real_number,
    reduced,
    result,
    scale_of,
    split_grad_output,
    total_of,
)
from ._record import Record

METRICS = ("euclidean", "sqeuclidean", "manhattan", "chebyshev", "cosine")
DOMAINS = {"cosine_embedding": "is neither 1 nor -1", "contrastive": "is outside [0, 1]"}


class VectorJob(Record):
    """One checked call, for either backend. Vectors and gradients have one shape, (..., D)."""

    loss: str  # "pair", "triplet", "cosine_embedding" or "contrastive"
    metric: str  # of METRICS, "minkowski", "similarity" or "shifted_similarity"
    real: np.dtype[Any]
    vectors: tuple[Array, ...]
    target: Array | None = None
    mask: Array | None = None
    grad_output: Array | None = None
    p: float = 2.0
    eps: float = 0.0
    margin: float = 0.0
    swap: bool = False
    scale: float = 1.0
    value: Array | None = None
    grads: tuple[Array, ...] | None = None


class Measure(NamedTuple):
    """How two vectors are measured: the metric of a job, with p and eps."""

    metric: str
    p: float = 2.0
    eps: float = 0.0

    def rounded(self, real: np.dtype[Any]) -> Measure:
        """With its numbers in the working type, as the kernels take them; some powers are metrics of their own."""
        with np.errstate(all="ignore"):
            p, eps = float(real.type(self.p)), float(real.type(self.eps))
        names = {1.0: "manhattan", 2.0: "euclidean", math.inf: "chebyshev"}
        metric = names.get(p, "minkowski") if self.metric == "minkowski" else self.metric
        return Measure(metric, p, eps)


USUAL_P, USUAL_EPS = 2.0, 1e-6
USUAL = Measure("minkowski", USUAL_P, USUAL_EPS)


def norm_of(p: Any, eps: Any) -> Measure:
    if type(p) is float and type(eps) is float and p == USUAL_P and eps == USUAL_EPS:
        return USUAL  # the common case, without the cost of the others
    power, small = real_number(p, "p"), real_number(eps, "eps")
    if not power > 0:
        raise ValueError(f"p must be positive, got {p!r}")
    if math.isinf(small):
        raise ValueError(f"eps must be finite, got {eps!r}")
    return Measure("minkowski", max(power, 1e-30), small)


def named(metric: Any, name: str) -> Measure:
    if not isinstance(metric, str) or metric not in METRICS:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, METRICS))}, got {metric!r}")
    return Measure(metric, eps=1e-8 if metric == "cosine" else 0.0)


def finite(x: Any, name: str) -> float:
    number = real_number(x, name)
    if math.isinf(number):
        raise ValueError(f"{name} must be finite, got {x!r}")
    return number


def positive(x: Any, name: str) -> float:
    if type(x) is float and 0.0 < x < math.inf:  # the common case, without the cost of the others
        return x
    number = real_number(x, name)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {x!r}")
    return number


# ---- shapes ----------------------------------------------------------------------------------------------------------


def common_shape(arrays: tuple[Array, ...], names: tuple[str, ...]) -> tuple[int, ...]:
    """The shape of all vectors, features last: leading axes broadcast against each other, features do not."""
    for a, name in zip(arrays, names, strict=True):
        if a.ndim == 0:
            raise ValueError(f"{name} has shape (), expected (D,), (N, D) or (..., D)")
        if a.shape[-1] != arrays[0].shape[-1]:
            raise ValueError(
                f"{name} has {a.shape[-1]} features and {names[0]} has {arrays[0].shape[-1]} (shapes {a.shape} and "
                f"{arrays[0].shape}): these must be equal"
            )
    try:
        return np.broadcast_shapes(*(a.shape for a in arrays))
    except ValueError:
        shapes = ", ".join(f"{name} {a.shape}" for a, name in zip(arrays, names, strict=True))
        raise ValueError(f"shapes do not broadcast: {shapes}") from None


def sum_to(g: Array, to: Array) -> None:
    """Add up, in float64, the gradient of an operand that was broadcast."""
    extra = g.ndim - to.ndim
    axes = (*range(extra), *(extra + k for k, n in enumerate(to.shape) if n == 1 and g.shape[extra + k] != 1))
    with np.errstate(all="ignore"):
        np.copyto(to, g.sum(axis=axes, dtype=np.float64).reshape(to.shape), casting="same_kind")


# ---- the path --------------------------------------------------------------------------------------------------------


def run(job: VectorJob, names: tuple[str, ...]) -> float:
    """Sum of the values; `value` and `grads` are written."""
    engine: Callable[[VectorJob], tuple[float, int]] = _reference.vectors
    if _config.get_backend() == "native":
        assert _config.native is not None
        engine = _config.native.run_vectors
    total, bad = engine(job)
    if bad >= 0:
        assert job.target is not None
        position = own_position(job.target, where(bad, job.vectors[0].shape[:-1]))
        raise ValueError(f"{at(names[-1], position)} = {job.target[position]} {DOMAINS[job.loss]}")
    return total


def general_vectors(
    loss: str, measure: Measure, operands: tuple[Any, ...], names: tuple[str, ...], target: Any, margin: float,
    swap: bool, axis: int, reduction: Any, mask: Any, return_grad: Any, grad_output: Any, out: Any, grad_out: Any,
    keepdim: bool = False,
) -> Any:  # fmt: skip
    """A loss or a measure of vectors, with their features along `axis` (of the shape that they have in common). names:
    of the operands and, if there is one, of the target."""
    check_options(reduction, return_grad, grad_output, out, grad_out)
    arrays = tuple(as_array(x, name) for x, name in zip(operands, names, strict=False))
    moved = arrays
    if axis != -1:
        moved = tuple(np.moveaxis(a[(np.newaxis,) * (-axis - a.ndim)], axis, -1) for a in arrays)
    shape = common_shape(moved, names[: len(arrays)])
    positions = shape[:-1]
    if keepdim:
        at_axis = len(shape) + axis
        kept = (*positions[:at_axis], 1, *positions[at_axis:])
    else:
        kept = positions
    target_array, mask_array = as_optional(target, names[-1]), as_mask(mask)
    check_broadcast(target_array, names[-1], positions, "the unreduced loss")
    check_broadcast(mask_array, "mask", positions, "the unreduced loss")
    factor, grad_output_array = split_grad_output(grad_output, kept)
    real = working_dtype(*zip(operands, arrays, strict=True))
    inputs = [a for a in (*arrays, target_array, mask_array, grad_output_array) if a is not None]
    value, grads = outputs(out, grad_out, kept, [a.shape for a in arrays], real, inputs, reduction, return_grad)

    written: list[Array] | None = None
    if grads is not None:
        written = []
        for g, a in zip(grads, moved, strict=True):
            view = g if axis == -1 else np.moveaxis(g.reshape((1,) * (a.ndim - g.ndim) + g.shape), axis, -1)
            written.append(view if a.shape == shape else np.empty(shape, real))
    denominator = float(math.prod(positions))
    if mask_array is not None and reduction == "mean":
        denominator = total_of(mask_array, None, positions, real)
    if keepdim and grad_output_array is not None:
        grad_output_array = np.broadcast_to(grad_output_array, kept).reshape(positions)
    used = measure.rounded(real)
    job = VectorJob(
        loss, used.metric, real, tuple(np.broadcast_to(a, shape) for a in moved), target_array, mask_array,
        grad_output_array, used.p, used.eps, margin, swap, scale_of(reduction, denominator) * factor,
        None if value is None else value.reshape(positions), None if written is None else tuple(written),
    )  # fmt: skip
    total = run(job, names)
    for g, a, w in zip(grads or (), moved, written or (), strict=False):
        if a.shape != shape:
            sum_to(w, np.moveaxis(g.reshape((1,) * (a.ndim - g.ndim) + g.shape), axis, -1))
    return result(reduced(total, reduction, denominator, value), grads)


if _config.native is not None:
    _config.native._connect_vectors(general_vectors)
    vectors: Callable[..., Any] = _config.native.vectors
else:
    vectors = general_vectors


def axis_of(dim: Any, shapes: tuple[tuple[int, ...], ...]) -> int:
    """The features' axis, counted from the end, of operands whose shapes broadcast; 1 is 0 for a single vector."""
    axis, ndim = integer(dim, "dim"), max(map(len, shapes))
    if ndim == 1 and axis == 1:
        return -1
    if not -ndim <= axis < ndim:
        raise ValueError(f"dim = {axis} is out of range for shapes {shapes[0]} and {shapes[1]}")
    return axis if axis < 0 else axis - ndim


def pairwise(
    measure: Measure, x1: Any, x2: Any, dim: Any, keepdim: Any, return_grad: Any, grad_output: Any, out: Any,
    grad_out: Any,
) -> Any:  # fmt: skip
    """A measure of pairs of vectors, unreduced."""
    arrays = as_array(x1, "x1"), as_array(x2, "x2")
    if max(a.ndim for a in arrays) == 0:
        raise ValueError("x1 has shape (), expected (D,), (N, D) or (..., D)")
    return vectors(
        "pair", measure, (x1, x2), ("x1", "x2"), None, 0.0, False, axis_of(dim, (arrays[0].shape, arrays[1].shape)),
        "none", None, return_grad, grad_output, out, grad_out, boolean(keepdim, "keepdim"),
    )  # fmt: skip


def every_pair(x: Any, y: Any, metric: Any, p: Any, out: Any) -> Any:
    """All distances of two sets (N, D) and (M, D)."""
    arrays = as_array(x, "x"), as_array(y, "y")
    for a, name in zip(arrays, "xy", strict=True):
        if a.ndim != 2:
            raise ValueError(f"{name} has shape {a.shape}, expected (N, D)")
    power = norm_of(p, 0.0)
    measure = power if metric == "minkowski" else named(metric, "metric")
    real = working_dtype((x, arrays[0]), (y, arrays[1]))
    first, second = (a.astype(real, copy=False) for a in arrays)  # each vector is read many times
    return vectors(
        "pair", measure, (first[:, np.newaxis], second), ("x", "y"), None, 0.0, False, -1, "none", None, False, None,
        out, None,
    )  # fmt: skip

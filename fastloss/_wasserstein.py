# SPDX-License-Identifier: BSD-3-Clause
"""The path of `wasserstein_distance_1d`: checks, sorting, and the flow of mass between two sorted samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import _config, reference
from ._arrays import Array, as_array, as_optional, at, check_output, where, working_dtype
from ._call import boolean

CHUNK = 1 << 16  # steps of the cumulated masses


def _samples(x: Any, name: str) -> Array:
    a = as_array(x, name)
    if a.ndim != 1 or a.size == 0:
        raise ValueError(f"{name} has shape {a.shape}, expected (n,) with n >= 1")
    return a


def _mass(weight: Any, name: str, samples: Array) -> Array | None:
    """Weights that sum to 1."""
    a = as_optional(weight, name)
    if a is None:
        return None
    if a.shape != samples.shape:
        raise ValueError(f"{name} has shape {a.shape}, expected {samples.shape}: one per sample")
    own = a.astype(np.float64)
    bad = ~(np.isfinite(own) & (own >= 0))
    if bad.any():
        position = where(int(np.argmax(bad)), own.shape)
        raise ValueError(f"{at(name, position)} = {a[position]} is negative or not finite")
    total = float(own.sum())
    if not 0 < total < np.inf:
        raise ValueError(f"{name} sums to {total}, expected a positive number")
    return own / total


def distance(
    input: Any, target: Any, input_weight: Any, target_weight: Any, return_grad: Any, grad_output: Any, grad_out: Any
) -> Any:  # fmt: skip
    """Value, and gradients where they are asked for."""
    x, y = _samples(input, "input"), _samples(target, "target")
    mass = _mass(input_weight, "input_weight", x), _mass(target_weight, "target_weight", y)
    boolean(return_grad, "return_grad")
    for name, given in (("grad_output", grad_output), ("grad_out", grad_out)):
        if given is not None and not return_grad:
            raise ValueError(f"{name} is given, but return_grad is False")
    factor = 1.0 if grad_output is None else as_array(grad_output, "grad_output")
    if np.ndim(factor):
        raise ValueError(f"grad_output has shape {np.shape(factor)}, expected a scalar: the loss is one number")
    real = working_dtype((input, x), (target, y))
    grads = _outputs(grad_out, x, y, real) if return_grad else None
    pair = x.astype(real), y.astype(real)
    engine = reference.wasserstein.distance if _config.get_backend() == "reference" else flow
    value, found = engine(*pair, *mass, bool(return_grad))
    if grads is None:
        return np.float64(value)
    for to, g in zip(grads, found, strict=True):
        np.multiply(g, float(factor), out=to, casting="same_kind")
    return np.float64(value), grads


def _outputs(grad_out: Any, x: Array, y: Array, real: np.dtype[Any]) -> tuple[Array, Array]:
    if grad_out is None:
        return np.empty(x.shape, real), np.empty(y.shape, real)
    if not (isinstance(grad_out, (tuple, list)) and len(grad_out) == 2):
        raise TypeError("grad_out must be a tuple of 2 arrays, one per prediction operand")
    first = check_output(grad_out[0], "grad_out[0]", x.shape, real, [x, y])
    return first, check_output(grad_out[1], "grad_out[1]", y.shape, real, [x, y, first])


def flow(x: Array, y: Array, x_mass: Array | None, y_mass: Array | None, want_grad: bool) -> tuple[float, Any]:
    """(value, gradients): of sorted samples, pair by pair, or between the steps of their cumulated weights."""
    if x_mass is None and y_mass is None and x.size == y.size:
        return _pairs(x, y, want_grad)
    x_order, y_order = _order(x, x_mass, want_grad), _order(y, y_mass, want_grad)
    x_ends, y_ends = _ends(x_mass, x_order, x.size), _ends(y_mass, y_order, y.size)
    x, y = _sorted(x, x_order), _sorted(y, y_order)
    steps = np.concatenate([x_ends, y_ends])
    steps.sort()
    g_x, g_y = (np.zeros(a.size if want_grad else 0) for a in (x, y))
    parts = []
    for first in range(0, steps.size, CHUNK):
        ends = steps[first : first + CHUNK]
        width = np.diff(ends, prepend=steps[first - 1] if first else 0.0)
        middle = ends - 0.5 * width
        i = np.minimum(np.searchsorted(x_ends, middle), x.size - 1)
        j = np.minimum(np.searchsorted(y_ends, middle), y.size - 1)
        d = x[i].astype(np.float64) - y[j]
        parts.append(float(np.dot(width, np.abs(d))))
        if want_grad:
            sent = width * np.sign(d)
            g_x[i[0] : i[-1] + 1] += np.bincount(i - i[0], sent)  # i and j never fall
            g_y[j[0] : j[-1] + 1] -= np.bincount(j - j[0], sent)
    value = math.fsum(parts) if all(map(math.isfinite, parts)) else sum(parts)
    return value, (_unsorted(g_x, x_order), _unsorted(g_y, y_order)) if want_grad else ()


def _order(a: Array, mass: Array | None, want_grad: bool) -> Array | None:
    """By which samples are sorted, where more than their values is sorted."""
    return np.argsort(a) if want_grad or mass is not None else None


def _sorted(a: Array, order: Array | None) -> Array:
    if order is not None:
        return a[order]
    a.sort()
    return a


def _unsorted(a: Array, order: Array | None) -> Array:
    found = np.empty_like(a)
    found[order] = a
    return found


def _ends(mass: Array | None, order: Array | None, n: int) -> Array:
    """Cumulated mass of n sorted samples, 1 at the last."""
    if mass is None or order is None:
        return np.arange(1, n + 1) / n
    ends = np.minimum(np.cumsum(mass[order]), 1.0)
    ends[-1] = 1.0
    return ends


def _pairs(x: Array, y: Array, want_grad: bool) -> tuple[float, Any]:
    """Equally many samples of equal mass: the k-th of one goes to the k-th of the other."""
    from .regression import l1_loss

    if not want_grad:
        x.sort()
        y.sort()
        return float(l1_loss(x, y)), ()
    x_order, y_order = np.argsort(x), np.argsort(y)
    value, grad = l1_loss(x[x_order], y[y_order], return_grad=True)
    g_x, g_y = np.empty_like(grad), np.empty_like(grad)
    g_x[x_order] = grad
    g_y[y_order] = -grad
    return float(value), (g_x, g_y)

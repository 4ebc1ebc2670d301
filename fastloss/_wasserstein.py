# SPDX-License-Identifier: BSD-3-Clause
"""The path of `wasserstein_distance_1d`: checks, and the flow of mass between two samples that are sorted at once."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from . import _config, reference
from ._arrays import Array, as_array, as_optional, at, check_output, where, working_dtype
from ._call import boolean

CHUNK = 1 << 16  # steps of the cumulated masses, weights that are looked at
AT_ONCE = 24 << 20  # bytes; more than that is sorted span by span


def _samples(x: Any, name: str) -> Array:
    a = as_array(x, name)
    if a.ndim != 1 or a.size == 0:
        raise ValueError(f"{name} has shape {a.shape}, expected (n,) with n >= 1")
    return a


class Weights(NamedTuple):
    """One per sample, as they were given, and their sum."""

    given: Array
    total: float

    def masses(self) -> Array:
        return self.given.astype(np.float64) / self.total


def _weights(weight: Any, name: str, samples: Array) -> Weights | None:
    a = as_optional(weight, name)
    if a is None:
        return None
    if a.shape != samples.shape:
        raise ValueError(f"{name} has shape {a.shape}, expected {samples.shape}: one per sample")
    sums = []
    for first in range(0, a.size, CHUNK):
        own = a[first : first + CHUNK].astype(np.float64)
        bad = ~(np.isfinite(own) & (own >= 0))
        if bad.any():
            position = where(first + int(np.argmax(bad)), a.shape)
            raise ValueError(f"{at(name, position)} = {a[position]} is negative or not finite")
        sums.append(float(own.sum()))
    total = sum(sums)
    if not 0 < total < np.inf:
        raise ValueError(f"{name} sums to {total}, expected a positive number")
    return Weights(a, total)


def distance(
    input: Any, target: Any, input_weight: Any, target_weight: Any, return_grad: Any, grad_output: Any, grad_out: Any
) -> Any:  # fmt: skip
    """Value, and gradients where they are asked for."""
    x, y = _samples(input, "input"), _samples(target, "target")
    weights = _weights(input_weight, "input_weight", x), _weights(target_weight, "target_weight", y)
    boolean(return_grad, "return_grad")
    for name, given in (("grad_output", grad_output), ("grad_out", grad_out)):
        if given is not None and not return_grad:
            raise ValueError(f"{name} is given, but return_grad is False")
    factor = 1.0 if grad_output is None else as_array(grad_output, "grad_output")
    if np.ndim(factor):
        raise ValueError(f"grad_output has shape {np.shape(factor)}, expected a scalar: the loss is one number")
    real = working_dtype((input, x), (target, y))
    grads = _outputs(grad_out, x, y, real) if return_grad else None
    native, scale = _config.get_backend() == "native", float(factor)
    paired = x.size == y.size and weights == (None, None)
    if native and _bytes_at_once(x.size + y.size, real.itemsize, paired, grads) > AT_ONCE:
        value = _by_spans((x, y), weights, real, grads, scale)
    elif native and paired:
        value = _pairs(x, y, real, grads, scale)
    else:
        x_mass, y_mass = (None if w is None else w.masses() for w in weights)
        engine = flow if native else reference.wasserstein.distance
        value, found = engine(x.astype(real), y.astype(real), x_mass, y_mass, bool(return_grad))
        for to, g in zip(grads or (), found, strict=True):
            np.multiply(g, scale, out=to, casting="same_kind")
    return np.float64(value) if grads is None else (np.float64(value), grads)


def _bytes_at_once(n: int, size: int, paired: bool, grads: Any) -> int:
    """What sorting all n samples of both sides takes at most beyond inputs and gradients."""
    return 64 * n if not paired else size * n if grads is None else (8 + size) * n


def _by_spans(
    samples: tuple[Array, Array], weights: tuple[Weights | None, Weights | None], real: np.dtype[Any], grads: Any,
    factor: float,
) -> float:  # fmt: skip
    """Without weights masses are whole numbers, which add up exactly: of a sample, how many the other side has."""
    from . import _wasserstein_spans as by_spans

    sizes = [float(a.size) for a in samples]
    counted = weights == (None, None)
    units = sizes[::-1] if counted else [
        1 / size if w is None else 1 / w.total for size, w in zip(sizes, weights, strict=True)
    ]  # fmt: skip
    sides = tuple(
        by_spans.Side(a, None if w is None else w.given, unit, real, None if grads is None else grads[k])
        for k, (a, w, unit) in enumerate(zip(samples, weights, units, strict=True))
    )
    return by_spans.distance((sides[0], sides[1]), sizes[0] * sizes[1] if counted else 1.0, factor)


def _outputs(grad_out: Any, x: Array, y: Array, real: np.dtype[Any]) -> tuple[Array, Array]:
    if grad_out is None:
        return np.empty(x.shape, real), np.empty(y.shape, real)
    if not (isinstance(grad_out, (tuple, list)) and len(grad_out) == 2):
        raise TypeError("grad_out must be a tuple of 2 arrays, one per prediction operand")
    first = check_output(grad_out[0], "grad_out[0]", x.shape, real, [x, y])
    return first, check_output(grad_out[1], "grad_out[1]", y.shape, real, [x, y, first])


def flow(x: Array, y: Array, x_mass: Array | None, y_mass: Array | None, want_grad: bool) -> tuple[float, Any]:
    """(value, gradients) of sorted samples, between the steps of their cumulated weights."""
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


def _pairs(x: Array, y: Array, real: np.dtype[Any], grads: Any, factor: float) -> float:
    """Equally many samples of equal mass: the k-th of one goes to the k-th of the other."""
    from .regression import l1_loss

    n, parts = x.size, []
    if grads is None:
        x, y = x.astype(real), y.astype(real)  # the only copies
        x.sort()
        y.sort()
        parts = [float(l1_loss(x[k : k + CHUNK], y[k : k + CHUNK], reduction="sum")) for k in range(0, n, CHUNK)]
    else:
        x, y = x.astype(real, copy=False), y.astype(real, copy=False)
        x_order, y_order = np.argsort(x), np.argsort(y)
        for k in range(0, n, CHUNK):
            i, j = x_order[k : k + CHUNK], y_order[k : k + CHUNK]
            value, sign = l1_loss(x[i], y[j], reduction="sum", return_grad=True)
            parts.append(float(value))
            np.multiply(sign, factor / n, out=sign, casting="same_kind")
            grads[0][i], grads[1][j] = sign, -sign
    return sum(parts) / n

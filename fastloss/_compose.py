# SPDX-License-Identifier: BSD-3-Clause
"""Losses that are weighted sums of others: each part is one call of its kernel, and reads its own operands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ._arrays import Array, as_array, check_output, working_dtype
from ._call import Sums, boolean, unwrap

Part = tuple[float, Any]  # factor, and the part as a loss returns it


def total(parts: list[Part], out: Any = None) -> Any:
    """Sum of the parts: numbers, unreduced losses of one shape, or `Sums` of one denominator."""
    first = parts[0][1]
    if isinstance(first, Sums):
        denominators = {part.denominator for _, part in parts}
        if len(denominators) > 1:
            raise ValueError(f"the parts of this loss count {sorted(denominators)} elements: they do not accumulate")
        values = None if first.values is None else total([(factor, part.values) for factor, part in parts])
        return Sums(sum(factor * part.total for factor, part in parts), first.denominator, values)
    value = np.multiply(first, parts[0][0], dtype=first.dtype)
    for factor, part in parts[1:]:
        value = value + np.multiply(part, factor, dtype=part.dtype)
    if out is None:
        return unwrap(value) if isinstance(value, np.ndarray) else value
    out[...] = value
    return out


def checked(out: Any, shape: tuple[int, ...], operands: Iterable[tuple[Any, Array]]) -> Any:
    """The caller's array for the unreduced loss, of the working type of all operands; or None."""
    if out is None:
        return None
    pairs = list(operands)
    return check_output(out, "out", shape, working_dtype(*pairs), [a for _, a in pairs])


def value_of(part: Any) -> Any:
    """A part as it is shown: that of an accumulator by its mean."""
    if not isinstance(part, Sums):
        return part
    return np.float64(part.total / part.denominator) if part.denominator else np.float64(np.nan)


def scaled(grad_output: Any, factor: float) -> Any:
    """`grad_output` of a part that enters the sum times `factor`."""
    if grad_output is None:
        return factor
    return factor * float(grad_output) if np.ndim(grad_output) == 0 else _array(grad_output, factor)


def _array(grad_output: Any, factor: float) -> Any:
    a = as_array(grad_output, "grad_output")
    return a if factor == 1 else a * np.asarray(factor, a.dtype if a.dtype.kind == "f" else np.float64)


def run(part: Callable[..., Any], return_grad: bool, factor: float, grad_output: Any, grad_out: Any) -> tuple[Any, Any]:
    """Value and gradients (or None) of a part: `part(return_grad=..., grad_output=..., grad_out=...)`."""
    if not return_grad:
        return part(return_grad=False), None
    value, grads = part(return_grad=True, grad_output=scaled(grad_output, factor), grad_out=grad_out)
    return value, grads


def split(grad_out: Any, count: int) -> list[Any]:
    """`grad_out` of a loss of `count` gradients, one by one."""
    if grad_out is None:
        return [None] * count
    if count == 1:
        return [grad_out]
    if not (isinstance(grad_out, (tuple, list)) and len(grad_out) == count):
        raise TypeError(f"grad_out must be a tuple of {count} arrays, one per prediction operand")
    for k, one in enumerate(grad_out):
        others = [a for a in grad_out[:k] if isinstance(a, np.ndarray)]
        if isinstance(one, np.ndarray):
            check_output(one, f"grad_out[{k}]", one.shape, one.dtype, others)
    return list(grad_out)


def result(value: Any, grads: list[Any] | None, parts: Any, return_parts: Any) -> Any:
    """What a composed loss returns: the value, with its gradients and its parts where they are asked for."""
    shown: tuple[Any, ...] = (value,)
    if grads is not None:
        shown += (grads[0] if len(grads) == 1 else tuple(grads),)
    if boolean(return_parts, "return_parts"):
        shown += (parts,)
    return shown[0] if len(shown) == 1 else shown

# SPDX-License-Identifier: BSD-3-Clause
# Written by tools/stubs.py from linear.py; not to be edited.
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

# An array of the working type, a NumPy scalar where the input is 0-d: "or Any" spares callers the distinction.
_Array: TypeAlias = NDArray[np.floating[Any]] | Any

__all__ = ["linear_cross_entropy"]

@overload
def linear_cross_entropy(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> np.float64: ...
@overload
def linear_cross_entropy(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    reduction: Literal["none"],
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> _Array: ...
@overload
def linear_cross_entropy(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> tuple[np.float64, tuple[_Array, ...]]: ...
@overload
def linear_cross_entropy(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    reduction: Literal["none"],
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> tuple[_Array, tuple[_Array, ...]]: ...
@overload
def linear_cross_entropy(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> Any: ...

# SPDX-License-Identifier: BSD-3-Clause
# Written by tools/stubs.py from margin.py; not to be edited.
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

# An array of the working type, a NumPy scalar where the input is 0-d: "or Any" spares callers the distinction.
_Array: TypeAlias = NDArray[np.floating[Any]] | Any

__all__ = ["multi_margin_loss", "multilabel_margin_loss"]

@overload
def multi_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    p: int = 1,
    margin: float = 1.0,
    reduction: Literal["mean", "sum"] = "mean",
    class_axis: int = 1,
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def multi_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    p: int = 1,
    margin: float = 1.0,
    reduction: Literal["none"],
    class_axis: int = 1,
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def multi_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    p: int = 1,
    margin: float = 1.0,
    reduction: Literal["mean", "sum"] = "mean",
    class_axis: int = 1,
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def multi_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    p: int = 1,
    margin: float = 1.0,
    reduction: Literal["none"],
    class_axis: int = 1,
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def multi_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    p: int = 1,
    margin: float = 1.0,
    reduction: str = "mean",
    class_axis: int = 1,
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def multilabel_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    class_axis: int = 1,
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def multilabel_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    reduction: Literal["none"],
    class_axis: int = 1,
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def multilabel_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    class_axis: int = 1,
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def multilabel_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    reduction: Literal["none"],
    class_axis: int = 1,
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def multilabel_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    reduction: str = "mean",
    class_axis: int = 1,
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...

# SPDX-License-Identifier: BSD-3-Clause
# Written by tools/stubs.py from lovasz.py; not to be edited.
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

# An array of the working type, a NumPy scalar where the input is 0-d: "or Any" spares callers the distinction.
_Array: TypeAlias = NDArray[np.floating[Any]] | Any

__all__ = ["lovasz_hinge_loss", "lovasz_softmax_loss"]

@overload
def lovasz_softmax_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    from_logits: bool = True,
    class_axis: int = 1,
    per_image: bool = False,
    classes: str = "present",
    ignore_index: int = -100,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def lovasz_softmax_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    from_logits: bool = True,
    class_axis: int = 1,
    per_image: bool = False,
    classes: str = "present",
    ignore_index: int = -100,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def lovasz_softmax_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    from_logits: bool = True,
    class_axis: int = 1,
    per_image: bool = False,
    classes: str = "present",
    ignore_index: int = -100,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def lovasz_softmax_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    from_logits: bool = True,
    class_axis: int = 1,
    per_image: bool = False,
    classes: str = "present",
    ignore_index: int = -100,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def lovasz_softmax_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    from_logits: bool = True,
    class_axis: int = 1,
    per_image: bool = False,
    classes: str = "present",
    ignore_index: int = -100,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def lovasz_hinge_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    mode: str = "binary",
    class_axis: int = 1,
    per_image: bool = False,
    classes: str = "all",
    ignore_index: int = -100,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def lovasz_hinge_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    mode: str = "binary",
    class_axis: int = 1,
    per_image: bool = False,
    classes: str = "all",
    ignore_index: int = -100,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def lovasz_hinge_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    mode: str = "binary",
    class_axis: int = 1,
    per_image: bool = False,
    classes: str = "all",
    ignore_index: int = -100,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def lovasz_hinge_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    mode: str = "binary",
    class_axis: int = 1,
    per_image: bool = False,
    classes: str = "all",
    ignore_index: int = -100,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def lovasz_hinge_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    mode: str = "binary",
    class_axis: int = 1,
    per_image: bool = False,
    classes: str = "all",
    ignore_index: int = -100,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...

# SPDX-License-Identifier: BSD-3-Clause
# Written by tools/stubs.py from box.py; not to be edited.
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

# An array of the working type, a NumPy scalar where the input is 0-d: "or Any" spares callers the distinction.
_Array: TypeAlias = NDArray[np.floating[Any]] | Any

__all__ = ["box_iou", "ciou_loss", "diou_loss", "giou_loss", "iou_loss"]

def box_iou(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    *,
    fmt: str = "xyxy",
    out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def iou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def iou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def iou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def iou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def iou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def giou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def giou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def giou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def giou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def giou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def diou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def diou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def diou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def diou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def diou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def ciou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def ciou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def ciou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def ciou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def ciou_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    fmt: str = "xyxy",
    eps: float = 1e-07,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...

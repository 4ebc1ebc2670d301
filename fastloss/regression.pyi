# SPDX-License-Identifier: BSD-3-Clause
# Written by tools/stubs.py from regression.py; not to be edited.
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

# An array of the working type, a NumPy scalar where the input is 0-d: "or Any" spares callers the distinction.
_Array: TypeAlias = NDArray[np.floating[Any]] | Any

__all__ = ["huber_loss", "l1_loss", "log_cosh_loss", "mse_loss", "rmse_loss", "smooth_l1_loss"]

@overload
def l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def mse_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    return_hess: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def mse_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    return_hess: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def mse_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_hess: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def mse_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_hess: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def mse_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_hess: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array, _Array]: ...
@overload
def mse_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_hess: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array, _Array]: ...
@overload
def mse_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    return_hess: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def huber_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    delta: float = 1.0,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    return_hess: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def huber_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    delta: float = 1.0,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    return_hess: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def huber_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    delta: float = 1.0,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_hess: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def huber_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    delta: float = 1.0,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_hess: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def huber_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    delta: float = 1.0,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_hess: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array, _Array]: ...
@overload
def huber_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    delta: float = 1.0,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_hess: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array, _Array]: ...
@overload
def huber_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    delta: float = 1.0,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    return_hess: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def smooth_l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    beta: float = 1.0,
    weight: ArrayLike | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    return_hess: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def smooth_l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    beta: float = 1.0,
    weight: ArrayLike | None = None,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    return_hess: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def smooth_l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    beta: float = 1.0,
    weight: ArrayLike | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_hess: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def smooth_l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    beta: float = 1.0,
    weight: ArrayLike | None = None,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_hess: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def smooth_l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    beta: float = 1.0,
    weight: ArrayLike | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_hess: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array, _Array]: ...
@overload
def smooth_l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    beta: float = 1.0,
    weight: ArrayLike | None = None,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_hess: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array, _Array]: ...
@overload
def smooth_l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    beta: float = 1.0,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    return_hess: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def rmse_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    eps: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def rmse_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    eps: float = 0.0,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def rmse_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    eps: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def rmse_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    eps: float = 0.0,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def rmse_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    eps: float = 0.0,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def log_cosh_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    return_hess: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def log_cosh_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    return_hess: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def log_cosh_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_hess: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def log_cosh_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_hess: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def log_cosh_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_hess: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array, _Array]: ...
@overload
def log_cosh_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_hess: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array, _Array]: ...
@overload
def log_cosh_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    return_hess: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> Any: ...

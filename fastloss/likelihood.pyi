# SPDX-License-Identifier: BSD-3-Clause
# Written by tools/stubs.py from likelihood.py; not to be edited.
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

# An array of the working type, a NumPy scalar where the input is 0-d: "or Any" spares callers the distinction.
_Array: TypeAlias = NDArray[np.floating[Any]] | Any

__all__ = ["gamma_nll_loss", "gaussian_nll_loss", "kl_div", "poisson_nll_loss", "tweedie_nll_loss"]

@overload
def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike,
    *,
    full: bool = False,
    eps: float = 1e-06,
    weight: ArrayLike | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> np.float64: ...
@overload
def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike,
    *,
    full: bool = False,
    eps: float = 1e-06,
    weight: ArrayLike | None = None,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> _Array: ...
@overload
def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike,
    *,
    full: bool = False,
    eps: float = 1e-06,
    weight: ArrayLike | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> tuple[np.float64, tuple[_Array, _Array]]: ...
@overload
def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike,
    *,
    full: bool = False,
    eps: float = 1e-06,
    weight: ArrayLike | None = None,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> tuple[_Array, tuple[_Array, _Array]]: ...
@overload
def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike,
    *,
    full: bool = False,
    eps: float = 1e-06,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> Any: ...
@overload
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-08,
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
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-08,
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
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-08,
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
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-08,
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
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-08,
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
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-08,
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
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-08,
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
def kl_div(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_target: bool = False,
    weight: ArrayLike | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def kl_div(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_target: bool = False,
    weight: ArrayLike | None = None,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def kl_div(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_target: bool = False,
    weight: ArrayLike | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def kl_div(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_target: bool = False,
    weight: ArrayLike | None = None,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def kl_div(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_target: bool = False,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def gamma_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    log_input: bool = True,
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
def gamma_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    log_input: bool = True,
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
def gamma_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    log_input: bool = True,
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
def gamma_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    log_input: bool = True,
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
def gamma_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    log_input: bool = True,
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
def gamma_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    log_input: bool = True,
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
def gamma_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    log_input: bool = True,
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
def tweedie_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    power: float = 1.5,
    log_input: bool = True,
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
def tweedie_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    power: float = 1.5,
    log_input: bool = True,
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
def tweedie_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    power: float = 1.5,
    log_input: bool = True,
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
def tweedie_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    power: float = 1.5,
    log_input: bool = True,
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
def tweedie_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    power: float = 1.5,
    log_input: bool = True,
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
def tweedie_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    power: float = 1.5,
    log_input: bool = True,
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
def tweedie_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    power: float = 1.5,
    log_input: bool = True,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    return_hess: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    hess_out: NDArray[Any] | None = None,
) -> Any: ...

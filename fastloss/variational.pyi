# SPDX-License-Identifier: BSD-3-Clause
# Written by tools/stubs.py from variational.py; not to be edited.
from typing import Any, Literal, NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

# An array of the working type, a NumPy scalar where the input is 0-d: "or Any" spares callers the distinction.
_Array: TypeAlias = NDArray[np.floating[Any]] | Any

__all__ = ["ELBOParts", "elbo_loss", "gaussian_kl_loss", "js_divergence", "renyi_divergence"]

@overload
def gaussian_kl_loss(
    mu: ArrayLike,
    log_var: ArrayLike,
    prior_mu: ArrayLike | None = None,
    prior_log_var: ArrayLike | None = None,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> np.float64: ...
@overload
def gaussian_kl_loss(
    mu: ArrayLike,
    log_var: ArrayLike,
    prior_mu: ArrayLike | None = None,
    prior_log_var: ArrayLike | None = None,
    *,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> _Array: ...
@overload
def gaussian_kl_loss(
    mu: ArrayLike,
    log_var: ArrayLike,
    prior_mu: ArrayLike | None = None,
    prior_log_var: ArrayLike | None = None,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> tuple[np.float64, tuple[_Array, ...]]: ...
@overload
def gaussian_kl_loss(
    mu: ArrayLike,
    log_var: ArrayLike,
    prior_mu: ArrayLike | None = None,
    prior_log_var: ArrayLike | None = None,
    *,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> tuple[_Array, tuple[_Array, ...]]: ...
@overload
def gaussian_kl_loss(
    mu: ArrayLike,
    log_var: ArrayLike,
    prior_mu: ArrayLike | None = None,
    prior_log_var: ArrayLike | None = None,
    *,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> Any: ...

class ELBOParts(NamedTuple):
    reconstruction: Any
    kl: Any

@overload
def elbo_loss(
    input: ArrayLike,
    target: ArrayLike,
    mu: ArrayLike,
    log_var: ArrayLike,
    *,
    beta: float = 1.0,
    reconstruction: str = "bce_with_logits",
    reduction: Literal["mean", "sum"] = "mean",
    return_grad: Literal[False] = False,
    return_parts: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None,
) -> np.float64: ...
@overload
def elbo_loss(
    input: ArrayLike,
    target: ArrayLike,
    mu: ArrayLike,
    log_var: ArrayLike,
    *,
    beta: float = 1.0,
    reconstruction: str = "bce_with_logits",
    reduction: Literal["none"],
    return_grad: Literal[False] = False,
    return_parts: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None,
) -> _Array: ...
@overload
def elbo_loss(
    input: ArrayLike,
    target: ArrayLike,
    mu: ArrayLike,
    log_var: ArrayLike,
    *,
    beta: float = 1.0,
    reconstruction: str = "bce_with_logits",
    reduction: Literal["mean", "sum"] = "mean",
    return_grad: Literal[True],
    return_parts: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None,
) -> tuple[np.float64, tuple[_Array, _Array, _Array]]: ...
@overload
def elbo_loss(
    input: ArrayLike,
    target: ArrayLike,
    mu: ArrayLike,
    log_var: ArrayLike,
    *,
    beta: float = 1.0,
    reconstruction: str = "bce_with_logits",
    reduction: Literal["none"],
    return_grad: Literal[True],
    return_parts: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None,
) -> tuple[_Array, tuple[_Array, _Array, _Array]]: ...
@overload
def elbo_loss(
    input: ArrayLike,
    target: ArrayLike,
    mu: ArrayLike,
    log_var: ArrayLike,
    *,
    beta: float = 1.0,
    reconstruction: str = "bce_with_logits",
    reduction: str = "mean",
    return_grad: bool = False,
    return_parts: bool = False,
    grad_output: ArrayLike | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None,
) -> Any: ...
@overload
def js_divergence(
    input: ArrayLike,
    target: ArrayLike,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> np.float64: ...
@overload
def js_divergence(
    input: ArrayLike,
    target: ArrayLike,
    *,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> _Array: ...
@overload
def js_divergence(
    input: ArrayLike,
    target: ArrayLike,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> tuple[np.float64, tuple[_Array, _Array]]: ...
@overload
def js_divergence(
    input: ArrayLike,
    target: ArrayLike,
    *,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> tuple[_Array, tuple[_Array, _Array]]: ...
@overload
def js_divergence(
    input: ArrayLike,
    target: ArrayLike,
    *,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> Any: ...
@overload
def renyi_divergence(
    input: ArrayLike,
    target: ArrayLike,
    *,
    alpha: float = 2.0,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> np.float64: ...
@overload
def renyi_divergence(
    input: ArrayLike,
    target: ArrayLike,
    *,
    alpha: float = 2.0,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> _Array: ...
@overload
def renyi_divergence(
    input: ArrayLike,
    target: ArrayLike,
    *,
    alpha: float = 2.0,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> tuple[np.float64, tuple[_Array, _Array]]: ...
@overload
def renyi_divergence(
    input: ArrayLike,
    target: ArrayLike,
    *,
    alpha: float = 2.0,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> tuple[_Array, tuple[_Array, _Array]]: ...
@overload
def renyi_divergence(
    input: ArrayLike,
    target: ArrayLike,
    *,
    alpha: float = 2.0,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> Any: ...

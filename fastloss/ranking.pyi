# SPDX-License-Identifier: BSD-3-Clause
# Written by tools/stubs.py from ranking.py; not to be edited.
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

# An array of the working type, a NumPy scalar where the input is 0-d: "or Any" spares callers the distinction.
_Array: TypeAlias = NDArray[np.floating[Any]] | Any

__all__ = ["info_nce_loss", "multiple_negatives_ranking_loss", "nt_xent_loss"]

@overload
def info_nce_loss(
    query: ArrayLike,
    key: ArrayLike,
    *,
    temperature: float = 0.1,
    normalize: bool = True,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> np.float64: ...
@overload
def info_nce_loss(
    query: ArrayLike,
    key: ArrayLike,
    *,
    temperature: float = 0.1,
    normalize: bool = True,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> _Array: ...
@overload
def info_nce_loss(
    query: ArrayLike,
    key: ArrayLike,
    *,
    temperature: float = 0.1,
    normalize: bool = True,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> tuple[np.float64, tuple[_Array, _Array]]: ...
@overload
def info_nce_loss(
    query: ArrayLike,
    key: ArrayLike,
    *,
    temperature: float = 0.1,
    normalize: bool = True,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> tuple[_Array, tuple[_Array, _Array]]: ...
@overload
def info_nce_loss(
    query: ArrayLike,
    key: ArrayLike,
    *,
    temperature: float = 0.1,
    normalize: bool = True,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> Any: ...
@overload
def nt_xent_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    *,
    temperature: float = 0.5,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> np.float64: ...
@overload
def nt_xent_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    *,
    temperature: float = 0.5,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> _Array: ...
@overload
def nt_xent_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    *,
    temperature: float = 0.5,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> tuple[np.float64, tuple[_Array, _Array]]: ...
@overload
def nt_xent_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    *,
    temperature: float = 0.5,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> tuple[_Array, tuple[_Array, _Array]]: ...
@overload
def nt_xent_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    *,
    temperature: float = 0.5,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> Any: ...
@overload
def multiple_negatives_ranking_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike | None = None,
    *,
    scale: float = 20.0,
    normalize: bool = True,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> np.float64: ...
@overload
def multiple_negatives_ranking_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike | None = None,
    *,
    scale: float = 20.0,
    normalize: bool = True,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> _Array: ...
@overload
def multiple_negatives_ranking_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike | None = None,
    *,
    scale: float = 20.0,
    normalize: bool = True,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> tuple[np.float64, tuple[_Array, ...]]: ...
@overload
def multiple_negatives_ranking_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike | None = None,
    *,
    scale: float = 20.0,
    normalize: bool = True,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> tuple[_Array, tuple[_Array, ...]]: ...
@overload
def multiple_negatives_ranking_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike | None = None,
    *,
    scale: float = 20.0,
    normalize: bool = True,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> Any: ...

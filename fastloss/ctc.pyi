# SPDX-License-Identifier: BSD-3-Clause
# Written by tools/stubs.py from ctc.py; not to be edited.
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

# An array of the working type, a NumPy scalar where the input is 0-d: "or Any" spares callers the distinction.
_Array: TypeAlias = NDArray[np.floating[Any]] | Any

__all__ = ["ctc_feasible", "ctc_loss"]

@overload
def ctc_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    input_lengths: ArrayLike,
    target_lengths: ArrayLike,
    *,
    blank: int = 0,
    reduction: Literal["mean", "sum"] = "mean",
    zero_infinity: bool = False,
    from_logits: bool = False,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def ctc_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    input_lengths: ArrayLike,
    target_lengths: ArrayLike,
    *,
    blank: int = 0,
    reduction: Literal["none"],
    zero_infinity: bool = False,
    from_logits: bool = False,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def ctc_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    input_lengths: ArrayLike,
    target_lengths: ArrayLike,
    *,
    blank: int = 0,
    reduction: Literal["mean", "sum"] = "mean",
    zero_infinity: bool = False,
    from_logits: bool = False,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def ctc_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    input_lengths: ArrayLike,
    target_lengths: ArrayLike,
    *,
    blank: int = 0,
    reduction: Literal["none"],
    zero_infinity: bool = False,
    from_logits: bool = False,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def ctc_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    input_lengths: ArrayLike,
    target_lengths: ArrayLike,
    *,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
    from_logits: bool = False,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...
def ctc_feasible(
    targets: ArrayLike,
    input_lengths: ArrayLike,
    target_lengths: ArrayLike,
) -> _Array: ...

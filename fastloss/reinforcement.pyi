# SPDX-License-Identifier: BSD-3-Clause
# Written by tools/stubs.py from reinforcement.py; not to be edited.
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

# An array of the working type, a NumPy scalar where the input is 0-d: "or Any" spares callers the distinction.
_Array: TypeAlias = NDArray[np.floating[Any]] | Any

__all__ = ["dqn_loss", "gae", "n_step_returns", "td_error", "td_loss"]

def td_error(
    value: ArrayLike,
    reward: ArrayLike,
    next_value: ArrayLike,
    done: ArrayLike | None = None,
    *,
    gamma: float = 0.99,
    mask: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def td_loss(
    value: ArrayLike,
    reward: ArrayLike,
    next_value: ArrayLike,
    done: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    *,
    gamma: float = 0.99,
    kind: str = "huber",
    delta: float = 1.0,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def td_loss(
    value: ArrayLike,
    reward: ArrayLike,
    next_value: ArrayLike,
    done: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    *,
    gamma: float = 0.99,
    kind: str = "huber",
    delta: float = 1.0,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def td_loss(
    value: ArrayLike,
    reward: ArrayLike,
    next_value: ArrayLike,
    done: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    *,
    gamma: float = 0.99,
    kind: str = "huber",
    delta: float = 1.0,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def td_loss(
    value: ArrayLike,
    reward: ArrayLike,
    next_value: ArrayLike,
    done: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    *,
    gamma: float = 0.99,
    kind: str = "huber",
    delta: float = 1.0,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def td_loss(
    value: ArrayLike,
    reward: ArrayLike,
    next_value: ArrayLike,
    done: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    *,
    gamma: float = 0.99,
    kind: str = "huber",
    delta: float = 1.0,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def dqn_loss(
    q_values: ArrayLike,
    actions: ArrayLike,
    reward: ArrayLike,
    next_q_values: ArrayLike,
    done: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    *,
    next_q_online: ArrayLike | None = None,
    gamma: float = 0.99,
    kind: str = "huber",
    delta: float = 1.0,
    reduction: Literal["mean", "sum"] = "mean",
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def dqn_loss(
    q_values: ArrayLike,
    actions: ArrayLike,
    reward: ArrayLike,
    next_q_values: ArrayLike,
    done: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    *,
    next_q_online: ArrayLike | None = None,
    gamma: float = 0.99,
    kind: str = "huber",
    delta: float = 1.0,
    reduction: Literal["none"],
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def dqn_loss(
    q_values: ArrayLike,
    actions: ArrayLike,
    reward: ArrayLike,
    next_q_values: ArrayLike,
    done: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    *,
    next_q_online: ArrayLike | None = None,
    gamma: float = 0.99,
    kind: str = "huber",
    delta: float = 1.0,
    reduction: Literal["mean", "sum"] = "mean",
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def dqn_loss(
    q_values: ArrayLike,
    actions: ArrayLike,
    reward: ArrayLike,
    next_q_values: ArrayLike,
    done: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    *,
    next_q_online: ArrayLike | None = None,
    gamma: float = 0.99,
    kind: str = "huber",
    delta: float = 1.0,
    reduction: Literal["none"],
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def dqn_loss(
    q_values: ArrayLike,
    actions: ArrayLike,
    reward: ArrayLike,
    next_q_values: ArrayLike,
    done: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    *,
    next_q_online: ArrayLike | None = None,
    gamma: float = 0.99,
    kind: str = "huber",
    delta: float = 1.0,
    reduction: str = "mean",
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...
def n_step_returns(
    rewards: ArrayLike,
    values: ArrayLike,
    next_value: ArrayLike,
    done: ArrayLike | None = None,
    *,
    n: int,
    truncated: ArrayLike | None = None,
    gamma: float = 0.99,
    time_axis: int = 0,
    out: NDArray[Any] | None = None,
) -> _Array: ...
def gae(
    rewards: ArrayLike,
    values: ArrayLike,
    next_value: ArrayLike,
    done: ArrayLike | None = None,
    *,
    truncated: ArrayLike | None = None,
    gamma: float = 0.99,
    gae_lambda: float = 0.95,
    time_axis: int = 0,
    out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...

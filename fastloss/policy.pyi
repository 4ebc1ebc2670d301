# SPDX-License-Identifier: BSD-3-Clause
# Written by tools/stubs.py from policy.py; not to be edited.
from typing import Any, Literal, NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

# An array of the working type, a NumPy scalar where the input is 0-d: "or Any" spares callers the distinction.
_Array: TypeAlias = NDArray[np.floating[Any]] | Any

__all__ = ["PPOParts", "policy_gradient_loss", "ppo_loss"]

@overload
def policy_gradient_loss(
    input: ArrayLike,
    actions: ArrayLike,
    advantages: ArrayLike,
    *,
    from_logits: bool = True,
    ent_coef: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def policy_gradient_loss(
    input: ArrayLike,
    actions: ArrayLike,
    advantages: ArrayLike,
    *,
    from_logits: bool = True,
    ent_coef: float = 0.0,
    reduction: Literal["none"],
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def policy_gradient_loss(
    input: ArrayLike,
    actions: ArrayLike,
    advantages: ArrayLike,
    *,
    from_logits: bool = True,
    ent_coef: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def policy_gradient_loss(
    input: ArrayLike,
    actions: ArrayLike,
    advantages: ArrayLike,
    *,
    from_logits: bool = True,
    ent_coef: float = 0.0,
    reduction: Literal["none"],
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def policy_gradient_loss(
    input: ArrayLike,
    actions: ArrayLike,
    advantages: ArrayLike,
    *,
    from_logits: bool = True,
    ent_coef: float = 0.0,
    reduction: str = "mean",
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...

class PPOParts(NamedTuple):
    policy_loss: Any
    value_loss: Any
    entropy: Any
    approx_kl: np.float64
    clip_fraction: np.float64

@overload
def ppo_loss(
    log_probs: ArrayLike,
    old_log_probs: ArrayLike,
    advantages: ArrayLike,
    values: ArrayLike | None = None,
    returns: ArrayLike | None = None,
    old_values: ArrayLike | None = None,
    entropy: ArrayLike | None = None,
    *,
    clip_range: float = 0.2,
    clip_range_vf: float | None = None,
    vf_coef: float = 0.5,
    ent_coef: float = 0.0,
    normalize_advantage: bool = False,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    return_parts: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> np.float64: ...
@overload
def ppo_loss(
    log_probs: ArrayLike,
    old_log_probs: ArrayLike,
    advantages: ArrayLike,
    values: ArrayLike | None = None,
    returns: ArrayLike | None = None,
    old_values: ArrayLike | None = None,
    entropy: ArrayLike | None = None,
    *,
    clip_range: float = 0.2,
    clip_range_vf: float | None = None,
    vf_coef: float = 0.5,
    ent_coef: float = 0.0,
    normalize_advantage: bool = False,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    return_parts: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> _Array: ...
@overload
def ppo_loss(
    log_probs: ArrayLike,
    old_log_probs: ArrayLike,
    advantages: ArrayLike,
    values: ArrayLike | None = None,
    returns: ArrayLike | None = None,
    old_values: ArrayLike | None = None,
    entropy: ArrayLike | None = None,
    *,
    clip_range: float = 0.2,
    clip_range_vf: float | None = None,
    vf_coef: float = 0.5,
    ent_coef: float = 0.0,
    normalize_advantage: bool = False,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_parts: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> tuple[np.float64, tuple[_Array, ...]]: ...
@overload
def ppo_loss(
    log_probs: ArrayLike,
    old_log_probs: ArrayLike,
    advantages: ArrayLike,
    values: ArrayLike | None = None,
    returns: ArrayLike | None = None,
    old_values: ArrayLike | None = None,
    entropy: ArrayLike | None = None,
    *,
    clip_range: float = 0.2,
    clip_range_vf: float | None = None,
    vf_coef: float = 0.5,
    ent_coef: float = 0.0,
    normalize_advantage: bool = False,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    return_parts: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> tuple[_Array, tuple[_Array, ...]]: ...
@overload
def ppo_loss(
    log_probs: ArrayLike,
    old_log_probs: ArrayLike,
    advantages: ArrayLike,
    values: ArrayLike | None = None,
    returns: ArrayLike | None = None,
    old_values: ArrayLike | None = None,
    entropy: ArrayLike | None = None,
    *,
    clip_range: float = 0.2,
    clip_range_vf: float | None = None,
    vf_coef: float = 0.5,
    ent_coef: float = 0.0,
    normalize_advantage: bool = False,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    return_parts: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], ...] | None = None,
) -> Any: ...

# SPDX-License-Identifier: BSD-3-Clause
# Written by tools/stubs.py from adversarial.py; not to be edited.
from typing import Any, Literal, NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

# An array of the working type, a NumPy scalar where the input is 0-d: "or Any" spares callers the distinction.
_Array: TypeAlias = NDArray[np.floating[Any]] | Any

__all__ = [
    "DiscriminatorParts",
    "gan_discriminator_loss",
    "gan_generator_loss",
    "gradient_penalty",
    "wasserstein_distance_1d",
]

class DiscriminatorParts(NamedTuple):
    real: Any
    fake: Any

@overload
def gan_discriminator_loss(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    kind: str = "bce",
    reduction: Literal["mean", "sum"] = "mean",
    return_grad: Literal[False] = False,
    return_parts: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> np.float64: ...
@overload
def gan_discriminator_loss(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    kind: str = "bce",
    reduction: Literal["none"],
    return_grad: Literal[False] = False,
    return_parts: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> _Array: ...
@overload
def gan_discriminator_loss(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    kind: str = "bce",
    reduction: Literal["mean", "sum"] = "mean",
    return_grad: Literal[True],
    return_parts: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> tuple[np.float64, tuple[_Array, _Array]]: ...
@overload
def gan_discriminator_loss(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    kind: str = "bce",
    reduction: Literal["none"],
    return_grad: Literal[True],
    return_parts: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> tuple[_Array, tuple[_Array, _Array]]: ...
@overload
def gan_discriminator_loss(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    kind: str = "bce",
    reduction: str = "mean",
    return_grad: bool = False,
    return_parts: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> Any: ...
@overload
def gan_generator_loss(
    fake: ArrayLike,
    *,
    kind: str = "bce",
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def gan_generator_loss(
    fake: ArrayLike,
    *,
    kind: str = "bce",
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def gan_generator_loss(
    fake: ArrayLike,
    *,
    kind: str = "bce",
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def gan_generator_loss(
    fake: ArrayLike,
    *,
    kind: str = "bce",
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def gan_generator_loss(
    fake: ArrayLike,
    *,
    kind: str = "bce",
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def gradient_penalty(
    gradients: ArrayLike,
    *,
    target: float = 1.0,
    one_sided: bool = False,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> np.float64: ...
@overload
def gradient_penalty(
    gradients: ArrayLike,
    *,
    target: float = 1.0,
    one_sided: bool = False,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[False] = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...
@overload
def gradient_penalty(
    gradients: ArrayLike,
    *,
    target: float = 1.0,
    one_sided: bool = False,
    reduction: Literal["mean", "sum"] = "mean",
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[np.float64, _Array]: ...
@overload
def gradient_penalty(
    gradients: ArrayLike,
    *,
    target: float = 1.0,
    one_sided: bool = False,
    reduction: Literal["none"],
    mask: ArrayLike | None = None,
    return_grad: Literal[True],
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def gradient_penalty(
    gradients: ArrayLike,
    *,
    target: float = 1.0,
    one_sided: bool = False,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
) -> Any: ...
def wasserstein_distance_1d(
    input: ArrayLike,
    target: ArrayLike,
    input_weight: ArrayLike | None = None,
    target_weight: ArrayLike | None = None,
    *,
    return_grad: bool = False,
    grad_output: ArrayLike | None = None,
    grad_out: NDArray[Any] | None = None,
) -> _Array: ...

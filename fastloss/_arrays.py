# SPDX-License-Identifier: BSD-3-Clause
"""From what a caller passes to ndarrays: no copy, clear refusals. Shapes are checked here and broadcast in C."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]  # NDArray[Any]: numpy.typing itself would be imported for it alone
EXPECTED = "bool, integer, float16, bfloat16, float32 or float64"


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    return dtype.name == "bfloat16"


def _is_number(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biu" or dtype.type in (np.float16, np.float32, np.float64) or is_bfloat16(dtype)


class Refusal(TypeError):
    """Ours, not one that the object's own conversion raised."""


def _from_torch(x: Any, name: str) -> Array:
    """A torch tensor on the CPU, without a copy; `bfloat16` by way of its bits."""
    if x.requires_grad:
        raise Refusal(f"{name} is a torch tensor that requires grad: pass {name}.detach()")
    if x.device.type != "cpu":
        raise Refusal(f"{name} is a torch tensor on {x.device}: pass {name}.cpu()")
    if str(x.dtype) != "torch.bfloat16":
        return np.asarray(x)
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        raise Refusal(f"{name} is a torch tensor of bfloat16: install ml_dtypes, or pass {name}.float()") from None
    return np.asarray(x.view(sys.modules["torch"].int16)).view(bfloat16)


def _convert(x: Any, name: str) -> Array:
    torch = sys.modules.get("torch")
    try:
        if torch is not None and isinstance(x, torch.Tensor):
            return _from_torch(x, name)
        if hasattr(x, "__dlpack__") and not hasattr(x, "__array__") and not isinstance(x, np.generic):
            return np.from_dlpack(x)
        return np.asarray(x)
    except Refusal as refusal:
        raise TypeError(str(refusal)) from None
    except Exception as error:  # whatever the object's own conversion raises
        raise TypeError(f"{name} cannot be read as an array: {error}") from error


def as_array(x: Any, name: str) -> Array:
    """An ndarray over the caller's own memory, of a dtype that the kernels read."""
    if type(x) is np.ndarray:
        x = x[...]  # a view of ours: another thread may give the caller's array a new shape while we run
    else:
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError(f"{name} is a masked array: pass its data and mask=~{name}.mask")
        x = np.asarray(_convert(x, name))  # the base class: subclasses overload arithmetic
    if not _is_number(x.dtype):
        raise TypeError(f"{name} has dtype {x.dtype}, expected {EXPECTED}")
    return x


def as_optional(x: Any, name: str) -> Array | None:
    return None if x is None else as_array(x, name)


def as_mask(x: Any) -> Array | None:
    mask = as_optional(x, "mask")
    if mask is not None and mask.dtype.kind != "b":
        raise TypeError(f"mask has dtype {mask.dtype}, expected bool (True where a position counts)")
    return mask


def is_weak(x: Any) -> bool:
    """Python scalars take part in arithmetic but do not decide its precision."""
    return type(x) in (bool, int, float)  # np.float64 is a float too, and decides


def working_dtype(*arrays: tuple[Any, Array | None]) -> np.dtype[Any]:
    """float64 if a floating operand is float64 or none is floating, else float32; from (as passed, as array) pairs."""
    floating = False
    for x, a in arrays:
        if a is not None and a.dtype.kind not in "biu" and not is_weak(x):
            if a.dtype.itemsize == 8:
                return np.dtype(np.float64)
            floating = True
    return np.dtype(np.float32 if floating else np.float64)


def check_broadcast(a: Array | None, name: str, shape: tuple[int, ...], of: str = "input") -> None:
    """Refuse an operand that would enlarge the first one."""
    if a is None or a.shape == shape or a.ndim == 0:
        return
    if a.ndim > len(shape) or any(n not in (1, m) for n, m in zip(a.shape[::-1], shape[::-1], strict=False)):
        raise ValueError(
            f"{name} has shape {a.shape}, which does not broadcast to the shape {shape} of {of} "
            "(no operand may enlarge the first one)"
        )


def check_output(a: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], inputs: list[Array]) -> Array:
    """An array that the caller gives to write into: exact shape and dtype, contiguous, writeable, apart from inputs."""
    if not isinstance(a, np.ndarray):
        raise TypeError(f"{name} must be a numpy array, got {type(a).__name__}")
    if a.shape != shape:
        raise ValueError(f"{name} has shape {a.shape}, expected {shape}")
    if a.dtype != dtype or not a.dtype.isnative:
        raise TypeError(f"{name} has dtype {a.dtype}, expected {dtype}")
    if not (a.flags.c_contiguous and a.flags.aligned and a.flags.writeable):
        raise ValueError(f"{name} must be C-contiguous, aligned and writeable")
    if any(_overlap(a, x) for x in inputs):
        raise ValueError(f"{name} overlaps an input or another output")
    return a


def _overlap(a: Array, b: Array) -> bool:
    """Whether two arrays share an element; yes where that is too hard to tell."""
    try:
        return np.shares_memory(a, b, max_work=1000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def where(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The position of the element with this logical index in an array of this shape."""
    return tuple(int(i) for i in np.unravel_index(flat, shape)) if shape else ()


def at(name: str, position: tuple[int, ...]) -> str:
    """`name[3, 1]`, or the bare name of a 0-d array."""
    return f"{name}[{', '.join(map(str, position))}]" if position else name


def own_position(a: Array, position: tuple[int, ...]) -> tuple[int, ...]:
    """A position of the broadcast shape as one of `a` itself."""
    tail = position[len(position) - a.ndim :]
    return tuple(0 if n == 1 else i for i, n in zip(tail, a.shape, strict=True))

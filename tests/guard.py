# SPDX-License-Identifier: BSD-3-Clause
"""Guard pages: arrays that end, or begin, right at memory that may not be touched.

`python guard.py` walks every case of cases.py over lengths, dtypes and layouts, with operands, labels, masks, weights,
incoming gradients and outputs in fenced memory. One element too many is a segmentation fault: the program prints each
case before it runs it, so that the last line names the culprit. test_guard_pages.py runs it once per ISA.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from cases import CASES, Case, Operands, Shape, bits

with contextlib.suppress(ImportError):
    import ml_dtypes

PAGE = mmap.PAGESIZE
SIDES = ("behind", "before")


def set_unreadable(address: int) -> None:
    """Take all rights from one page."""
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if protect(address, PAGE, 0) != 0:
        raise OSError(ctypes.get_errno(), "mprotect failed")


class Fence:
    """Memory between two unreadable pages, for one array at a time."""

    def __init__(self, pages: int = 32) -> None:
        memory = mmap.mmap(-1, (pages + 2) * PAGE)
        first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        set_unreadable(first)
        set_unreadable(first + (pages + 1) * PAGE)
        self.bytes = np.frombuffer(memory, np.uint8, pages * PAGE, PAGE)  # keeps the mapping alive

    def empty(self, shape: Shape, dtype: Any, side: str, gap: int = 0) -> np.ndarray:
        """An array whose last byte, or first, stands `gap` bytes away from the unreadable page."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        assert size + gap <= self.bytes.size, "the fenced memory is too small for this shape"
        start = self.bytes.size - size - gap if side == "behind" else gap
        return self.bytes[start : start + size].view(dtype).reshape(shape)


# Layouts: each puts a copy of `a` into the fence, with its first or last element at the edge.


def contiguous(fence: Fence, a: np.ndarray, side: str) -> np.ndarray:
    copy = fence.empty(a.shape, a.dtype, side)
    copy[...] = a
    return copy


def unaligned(fence: Fence, a: np.ndarray, side: str) -> np.ndarray:
    """One byte away from the page, so that no element is aligned."""
    copy = fence.empty(a.shape, a.dtype, side, gap=1)
    copy[...] = a
    return copy


def gaps(fence: Fence, a: np.ndarray, side: str) -> np.ndarray:
    """Every other element of the last axis, nothing behind the last one."""
    if a.ndim == 0:
        return contiguous(fence, a, side)
    copy = fence.empty((*a.shape[:-1], max(2 * a.shape[-1] - 1, 0)), a.dtype, side)[..., ::2]
    copy[...] = a
    return copy


def backwards(fence: Fence, a: np.ndarray, side: str) -> np.ndarray:
    """Negative strides along every axis."""
    flip = (slice(None, None, -1),) * a.ndim
    return contiguous(fence, a[flip], side)[flip] if a.ndim else contiguous(fence, a, side)


def transposed(fence: Fence, a: np.ndarray, side: str) -> np.ndarray:
    return contiguous(fence, a.T, side).T


Layout = Callable[[Fence, np.ndarray, str], np.ndarray]
LAYOUTS: dict[str, Layout] = {f.__name__: f for f in (contiguous, unaligned, gaps, backwards, transposed)}

# Lengths: 0 to 4 vectors and more, and around tiles (512 doubles, 1024 floats) and blocks (4096).
ALL = [*range(81), *(k + d for k in (128, 256, 512, 1024, 2048, 4096) for d in (-1, 0, 1))]
FEW = [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 1023, 1025]
CONVERTED = ["e", ">e", ">f", ">d", "?", "b", "B", "h", ">H", "i", "I", ">l", "L"]


def converted_types() -> list[Any]:
    """Every dtype that has to be converted; bfloat16 where ml_dtypes is installed."""
    return [*CONVERTED, ml_dtypes.bfloat16] if "ml_dtypes" in sys.modules else CONVERTED


def shapes(case: Case, lengths: list[int]) -> list[Shape]:
    """Shapes in which each length is that of a loop: elements; or classes, rows of few classes, an inner axis."""
    if not case.rows:
        return [(n,) for n in lengths if n or not case.per_sample]
    small = [n for n in lengths if n <= 128]
    wide = [(2, n if n > 64 else 64 + n) for n in lengths if n]  # one row after the other
    tall = [(n, (1, 3, 10, 33)[n % 4]) for n in lengths if n <= 300]  # lanes over rows
    inner = [(2, (2, 3, 40)[n % 3], n) for n in small] + [(1, 70, n) for n in small if n % 8 < 2]
    return [*wide, *tall, *inner, *((n,) for n in (1, 16, 17, 64, 65))]


def converted(a: np.ndarray, dtype: Any) -> np.ndarray:
    """Operands as another dtype; what does not fit an integer is cut off."""
    dtype = np.dtype(dtype)
    if a.dtype.kind == "b":  # labels too, one for each class
        return a
    if a.dtype.kind in "iu":  # labels, as far as they fit
        if dtype.kind not in "iu" or (dtype.kind == "u" and a.min(initial=0) < 0):
            return a
        return np.where(a < 0, a, a % 100).astype(dtype)
    return np.clip(a, 0, 100).astype(dtype) if dtype.kind in "biu" else a.astype(dtype)


def drawn(case: Case, shape: Shape, dtype: Any) -> tuple[Operands, dict[str, Any]]:
    """Operands, and the optional arrays that every loss takes: mask and grad_output."""
    operands = {name: converted(a, dtype) for name, a in case.operands(shape).items()}
    rng = np.random.default_rng(shape)
    where = case.loss_shape(shape)
    return operands, {
        "mask": np.asarray(rng.random(where) < 0.8),
        "grad_output": np.asarray(converted(rng.normal(size=where), dtype)),
    }


class Yard:
    """Fences by the name of what they hold, made once."""

    def __init__(self, layout: Layout, side: str) -> None:
        self.layout, self.side = layout, side
        self.fences: defaultdict[str, Fence] = defaultdict(Fence)

    def put(self, name: str, a: np.ndarray) -> np.ndarray:
        return self.layout(self.fences[name], a, self.side)

    def output(self, name: str, shape: Shape, dtype: Any) -> np.ndarray:
        return self.fences[name].empty(shape, dtype, self.side)


def result_type(operands: Operands) -> np.dtype:
    """What the loss is computed in."""
    floating = [a.dtype for a in operands.values() if a.dtype.kind not in "biu"]
    return np.dtype(np.float64 if not floating or any(d.itemsize == 8 for d in floating) else np.float32)


def fenced_call(case: Case, yard: Yard, operands: Operands, extra: dict[str, Any], reduction: str) -> Any:
    """Loss and gradients with everything in the yard, outputs too."""
    inside = {name: yard.put(name, a) for name, a in operands.items()}
    options = {name: yard.put(name, a) for name, a in extra.items()}
    work = result_type(operands)
    grads = tuple(yard.output(f"grad_{name}", operands[name].shape, work) for name in case.predictions)
    if reduction == "none":
        options["out"] = yard.output("out", case.loss_shape(operands[case.first].shape), work)
    if not extra:
        case.call(inside, reduction=reduction)
    return case.gradients(inside, reduction=reduction, grad_out=grads if len(grads) > 1 else grads[0], **options)


Step = tuple[Case, list[Shape], Any, list[str]]  # case, shapes, dtype, layouts


def plan() -> Iterator[Step]:
    """Every kernel at every length, its other cases at few, in both working types; every layout and dtype at few."""
    fullest: dict[str, Case] = {}  # per kernel the case with the most operands
    for case in sorted(CASES, key=lambda c: -len(c.operands((2, 3)))):
        fullest.setdefault(case.kernel, case)
    for case in CASES:
        every = case is fullest[case.kernel]
        for dtype in (np.float32, np.float64):
            yield case, shapes(case, ALL if every else FEW), dtype, ["contiguous"]
            if every:
                yield case, shapes(case, FEW), dtype, ["unaligned", "gaps", "backwards", "transposed"]
    # Which loss it is makes no difference to the loader: two are enough, and a row loss for its labels.
    for case in (fullest["mse"], fullest["gaussian_nll"], fullest["cross_entropy"], fullest["multilabel_margin"]):
        for dtype in converted_types():
            few = [(n,) for n in FEW] if not case.rows else [(17, 3), (3, 81), (2, 3, 17), (33, 65), (1, 1025)]
            yield case, few, dtype, ["contiguous", "gaps", "unaligned"]


def walk() -> int:
    """Run the whole plan; the number of calls."""
    calls = 0
    for case, some, dtype, layouts in plan():
        yards = {(layout, side): Yard(LAYOUTS[layout], side) for layout in layouts for side in SIDES}
        for shape in some:
            operands, extra = drawn(case, shape, dtype)
            for options, reduction in (({}, "mean"), (extra, "none")):
                expected = bits(case.gradients(operands, reduction=reduction, **options))
                for (layout, side), yard in yards.items():
                    print(case.name, shape, np.dtype(dtype), layout, side, reduction, flush=True)
                    got = fenced_call(case, yard, operands, options, reduction)
                    assert bits(got) == expected, "other bits in fenced memory"
                    calls += 1
    return calls


if __name__ == "__main__":
    print(walk(), "calls")

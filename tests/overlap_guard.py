# SPDX-License-Identifier: BSD-3-Clause
"""Boxes and masks with every operand and output between unreadable pages: `python overlap_guard.py`.

The companion of guard.py: lengths around lanes, blocks and tiles of classes, labels at both ends of their range, every
layout and dtype at a few. It prints each call before it. test_overlap_guard.py runs it once per ISA.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from cases import bits
from guard import LAYOUTS, SIDES, Yard, converted_types

import fastloss as fl

LENGTHS = [1, 2, 15, 16, 17, 31, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 513, 1025]
FEW = [1, 15, 33, 129, 257]
CLASSES = [1, 2, 3, 16, 31, 32, 33, 65]
Call = tuple[str, Callable[..., Any], dict[str, np.ndarray], dict[str, Any], tuple[int, ...]]
yards: dict[tuple[str, str], Yard] = {}


def box_calls(n: int, rng: np.random.Generator) -> Iterator[Call]:
    a = rng.uniform(0, 4, (n, 4)).astype(np.float32)
    for k, loss in enumerate((fl.iou_loss, fl.giou_loss, fl.diou_loss, fl.ciou_loss)):
        options = {"fmt": ("xyxy", "cxcywh")[(k + n) % 2]}
        yield loss.__name__, loss, {"input": a, "target": a[::-1] + 1}, options, (n,)


def mask_calls(n: int, classes: int, rng: np.random.Generator) -> Iterator[Call]:
    x = rng.normal(size=(2, classes, n)).astype(np.float32)
    labels = rng.integers(0, classes, (2, n))
    labels[0, 0], labels[1, -1] = classes - 1, 0
    per_image = {"per_image": bool(n % 2)}
    images = (2,) if n % 2 else ()
    indices, masks = {"input": x, "target": labels}, {"input": x, "target": x > 0.5}
    per_class = (*images, classes)
    yield "dice", fl.dice_loss, indices, per_image, per_class
    yield "lovasz", fl.lovasz_softmax_loss, indices, {**per_image, "classes": "all"}, per_class
    yield "multilabel", fl.jaccard_loss, masks, {**per_image, "mode": "multilabel"}, per_class
    yield "hinge", fl.lovasz_hinge_loss, masks, {**per_image, "mode": "multilabel"}, per_class
    yield "binary", fl.dice_loss, masks, {**per_image, "mode": "binary"}, images
    p = {"input": np.full_like(x, 1 / classes), "target": labels}
    yield "probabilities", fl.dice_loss, p, {**per_image, "from_logits": False}, per_class


def converted(operands: dict[str, np.ndarray], dtype: Any) -> dict[str, np.ndarray]:
    """The input, if it survives, in another type; labels in one of their own."""
    x = operands["input"]
    kept = np.clip(x, 0, 1) if np.dtype(dtype).kind in "biu" else x
    return {**operands, "input": kept.astype(dtype)}


def fenced(yard: Yard, call: Call) -> Any:
    name, loss, operands, options, shape = call
    inside = [yard.put(k, a) for k, a in operands.items()]
    floating = operands["input"].dtype.kind not in "biu"
    target_floats = operands["target"].dtype == np.float64
    work = np.float64 if operands["input"].dtype.itemsize == 8 or not floating or target_floats else np.float32
    if "iou" in name and floating and operands["target"].dtype == np.float32 and operands["input"].dtype.itemsize < 8:
        work = np.float32
    if "iou" in name and not floating:
        work = np.float32  # the target's
    out, grad = yard.output("out", shape, work), yard.output("grad", operands["input"].shape, work)
    given = yard.put("grad_output", np.ones(shape, np.float32))
    return loss(*inside, reduction="none", return_grad=True, grad_output=given, out=out, grad_out=grad, **options)


def plan() -> Iterator[tuple[Call, Any, list[str]]]:
    rng = np.random.default_rng(0)
    for n in LENGTHS:
        layouts = list(LAYOUTS) if n in FEW else ["contiguous"]
        calls = [*box_calls(n, rng), *mask_calls(n, CLASSES[n % len(CLASSES)] if n < 100 else 3, rng)]
        for call in calls:
            for dtype in (np.float32, np.float64):
                yield call, dtype, layouts
    for classes in CLASSES:
        for call in mask_calls(65, classes, rng):
            yield call, np.float32, ["contiguous"]
    for dtype in converted_types():
        for call in [*box_calls(33, rng), *mask_calls(33, 3, rng)]:
            yield call, dtype, ["contiguous", "gaps"]


def walk() -> int:
    calls = 0
    for (name, loss, operands, options, shape), dtype, layouts in plan():
        call = (name, loss, converted(operands, dtype), options, shape)
        given = np.ones(shape, np.float32)
        expected = bits(loss(*call[2].values(), reduction="none", return_grad=True, grad_output=given, **options))
        for layout in layouts:
            for side in SIDES:
                yard = yards.setdefault((layout, side), Yard(LAYOUTS[layout], side))
                print(name, operands["input"].shape, np.dtype(dtype), layout, side, flush=True)
                assert bits(fenced(yard, call)) == expected, "other bits in fenced memory"
                calls += 1
    return calls


if __name__ == "__main__":
    print(walk(), "calls")

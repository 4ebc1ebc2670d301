# SPDX-License-Identifier: BSD-3-Clause
"""The path of a call for losses of boxes, the same for both backends, beside `_call`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import _config, _reference
from ._arrays import Array, as_array, as_mask, check_broadcast, check_output, working_dtype
from ._call import (
    check_options,
    nonnegative,
    outputs,
    reduced,
    result,
    scale_of,
    split_grad_output,
)

KINDS = {"iou": 0, "giou": 1, "diou": 2, "ciou": 3}  # as in fastloss.h
FORMATS = ("xyxy", "cxcywh")


def by_centers(fmt: Any) -> bool:
    if not isinstance(fmt, str) or fmt not in FORMATS:
        raise ValueError(f"fmt must be 'xyxy' or 'cxcywh', got {fmt!r}")
    return fmt == "cxcywh"


def as_boxes(x: Any, name: str) -> Array:
    a = as_array(x, name)
    if a.ndim == 0 or a.shape[-1] != 4:
        raise ValueError(f"{name} has shape {a.shape}, expected (..., 4): four coordinates per box")
    return a


def counted_in(mask: Array | None, shape: tuple[int, ...]) -> float:
    """How many pairs count."""
    pairs = math.prod(shape)
    return float(pairs if mask is None else np.count_nonzero(mask) * (pairs // max(mask.size, 1)))


def pair_loss(
    kind: str, input: Any, target: Any, fmt: Any, eps: Any, reduction: Any, mask: Any, return_grad: Any,
    grad_output: Any, out: Any, grad_out: Any,
) -> Any:  # fmt: skip
    """A loss of matched pairs of boxes."""
    check_options(reduction, return_grad, grad_output, out, grad_out)
    centers, least = by_centers(fmt), nonnegative(eps, "eps")
    boxes, others = as_boxes(input, "input"), as_boxes(target, "target")
    if boxes.shape != others.shape:
        raise ValueError(
            f"target has shape {others.shape}, expected that of input, {boxes.shape}: pairs are matched "
            "(box_iou takes all pairs)"
        )
    shape = boxes.shape[:-1]
    mask_array = as_mask(mask)
    check_broadcast(mask_array, "mask", shape, "the unreduced loss")
    factor, grad_output_array = split_grad_output(grad_output, shape)
    real = working_dtype((input, boxes), (target, others))
    inputs = [a for a in (boxes, others, mask_array, grad_output_array) if a is not None]
    value, grads = outputs(out, grad_out, shape, [boxes.shape], real, inputs, reduction, return_grad)
    scale = scale_of(reduction, counted_in(mask_array, shape) if grads is not None else 1.0)
    engine: Callable[..., tuple[float, float]] = _reference.run_boxes
    if _config.get_backend() == "native":
        assert _config.native is not None
        engine = _config.native.run_boxes
    total, counted = engine(
        KINDS[kind], centers, real.itemsize, boxes, others, mask_array, grad_output_array, least,
        scale * factor if scale else 0.0, None if value is None else value[...],
        None if grads is None else grads[0][...],
    )  # fmt: skip
    return result(reduced(total, reduction, counted, value), grads)


def all_pairs(boxes1: Any, boxes2: Any, fmt: Any, out: Any) -> Array:
    """IoU of every box of one list with every one of another."""
    centers = by_centers(fmt)
    first, second = as_boxes(boxes1, "boxes1"), as_boxes(boxes2, "boxes2")
    for a, name in ((first, "boxes1"), (second, "boxes2")):
        if a.ndim != 2:
            raise ValueError(f"{name} has shape {a.shape}, expected (N, 4)")
    real = working_dtype((boxes1, first), (boxes2, second))
    shape = (len(first), len(second))
    value = np.empty(shape, real) if out is None else check_output(out, "out", shape, real, [first, second])
    engine: Callable[..., None] = _reference.run_box_matrix
    if _config.get_backend() == "native":
        assert _config.native is not None
        engine = _config.native.run_box_matrix
    engine(centers, first, second, value[...])
    return value

# SPDX-License-Identifier: BSD-3-Clause
"""Losses of boxes by definition, on float64 boxes (..., 4) given by their corners x1, y1, x2, y2."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def corners(boxes: Array) -> Array:
    """(cx, cy, w, h) as (x1, y1, x2, y2)."""
    center, half = boxes[..., :2], boxes[..., 2:] / 2
    return np.concatenate([center - half, center + half], axis=-1)


def from_corners(grad: Array) -> Array:
    """The gradient by corners as one by (cx, cy, w, h)."""
    low, high = grad[..., :2], grad[..., 2:]
    return np.concatenate([low + high, (high - low) / 2], axis=-1)


def _length(x: Array) -> tuple[Array, Array]:
    """max(0, x), and its derivative, which passes at 0."""
    return np.maximum(x, 0.0), (x >= 0).astype(np.float64)


def _larger(a: Array, b: Array) -> Array:
    """Derivative of max(a, b) by a: where they meet each takes half."""
    return np.where(a > b, 1.0, np.where(a == b, 0.5, 0.0))


def _ratio(x: Array, y: Array) -> Array:
    """x / y, where what is divided by 0 is 0."""
    return np.where(y == 0, np.where(np.isnan(x), x, 0.0), x / np.where(y == 0, 1.0, y))


def _cross(values: Array) -> Array:
    """Per axis, the length along the other."""
    return values[..., ::-1]


def _join(low: Array, high: Array) -> Array:
    return np.concatenate([low, high], axis=-1)


def _overlap(own: Array, other: Array, eps: float) -> tuple[Array, Array, Array, Array]:
    """IoU and union, and their gradients."""
    size, passes = _length(own[..., 2:] - own[..., :2])
    size_other, _ = _length(other[..., 2:] - other[..., :2])
    shared, _ = _length(np.minimum(own[..., 2:], other[..., 2:]) - np.maximum(own[..., :2], other[..., :2]))
    by_size = _cross(size) * passes
    by_shared = _cross(shared) * (shared > 0)
    grad_size = _join(-by_size, by_size)
    grad_shared = _join(
        -by_shared * _larger(own[..., :2], other[..., :2]), by_shared * _larger(-own[..., 2:], -other[..., 2:])
    )
    both = np.prod(shared, axis=-1)
    union = np.prod(size, axis=-1) + np.prod(size_other, axis=-1) - both
    iou = _ratio(both, union + eps)
    grad_union = grad_size - grad_shared
    grad_iou = _ratio(grad_shared - iou[..., np.newaxis] * grad_union, (union + eps)[..., np.newaxis])
    return iou, union, grad_iou, grad_union


def _around(own: Array, other: Array) -> tuple[Array, Array, Array]:
    """Sides of the smallest box around both, and how they grow with the own box's low and high ends."""
    side, passes = _length(np.maximum(own[..., 2:], other[..., 2:]) - np.minimum(own[..., :2], other[..., :2]))
    low, high = _larger(-own[..., :2], -other[..., :2]), _larger(own[..., 2:], other[..., 2:])
    return side, -passes * low, passes * high


@np.errstate(all="ignore")
def iou(own: Array, other: Array, eps: float) -> tuple[Array, Array]:
    """1 - I / (U + eps), and its gradient by `own`."""
    value, _, grad, _ = _overlap(own, other, eps)
    return 1 - value, -grad


@np.errstate(all="ignore")
def giou(own: Array, other: Array, eps: float) -> tuple[Array, Array]:
    """1 - IoU + (A - U) / (A + eps), A the area of the smallest box around both."""
    value, union, grad, grad_union = _overlap(own, other, eps)
    side, low, high = _around(own, other)
    area = np.prod(side, axis=-1)
    grad_area = _join(_cross(side) * low, _cross(side) * high)
    empty = _ratio(area - union, area + eps)
    grad_empty = _ratio(grad_area - grad_union - empty[..., np.newaxis] * grad_area, (area + eps)[..., np.newaxis])
    return 1 - value + empty, -grad + grad_empty


@np.errstate(all="ignore")
def diou(own: Array, other: Array, eps: float) -> tuple[Array, Array]:
    """1 - IoU + d^2 / (c^2 + eps), d between the centers, c the diagonal of the smallest box around both."""
    value, _, grad, _ = _overlap(own, other, eps)
    side, low, high = _around(own, other)
    apart = (own[..., :2] + own[..., 2:] - other[..., :2] - other[..., 2:]) / 2
    distance, diagonal = np.sum(apart**2, axis=-1), np.sum(side**2, axis=-1) + eps
    share = _ratio(distance, diagonal)
    grad_diagonal = _join(2 * side * low, 2 * side * high)
    grad_share = _ratio(_join(apart, apart) - share[..., np.newaxis] * grad_diagonal, diagonal[..., np.newaxis])
    return 1 - value + share, -grad + grad_share


@np.errstate(all="ignore")
def ciou(own: Array, other: Array, eps: float) -> tuple[Array, Array]:
    """DIoU + alpha v, v = 4/pi^2 (difference of the angles arctan(w/h))^2 and 0 for a box without size; alpha = v /
    (1 - IoU + v + eps) has no gradient."""
    value, _, _, _ = _overlap(own, other, eps)
    loss, grad = diou(own, other, eps)
    size, passes = _length(own[..., 2:] - own[..., :2])
    size_other, _ = _length(other[..., 2:] - other[..., :2])
    none = (np.max(size, axis=-1) == 0) | (np.max(size_other, axis=-1) == 0)
    turn = np.arctan2(size_other[..., 0], size_other[..., 1]) - np.arctan2(size[..., 0], size[..., 1])
    turn = np.where(none, 0.0, turn)
    v = 4 / np.pi**2 * turn**2
    alpha = _ratio(v, 1 - value + v + eps)
    square = np.sum(size**2, axis=-1)
    slope = np.where(square < 1e-300, 0.0, -8 / np.pi**2 * turn * alpha / square)[..., np.newaxis]
    by_size = slope * _cross(size) * np.array([1.0, -1.0]) * passes
    return loss + alpha * v, grad + _join(-by_size, by_size)


@np.errstate(all="ignore")
def matrix(boxes1: Array, boxes2: Array) -> Array:
    """I / U of all pairs, 0 where nothing has an area."""
    return np.array([[_overlap(a, b, 0.0)[0] for b in boxes2] for a in boxes1]).reshape(len(boxes1), len(boxes2))

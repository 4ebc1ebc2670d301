# SPDX-License-Identifier: BSD-3-Clause
"""The margin losses' rows of the list of cases, as keywords of `cases.Case`, and how PyTorch takes their operands."""

from __future__ import annotations

from typing import Any

import numpy as np

Shape = tuple[int, ...]
Operands = dict[str, np.ndarray]


def _scores(rng: np.random.Generator, shape: Shape) -> tuple[np.ndarray, int, Shape]:
    """Scores, the number of classes, and the shape of the positions."""
    axis = 1 if len(shape) > 1 else 0
    return rng.normal(0, 2, shape), shape[axis], (*shape[:axis], *shape[axis + 1 :])


def _labels(rng: np.random.Generator, shape: Shape) -> Operands:
    x, classes, where = _scores(rng, shape)
    return {"input": x, "target": np.asarray(rng.integers(0, classes, where))}


def _labels_weighted(rng: np.random.Generator, shape: Shape) -> Operands:
    operands = _labels(rng, shape)
    return {**operands, "weight": rng.uniform(0.1, 2, shape[1] if len(shape) > 1 else shape[0])}


def _hot(rng: np.random.Generator, shape: Shape) -> Operands:
    """A bool per class: about a quarter of the classes, and rows with none or all."""
    x, _, where = _scores(rng, shape)
    share = rng.choice([0.0, 0.1, 0.25, 0.5, 1.0], where)
    axis = 1 if len(shape) > 1 else 0
    return {"input": x, "target": rng.random(shape) < np.expand_dims(share, axis)}


def lists_of(hot: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
    """Rows of bools (the classes last) as index lists ended by -1; `rng`: shuffled, and with rubbish behind the end."""
    slots = np.arange(hot.shape[-1])
    behind = np.cumsum(np.ones_like(hot), axis=-1) - np.count_nonzero(hot, axis=-1, keepdims=True)  # 1: the end
    order = slots if rng is None else rng.random(hot.shape)
    rubbish = np.full(hot.shape, -1) if rng is None else rng.integers(-5, len(slots) + 5, hot.shape)
    listed = np.argsort(np.where(hot, order, len(slots) + 1), axis=-1)
    return np.where(behind < 1, listed, np.where(behind == 1, -1, rubbish))


def _lists(rng: np.random.Generator, shape: Shape) -> Operands:
    """Lists in any order, with a class named twice here and there."""
    operands = _hot(rng, shape)
    axis = 1 if len(shape) > 1 else 0
    lists = lists_of(np.moveaxis(operands["target"], axis, -1), rng)
    if lists.shape[-1] > 1:
        again = (rng.random(lists.shape[:-1]) < 0.3) & (lists[..., 0] >= 0) & (lists[..., 1] >= 0)
        lists[..., 1] = np.where(again, lists[..., 0], lists[..., 1])
    return {**operands, "target": np.ascontiguousarray(np.moveaxis(lists, -1, axis))}


ROWS: list[dict[str, Any]] = [
    {"name": "multi-margin", "draw": _labels},
    {"name": "multi-margin-weight", "draw": _labels_weighted},
    {"name": "multi-margin-squares", "draw": _labels_weighted, "options": {"p": 2, "margin": 0.5}},
]
LISTS: list[dict[str, Any]] = [
    {"name": "multilabel-margin", "draw": _lists},
    {"name": "multilabel-margin-hot", "draw": _hot},
]
CASES: list[dict[str, Any]] = [
    *(
        {**row, "function": "multi_margin_loss", "criterion": "MultiMarginLoss", "kernel": "multi_margin", "rows": True}
        for row in ROWS
    ),
    *(
        {
            **row,
            "function": "multilabel_margin_loss",
            "criterion": "MultiLabelMarginLoss",
            "kernel": "multilabel_margin",
            "rows": True,
            "lists": True,
        }
        for row in LISTS
    ),
]


def for_torch(operands: Operands) -> Operands:
    """The same operands as PyTorch takes them: (N, C), with lists of indices that are -1 from their end on."""
    x, target = operands["input"], operands["target"]
    axis = 1 if x.ndim > 1 else 0
    rows = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
    if target.ndim < x.ndim:
        return {**operands, "input": rows, "target": target.reshape(-1)}
    target = np.moveaxis(target, axis, -1).reshape(rows.shape)
    if target.dtype == bool:
        target = lists_of(target)
    ended = np.logical_or.accumulate(target < 0, axis=1)
    return {**operands, "input": rows, "target": np.where(ended, -1, target)}

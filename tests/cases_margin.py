# SPDX-License-Identifier: BSD-3-Clause
"""Cases of margin.py, and how PyTorch takes their operands."""

from __future__ import annotations

from typing import Any

import numpy as np
from case import Case, Operands, Shape


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


def _rows_of(x: Any) -> Any:
    """A tensor with the classes on axis 1 as (N, C)."""
    axis = 1 if x.ndim > 1 else 0
    return x.movedim(axis, -1).reshape(-1, x.shape[axis])


def _multi_margin(x: Any, target: Any, reduction: str = "mean", **options: Any) -> Any:
    """PyTorch's loss, which takes (N, C) only."""
    from torch.nn.functional import multi_margin_loss

    value = multi_margin_loss(_rows_of(x), target.reshape(-1), reduction=reduction, **options)
    return value.reshape(target.shape) if reduction == "none" else value


def _multilabel_margin(x: Any, target: Any, reduction: str = "mean") -> Any:
    """PyTorch's loss, which takes (N, C) only, of lists that are -1 from their end on."""
    import torch

    lists = _rows_of(target).numpy()
    lists = lists_of(lists) if lists.dtype == bool else lists
    lists = np.where(np.logical_or.accumulate(lists < 0, axis=1), -1, lists)
    value = torch.nn.functional.multilabel_margin_loss(_rows_of(x), torch.tensor(lists), reduction=reduction)
    return value.reshape((*x.shape[:1], *x.shape[2:]) if x.ndim > 1 else ()) if reduction == "none" else value


def _case(name: str, draw: Any, options: dict[str, Any] | None = None) -> Case:
    kernel = name.split("-")[0] + "_margin"
    criterion, peer = {
        "multi_margin": ("MultiMarginLoss", _multi_margin),
        "multilabel_margin": ("MultiLabelMarginLoss", _multilabel_margin),
    }[kernel]
    lists = kernel == "multilabel_margin"
    return Case(name, f"{kernel}_loss", criterion, kernel, draw, options or {}, rows=True, lists=lists, peer=peer)


CASES = [
    _case("multi-margin", _labels),
    _case("multi-margin-weight", _labels_weighted),
    _case("multi-margin-squares", _labels_weighted, {"p": 2, "margin": 0.5}),
    _case("multilabel-margin", _lists),
    _case("multilabel-margin-hot", _hot),
]

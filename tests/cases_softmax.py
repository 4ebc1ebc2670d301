# SPDX-License-Identifier: BSD-3-Clause
"""Cases of softmax.py."""

from __future__ import annotations

import numpy as np
from case import Case, Operands, Shape


def _labels(rng: np.random.Generator, shape: Shape) -> Operands:
    classes = shape[1] if len(shape) > 1 else shape[0]
    where = (shape[0], *shape[2:]) if len(shape) > 1 else ()
    return {"input": rng.normal(0, 4, shape), "target": np.asarray(rng.integers(0, classes, where))}


def _labels_weighted(rng: np.random.Generator, shape: Shape) -> Operands:
    operands = _labels(rng, shape)
    return {**operands, "weight": rng.uniform(0.1, 2, shape[1] if len(shape) > 1 else shape[0])}


def _labels_ignored(rng: np.random.Generator, shape: Shape) -> Operands:
    """About a quarter of the labels, but never the first, are to be left out."""
    operands = _labels_weighted(rng, shape)
    ignored = np.asarray(rng.random(operands["target"].shape) < 0.25)
    ignored[(slice(0, 1),) * ignored.ndim] = False
    return {**operands, "target": np.where(ignored, -1, operands["target"])}


CASES = [
    Case("ce", "cross_entropy", "CrossEntropyLoss", "cross_entropy", _labels, rows=True),
    Case("ce-weight", "cross_entropy", "CrossEntropyLoss", "cross_entropy", _labels_weighted, rows=True),
    Case(
        "ce-ignore",
        "cross_entropy",
        "CrossEntropyLoss",
        "cross_entropy",
        _labels_ignored,
        {"ignore_index": -1},
        rows=True,
    ),
]

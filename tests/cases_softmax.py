# SPDX-License-Identifier: BSD-3-Clause
"""The softmax losses' rows of the list of cases beyond labels of logits, as keywords of `cases.Case`."""

from __future__ import annotations

from typing import Any

import numpy as np

Shape = tuple[int, ...]
Operands = dict[str, np.ndarray]


def _axis(shape: Shape) -> int:
    return 1 if len(shape) > 1 else 0


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """Probabilities along an axis."""
    e = np.exp(x - np.max(x, axis=axis, keepdims=True, initial=-700))
    return e / np.sum(e, axis=axis, keepdims=True)


def _labels(rng: np.random.Generator, shape: Shape) -> Operands:
    axis = _axis(shape)
    where = (*shape[:axis], *shape[axis + 1 :])
    return {"input": rng.normal(0, 4, shape), "target": np.asarray(rng.integers(0, shape[axis], where))}


def _weighted(draw: Any) -> Any:
    """The same operands with class weights."""

    def drawn(rng: np.random.Generator, shape: Shape) -> Operands:
        return {**draw(rng, shape), "weight": rng.uniform(0.1, 2, shape[_axis(shape)])}

    return drawn


def _ignored(rng: np.random.Generator, shape: Shape) -> Operands:
    """About a quarter of the labels, but never the first, are to be left out."""
    operands = _weighted(_labels)(rng, shape)
    ignored = np.asarray(rng.random(operands["target"].shape) < 0.25)
    ignored[(slice(0, 1),) * ignored.ndim] = False
    return {**operands, "target": np.where(ignored, -1, operands["target"])}


def _distributions(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"input": rng.normal(0, 4, shape), "target": softmax(rng.normal(0, 2, shape), _axis(shape))}


def _probabilities(draw: Any) -> Any:
    """The same operands with probabilities for logits, none so near 0 or 1 that a step of 1e-5 leaves [0, 1]."""

    def drawn(rng: np.random.Generator, shape: Shape) -> Operands:
        operands = draw(rng, shape)
        return {**operands, "input": 0.01 + 0.98 * softmax(operands["input"] / 2, _axis(shape))}

    return drawn


def _log_probabilities(draw: Any) -> Any:
    def drawn(rng: np.random.Generator, shape: Shape) -> Operands:
        operands = draw(rng, shape)
        return {**operands, "input": np.log(softmax(operands["input"], _axis(shape)))}

    return drawn


CROSS_ENTROPY = {"function": "cross_entropy", "criterion": "CrossEntropyLoss", "rows": True}
NLL = {"function": "nll_loss", "criterion": "NLLLoss", "kernel": "nll", "rows": True}
FOCAL = {"function": "focal_loss", "criterion": "FocalLoss", "rows": True, "in_torch": False}

CASES: list[dict[str, Any]] = [
    {
        **CROSS_ENTROPY,
        "name": "ce-smooth",
        "kernel": "cross_entropy_smooth",
        "draw": _ignored,
        "options": {"label_smoothing": 0.1, "ignore_index": -1},
    },
    {
        **CROSS_ENTROPY,
        "name": "ce-z",
        "kernel": "cross_entropy_z",
        "draw": _weighted(_labels),
        "options": {"z_loss": 0.125},
        "in_torch": False,
    },
    {
        **CROSS_ENTROPY,
        "name": "ce-soft",
        "kernel": "soft_cross_entropy",
        "draw": _distributions,
        "lists": True,
    },
    {
        **CROSS_ENTROPY,
        "name": "ce-soft-smooth-weight",
        "kernel": "soft_cross_entropy",
        "draw": _weighted(_distributions),
        "options": {"label_smoothing": 0.25},
        "lists": True,
    },
    {
        **CROSS_ENTROPY,
        "name": "ce-proba-smooth",
        "kernel": "probability_nll",
        "draw": _probabilities(_ignored),
        "options": {"label_smoothing": 0.1, "ignore_index": -1, "from_logits": False},
        "in_torch": False,
    },
    {
        **CROSS_ENTROPY,
        "name": "ce-proba-soft",
        "kernel": "soft_probability_nll",
        "draw": _probabilities(_distributions),
        "options": {"from_logits": False},
        "in_torch": False,
        "lists": True,
    },
    {**NLL, "name": "nll", "draw": _log_probabilities(_labels)},
    {**NLL, "name": "nll-ignore", "draw": _log_probabilities(_ignored), "options": {"ignore_index": -1}},
    {**FOCAL, "name": "focal", "kernel": "focal_loss", "draw": _labels},
    {
        **FOCAL,
        "name": "focal-gamma-weight",
        "kernel": "focal_loss",
        "draw": _ignored,
        "options": {"gamma": 0.75, "ignore_index": -1},
    },
    {
        **FOCAL,
        "name": "focal-proba",
        "kernel": "probability_focal",
        "draw": _probabilities(_labels),
        "options": {"gamma": 3.0, "from_logits": False},
    },
]

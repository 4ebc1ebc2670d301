# SPDX-License-Identifier: BSD-3-Clause
"""Cases of softmax.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from case import Case, Operands, Shape

from fastloss.bench.operands import labels as _labels


def _axis(shape: Shape) -> int:
    return 1 if len(shape) > 1 else 0


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """Probabilities along an axis."""
    e = np.exp(x - np.max(x, axis=axis, keepdims=True, initial=-700))
    return e / np.sum(e, axis=axis, keepdims=True)


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


# What stands for the options that PyTorch does not have.


def _reduced(values: Any, denominators: Any, reduction: str) -> Any:
    if reduction == "none":
        return values
    return values.sum() if reduction == "sum" else values.sum() / denominators.sum()


def z_peer(x: Any, target: Any, weight: Any, reduction: str, z_loss: float) -> Any:
    """Cross entropy plus the squared log-sum-exp."""
    import torch

    values = torch.nn.functional.cross_entropy(x, target, weight, reduction="none")
    values = values + z_loss * torch.logsumexp(x, 1 if x.ndim > 1 else 0) ** 2
    return _reduced(values, weight[target], reduction)


def probability_peer(
    p: Any, target: Any, weight: Any = None, *, reduction: str, from_logits: bool, ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    """-log p weighted by a distribution, that of the label or the target itself, mixed with an even one."""
    import torch

    rows = p.moveaxis(1 if p.ndim > 1 else 0, -1)
    classes = rows.shape[-1]
    weight = torch.ones(classes, dtype=p.dtype) if weight is None else weight
    if target.is_floating_point():
        counted = torch.ones(rows.shape[:-1], dtype=p.dtype)
        mixed, denominators = target.moveaxis(1 if p.ndim > 1 else 0, -1), counted
    else:
        counted = (target != ignore_index).to(p.dtype)
        labels = target.clamp(min=0)
        mixed, denominators = torch.nn.functional.one_hot(labels, classes).to(p.dtype), counted * weight[labels]
    mixed = (1 - label_smoothing) * mixed + label_smoothing / classes
    return _reduced(-(mixed * weight * rows.log()).sum(-1) * counted, denominators, reduction)


def focal_peer(
    x: Any, target: Any, weight: Any = None, *, reduction: str, gamma: float = 2.0, from_logits: bool = True,
    ignore_index: int = -100,
) -> Any:  # fmt: skip
    """-w (1 - p)^gamma log p of the target's probability."""
    import torch

    rows = x.moveaxis(1 if x.ndim > 1 else 0, -1)
    log_p = rows.log_softmax(-1) if from_logits else rows.log()
    labels = target.clamp(min=0)
    counted = (target != ignore_index).to(x.dtype)
    counted = counted if weight is None else counted * weight[labels]
    log_p = log_p.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return _reduced(-counted * (-torch.expm1(log_p)) ** gamma * log_p, counted, reduction)


CROSS_ENTROPY = {"function": "cross_entropy", "criterion": "CrossEntropyLoss", "rows": True}
NLL = {"function": "nll_loss", "criterion": "NLLLoss", "kernel": "nll", "rows": True}
FOCAL = {"function": "focal_loss", "criterion": "FocalLoss", "rows": True, "peer": focal_peer}

ROWS: list[dict[str, Any]] = [
    {**CROSS_ENTROPY, "name": "ce", "kernel": "cross_entropy", "draw": _labels},
    {**CROSS_ENTROPY, "name": "ce-weight", "kernel": "cross_entropy", "draw": _weighted(_labels)},
    {
        **CROSS_ENTROPY,
        "name": "ce-ignore",
        "kernel": "cross_entropy",
        "draw": _ignored,
        "options": {"ignore_index": -1},
    },
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
        "peer": z_peer,
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
        "peer": probability_peer,
    },
    {
        **CROSS_ENTROPY,
        "name": "ce-proba-soft",
        "kernel": "soft_probability_nll",
        "draw": _probabilities(_distributions),
        "options": {"from_logits": False},
        "peer": probability_peer,
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
CASES = [Case(**row) for row in ROWS]

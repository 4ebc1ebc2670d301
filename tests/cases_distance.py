# SPDX-License-Identifier: BSD-3-Clause
"""Cases of losses on vectors, whose features are the last axis, and how PyTorch takes their operands."""

from __future__ import annotations

from typing import Any

import numpy as np
from case import Case, Operands, Shape


def _triplets(rng: np.random.Generator, shape: Shape) -> Operands:
    return {name: rng.normal(0, 1, shape) for name in ("anchor", "positive", "negative")}


def _pairs(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"input1": rng.normal(0, 1, shape), "input2": rng.normal(0, 1, shape)}


def _signed(rng: np.random.Generator, shape: Shape) -> Operands:
    return {**_pairs(rng, shape), "target": rng.choice([-1.0, 1.0], shape[:-1])}


def _mixed(rng: np.random.Generator, shape: Shape) -> Operands:
    return {**_pairs(rng, shape), "target": rng.uniform(0, 1, shape[:-1])}


def _reduced(loss: Any, reduction: str) -> Any:
    return loss if reduction == "none" else loss.sum() if reduction == "sum" else loss.mean()


def _cosine_embedding(x: Any, y: Any, target: Any, reduction: str = "mean", **options: Any) -> Any:
    """PyTorch's loss, which takes (N, D) and (D,) only."""
    import torch

    flat = (x.reshape(-1, x.shape[-1]), y.reshape(-1, x.shape[-1]), target.reshape(-1))
    loss = torch.nn.functional.cosine_embedding_loss(*flat, reduction="none", **options)
    return _reduced(loss.reshape(target.shape), reduction)


def _contrastive(x: Any, y: Any, target: Any, reduction: str = "mean", margin: float = 1.0) -> Any:
    d = (x - y).norm(dim=-1)
    return _reduced(0.5 * ((1 - target) * d**2 + target * (margin - d).clamp(min=0) ** 2), reduction)


def _case(name: str, function: str, criterion: str, draw: Any, options: dict[str, Any], peer: Any = None) -> Case:
    predictions = ("anchor", "positive", "negative") if draw is _triplets else ("input1", "input2")
    return Case(
        name, function, criterion, function, draw, options, predictions=predictions, per_sample=True, vectors=True,
        peer=peer,
    )  # fmt: skip


_TRIPLET = ("triplet_margin_loss", "TripletMarginLoss", _triplets)
CASES = [
    _case("triplet", *_TRIPLET, {}),
    _case("triplet-swap", *_TRIPLET, {"swap": True, "margin": 0.5}),
    _case("triplet-manhattan", *_TRIPLET, {"p": 1.0}),
    _case("triplet-cubes", *_TRIPLET, {"p": 3.0, "swap": True}),
    _case(
        "cosine-embedding", "cosine_embedding_loss", "CosineEmbeddingLoss", _signed, {"margin": -0.2}, _cosine_embedding
    ),
    _case("contrastive", "contrastive_loss", "ContrastiveLoss", _mixed, {"margin": 4.0}, _contrastive),
]

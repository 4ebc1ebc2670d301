# SPDX-License-Identifier: BSD-3-Clause
"""Cases of binary.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from case import Case, Operands, Shape

from fastloss.bench.operands import distances as _distances
from fastloss.bench.operands import logits as _logits
from fastloss.bench.operands import probabilities as _probabilities
from fastloss.bench.operands import scores as _scores
from fastloss.bench.operands import two_scores as _two_scores


def _logits_weighted(rng: np.random.Generator, shape: Shape) -> Operands:
    return {**_logits(rng, shape), "weight": rng.uniform(0, 2, shape)}


def _logits_pos_weight(rng: np.random.Generator, shape: Shape) -> Operands:
    """One weight of the positive answers per last axis, as for several labels per sample."""
    return {**_logits(rng, shape), "pos_weight": rng.uniform(0.5, 3, shape[-1:])}


def _logits_class_weight(rng: np.random.Generator, shape: Shape) -> Operands:
    return {**_logits(rng, shape), "weight": rng.uniform(0, 2, shape[-1:])}


def _probabilities_weighted(rng: np.random.Generator, shape: Shape) -> Operands:
    return {**_probabilities(rng, shape), "weight": rng.uniform(0, 2, shape)}


def torch_focal(
    input: Any, target: Any, *, alpha: float = 0.25, gamma: float = 2.0, weight: Any = 1.0, reduction: str = "mean"
) -> Any:
    """The formula of torchvision.ops.sigmoid_focal_loss, written in PyTorch."""
    import torch

    p = torch.sigmoid(input)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(input, target, reduction="none")
    loss = loss * (p * (1 - target) + (1 - p) * target) ** gamma
    if alpha >= 0:
        loss = loss * (alpha * target + (1 - alpha) * (1 - target))
    loss = loss * weight
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()


_BCE = "binary_cross_entropy", "BCELoss", "bce"
_BCE_BOUNDS = {"input": (0.0, 1.0), "target": (0.0, 1.0)}
_LOGITS = "binary_cross_entropy_with_logits", "BCEWithLogitsLoss"
_MULTILABEL = "multilabel_soft_margin_loss", "MultiLabelSoftMarginLoss", "bce_logits"
_HINGE = "hinge_embedding_loss", "HingeEmbeddingLoss", "hinge_embedding"
_RANKING = "margin_ranking_loss", "MarginRankingLoss", "margin_ranking"
_BOTH = ("input1", "input2")
_FOCAL = "sigmoid_focal_loss", "SigmoidFocalLoss"
_FOCAL_DEFAULTS = {"alpha": 0.25, "gamma": 2.0}
_TARGET_BOUNDS = {"target": (0.0, 1.0)}
CASES = [
    Case("bce", *_LOGITS, "bce_logits", _logits),
    Case("bce-weight", *_LOGITS, "bce_logits", _logits_weighted),
    Case("bce-pos", *_LOGITS, "bce_logits_pos", _logits_pos_weight),
    Case("bce-probabilities", *_BCE, _probabilities, bounds=_BCE_BOUNDS),
    Case("bce-probabilities-weight", *_BCE, _probabilities_weighted, bounds=_BCE_BOUNDS),
    Case("soft-margin", "soft_margin_loss", "SoftMarginLoss", "soft_margin", _scores),
    Case("multilabel", *_MULTILABEL, _logits, per_sample=True),
    Case("multilabel-weight", *_MULTILABEL, _logits_class_weight, per_sample=True),
    Case("hinge", *_HINGE, _distances, defaults={"margin": 1.0}),
    Case("hinge-margin", *_HINGE, _distances, {"margin": 0.3}, defaults={"margin": 1.0}),
    Case("ranking", *_RANKING, _two_scores, {}, _BOTH, defaults={"margin": 0.0}),
    Case("ranking-margin", *_RANKING, _two_scores, {"margin": 0.7}, _BOTH, defaults={"margin": 0.0}),
    Case(
        "focal",
        *_FOCAL,
        "focal_square",
        _logits,
        defaults={"alpha": 0.25},
        bounds=_TARGET_BOUNDS,
        peer=torch_focal,
    ),
    Case(
        "focal-gamma",
        *_FOCAL,
        "focal",
        _logits,
        {"alpha": 0.6, "gamma": 1.5},
        defaults=_FOCAL_DEFAULTS,
        bounds=_TARGET_BOUNDS,
        peer=torch_focal,
    ),
    Case(
        "focal-plain",
        *_FOCAL,
        "focal",
        _logits,
        {"alpha": -1.0, "gamma": 0.0},
        defaults=_FOCAL_DEFAULTS,
        bounds=_TARGET_BOUNDS,
        peer=torch_focal,
    ),
]

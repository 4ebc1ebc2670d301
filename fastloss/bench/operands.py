# SPDX-License-Identifier: BSD-3-Clause
"""Random operands inside each loss's domain, for benchmark cells; tests/cases*.py draw the same ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .cells import ONE_MASK

Shape = tuple[int, ...]
Operands = dict[str, np.ndarray]


def pair(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"input": rng.normal(0, 3, shape), "target": rng.normal(0, 1, shape)}


def above_minus_one(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"input": rng.uniform(-0.7, 20, shape), "target": rng.uniform(-0.7, 20, shape)}


def logits(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"input": rng.normal(0, 4, shape), "target": rng.uniform(0, 1, shape)}


def probabilities(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"input": rng.uniform(0.05, 0.95, shape), "target": rng.uniform(0, 1, shape)}


def signs(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return rng.choice([-1.0, 1.0], shape)


def scores(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"input": rng.normal(0, 3, shape), "target": signs(rng, shape)}


def distances(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"input": np.abs(rng.normal(0, 1.5, shape)), "target": signs(rng, shape)}


def two_scores(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"input1": rng.normal(0, 1, shape), "input2": rng.normal(0, 1, shape), "target": signs(rng, shape)}


def gaussian(rng: np.random.Generator, shape: Shape) -> Operands:
    return {**pair(rng, shape), "var": rng.uniform(0.1, 3, shape)}


def counts(rng: np.random.Generator, shape: Shape) -> Operands:
    """Logarithms of rates, and counts."""
    return {"input": rng.normal(0, 1.5, shape), "target": np.asarray(rng.poisson(3, shape), np.float64)}


def log_probabilities(rng: np.random.Generator, shape: Shape) -> Operands:
    """And probabilities, some of which are 0."""
    target = rng.uniform(0, 1, shape)
    return {"input": rng.normal(-3, 1, shape), "target": np.where(target < 0.1, 0, target)}


def amounts(rng: np.random.Generator, shape: Shape) -> Operands:
    """Logarithms of means, and positive numbers."""
    return {"input": rng.normal(0, 1, shape), "target": rng.gamma(2, 1, shape) + 0.05}


def labels(rng: np.random.Generator, shape: Shape, scale: float = 4) -> Operands:
    """Scores of classes on axis 1 (0 of a vector), and labels."""
    axis = 1 if len(shape) > 1 else 0
    where = (*shape[:axis], *shape[axis + 1 :])
    return {"input": rng.normal(0, scale, shape), "target": np.asarray(rng.integers(0, shape[axis], where))}


# Loss of a cell -> its operands.
DRAWS: dict[str, Callable[[np.random.Generator, Shape], Operands]] = {
    **dict.fromkeys(("l1", "mse", "huber", "smooth_l1", "rmse", "log_cosh", "quantile", "mape", "smape"), pair),
    **dict.fromkeys(("bce_with_logits", "multilabel_soft_margin", "focal"), logits),
    **dict.fromkeys(("poisson_nll", "tweedie_nll"), counts),
    "msle": above_minus_one,
    "bce": probabilities,
    "soft_margin": scores,
    "hinge_embedding": distances,
    "margin_ranking": two_scores,
    "gaussian_nll": gaussian,
    "kl_div": log_probabilities,
    "gamma_nll": amounts,
    "cross_entropy": labels,
    "multi_margin": partial(labels, scale=2),
}


def seeded(draw: Callable[[np.random.Generator, Shape], Operands], shape: Shape, dtype: Any, seed: int = 0) -> Operands:
    """Floating-point operands are rounded to `dtype`, labels stay integers."""
    drawn = {k: np.asarray(v) for k, v in draw(np.random.default_rng([seed, *shape]), shape).items()}
    return {k: v if v.dtype.kind in "ib" else v.astype(dtype) for k, v in drawn.items()}


def ctc(cell: Any) -> Operands:
    """Normal logits, or their log-softmax, and labels drawn evenly; every sample of full length."""
    frames, samples, classes = cell.shape
    rng = np.random.default_rng(cell.shape)
    x = rng.standard_normal(cell.shape, np.float32)
    if cell.loss == "ctc":
        for frame in x:
            frame -= np.log(np.exp(frame).sum(axis=-1, keepdims=True))
    return {
        "log_probs": x.astype(cell.dtype, copy=False),
        "targets": rng.integers(1, classes, (samples, cell.labels)),
        "input_lengths": np.full(samples, frames),
        "target_lengths": np.full(samples, cell.labels),
    }


def tokens(cell: Any) -> Operands:
    """Normal logits and labels drawn evenly; for a linear loss normal factors whose product has a variance of 1."""
    rng = np.random.default_rng(cell.shape)
    draw = partial(rng.standard_normal, dtype=np.float32)
    rows, classes = cell.shape[0], cell.shape[-1]
    target = {"target": rng.integers(0, classes, rows)}
    if cell.group == "linear":
        features = cell.shape[1]
        matrix = draw((classes, features)) / np.float32(math.sqrt(features))
        return {"input": draw((rows, features)), "linear_weight": matrix, **target}
    second = {"q_logits": draw(cell.shape)} if cell.loss == "kl_div_logits" else {}
    return {"logits": draw(cell.shape), **second, **(target if cell.loss == "token_log_probs" else {})}


def label_lists(cell: Any) -> Operands:
    """Normal scores and lists of so many different positives, in the shape that PyTorch wants: -1 behind the end."""
    rng = np.random.default_rng(cell.shape)
    x = rng.standard_normal(cell.shape).astype(cell.dtype)
    target = np.full(cell.shape, -1)
    target[:, : cell.labels] = np.argsort(rng.random(cell.shape), axis=1)[:, : cell.labels]
    return {"input": x, "target": target}


def vision(cell: Any) -> Operands:
    """Boxes of which most pairs meet; normal logits, and labels drawn evenly or masks of a third."""
    rng = np.random.default_rng(cell.shape)
    if cell.group == "boxes":
        low = rng.uniform(0, 100, (cell.shape[0], 2))
        boxes = np.concatenate([low, low + rng.uniform(30, 90, low.shape)], axis=1)
        other = boxes + rng.uniform(-8, 8, boxes.shape)
        return {"input": boxes.astype(cell.dtype), "target": other.astype(cell.dtype)}
    x = rng.standard_normal(cell.shape, np.float32).astype(cell.dtype, copy=False)
    if cell.loss in ONE_MASK:
        return {"input": x, "target": rng.random(cell.shape) < 1 / 3}
    return {"input": x, "target": rng.integers(0, cell.shape[1], cell.shape[:1] + cell.shape[2:])}


def of_cell(cell: Any) -> Operands:
    if cell.is_ctc:
        return ctc(cell)
    if cell.is_tokens:
        return tokens(cell)
    if cell.is_vision:
        return vision(cell)
    if cell.is_network:
        from . import peers_networks

        return peers_networks.draw(cell)
    if cell.is_vectors:
        from . import peers_vectors

        return peers_vectors.draw(cell)
    if cell.loss == "multilabel_margin":
        return label_lists(cell)
    return seeded(DRAWS[cell.loss], cell.shape, cell.dtype)

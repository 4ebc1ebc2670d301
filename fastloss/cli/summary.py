# SPDX-License-Identifier: BSD-3-Clause
"""The value of a whole file, and the distribution of its samples' losses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .loading import Inputs
from .losses import Loss
from .refusal import Refusal, reason

QUANTILES = ("0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99")


@dataclass
class Evaluation:
    """The value of the whole file, and the loss of each sample that counts."""

    value: float
    losses: np.ndarray  # (n,) float64
    index: np.ndarray  # (n,) of each in the batch axis
    left_out: int  # samples with no position that counts


def evaluate(loss: Loss, inputs: Inputs) -> Evaluation:
    """Two calls of the loss: the value as the function itself reduces it, and the unreduced losses."""
    try:
        value = float(loss.function(**inputs.arguments, reduction=inputs.reduction))
        positions = np.asarray(loss.function(**inputs.arguments, reduction="none"))
        counted = counted_positions(loss, inputs.arguments, positions.shape)
    except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
        raise Refusal(f"{loss.name}: {reason(error)}") from None
    losses, counts = sample_means(positions, counted)
    index = np.flatnonzero(counts)
    return Evaluation(value, losses[index], index, len(losses) - len(index))


def counted_positions(loss: Loss, arguments: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray | None:
    """Which positions of the unreduced loss `mask` and `ignore_index` leave in; None for all."""
    counted = None
    if arguments.get("mask") is not None:
        counted = np.broadcast_to(np.asarray(arguments["mask"]).astype(bool), shape)
    target = np.asarray(arguments.get("target"))
    if "ignore_index" in loss.parameters and target.shape == shape and target.dtype.kind in "iu":
        labelled = target != arguments.get("ignore_index", loss.parameters["ignore_index"].default)
        counted = labelled if counted is None else counted & labelled
    return counted


def sample_means(positions: np.ndarray, counted: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss (float64) and number of counted positions of each sample; positions that do not count are 0."""
    samples = positions.shape[0] if positions.ndim else 1
    width = math.prod(positions.shape[1:])
    sums = positions.reshape(samples, width).sum(axis=1, dtype=np.float64)
    counts = np.full(samples, width) if counted is None else counted.reshape(samples, width).sum(axis=1)
    return sums / np.maximum(counts, 1), counts


def summarise(loss: Loss, inputs: Inputs, evaluation: Evaluation, top: int) -> dict[str, Any]:
    """The report, in the shape of the JSON output."""
    losses, index = evaluation.losses, evaluation.index
    samples = len(losses) + evaluation.left_out
    text = inputs.text
    if text is not None and len(text) != samples:
        inputs.notes.append(f"note: {len(text)} texts for {samples} samples; the samples have no text")
        text = None
    # nan first, then from the largest down; equal losses in the file's order
    order = np.lexsort((-losses, ~np.isnan(losses)))[:top]
    if text is not None and text.dtype.kind == "S":
        text = np.char.decode(text, "utf-8", "replace")
    texts = [None if text is None else str(text[i]) for i in index[order]]
    worst = zip(index[order].tolist(), losses[order].tolist(), texts, strict=True)
    return {
        "loss": loss.name,
        "n": len(losses),
        "reduction": inputs.reduction,
        "value": evaluation.value,
        "per_sample": distribution(losses),
        "worst": [{"index": i, "loss": value, "text": t} for i, value, t in worst],
    }


def distribution(losses: np.ndarray) -> dict[str, Any]:
    """Mean, standard deviation (of the population) and quantiles; nan for no samples, and where a sample is nan."""
    if not len(losses):
        return {"mean": math.nan, "std": math.nan, "quantiles": dict.fromkeys(QUANTILES, math.nan)}
    at = [float(q) for q in QUANTILES]
    with np.errstate(invalid="ignore", over="ignore"):
        mean, std, values = losses.mean(), losses.std(), np.quantile(losses, at)
        # between two infinities, or next to one, interpolation says inf - inf
        values = np.where(np.isnan(values), np.quantile(losses, at, method="higher"), values)
    return {"mean": float(mean), "std": float(std), "quantiles": dict(zip(QUANTILES, values.tolist(), strict=True))}

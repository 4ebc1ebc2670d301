# SPDX-License-Identifier: BSD-3-Clause
"""The value of a whole file, and the distribution of its samples' losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..accumulate import counted_positions, distribution, sample_means, worst_first
from .loading import Inputs
from .losses import Loss
from .refusal import Refusal, reason


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
        counted = counted_positions({**loss.defaults, **inputs.arguments}, positions.shape)
    except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
        raise Refusal(f"{loss.name}: {reason(error)}") from None
    losses, counts = sample_means(positions, counted)
    index = np.flatnonzero(counts)
    return Evaluation(value, losses[index], index, len(losses) - len(index))


def summarise(loss: Loss, inputs: Inputs, evaluation: Evaluation, top: int) -> dict[str, Any]:
    """The report, in the shape of the JSON output."""
    losses, index = evaluation.losses, evaluation.index
    samples = len(losses) + evaluation.left_out
    text = inputs.text
    if text is not None and len(text) != samples:
        inputs.notes.append(f"note: {len(text)} texts for {samples} samples; the samples have no text")
        text = None
    order = worst_first(losses)[:top]
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

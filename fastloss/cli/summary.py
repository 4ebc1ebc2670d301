# SPDX-License-Identifier: BSD-3-Clause
"""The value of a whole file, and the distribution of its samples' losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import fastloss as fl

from ..accumulate import distribution, worst_first
from ..streaming import Progress
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
    every: np.ndarray  # (samples,) float64, nan for those left out


def evaluate(loss: Loss, inputs: Inputs, progress: Progress | None = None) -> Evaluation:
    """All parts, chunk by chunk, as one data set."""
    total = None
    for part in inputs.parts:
        where = f"{part.path}: " if len(inputs.parts) > 1 else ""
        try:
            found = fl.evaluate(
                loss.function, part.arguments, per_sample=True, progress=progress, reduction=inputs.reduction
            )
        except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
            raise Refusal(f"{where}{loss.name}: {reason(error)}") from None
        samples = len(found.losses())
        if part.text is not None and len(part.text) != samples:
            inputs.notes.append(f"note: {where}{len(part.text)} texts for {samples} samples; the samples have no text")
            part.text = None
        part.samples = samples
        total = found if total is None else total + found
    assert total is not None  # there is one part at least
    losses, counted = total.losses(), total.counted()
    index = np.flatnonzero(counted)
    return Evaluation(float(total.compute()), losses[index], index, len(losses) - len(index), losses)


def texts_of(inputs: Inputs, index: np.ndarray) -> list[str | None]:
    """The texts of samples, by their index in the whole data set."""
    starts = np.cumsum([0, *(part.samples for part in inputs.parts)])
    found: list[str | None] = []
    for i in index:
        k = int(np.searchsorted(starts, i, side="right")) - 1
        text = inputs.parts[k].text
        item = None if text is None else text[i - starts[k]]
        item = item.decode("utf-8", "replace") if isinstance(item, bytes) else item
        found.append(None if item is None else str(item))
    return found


def summarise(loss: Loss, inputs: Inputs, evaluation: Evaluation, top: int) -> dict[str, Any]:
    """The report, in the shape of the JSON output."""
    losses, index = evaluation.losses, evaluation.index
    order = worst_first(losses)[:top]
    texts = texts_of(inputs, index[order])
    worst = zip(index[order].tolist(), losses[order].tolist(), texts, strict=True)
    return {
        "loss": loss.name,
        "n": len(losses),
        "reduction": inputs.reduction,
        "value": evaluation.value,
        "per_sample": distribution(losses),
        "worst": [{"index": i, "loss": value, "text": t} for i, value, t in worst],
    }

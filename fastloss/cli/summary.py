# SPDX-License-Identifier: BSD-3-Clause
"""The value of the whole data set, and the distribution of its samples' losses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import fastloss as fl

from ..accumulate import Accumulator
from ..arrow import Field
from .loading import Inputs, Part
from .losses import Loss
from .progress import Show
from .refusal import Refusal, reason

REPORTED = ("mean", "std", "quantiles")  # of the samples' statistics


def evaluate(
    loss: Loss, inputs: Inputs, show: Show, on_samples: Callable[[np.ndarray], None] | None = None, title: str = ""
) -> Accumulator:
    """All parts, chunk by chunk, as one data set."""
    total = None
    samples_before = bytes_before = 0
    bytes_in_all = whole_size(inputs.parts)
    for part in inputs.parts:
        where = f"{part.path}: " if len(inputs.parts) > 1 else ""
        size_of_part, bytes_done = whole_size([part]), 0

        def progress(
            samples: int, of: int, size: int, samples_before: int = samples_before, bytes_before: int = bytes_before,
            size_of_part: int = size_of_part,
        ) -> None:  # fmt: skip
            nonlocal bytes_done
            bytes_done = size or size_of_part * samples // max(1, of)  # Dask counts no bytes
            show(title or loss.name, samples_before + samples, bytes_before + bytes_done, bytes_in_all)

        try:
            found = fl.evaluate(
                loss.function, part.arguments, per_sample=True, progress=progress, on_samples=on_samples,
                reduction=inputs.reduction,
            )  # fmt: skip
            part.samples = found.samples()
            if total is None:
                total = found
            else:
                total.merge(found)
            del found  # its samples stand in the total, and need not stand beside the next part's
        except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
            raise Refusal(f"{where}{loss.name}: {reason(error)}") from None
        if part.text is not None and len(part.text) != part.samples:
            words = f"{len(part.text)} texts for {part.samples} samples; the samples have no text"
            inputs.notes.append(f"note: {where}{words}")
            part.text = None
        samples_before += part.samples
        bytes_before += size_of_part or bytes_done
    assert total is not None  # there is one part at least
    return total


def whole_size(parts: Iterable[Part]) -> int:
    """Bytes of all arrays; 0, unknown, where some are columns of tables."""
    values = [a for part in parts for a in part.arguments.values()]
    if any(isinstance(a, Field) for a in values):
        return 0
    return sum(getattr(a, "nbytes", 0) for a in values)


def texts_of(inputs: Inputs, index: Iterable[int]) -> list[str | None]:
    """The texts of samples, by their index in the whole data set."""
    starts = np.cumsum([0, *(part.samples for part in inputs.parts)])
    found: list[str | None] = []
    for i in index:
        k = int(np.searchsorted(starts, i, side="right")) - 1
        text = inputs.parts[k].text
        found.append(None if text is None else as_text(text[i - starts[k]]))
    return found


def as_text(item: Any) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)


def summarise(loss: Loss, inputs: Inputs, total: Accumulator, top: int) -> dict[str, Any]:
    """The report, in the shape of the JSON output."""
    statistics = total.statistics(worst=top)
    texts = texts_of(inputs, (i for i, _ in statistics["worst"]))
    worst = zip(statistics["worst"], texts, strict=True)
    return {
        "loss": loss.name,
        "n": statistics["n"],
        "reduction": inputs.reduction,
        "value": float(total.compute()),
        "per_sample": {name: statistics[name] for name in REPORTED},
        "worst": [{"index": i, "loss": value, "text": text} for (i, value), text in worst],
    }

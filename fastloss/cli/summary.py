# SPDX-License-Identifier: BSD-3-Clause
"""The value of the whole data set, and the distribution of its samples' losses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..accumulate import Accumulator
from ..arrow import Field
from ..spans import evaluate_spans
from ..streaming import Evaluation
from .loading import Inputs, Part
from .losses import Loss
from .progress import Show
from .refusal import Refusal, reason

REPORTED = ("mean", "std", "quantiles")  # of the samples' statistics


def evaluate(
    loss: Loss, inputs: Inputs, show: Show, on_samples: Callable[[np.ndarray], None] | None = None, title: str = "",
    keep: bool = True,
) -> Accumulator:  # fmt: skip
    """All parts, chunk by chunk, as one data set; `keep`: the losses of its samples, which go to `on_samples` too."""
    run = Evaluation(loss.function, keep)
    samples_before = bytes_before = 0
    bytes_in_all = whole_size(inputs.parts)
    for part in inputs.parts:
        part.samples = 0
        bytes_done, size_of_part = 0, whole_size([part])

        def taken(losses: np.ndarray, part: Part = part) -> None:
            part.samples += len(losses)
            if on_samples is not None:
                on_samples(losses)

        def progress(
            done: int, of: int, size: int, before: int = samples_before, part: Part = part,
            size_of_part: int = size_of_part, bytes_before: int = bytes_before,
        ) -> None:  # fmt: skip
            nonlocal bytes_done
            bytes_done = size or size_of_part * done // max(1, of)  # Dask counts tasks
            show(title or loss.name, before + part.samples, bytes_before + bytes_done, bytes_in_all)

        run.on_samples, run.progress = taken, progress
        where = f"{part.path}: " if len(inputs.parts) > 1 else ""
        try:
            evaluate_part(run, part, inputs.reduction)
        except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError, OSError) as error:
            raise Refusal(f"{where}{loss.name}: {reason(error)}") from None
        if part.text is not None and len(part.text) != part.samples:
            words = f"{len(part.text)} texts for {part.samples} samples; the samples have no text"
            inputs.notes.append(f"note: {where}{words}")
            part.text = None
        samples_before += part.samples
        bytes_before += size_of_part or bytes_done
    assert run.total is not None  # there is one part at least
    return run.total


def evaluate_part(run: Evaluation, part: Part, reduction: str) -> None:
    """By Dask, or here."""
    arguments = {**part.arguments, "reduction": reduction}
    if part.workers:
        evaluate_spans(run, arguments, part.workers)
    else:
        run.named(arguments)


def whole_size(parts: Iterable[Part]) -> int:
    """Bytes of all arrays; 0, unknown, where some are columns of tables."""
    values = [a for part in parts for a in part.arguments.values()]
    if any(isinstance(a, Field) for a in values):
        return 0
    return sum(getattr(a, "nbytes", 0) for a in values)


def texts_of(inputs: Inputs, index: Iterable[int]) -> list[str | None]:
    """The texts of samples, by their index in the whole data set."""
    index, found, start = [int(i) for i in index], {}, 0
    for part in inputs.parts:
        wanted = [i - start for i in index if start <= i < start + part.samples]
        try:
            texts = part.text.at(wanted) if part.text is not None else {}
        except ValueError as error:  # no reason to refuse the rest
            inputs.notes.append(f"note: {part.path}: {reason(error)}; the samples have no text")
            texts, part.text = {}, None
        found.update({start + i: text for i, text in texts.items()})
        start += part.samples
    return [found.get(i) for i in index]


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

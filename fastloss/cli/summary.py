# SPDX-License-Identifier: BSD-3-Clause
"""The value of the whole data set, and the distribution of its samples' losses."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
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
    parts, run, k, samples = inputs.parts, Evaluation(loss.function, keep), 0, 0
    sizes, read = [whole_size([part]) for part in parts], [0] * len(parts)
    in_all = whole_size(parts)
    for part in parts:
        part.samples = 0

    def taken(losses: np.ndarray) -> None:
        nonlocal samples
        parts[k].samples, samples = parts[k].samples + len(losses), samples + len(losses)
        if on_samples is not None:
            on_samples(losses)

    def progress(done: int, of: int, size: int) -> None:
        read[k] = size or sizes[k] * done // max(1, of)  # Dask counts tasks
        show(title or loss.name, samples, sum(read), in_all)

    run.on_samples, run.progress = taken, progress
    try:
        for k in steps(run, inputs):  # noqa: B007 (the functions above have it)
            pass
    except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError, OSError) as error:
        raise Refusal(f"{where(inputs, parts[k])}{loss.name}: {reason(error)}") from None
    for part in parts:
        if part.text is not None and len(part.text) != part.samples:
            words = f"{len(part.text)} texts for {part.samples} samples; the samples have no text"
            inputs.notes.append(f"note: {where(inputs, part)}{words}")
            part.text = None
    assert run.total is not None  # there is one part at least
    return run.total


def where(inputs: Inputs, part: Part) -> str:
    return f"{part.path}: " if len(inputs.parts) > 1 else ""


def steps(run: Evaluation, inputs: Inputs) -> Iterator[int]:
    """Evaluate the parts, by Dask or here; yields the number of the one that is worked on next."""
    every = [{**part.arguments, "reduction": inputs.reduction} for part in inputs.parts]
    for workers, group in itertools.groupby(range(len(every)), lambda k: inputs.parts[k].workers):
        these = list(group)
        if workers:
            for k in evaluate_spans(run, [every[k] for k in these], workers):
                yield these[k]
            continue
        for k in these:
            yield k
            run.named(every[k])


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

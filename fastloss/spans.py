# SPDX-License-Identifier: BSD-3-Clause
"""Files as tasks of Dask: each task opens them where it runs, so that every machine must see them by the same names,
and goes chunk by chunk through a span of the samples. What comes back is added up in order, a few tasks at a time."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ._threads import num_threads
from .accumulate import Accumulator
from .arrow import Field, Table, table_of
from .axes import default_step, sample_axes
from .columns import Archive, Member, is_array_like
from .streaming import Evaluation

SPAN_CHUNKS, SPAN_SAMPLES = 16, 1 << 17  # of a task, at most
GROUP_ROWS = 1 << 16  # up to which row groups are joined
LEAST_TASKS = 8  # that are under way at once

Span = tuple[int, int] | None  # samples, or groups of a table; None for all


class MapOf(NamedTuple):
    """A .npy file's array."""

    path: str
    dtype: Any
    offset: int
    shape: tuple[int, ...]
    order: str

    def open(self, tables: dict[str, Table]) -> Any:
        order: Any = self.order
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape, order)


class MemberOf(NamedTuple):
    """A member of an archive."""

    path: str
    key: str

    def open(self, tables: dict[str, Table]) -> Any:
        return Member(Archive(self.path), self.key)


class FieldOf(NamedTuple):
    """A column of a table."""

    path: str
    column: str
    lengths: bool
    padded: str | None

    def open(self, tables: dict[str, Table]) -> Any:
        field = Field(tables.setdefault(self.path, Table(self.path)), self.column, self.lengths)
        field.padded = self.padded
        return field


def described(value: Any) -> Any:
    """An argument in a form that travels: files by name."""
    if isinstance(value, np.memmap):
        order = "C" if value.flags.c_contiguous else "F"
        return MapOf(os.path.abspath(str(value.filename)), value.dtype, value.offset, value.shape, order)
    if isinstance(value, Member):
        return MemberOf(os.path.abspath(value.archive.path), value.key)
    if isinstance(value, Field):
        return FieldOf(os.path.abspath(value.table.source), value.column, value.lengths, value.padded)
    return value


def why_whole(arguments: Mapping[str, Any], function: Callable[..., Any]) -> str:
    """Why these cannot be cut into several tasks; nothing if they can."""
    fields = {k: v for k, v in arguments.items() if isinstance(v, Field)}
    if fields and table_of(fields).once:
        return "an Arrow stream has no place to begin in the middle"
    axes = sample_axes(function, shapes_of(arguments), arguments)[1]
    packed = [k for k, v in arguments.items() if isinstance(v, Member) and (fields or k in axes) and not v.stored]
    return f"{packed[0]} is compressed, and cannot be read from the middle" if packed else ""


def can_travel(arguments: Mapping[str, Any]) -> bool:
    """Whether a task can open them: a stream from a pipe is here alone."""
    return all(isinstance(v.table.source, str) for v in arguments.values() if isinstance(v, Field))


def shapes_of(arguments: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {k: np.shape(v) if not isinstance(v, Member) else v.shape for k, v in arguments.items() if is_array_like(v)}


def spans_of(arguments: Mapping[str, Any], function: Callable[..., Any]) -> list[Span]:
    """Where the data are cut."""
    if why_whole(arguments, function):
        return [None]
    fields = {k: v for k, v in arguments.items() if isinstance(v, Field)}
    if fields:
        return list(ranges_of_groups(table_of(fields).groups))
    shapes = shapes_of(arguments)
    samples, axes = sample_axes(function, shapes, arguments)
    if not axes:
        return [None]
    step = default_step(
        sum(arguments[k].nbytes for k in axes) / max(1, samples), next(iter(shapes.values())), SPAN_SAMPLES
    )
    step *= max(1, min(SPAN_CHUNKS, SPAN_SAMPLES // step))
    return [(first, min(samples, first + step)) for first in range(0, samples, step)] or [None]


def ranges_of_groups(rows: list[int]) -> Iterator[Span]:
    """Groups of a table, small ones joined."""
    if not rows:
        yield None
    first = held = 0
    for k, n in enumerate(rows):
        if k > first and held + n > GROUP_ROWS:
            yield first, k
            first, held = k, 0
        held += n
    if rows:
        yield first, len(rows)


def evaluate_spans(run: Evaluation, arguments: Mapping[str, Any], workers: int) -> Accumulator:
    """Add what is given by name, by Dask, with so many threads at work in all."""
    import dask

    arguments = {k: v for k, v in arguments.items() if v is not None}
    options = {k: v for k, v in arguments.items() if not isinstance(v, Field) and not is_array_like(v)}
    total = run.begin(options)
    packed = pickle.dumps({k: described(v) for k, v in arguments.items()})
    task = dask.delayed(evaluated_span, pure=False)
    spans = spans_of(arguments, run.function)
    done, most = 0, max(LEAST_TASKS, 2 * workers)
    for start in range(0, len(spans), most):
        some = spans[start : start + most]
        parts = list(dask.compute(*(task(run.function.__name__, packed, span, total.per_sample) for span in some)))
        parts.reverse()
        while parts:  # each one goes when it is added
            total.merge(parts.pop())
            if run.on_samples is not None:
                run.on_samples(total.latest())
        done += len(some)
        if run.progress is not None:
            run.progress(done, len(spans), 0)
    return total


def evaluated_span(function: str, packed: bytes, span: Span, per_sample: bool) -> Accumulator:
    """A task, on one thread, since there are as many tasks as cores."""
    import fastloss as fl

    tables: dict[str, Table] = {}
    found = pickle.loads(packed)
    arguments = {k: v.open(tables) if isinstance(v, (MapOf, MemberOf, FieldOf)) else v for k, v in found.items()}
    run = Evaluation(getattr(fl, function), per_sample)
    with num_threads(1):
        if span is None:
            return run.named(arguments)
        if tables:
            options = {k: v for k, v in arguments.items() if not isinstance(v, Field) and not is_array_like(v)}
            run.rows(arguments, run.begin(options), span)
            assert run.total is not None
            return run.total
        return run.chunks(arguments, span)

# SPDX-License-Identifier: BSD-3-Clause
"""Files as tasks of Dask: each task opens them where it runs, so that every machine must see them by the same names,
and goes chunk by chunk through a span of the samples. What comes back is added up in order, a few tasks at a time."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    step = default_step(sum(arguments[k].nbytes for k in axes) / max(1, samples), SPAN_SAMPLES)
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


def evaluate_spans(run: Evaluation, parts: Sequence[Mapping[str, Any]], workers: int) -> Iterator[int]:
    """Add the data of several files, given by name, by Dask with so many threads at work in all: tasks of several files
    are under way at once. Yields the file's number before what a task made of it is added, or its error raised."""
    import dask

    task = dask.delayed(evaluated_span, pure=False)
    parts = [{k: v for k, v in arguments.items() if v is not None} for arguments in parts]
    spans = [spans_of(arguments, run.function) for arguments in parts]
    jobs = [(k, i, span) for k, those in enumerate(spans) for i, span in enumerate(those)]
    most = max(LEAST_TASKS, 2 * workers)
    total = run.total
    for start in range(0, len(jobs), most):
        some = jobs[start : start + most]
        packed = {k: pickle.dumps({a: described(v) for a, v in parts[k].items()}) for k, _, _ in some}
        samples = run.per_sample or run.on_samples is not None
        name = run.function.__name__
        found = list(dask.compute(*(task(name, packed[k], span, samples) for k, _, span in some)))[::-1]
        for k, i, _ in some:
            yield k
            one = found.pop()  # each one goes when it is added
            if isinstance(one, Exception):
                raise one
            if i == 0 or total is None:
                options = {a: v for a, v in parts[k].items() if not isinstance(v, Field) and not is_array_like(v)}
                total = run.begin(options)
            total.merge(one)
            run.added(total, i + 1, len(spans[k]), 0)


def evaluated_span(function: str, packed: bytes, span: Span, per_sample: bool) -> Accumulator | Exception:
    """A task, on one thread, since there are as many tasks as cores. What is wrong with the data comes back as what it
    is, so that it is the first one that is told."""
    import fastloss as fl

    try:
        tables: dict[str, Table] = {}
        found = pickle.loads(packed)
        arguments = {k: v.open(tables) if isinstance(v, (MapOf, MemberOf, FieldOf)) else v for k, v in found.items()}
        with num_threads(1):
            return span_of(Evaluation(getattr(fl, function), per_sample), arguments, span, bool(tables))
    except (ValueError, TypeError, LookupError, ArithmeticError, OSError) as error:
        return error


def span_of(run: Evaluation, arguments: Mapping[str, Any], span: Span, rows: bool) -> Accumulator:
    """All of the data, groups of a table's rows, or samples of arrays."""
    if span is None:
        return run.named(arguments)
    if not rows:
        return run.chunks(arguments, span)
    total = run.begin({k: v for k, v in arguments.items() if not isinstance(v, Field) and not is_array_like(v)})
    run.rows(arguments, total, span)
    return total

# SPDX-License-Identifier: BSD-3-Clause
"""A loss over data larger than memory, chunk by chunk along the samples."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._ahead import in_order
from ._arrays import Array, as_array
from ._call import integer
from ._threads import get_num_threads, num_threads
from .accumulate import WHOLE_BATCH, Accumulator, Part, find_loss
from .arrow import Field, Table, check_lengths, is_table, table_of, whole_columns
from .axes import ANY_NUMBER, CHUNK_SAMPLES, OWN_AXES, default_step, row_axes, sample_axes, whole_positions
from .columns import ArrayColumn, Member, column_of, is_array_like
from .sources import arguments_in, open_source, paths_of
from .tree import dask_arrays, evaluate_by_dask

__all__ = ["evaluate"]

AT_ONCE = 4  # chunks, at most: each takes some MB
Progress = Callable[[int, int, int], None]  # samples done, samples in all, bytes done
OnSamples = Callable[[Array], None]  # (samples of the chunk,) losses


def evaluate(
    loss: Any, source: Any = None, *, per_sample: bool = False, chunk_size: int | None = None,
    progress: Progress | None = None, on_samples: OnSamples | None = None, columns: Mapping[str, str] | None = None,
    **arguments: Any,
) -> Accumulator:  # fmt: skip
    """A loss over data that need not fit into memory, chunk by chunk.

    Parameters
    ----------
    loss : callable or str
        A loss function of this package, or its name.
    source : path or paths, mapping of arrays, table, or iterable of batches, optional
        A path names a .npz, Parquet or Feather file or an Arrow stream, or is a pattern such as ``"run/*.parquet"``;
        several are one data set in that order, a pattern's by name. A table is anything with Arrow record batches (of
        pyarrow, polars, pandas ...), or an open Arrow stream. Members, keys and columns are named as the loss's
        arguments; those of other names are passed over. A batch is a tuple of operands, a mapping or a record batch.
        Without a source the arrays are given by keyword.
    per_sample : bool
        Also keep the loss of every sample (see `Accumulator`).
    chunk_size : int, optional
        Samples per chunk; by default some 4 MB.
    progress : callable, optional
        Called after each chunk with the samples done, the samples in all (0: unknown) and the bytes done.
    on_samples : callable, optional
        Called after each chunk with the losses of its samples, nan where nothing in a sample counts, which are not kept
        without `per_sample`; by Dask once, at the end.
    columns : mapping, optional
        Of tables: the columns of arguments that they do not bear the name of, ``{"input": "logits"}``.
    **arguments
        Arrays and options of the loss; they go before those of the source. Memory maps are read as they are cut, and
        leave the process's memory behind the cut. Dask arrays are evaluated by Dask, each chunk along the samples by a
        task on one thread; chunked otherwise they are rechunked, with a warning. None leaves out an argument of that
        name in the source.

    Returns
    -------
    Accumulator
        ``compute()`` gives the value, ``statistics()`` the distribution over samples if `per_sample`.

    Raises
    ------
    ValueError, TypeError
        What the loss raises, with positions in the whole data (of several files: in the file named); a file that cannot
        be read, or lacks an argument; a null in a column; lists of different lengths.
    ModuleNotFoundError
        Parquet, Feather or Arrow data without pyarrow (``pip install 'fastloss[arrow]'``).

    Notes
    -----
    Chunks run along axis 0 of the unreduced loss: axis 0 of the operands that have one entry per sample (axis 1 of
    `ctc_loss`'s `log_probs`; a row of a table holds one sample's frames). Of arrays and maps several chunks, at most 4,
    are evaluated at once, each on its share of the threads, and added in order.

    Any chunking gives the value of one call to within 1e-13; the kernels of elementwise losses add float32 numbers in
    pairs first, so that with a `chunk_size` of one's own, or in ragged batches, these agree to about 1e-8. A loss whose
    samples depend on each other is one call on all of the data.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> x = np.arange(6.0).reshape(3, 2)
    >>> float(fl.evaluate(fl.mse_loss, input=x, target=np.zeros_like(x), chunk_size=2).compute())
    9.166666666666666
    """
    function = find_loss(loss)
    if chunk_size is not None and integer(chunk_size, "chunk_size") < 1:
        raise ValueError(f"chunk_size = {chunk_size} must be at least 1")
    total = Evaluation(function, per_sample, chunk_size, progress, on_samples, columns).source(source, arguments)
    if not per_sample:
        total.forget_samples()
    return total


@dataclass
class Evaluation:
    """What is asked for, and what has been added up so far."""

    function: Callable[..., Any]
    per_sample: bool = False
    chunk_size: int | None = None
    progress: Progress | None = None
    on_samples: OnSamples | None = None
    columns: Mapping[str, str] | None = None
    total: Accumulator | None = None

    def begin(self, options: Mapping[str, Any]) -> Accumulator:
        """The accumulator of the data that come next; it goes on behind those that came before."""
        wanted = self.per_sample or self.on_samples is not None
        total = Accumulator(self.function, per_sample=wanted, **options)
        if self.total is not None:
            total.follow(self.total)
        elif not self.per_sample:
            total.keep_latest()
        self.total = total
        return total

    def added(self, total: Accumulator, samples: int, of: int, size: int) -> None:
        """After each chunk: its losses, and how far we are."""
        if self.on_samples is not None:
            self.on_samples(total.latest())
        if self.progress is not None:
            self.progress(samples, of, size)

    def source(self, source: Any, arguments: Mapping[str, Any]) -> Accumulator:
        """All of a source."""
        paths = paths_of(source)
        if len(paths) > 1:
            return self.files(paths, arguments)
        found = open_source(paths[0] if paths else source, self.function, self.columns, arguments)
        if isinstance(found, Mapping):
            return self.named({**found, **arguments})
        return self.batches(found, arguments)

    def files(self, paths: list[str], arguments: Mapping[str, Any]) -> Accumulator:
        """Several files as one data set."""
        samples = size = 0
        done, progress = (0, 0), self.progress

        def shown(n: int, _: int, read: int) -> None:
            nonlocal done
            done = n, read
            if progress is not None:
                progress(samples + n, 0, size + read)

        self.progress = shown
        for path in paths:
            try:
                self.source(path, arguments)
            except (ValueError, IndexError, TypeError) as error:
                text = str(error)
                raise type(error)(text if text.startswith(path) else f"{path}: {text}") from None
            samples, size, done = samples + done[0], size + done[1], (0, 0)
        self.progress = progress
        assert self.total is not None  # there is one path at least
        return self.total

    def batches(self, source: Iterable[Any], options: Mapping[str, Any]) -> Accumulator:
        """An iterable of parts."""
        total = self.begin({k: v for k, v in options.items() if v is not None})
        samples = size = 0
        for batch in source:
            if is_table(batch):
                fields = arguments_in(Table(batch), self.function, self.columns, options)
                with whole_positions(dict.fromkeys(fields, 0), samples), self.quietly():
                    n, read = self.rows({**fields, **options}, total)
            else:
                operands, named = ((), dict(batch)) if isinstance(batch, Mapping) else (tuple(batch), {})
                total.update(*operands, **named)
                if self.on_samples is not None:
                    self.on_samples(total.latest())
                arrays = [np.asarray(a) for a in (*operands, *named.values())]
                n = arrays[0].shape[0] if arrays and arrays[0].ndim else 1
                read = sum(a.nbytes for a in arrays)
            samples, size = samples + n, size + read
            if self.progress is not None:
                self.progress(samples, 0, size)
        return total

    @contextlib.contextmanager
    def quietly(self) -> Iterator[None]:
        """Without progress."""
        progress, self.progress = self.progress, None
        try:
            yield
        finally:
            self.progress = progress

    def named(self, arguments: Mapping[str, Any]) -> Accumulator:
        """Data that are given by name, in the way that their kind asks for."""
        arguments = {k: v for k, v in arguments.items() if v is not None}
        if dask_arrays(arguments):
            return self.dask(arguments)
        if self.function.__name__ in WHOLE_BATCH:
            fields = {k: v for k, v in arguments.items() if isinstance(v, Field)}
            arguments = {**arguments, **whole_columns(fields)}
        if any(isinstance(v, Field) for v in arguments.values()):
            options = {k: v for k, v in arguments.items() if not isinstance(v, Field) and not is_array_like(v)}
            total = self.begin(options)
            self.rows(arguments, total)
            return total
        return self.chunks(arguments)

    def dask(self, arguments: dict[str, Any]) -> Accumulator:
        """Dask arrays."""
        wanted = self.per_sample or self.on_samples is not None
        total = evaluate_by_dask(arguments, self.function, wanted, self.progress)
        if self.on_samples is not None:
            self.on_samples(np.concatenate([np.empty(0), *total.pieces()]))
        if self.total is not None:
            self.total.merge(total)
            return self.total
        self.total = total
        return total

    def rows(
        self, arguments: Mapping[str, Any], total: Accumulator, groups: tuple[int, int] | None = None
    ) -> tuple[int, int]:
        """Add the rows of a table, or of a range of its groups, and of arrays beside it. Returns how many there were,
        and their bytes."""
        fields = {k: v for k, v in arguments.items() if isinstance(v, Field)}
        table = table_of(fields)
        beside = {k: v if isinstance(v, Member) else as_array(v, k) for k, v in arguments.items() if is_array_like(v)}
        axis_of = OWN_AXES.get(self.function.__name__, {})
        cut: dict[str, Any] | None = None
        rows, size = 0, 0
        try:
            for first, columns in table.chunks(fields, self.chunk_size, groups):
                n = len(next(iter(columns.values())))
                arrays = {k: np.moveaxis(a, 0, axis_of.get(k, 0)) for k, a in columns.items()}
                if cut is None:
                    axes = row_axes(self.function, arrays, table.rows, beside, arguments)
                    cut = {k: column_of(a, axes[k], groups is not None) for k, a in beside.items() if k in axes}
                    shared = {k: whole_of(a) for k, a in beside.items() if k not in axes}
                size += sum(a.nbytes for a in arrays.values())
                arrays |= {k: c.read(first, first + n) for k, c in cut.items()}
                check_lengths(fields, arrays, first)
                with whole_positions(axes, first):
                    total.update(**arrays, **shared)
                rows += n
                self.added(total, rows, table.rows or 0, size)
        finally:
            for column in (cut or {}).values():
                column.close()
        return rows, size

    def chunks(self, arguments: Mapping[str, Any], span: tuple[int, int] | None = None) -> Accumulator:
        """Arrays, maps and members, or a span of their samples."""
        arguments = {
            k: v if isinstance(v, Member) or not is_array_like(v) else as_array(v, k) for k, v in arguments.items()
        }
        shapes = {k: v.shape for k, v in arguments.items() if is_array_like(v)}
        samples, axes = sample_axes(self.function, shapes, arguments)
        columns = {k: column_of(arguments[k], axis, span is not None) for k, axis in axes.items()}
        total = self.begin({k: whole_of(v) for k, v in arguments.items() if k not in columns})
        sample_bytes = sum(c.sample_bytes for c in columns.values())
        most = CHUNK_SAMPLES if total.per_sample else ANY_NUMBER
        step = self.chunk_size or default_step(sample_bytes, most)
        step = step if axes else max(samples, 1)
        start, end = span or (0, max(samples, 1))
        bounds = [(first, min(samples, end, first + step)) for first in range(start, end, step)]
        try:
            arrays = {k: c.array for k, c in columns.items() if isinstance(c, ArrayColumn) and c.apart}
            if len(arrays) == len(columns) and self.threads(len(bounds)) > 1:
                self.at_once(total, arrays, axes, bounds, samples, sample_bytes)
                return total
            for first, last in bounds:
                with whole_positions(axes, first):
                    total.update(**{name: column.read(first, last) for name, column in columns.items()})
                self.added(total, last, samples, int(last * sample_bytes))
        finally:
            for column in columns.values():
                column.close()
        return total

    def threads(self, chunks: int) -> int:
        """In which chunks are evaluated at once. A loss on a matrix product is not: the product has threads."""
        product = "linear_weight" in inspect.signature(self.function).parameters
        return 1 if product or chunks < 2 else min(get_num_threads(), AT_ONCE, chunks)

    def at_once(
        self, total: Accumulator, arrays: Mapping[str, Array], axes: dict[str, int], bounds: list[tuple[int, int]],
        samples: int, sample_bytes: float,
    ) -> None:  # fmt: skip
        """Chunks of arrays and maps, each on a thread, so that none waits for another; added in order: same bits."""
        workers = self.threads(len(bounds))
        each = max(1, get_num_threads() // workers)

        def part_of(bound: tuple[int, int]) -> Part:
            columns = {k: ArrayColumn(a, axes[k]) for k, a in arrays.items()}
            try:
                with num_threads(each), whole_positions(axes, bound[0]):
                    return total.part_of(**{k: c.read(*bound) for k, c in columns.items()})
            finally:
                for column in columns.values():
                    column.close()

        for (_, last), part in zip(bounds, in_order(part_of, bounds, workers), strict=True):
            total.add(part)
            self.added(total, last, samples, int(last * sample_bytes))


def whole_of(value: Any) -> Any:
    """A member's array; what is none stays what it is."""
    return value.whole() if isinstance(value, Member) else value

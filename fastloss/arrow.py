# SPDX-License-Identifier: BSD-3-Clause
"""Columns of Parquet and Feather files, Arrow streams and whatever else gives record batches, by pyarrow.

A row is a sample. A column of numbers or bools gives one per sample; one of lists, of one length in all rows, gives
rows of numbers. Nothing is read but the columns that are asked for, a chunk at a time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import IO, Any

import numpy as np

from ._arrays import Array

CHUNK_BYTES = 4 << 20  # of all columns together
CHUNK_ROWS = 1 << 16  # at most: rows may turn out larger than a file says
PARQUET, IPC_FILE, FEATHER_1, IPC_STREAM = b"PAR1", b"ARROW1", b"FEA1", b"\xff\xff\xff\xff"


def pyarrow() -> Any:
    """The library, or one line that says how to get it."""
    try:
        import pyarrow
        import pyarrow.parquet  # with what we use of it
    except ImportError:
        raise ModuleNotFoundError(
            "Parquet and Arrow data need pyarrow, which is not installed: pip install 'fastloss[arrow]'"
        ) from None
    return pyarrow


def is_arrow(start: bytes) -> bool:
    """Whether a file that starts so is one for this module."""
    return start.startswith((PARQUET, IPC_FILE, FEATHER_1, IPC_STREAM))


def is_table(source: Any) -> bool:
    """Whether an object gives record batches: of pyarrow, polars, pandas and others."""
    return hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__")


class Table:
    """Rows that are read in chunks: a file by name, an open stream, or an object with record batches."""

    def __init__(self, source: Any, name: str | None = None) -> None:
        self.source, self.name = source, name or (source if isinstance(source, str) else type(source).__name__)
        self.rows: int | None = None  # in all, where that is known beforehand
        self.once = False  # whether it can be read no second time
        self._batches: Callable[[list[str], int], Iterable[Any]]
        with self.named():
            self._open(pyarrow())

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Whatever pyarrow makes of damaged data becomes a ValueError that names the source."""
        try:
            yield
        except (ModuleNotFoundError, Unusable):
            raise
        except Exception as error:
            words = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{self.name} cannot be read: {words}") from None

    def _open(self, pa: Any) -> None:
        if isinstance(self.source, (str, os.PathLike)):
            with open(self.source, "rb") as file:
                start = file.read(6)
            self._open_file(pa, start)
        elif hasattr(self.source, "read"):
            self._open_stream(pa, self.source)
        elif hasattr(self.source, "__arrow_c_stream__"):
            self.once = not hasattr(self.source, "__len__") and not hasattr(self.source, "num_rows")
            self.rows = None if self.once else len(self.source)
            reader = pa.RecordBatchReader.from_stream(self.source)
            self.schema = reader.schema
            self._batches = lambda names, step: self._again(pa, reader)
        else:
            batch = pa.record_batch(self.source)
            self.schema, self.rows = batch.schema, batch.num_rows
            self._batches = lambda names, step: [batch]

    def _again(self, pa: Any, reader: Any) -> Iterable[Any]:
        return reader if self.once else pa.RecordBatchReader.from_stream(self.source)

    def _open_file(self, pa: Any, start: bytes) -> None:
        if start.startswith(PARQUET):
            # Pages come one by one: no row group stands in memory as a whole, let alone all of them.
            file = pa.parquet.ParquetFile(self.source, buffer_size=1 << 20, pre_buffer=False)
            self.schema, self.rows = file.schema_arrow, file.metadata.num_rows
            self._batches = lambda names, step: file.iter_batches(batch_size=step, columns=names, use_threads=False)
        elif start.startswith(IPC_FILE):
            self.schema = pa.ipc.open_file(pa.OSFile(os.fspath(self.source))).schema
            self.rows = sum(batch.num_rows for batch in self._batches_of_ipc(self._narrowest(), 0))
            self._batches = self._batches_of_ipc
        elif start.startswith(IPC_STREAM):
            self._open_stream(pa, pa.OSFile(os.fspath(self.source)))
        elif start.startswith(FEATHER_1):
            raise ValueError("it is Feather of version 1: write it as version 2")
        else:
            raise ValueError("it is no Parquet or Feather file and no Arrow stream")

    def _open_stream(self, pa: Any, stream: IO[bytes]) -> None:
        self.once = True
        reader = pa.ipc.open_stream(stream)
        self.schema = reader.schema
        self._batches = lambda names, step: reader

    def _batches_of_ipc(self, names: list[str], step: int) -> Iterator[Any]:
        pa = pyarrow()
        # By position: names may stand twice.
        options = pa.ipc.IpcReadOptions(included_fields=[self.schema.names.index(n) for n in names])
        file = pa.ipc.open_file(pa.OSFile(os.fspath(self.source)), options=options)
        return (file.get_batch(k) for k in range(file.num_record_batches))

    def _narrowest(self) -> list[str]:
        """A column by which rows are counted: reading none is not to be had."""
        return sorted(self.schema.names, key=lambda n: self.schema.field(n).type.num_fields)[:1]

    def field(self, column: str) -> Field:
        """A column by its name."""
        if self.schema.names.count(column) != 1:
            many = "more than one" if column in self.schema.names else "no"
            held = ", ".join(self.schema.names) or "none"
            raise ValueError(f"{self.name} has {many} column {column!r} (its columns: {held})")
        return Field(self, column)

    def chunks(self, columns: Mapping[str, str], step: int | None = None) -> Iterator[tuple[int, dict[str, Array]]]:
        """Chunks of some `step` rows: the first one's position, and the arrays by the arguments' names."""
        first, names = 0, list(dict.fromkeys(columns.values()))
        wanted = step or CHUNK_ROWS
        with self.named():
            for batch in self._batches(names, step or self._guess(names)):
                found = {c: batch.column(batch.schema.get_field_index(c)) for c in names}
                start = 0
                while start < batch.num_rows:
                    if step is None and start == 0:
                        wanted = rows_of(found.values(), batch.num_rows)
                    yield first, {a: numbers(found[c].slice(start, wanted), a, first) for a, c in columns.items()}
                    taken = min(wanted, batch.num_rows - start)
                    start, first = start + taken, first + taken
                del batch, found  # before the next one is read

    def _guess(self, names: list[str]) -> int:
        """Rows of a Parquet file in one batch, before the first one is seen: fixed widths are known, lists are not."""
        return 1024 if any(self.schema.field(n).type.num_fields for n in names) else CHUNK_ROWS

    def column(self, name: str) -> Array:
        """All of one column of numbers or text."""
        self.field(name)
        with self.named():
            found = [b.column(b.schema.get_field_index(name)) for b in self._batches([name], CHUNK_ROWS)]
        pieces = [f.to_numpy(zero_copy_only=False) for f in found]
        joined = np.concatenate(pieces) if pieces else np.empty(0)
        return np.array(["" if t is None else str(t) for t in joined]) if joined.dtype.kind == "O" else joined


class Unusable(ValueError):
    """Ours: data that can be read, but not by a loss."""


class Field:
    """A column of a table, as an argument of a loss."""

    def __init__(self, table: Table, column: str) -> None:
        self.table, self.column = table, column


def table_of(fields: Mapping[str, Field]) -> Table:
    """The one that all of them, by argument, belong to."""
    table = next(iter(fields.values())).table
    if any(f.table is not table for f in fields.values()):
        raise ValueError(f"columns of several tables: {', '.join(fields)}")
    return table


def whole_columns(fields: Mapping[str, Field]) -> dict[str, Array]:
    """All rows of columns of one table, by argument."""
    if not fields:
        return {}
    pieces = [c for _, c in table_of(fields).chunks({a: f.column for a, f in fields.items()})]
    return {a: np.concatenate([p[a] for p in pieces]) if pieces else np.empty(0) for a in fields}


def rows_of(columns: Iterable[Any], rows: int) -> int:
    """How many of these rows make a chunk."""
    return int(min(CHUNK_ROWS, max(1, CHUNK_BYTES * rows // max(1, sum(c.nbytes for c in columns)))))


def numbers(column: Any, name: str, first: int) -> Array:
    """An Arrow array as one of NumPy, (n, ...). A null is refused by its position, with `first` rows before these."""
    pa = pyarrow()
    if isinstance(column, pa.ExtensionArray):
        shape = getattr(column.type, "shape", None)
        found = numbers(column.storage, name, first)
        return found if shape is None else found.reshape(len(column), *shape)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise Unusable(f"{name}[{first + row}] is null")
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return rows_of_lists(column, name, first)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column.to_numpy(zero_copy_only=False)
    raise Unusable(f"{name} has the Arrow type {kind}, expected numbers, bools or lists of them")


def rows_of_lists(column: Any, name: str, first: int) -> Array:
    """Lists of one length, of numbers or again of lists."""
    n = len(column)
    if pyarrow().types.is_fixed_size_list(column.type):
        width = column.type.list_size
    else:
        widths = column.value_lengths().to_numpy(zero_copy_only=False)
        width = int(widths[0]) if n else 0
        other = np.flatnonzero(widths != width)[:1]
        for row in other:
            raise Unusable(
                f"{name}[{first + row}] has {widths[row]} values, {name}[{first}] has {width}: expected equal"
            )
    try:
        values = numbers(column.flatten(), "", 0)
    except Unusable as error:
        inner = str(error)
        if inner.startswith("[") and width:  # a null: its place in its row
            place, _, words = inner[1:].partition("]")
            flat = [int(i) for i in place.split(", ")]
            where = ", ".join(map(str, (first + flat[0] // width, flat[0] % width, *flat[1:])))
            inner = f"[{where}]{words}"
        raise Unusable(f"{name}{inner}") from None
    return values.reshape(n, width, *values.shape[1:])


def fields_of(
    table: Table, arguments: Iterable[str], columns: Mapping[str, str], given: Container[str]
) -> dict[str, Field]:
    """The columns that a loss takes: those named by `columns`, and those named as its arguments that are not given."""
    known = list(arguments)
    for a in columns:
        if a not in known:
            raise ValueError(f"columns names {a!r}, which is no array argument of the loss ({', '.join(known)})")
    names = {a: columns.get(a, a) for a in known if a in columns or (a in table.schema.names and a not in given)}
    return {a: table.field(c) for a, c in names.items()}

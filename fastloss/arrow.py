# SPDX-License-Identifier: BSD-3-Clause
"""Columns of Parquet and Feather files, Arrow streams and whatever else gives record batches, by pyarrow.

A row is a sample. A column of numbers or bools gives one per sample; one of lists gives rows of numbers: of one length,
or padded where the loss takes their lengths (targets and frames of CTC). Nothing is read but the columns that are asked
for, a chunk at a time.
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
TEXT_ROWS = 1 << 14  # of a column of text read at a time
PARQUET, IPC_FILE, FEATHER_1, IPC_STREAM = b"PAR1", b"ARROW1", b"FEA1", b"\xff\xff\xff\xff"
Groups = tuple[int, int] | None  # a range of row groups or record batches; None for all


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
        self.groups: list[int] = []  # rows of the groups by which it can be read in parts
        self._batches: Callable[[list[str], int, Groups], Iterable[Any]]
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
            self._batches = lambda *_: self._again(pa, reader)
        else:
            batch = pa.record_batch(self.source)
            self.schema, self.rows = batch.schema, batch.num_rows
            self._batches = lambda *_: [batch]

    def _again(self, pa: Any, reader: Any) -> Iterable[Any]:
        return reader if self.once else pa.RecordBatchReader.from_stream(self.source)

    def _open_file(self, pa: Any, start: bytes) -> None:
        if start.startswith(PARQUET):
            with pa.parquet.ParquetFile(self.source) as file:
                self.schema, self.rows = file.schema_arrow, file.metadata.num_rows
                self.groups = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
            self._batches = self._batches_of_parquet
        elif start.startswith(IPC_FILE):
            self.schema = pa.ipc.open_file(pa.OSFile(os.fspath(self.source))).schema
            self.groups = [batch.num_rows for batch in self._batches_of_ipc(self._narrowest(), 0, None)]
            self.rows = sum(self.groups)
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
        self._batches = lambda *_: reader

    def _batches_of_parquet(self, names: list[str], step: int, groups: Groups) -> Iterator[Any]:
        """Pages come one by one: no row group stands in memory as a whole, let alone all of them."""
        with pyarrow().parquet.ParquetFile(self.source, buffer_size=1 << 20, pre_buffer=False) as file:
            chosen = None if groups is None else list(range(*groups))
            yield from file.iter_batches(batch_size=step, row_groups=chosen, columns=names, use_threads=False)

    def _batches_of_ipc(self, names: list[str], step: int, groups: Groups) -> Iterator[Any]:
        pa = pyarrow()
        # By position: names may stand twice.
        options = pa.ipc.IpcReadOptions(included_fields=[self.schema.names.index(n) for n in names])
        file = pa.ipc.open_file(pa.OSFile(os.fspath(self.source)), options=options)
        return (file.get_batch(k) for k in range(*(groups or (0, file.num_record_batches))))

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

    def chunks(
        self, fields: Mapping[str, Field], step: int | None = None, groups: Groups = None
    ) -> Iterator[tuple[int, dict[str, Array]]]:
        """Chunks of some `step` rows, of all groups or of those of a range: the first one's position, and the arrays by
        the arguments' names."""
        first, names = (
            sum(self.groups[: groups[0]]) if groups else 0,
            list(dict.fromkeys(f.column for f in fields.values())),
        )
        wanted = step or CHUNK_ROWS
        with self.named():
            for batch in self._batches(names, step or self._guess(names), groups):
                found = {c: batch.column(batch.schema.get_field_index(c)) for c in names}
                start = 0
                while start < batch.num_rows:
                    if step is None and start == 0:
                        wanted = rows_of(found.values(), batch.num_rows)
                    pieces = {a: found[f.column].slice(start, wanted) for a, f in fields.items()}
                    n = min([len(p) if not fields[a].padded else even_rows(p) for a, p in pieces.items()])
                    yield first, {a: fields[a].numbers(p.slice(0, n), a, first) for a, p in pieces.items()}
                    start, first = start + n, first + n
                del batch, found  # before the next one is read

    def _guess(self, names: list[str]) -> int:
        """Rows of a Parquet file in one batch, before the first one is seen: fixed widths are known, lists are not."""
        return 1024 if any(self.schema.field(n).type.num_fields for n in names) else CHUNK_ROWS

    def texts(self, name: str) -> Iterator[tuple[int, Array]]:
        """A column of numbers or text, chunk by chunk: the first row's position, and the values."""
        self.field(name)
        first = 0
        with self.named():
            for batch in self._batches([name], TEXT_ROWS, None):
                column = batch.column(batch.schema.get_field_index(name))
                for start in range(0, len(column), TEXT_ROWS):
                    values = texts_of(column.slice(start, TEXT_ROWS), name, first)
                    yield first, values
                    first += len(values)


class Unusable(ValueError):
    """Ours: data that can be read, but not by a loss."""


class Field:
    """A column of a table, as an argument of a loss."""

    def __init__(self, table: Table, column: str, lengths: bool = False) -> None:
        """`lengths`: those of the column's lists are meant."""
        self.table, self.column, self.lengths = table, column, lengths
        self.padded: str | None = None  # to one length, if this argument of the loss says how long each row is
        self.widths: Array | None = None  # lengths of the lists of the chunk read last, where they are padded

    def numbers(self, column: Any, name: str, first: int) -> Array:
        """Rows of it as an array, with `first` rows before these."""
        if self.lengths:
            return lengths_of(column, name, first)
        if self.padded is None or not is_list(column.type):
            return numbers(column, name, first)
        refuse_nulls(column, name, first)
        self.widths = widths_of(column)
        return padded(column, self.widths, name, first)


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
    pieces = [c for _, c in table_of(fields).chunks(fields)]
    return {a: joined([p[a] for p in pieces]) for a in fields}


def joined(pieces: list[Array]) -> Array:
    """Chunks one behind the other, padded to one length."""
    if len({p.shape[1:] for p in pieces}) > 1:
        width = max(p.shape[1] for p in pieces)
        pieces = [np.pad(p, [(0, 0), (0, width - p.shape[1]), *[(0, 0)] * (p.ndim - 2)]) for p in pieces]
    return np.concatenate(pieces) if pieces else np.empty(0)


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
    refuse_nulls(column, name, first)
    kind = column.type
    if is_list(kind):
        return rows_of_lists(column, name, first)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return plain(column)
    raise Unusable(f"{name} has the Arrow type {kind}, expected numbers, bools or lists of them")


def refuse_nulls(column: Any, name: str, first: int) -> None:
    if column.null_count:
        row = int(np.argmax(plain(column.is_null())))
        raise Unusable(f"{name}[{first + row}] is null")


def plain(column: Any) -> Array:
    """Numbers or bools without nulls, as they lie in memory. (Arrow's own `to_numpy` imports pandas, 40 MB, where it is
    installed.)"""
    n, start = len(column), column.offset
    if not n:
        return np.empty(0, np.bool_ if pyarrow().types.is_boolean(column.type) else column.type.to_pandas_dtype())
    data = column.buffers()[1]
    if pyarrow().types.is_boolean(column.type):
        bits = np.frombuffer(data, np.uint8, (start + n + 7) // 8 - start // 8, start // 8)
        return np.unpackbits(bits, bitorder="little")[start % 8 : start % 8 + n].view(np.bool_)
    dtype = np.dtype(column.type.to_pandas_dtype())
    return np.frombuffer(data, dtype, n, start * dtype.itemsize)


def texts_of(column: Any, name: str, first: int) -> Array:
    """Integers and bools as they are, anything else as text, nulls as none."""
    types = pyarrow().types
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_integer(column.type) or types.is_boolean(column.type):
        return numbers(column, name, first)
    return np.array(["" if t is None else str(t) for t in column.to_pylist()], dtype=np.str_)


def rows_of_lists(column: Any, name: str, first: int) -> Array:
    """Lists of one length, of numbers or again of lists."""
    n, widths = len(column), widths_of(column)
    width = int(widths[0]) if n else 0
    for row in np.flatnonzero(widths != width)[:1]:
        raise Unusable(f"{name}[{first + row}] has {widths[row]} values, {name}[{first}] has {width}: expected equal")
    values = flat(column, widths, name, first)
    return values.reshape(n, width, *values.shape[1:])


def padded(column: Any, widths: Array, name: str, first: int) -> Array:
    """Lists of such lengths; behind the shorter ones stands what no loss takes, as far as the type has it."""
    values = flat(column, widths, name, first)
    nothing: Any = {"f": np.nan, "i": -1}.get(values.dtype.kind, 0)
    found = np.full((len(widths), int(widths.max(initial=0)), *values.shape[1:]), nothing, values.dtype)
    found[np.arange(found.shape[1]) < widths[:, np.newaxis]] = values
    return found


def lengths_of(column: Any, name: str, first: int) -> Array:
    """(n,) of lists."""
    if not is_list(column.type):
        raise Unusable(
            f"{name} is missing: expected it as a column, or lists to take the lengths of, not {column.type}"
        )
    refuse_nulls(column, name, first)
    return widths_of(column)


def check_lengths(fields: Mapping[str, Field], arrays: Mapping[str, Array], first: int) -> None:
    """Refuse a row of the chunk that says that it is longer than its list, with `first` rows before these."""
    for a, field in fields.items():
        said = arrays.get(field.padded or "")
        if said is None or field.widths is None or said.shape != field.widths.shape:
            continue
        for row in np.flatnonzero(said > field.widths)[:1]:
            held = f"{a}[{first + row}] has {field.widths[row]} entries"
            raise ValueError(f"{field.padded}[{first + row}] = {said[row]} is too much: {held}")


def even_rows(column: Any) -> int:
    """How many rows may be padded to the length of the longest of them without taking much more than a chunk."""
    if not is_list(column.type) or column.null_count or not len(column):
        return len(column)
    widths = widths_of(column)
    size = np.maximum.accumulate(widths) * np.arange(1, len(widths) + 1)
    least = widths.sum() / max(1, column.nbytes) * CHUNK_BYTES  # values of a chunk
    return max(1, int(np.searchsorted(size, 2 * least, side="right")))


def is_list(kind: Any) -> bool:
    types = pyarrow().types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def widths_of(column: Any) -> Array:
    """(n,) lengths of lists, none of which is null."""
    if pyarrow().types.is_fixed_size_list(column.type):
        return np.full(len(column), column.type.list_size)
    return plain(column.value_lengths()).astype(np.int64)


def flat(column: Any, widths: Array, name: str, first: int) -> Array:
    """What stands in all lists; a null in them is named by its place."""
    try:
        return numbers(column.flatten(), "", 0)
    except Unusable as error:
        inner = str(error)
        if inner.startswith("[") and widths.any():  # a null: its place in its row
            place, _, words = inner[1:].partition("]")
            at = [int(i) for i in place.split(", ")]
            starts = np.cumsum(widths) - widths
            row = int(np.searchsorted(starts + widths, at[0], side="right"))
            where = ", ".join(map(str, (first + row, at[0] - int(starts[row]), *at[1:])))
            inner = f"[{where}]{words}"
        raise Unusable(f"{name}{inner}") from None


def fields_of(
    table: Table, arguments: Iterable[str], columns: Mapping[str, str], given: Container[str],
    ragged: Mapping[str, str] = {},
) -> dict[str, Field]:  # fmt: skip
    """The columns that a loss takes: those named by `columns`, and those named as its arguments that are not given.

    `ragged`: arguments whose lists may differ in length -> the argument of these lengths, which are taken of the lists
    where there is no such column.
    """
    known = list(arguments)
    for a in columns:
        if a not in known:
            raise ValueError(f"columns names {a!r}, which is no array argument of the loss ({', '.join(known)})")
    names = {a: columns.get(a, a) for a in known if a in columns or (a in table.schema.names and a not in given)}
    found = {a: table.field(c) for a, c in names.items()}
    for a, lengths in ragged.items():
        if a in found:
            found[a].padded = lengths
            if lengths not in found and lengths not in given and is_list(table.schema.field(names[a]).type):
                found[lengths] = Field(table, names[a], lengths=True)
    return found

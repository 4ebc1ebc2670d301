# SPDX-License-Identifier: BSD-3-Clause
"""Mean and number of samples per group, by a key of each sample: ``--group-by``."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..accumulate import Accumulator, Compensated
from ..arrow import Table
from ..columns import pieces_of
from .loading import Inputs, Part, load_npy, read_member
from .refusal import Refusal, reason

LARGEST_NUMBER = 100_000  # of groups: a key with more values than that names samples, not groups
CHUNK_BYTES = 1 << 20  # of keys read at a time
LONGEST = 1 << 16  # bytes of a key
GROUPED_TYPES = ("int", "uint", "bool", "string", "large_string", "dictionary")  # of Arrow


class Group:
    """Sum and number of the losses of one key's samples, and how many samples are left out."""

    __slots__ = ("left_out", "n", "total")

    def __init__(self) -> None:
        self.total, self.n, self.left_out = Compensated(), 0, 0

    @property
    def mean(self) -> float:
        return self.total.value() / self.n if self.n else math.nan


def open_keys(key: str, inputs: Inputs, stack: contextlib.ExitStack) -> list[Any]:
    """The key's arrays, not read yet: one .npy file for the whole data set, or the member or column `key` of
    each file."""
    if key.endswith(".npy"):
        keys: list[Any] = [load_npy(key, "group_by")]
        check_keys(key, keys[0])
        return keys
    return [keys_in(part, key) for part in inputs.parts]


def keys_in(part: Part, key: str) -> Any:
    """A member of a .npz file, not read yet, or a column of a table."""
    if part.path is None or part.file is None:
        raise Refusal(f"--group-by {key}: expected a .npy file, or a FILE.npz that holds {key!r}")
    held = part.file.schema.names if isinstance(part.file, Table) else part.file.names()
    if key not in held:
        raise Refusal(f"{part.path} has no {key!r} to group by (it holds {', '.join(sorted(held)) or 'nothing'})")
    if isinstance(part.file, Table):
        return Column(part.file, key)
    keys = read_member(part.file, part.path, key)
    check_keys(f"{part.path}: member {key!r}", keys)
    return keys


class Column:
    """Keys in a column of a table."""

    def __init__(self, table: Table, key: str) -> None:
        self.table, self.key = table, key
        if table.once:
            raise Refusal(f"{table.name} is an Arrow stream, which is read once: give --group-by a .npy file")
        try:
            kind = str(table.field(key).table.schema.field(key).type)
        except ValueError as error:
            raise Refusal(f"--group-by: {reason(error)}") from None
        if not kind.startswith(GROUPED_TYPES):
            raise Refusal(f"{table.name}: column {key!r}: expected integers or text to group by, got {kind}")

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.table.rows or 0,)

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        for first, values in self.table.texts(self.key):
            check_keys(f"{self.table.name}: column {self.key!r}", values)  # integers beside nulls are no integers
            yield first, values


def check_keys(what: str, keys: Any) -> None:
    if len(keys.shape) != 1:
        raise Refusal(f"{what}: expected one key per sample to group by, got shape {keys.shape}")
    if keys.dtype.kind not in "iubUS" or keys.dtype.itemsize > LONGEST:
        raise Refusal(f"{what}: expected integers or text to group by, got {keys.dtype}")


def group(keys: list[Any], inputs: Inputs, total: Accumulator) -> list[dict[str, Any]]:
    """One entry per key: largest mean first, nan before it as for samples, equal ones by key; those without a sample
    that counts last."""
    samples = [part.samples for part in inputs.parts]
    expected = samples if len(keys) == len(samples) else [sum(samples)]
    for array, n, path in zip(keys, expected, [p.path for p in inputs.parts], strict=False):
        if array.shape[0] != n:
            where = f"{path}: " if len(keys) > 1 else ""
            raise Refusal(f"{where}--group-by: {array.shape[0]} keys for {n} samples")
    groups: dict[Any, Group] = {}
    at = 0
    for chunk in chunks(keys):
        end = at + len(chunk)
        add(groups, chunk, total.losses(at, end), total.counted(at, end))
        at = end
    order = sorted(groups, key=lambda key: (isinstance(key, str), key))  # files may have either kind
    order.sort(key=lambda key: worst_first(groups[key]))
    return [
        {"group": key, "n": groups[key].n, "mean": groups[key].mean, "left_out": groups[key].left_out} for key in order
    ]


def worst_first(one: Group) -> tuple[int, float]:
    if not one.n:
        return 2, 0.0
    return (0, 0.0) if math.isnan(one.mean) else (1, -one.mean)


def chunks(keys: list[Any]) -> Iterator[np.ndarray]:
    for one in keys:
        try:
            for _, values in one.pieces() if isinstance(one, Column) else pieces_of(one, CHUNK_BYTES):
                yield values
        except ValueError as error:  # damaged
            raise Refusal(f"--group-by: {reason(error)}") from None


def add(groups: dict[Any, Group], keys: np.ndarray, losses: np.ndarray, counted: np.ndarray) -> None:
    """A chunk's samples: (chunk,) keys, losses (nan where left out) and whether they count."""
    values, where = np.unique(keys, return_inverse=True)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.bincount(where, np.where(counted, losses, 0.0), len(values))
    numbers = np.bincount(where, counted, len(values))
    held = np.bincount(where, minlength=len(values))
    for value, part, n, every in zip(values.tolist(), sums.tolist(), numbers.tolist(), held.tolist(), strict=True):
        one = groups.setdefault(plain_key(value), Group())
        one.total = one.total.plus(part)
        one.n += int(n)
        one.left_out += every - int(n)
    if len(groups) > LARGEST_NUMBER:
        raise Refusal(f"--group-by: more than {LARGEST_NUMBER} different keys: expected fewer groups than samples")


def plain_key(value: Any) -> int | str:
    """Numbers stay numbers, also False and True; bytes become text, with escapes for what is no UTF-8."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else int(value)

# SPDX-License-Identifier: BSD-3-Clause
"""Where the arguments of a loss come from: files by name, patterns, tables, mappings."""

from __future__ import annotations

import glob
import inspect
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .arrow import Table, fields_of, is_arrow, is_table
from .axes import RAGGED, array_arguments
from .columns import Archive, Member


def paths_of(source: Any) -> list[str]:
    """The files of a source that is given by paths, or by a pattern that names no file itself."""
    if isinstance(source, (list, tuple)) and source and all(isinstance(p, (str, os.PathLike)) for p in source):
        return [path for given in source for path in paths_of(given)]
    if not isinstance(source, (str, os.PathLike)):
        return []
    path = os.fspath(source)
    if not glob.has_magic(path) or os.path.lexists(path):
        return [path]
    found = sorted(glob.glob(path, recursive=True))
    if not found:
        raise FileNotFoundError(f"no file has a name like {path}")
    return found


def first_bytes(path: str) -> bytes:
    """By which a file's kind is known: enough for the length of a .npy header."""
    kind = os.stat(path).st_mode  # before it is opened: a pipe without a writer would make us wait
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        what = "a pipe" if stat.S_ISFIFO(kind) else "a device or socket"
        raise ValueError(f"{path} is {what}: expected a file, which can be read in any order")
    with open(path, "rb") as file:
        return file.read(12)


def open_source(
    source: Any, function: Callable[..., Any], columns: Mapping[str, str] | None = None, given: Mapping[str, Any] = {}
) -> Any:
    """A mapping of the loss's arguments, or an iterable of batches."""
    known = inspect.signature(function).parameters
    if source is None:
        return {}
    if isinstance(source, Mapping):
        return {k: v for k, v in source.items() if k in known}
    if isinstance(source, Table) or is_table(source) or hasattr(source, "read"):
        return arguments_in(source if isinstance(source, Table) else Table(source), function, columns, given)
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if is_arrow(first_bytes(path)):
            return arguments_in(Table(path), function, columns, given)
        archive = Archive(path)
        return {k: _member(archive, k) for k in archive.names() if k in known and k not in given}
    if isinstance(source, Iterable):
        return source
    raise TypeError(f"source must be a path, a mapping or an iterable of batches, got {type(source).__name__}")


def arguments_in(
    table: Table, function: Callable[..., Any], columns: Mapping[str, str] | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The columns of a table that the loss takes."""
    ragged = RAGGED.get(function.__name__, {})
    return dict(fields_of(table, array_arguments(function), columns or {}, given, ragged))


def _member(archive: Archive, key: str) -> Any:
    """A member; a 0-d one is an option or a number."""
    member = Member(archive, key)
    return member if member.shape else member.whole().item()

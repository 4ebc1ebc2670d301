# SPDX-License-Identifier: BSD-3-Clause
"""Arrays and options of a loss, from files and flags."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import sys
import tempfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from .. import sources
from ..arrow import IPC_STREAM, Table, is_arrow
from ..columns import Archive, Member, check_header_length
from ..sources import arguments_in, paths_of
from ..spans import can_travel, why_whole
from ..tree import scheduler
from .losses import Loss, flag
from .refusal import Refusal, reason
from .texts import Texts

TEXT_KEYS = ("transcripts", "text", "texts", "names")
NPY_MAGIC, NPZ_MAGIC = b"\x93NUMPY", b"PK"
STANDARD_INPUT, PIPE_LIMIT = "standard input", 1 << 30  # bytes of a pipe that are put by, to be read in any order


@dataclass
class Part:
    """One file, or the arrays of the flags alone."""

    path: str | None
    arguments: dict[str, Any]  # of the loss, `reduction` aside; arrays of files are not read yet
    text: Texts | None = None  # of each sample, if the file has it
    file: Archive | Table | None = None
    samples: int = 0  # known once it is evaluated
    workers: int = 0  # threads of Dask that it is evaluated by; 0: without Dask


@dataclass
class Inputs:
    """What one evaluation works on."""

    parts: list[Part]
    reduction: str = "mean"
    notes: list[str] = field(default_factory=list)  # for stderr


def first_bytes(path: str) -> bytes:
    """By which a file's kind is known."""
    try:
        return sources.first_bytes(path)
    except (OSError, ValueError) as error:  # ValueError: a pipe, or a null byte in the path
        strerror = getattr(error, "strerror", None)
        raise Refusal(f"{path}: {strerror or error}" if strerror or "is a" not in str(error) else str(error)) from None


def check_magic(path: str, magic: bytes, otherwise: str, name: str | None = None) -> bytes:
    """Refuse what is not a .npy or .npz file by its first bytes, which are returned: NumPy's own message would be about
    pickles."""
    start = first_bytes(path)
    path = name or path
    if not start.startswith(magic):
        hint = otherwise if start.startswith((NPY_MAGIC, NPZ_MAGIC)) else ""
        raise Refusal(f"{path} is not a {'.npy' if magic == NPY_MAGIC else '.npz'} file{hint}")
    return start


def put_by(stack: contextlib.ExitStack, stream: IO[bytes]) -> str:
    """A temporary file with what a pipe holds; `stack` will remove it."""
    file = stack.enter_context(tempfile.NamedTemporaryFile(prefix="fastloss-"))  # noqa: SIM115
    while piece := stream.read(1 << 20):
        if file.tell() + len(piece) > PIPE_LIMIT:
            limit = f"{PIPE_LIMIT / 2**30:g} GiB"
            raise Refusal(f"{STANDARD_INPUT} holds more than {limit}: save it as a file, or pipe an Arrow stream")
        file.write(piece)
    file.flush()
    return file.name


def standard_input(stack: contextlib.ExitStack) -> tuple[IO[bytes] | str, bytes]:
    """An Arrow stream as it comes; anything else as the path of a file. And its first bytes."""
    if sys.stdin is None or sys.stdin.isatty():
        raise Refusal(f"{STANDARD_INPUT} is a terminal: expected a .npz file or an Arrow stream from a pipe or a file")
    stream: Any = sys.stdin.buffer
    start = stream.peek(6)[:6]
    if start.startswith(IPC_STREAM):
        return stream, start
    return put_by(stack, stream), start


def load_flag(given: str, name: str, stack: contextlib.ExitStack) -> np.ndarray:
    """The array that a flag names."""
    if given != "-":
        return load_npy(given, name)
    found, _ = standard_input(stack)
    if not isinstance(found, str):
        raise Refusal(f"{STANDARD_INPUT} is an Arrow stream: give it as FILE, without {flag(name)}")
    return load_npy(found, name, STANDARD_INPUT)


def load_npy(path: str, name: str, shown: str | None = None) -> np.ndarray:
    """A .npy file, mapped and not read, so that arrays beyond memory work."""
    start = check_magic(path, NPY_MAGIC, f" but a .npz file; give it without {flag(name)}", shown)
    try:
        check_header_length(int.from_bytes(start[8:10] if start[6:7] == b"\1" else start[8:12], "little"))
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return array
    except Exception as error:  # a hostile header can make NumPy raise nearly anything
        raise Refusal(f"{shown or path} cannot be read as an array: {reason(error)}") from None


def open_npz(path: str, name: str | None = None) -> Archive:
    """The archive; `name` is what the user knows it by."""
    check_magic(path, NPZ_MAGIC, " but a .npy file; give it as --input or another array", name)
    try:
        return Archive(path, name)
    except (OSError, ValueError) as error:
        raise Refusal(reason(error)) from None


def read_member(archive: Archive, path: str, key: str) -> Member:
    try:
        return Member(archive, key)
    except ValueError as error:
        raise Refusal(f"{path}: {reason(error)}") from None


def load_inputs(loss: Loss, options: argparse.Namespace, stack: contextlib.ExitStack) -> Inputs:
    """Arrays and options of a loss from the command line and, where that is silent, from the .npz files."""
    given = {n: v for n, v in vars(options).items() if n in loss.parameters}
    flags = {n: load_flag(v, n, stack) if loss.is_array(n) and isinstance(v, str) else v for n, v in given.items()}
    inputs = Inputs([])
    reductions = set()
    columns = columns_of(options)
    paths: list[str | None] = [*files_of(options.files)]
    for path in paths or [None]:
        part, keys = load_part(loss, path, flags, columns, inputs.notes, stack)
        inputs.notes += likely_typos(loss, path, keys, part.arguments)
        check_complete(loss, path, keys, part.arguments)
        reductions.add(chosen_reduction(part.arguments.pop("reduction", None), loss.parameters["reduction"].default))
        inputs.parts.append(part)
    if len(reductions) > 1:
        raise Refusal(f"the files ask for different reductions ({', '.join(sorted(reductions))}): give --reduction")
    inputs.reduction = reductions.pop()
    return inputs


def use_dask(where: str, loss: Loss, models: list[Inputs], stack: contextlib.ExitStack) -> None:
    """Until `stack` is closed Dask evaluates the files."""
    try:
        workers = stack.enter_context(scheduler(where))
    except (ValueError, ImportError) as error:
        raise Refusal(f"--dask: {reason(error)}") from None
    notes = models[0].notes
    for inputs in models:
        for part in inputs.parts:
            if not can_travel(part.arguments):
                notes.append(f"note: {part.path} is evaluated without Dask: it is read as it comes")
                continue
            part.workers, why = workers, why_whole(part.arguments, loss.function)
            if why:
                notes.append(f"note: {part.path} is one task: {why}")


def files_of(given: list[str]) -> list[str]:
    """The files named, and those of quoted patterns."""
    try:
        return [path for one in given for path in (paths_of(one) if one != "-" else ["-"])]
    except FileNotFoundError as error:
        raise Refusal(str(error)) from None


def columns_of(options: argparse.Namespace) -> dict[str, str]:
    """``--column input=logits``"""
    for pair in options.columns:
        if "=" not in pair:
            raise Refusal(f"--column: expected ARGUMENT=COLUMN, got {pair!r}")
    return dict(pair.split("=", 1) for pair in options.columns)


def load_part(
    loss: Loss, path: str | None, flags: dict[str, Any], columns: dict[str, str], notes: list[str],
    stack: contextlib.ExitStack,
) -> tuple[Part, list[str]]:  # fmt: skip
    """One file's arguments below the flags', and the names of its members."""
    part = Part(path, dict(flags))
    if path is None:
        return part, []
    source: Any = path
    if path == "-":
        part.path = path = STANDARD_INPUT
        source, start = standard_input(stack)
    else:
        start = first_bytes(path)
    if is_arrow(start):
        return load_table(loss, part, source, columns)
    part.file = archive = open_npz(source, path)
    keys = archive.names()
    for key in keys:
        if key in loss.parameters and key not in flags:
            member = read_member(archive, path, key)
            part.arguments[key] = member if loss.is_array(key) and member.shape else plain_option(loss, path, member)
    part.text = read_text(archive, path, set(keys) - set(loss.parameters), notes)
    return part, keys


def load_table(loss: Loss, part: Part, source: Any, columns: dict[str, str]) -> tuple[Part, list[str]]:
    """The columns of a Parquet or Feather file or an Arrow stream; nothing is read but the schema."""
    try:
        part.file = table = Table(source, part.path)
        part.arguments.update(arguments_in(table, loss.function, columns, part.arguments))
    except (ValueError, ImportError) as error:
        raise Refusal(reason(error)) from None
    names = table.schema.names
    text = next((k for k in TEXT_KEYS if names.count(k) == 1 and k not in loss.parameters), None)
    if text is not None and not table.once and str(table.schema.field(text).type) in ("string", "large_string"):
        part.text = Texts(table, text)
    return part, names


def plain_option(loss: Loss, path: str, member: Member) -> Any:
    """An option (say `delta`) or a number that stands in the file: a 0-d array, unless the option takes several."""
    if member.shape and not loss.takes_several(member.key):
        key = member.key
        raise Refusal(f"{path}: member {key!r}: expected a 0-d array for this option, got shape {member.shape}")
    value = read_whole(path, member)
    return value if loss.is_array(member.key) or member.shape else value.item()


def read_whole(path: str, member: Member) -> np.ndarray:
    try:
        return member.whole()
    except ValueError as error:
        raise Refusal(f"{path}: {reason(error)}") from None


def read_text(archive: Archive, path: str, keys: Collection[str], notes: list[str]) -> Texts | None:
    """The first 1-D array of strings under a key for texts. One that cannot be read is no reason to refuse the rest."""
    for key in TEXT_KEYS:
        try:
            member = read_member(archive, path, key) if key in keys else None
            if member is not None and member.dtype.kind in "US" and len(member.shape) == 1:
                return Texts(member)
        except Refusal as refusal:
            notes.append(f"note: {refusal}; the samples have no text")
    return None


def likely_typos(loss: Loss, path: str | None, keys: Iterable[str], arguments: Collection[str]) -> list[str]:
    """Notes on members that are ignored but look like an argument that was not given: `weights`, `masks`."""
    absent = [n for n in loss.parameters if n not in arguments]
    pairs = {k: difflib.get_close_matches(k, absent, n=1, cutoff=0.8) for k in keys if k not in loss.parameters}
    ignored = f"is not an argument of {loss.name} and is ignored"
    return [f"note: {path}: {key!r} {ignored}; did you mean {close[0]!r}?" for key, close in pairs.items() if close]


def check_complete(loss: Loss, path: str | None, keys: Collection[str], arguments: Collection[str]) -> None:
    missing = [n for n in loss.required if n not in arguments]
    if not missing:
        return
    flags = " ".join(f"{flag(n)} {n}.npy" for n in missing)
    if path is None:
        raise Refusal(f"{loss.name} needs {', '.join(missing)}: give a FILE.npz that holds them, or {flags}")
    names, held = " and no ".join(map(repr, missing)), ", ".join(sorted(keys)) or "nothing"
    raise Refusal(f"{path} has no {names}, which {loss.name} needs (it holds {held}); or give {flags}")


def chosen_reduction(given: Any, default: str) -> str:
    """The function judges the name later; but "none" has no value to report, and is what the samples show anyway."""
    if given == "none":
        raise Refusal("reduction 'none' has no single value: expected 'mean' or 'sum'")
    chosen = default if given is None else str(given)
    return "mean" if chosen == "none" else chosen

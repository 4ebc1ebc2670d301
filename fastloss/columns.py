# SPDX-License-Identifier: BSD-3-Clause
"""Arguments of a loss that are read in chunks of samples: arrays, memory maps, members of .npz files."""

from __future__ import annotations

import contextlib
import io
import math
import mmap
import struct
import zipfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from ._arrays import Array

try:
    from numpy.lib.array_utils import byte_bounds  # NumPy 2
except ImportError:
    from numpy import byte_bounds  # type: ignore[attr-defined, no-redef]

WHOLE_LIMIT = 1 << 30  # bytes of a member that cannot be read in the order of its samples
MAPPED_BYTES = 4 << 20  # of a stored member that is rather mapped than read whole
HEADER_LIMIT = 1 << 16  # bytes of a .npy header; NumPy would read gigabytes of it before it refuses
# What is read at once beyond so many bytes must not have been packed tighter than that: real numbers never are.
PACKED_BYTES, PACKED_RATIO = 32 << 20, 200


class ArrayColumn:
    """An array or memory map, cut along `axis`."""

    def __init__(self, array: Array, axis: int) -> None:
        self.array, self.axis = array, axis
        self.mapped = mapping_of(array)
        self.read_last: tuple[int, int] | None = None

    def read(self, first: int, last: int) -> Array:
        """Samples [first, last). Of a memory map, what was read before leaves the process's memory, if not the
        system's cache."""
        if self.mapped is not None:
            self._let_go()
            self.read_last = first, last
            part = self._part(first, last)
            if part.flags.forc:  # else what lies between would come along
                self._advise(POPULATE_READ, *byte_bounds(part))
        return self._part(first, last)

    @property
    def apart(self) -> bool:
        """Whether letting go of one part leaves the others where they are."""
        return self.mapped is None or (self.axis == 0 and self.array.flags.c_contiguous)

    def _let_go(self) -> None:
        if self.read_last is not None:
            self._advise(mmap.MADV_DONTNEED, *byte_bounds(self._part(*self.read_last)))
            self.read_last = None

    def _advise(self, advice: int, start: int, stop: int) -> None:
        """Tell the system about the pages of these addresses."""
        assert self.mapped is not None
        base = np.frombuffer(self.mapped, np.uint8).ctypes.data
        first = (start - base) // mmap.PAGESIZE * mmap.PAGESIZE
        with contextlib.suppress(OSError, ValueError):  # it is advice: an older kernel does not know all of it
            self.mapped.madvise(advice, first, stop - base - first)

    def _part(self, first: int, last: int) -> Array:
        return self.array[(slice(None),) * self.axis + (slice(first, last),)]

    def close(self) -> None:
        """The array is the caller's; what was read of its map is let go."""
        if self.mapped is not None:
            self._let_go()

    @property
    def sample_bytes(self) -> float:
        return self.array.nbytes / max(1, self.array.shape[self.axis])


POPULATE_READ = 22  # MADV_POPULATE_READ, Linux 5.14: all pages in one go, instead of a fault for every few


def mapping_of(array: Array) -> mmap.mmap | None:
    """The memory map under an array, if its pages may be let go: not one whose changes live in this process alone."""
    base: Any = array
    while base is not None and not isinstance(base, np.memmap):
        base = getattr(base, "base", None)
    if base is None or base.mode not in ("r", "r+") or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    mapped = base._mmap  # type: ignore[attr-defined]
    return mapped if isinstance(mapped, mmap.mmap) else None


class Archive:
    """A .npz file, which is open only while one of its members is read: a data set may have any number of them."""

    def __init__(self, path: str, name: str | None = None) -> None:
        """`name` is what the user knows it by."""
        self.path = path
        try:
            with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
                self.members = {info.filename: info for info in archive.infolist()}
        except OSError:
            raise
        except Exception as error:  # zipfile has many
            raise ValueError(f"{name or path} cannot be read as a .npz file: {error}") from None

    def names(self) -> list[str]:
        """Names of the members, as numpy.load gives them."""
        return [name.removesuffix(".npy") for name in self.members]

    def info(self, key: str) -> zipfile.ZipInfo:
        return self.members[key if key in self.members else f"{key}.npy"]

    def open(self, info: zipfile.ZipInfo) -> IO[bytes]:
        with zipfile.ZipFile(self.path) as archive:  # whose file stays open until the member is closed
            return archive.open(info)


class Member:
    """One array of a .npz file. Nothing is read but its header until it is asked for; the size that the header declares
    is held against the directory of the archive, and what comes against both, so that no lie costs memory."""

    def __init__(self, archive: Archive, key: str) -> None:
        self.archive, self.key = archive, key
        with self.named():
            self.info = archive.info(key)
            self.open().close()

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Whatever zlib, zipfile and NumPy make of damaged files becomes a ValueError that names the member."""
        try:
            yield
        except Exception as error:
            raise ValueError(f"member {self.key!r} cannot be read: {str(error) or type(error).__name__}") from None

    def open(self) -> IO[bytes]:
        """The member's stream, behind its header."""
        stream = self.archive.open(self.info)
        try:
            self._read_header(stream)
        except BaseException:
            stream.close()
            raise
        return stream

    def _read_header(self, stream: IO[bytes]) -> None:
        try:
            version = np.lib.format.read_magic(stream)
        except ValueError:
            raise ValueError("it is not an array") from None
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"version {version} of the .npy format is not supported")
        width = 2 if version == (1, 0) else 4
        length = _exactly(stream, width)
        check_header_length(int.from_bytes(length, "little"))
        header = io.BytesIO(length + _exactly(stream, int.from_bytes(length, "little")))
        self.shape, self.fortran, self.dtype = readers[version](header)
        if self.dtype.hasobject:
            raise ValueError("it holds Python objects, which are never unpickled")
        if any(n < 0 for n in self.shape):
            raise ValueError(f"its header declares the shape {self.shape}")
        self.nbytes = math.prod(self.shape) * self.dtype.itemsize
        self.header_bytes = stream.tell()
        held = self.info.file_size - self.header_bytes
        if self.nbytes != held:
            raise ValueError(f"its header declares {self.nbytes} bytes, the archive {held}")

    def check_packing(self, n: int) -> None:
        """Refuse to hold n bytes of what is nothing but a zip bomb."""
        if n > PACKED_BYTES and self.info.file_size > PACKED_RATIO * self.info.compress_size:
            raise ValueError(f"it unpacks {self.info.file_size} bytes from {self.info.compress_size}, {n} at once")

    def whole(self) -> Array:
        """All of it."""
        if self.nbytes > WHOLE_LIMIT:
            raise ValueError(
                f"it has {self.nbytes} bytes that cannot be read in chunks: save it as .npy, which is mapped"
            )
        with self.named(), self.open() as stream:
            self.check_packing(self.nbytes)
            flat = np.frombuffer(_exactly(stream, self.nbytes), self.dtype)
            _check_end(stream)
        return flat.reshape(self.shape, order="F" if self.fortran else "C")

    @property
    def stored(self) -> bool:
        """Whether it stands in the file as it is, not packed."""
        return self.info.compress_type == zipfile.ZIP_STORED

    @property
    def in_order(self) -> bool:
        """Whether its bytes come sample by sample, if these lie along axis 0."""
        return bool(self.shape) and not (self.fortran and len(self.shape) > 1)

    def offset(self) -> int:
        """Of a stored one: where in the file its first element stands."""
        with open(self.archive.path, "rb") as file:
            file.seek(self.info.header_offset)
            name, extra = struct.unpack("<26xHH", _exactly(file, 30))
        return int(self.info.header_offset + 30 + name + extra + self.header_bytes)

    def mapped(self, check: bool = True) -> Array:
        """A stored one, mapped as a .npy file is; `check`: its checksum is compared before."""
        with self.named():
            if check:
                with self.open() as stream:
                    while stream.read(1 << 20):
                        pass
            order: Any = "F" if self.fortran else "C"
            return np.memmap(self.archive.path, self.dtype, "r", self.offset(), self.shape, order)


class MemberColumn:
    """A member in C order, cut along axis 0: its bytes come in the order in which they are wanted."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.stream: IO[bytes] | None = None
        self.at = 0

    def read(self, first: int, last: int) -> Array:
        """Samples [first, last); each call goes on where the one before ended, or starts anew at 0."""
        with self.member.named():
            return self._read(first, last)

    def _read(self, first: int, last: int) -> Array:
        member = self.member
        if self.stream is None or first < self.at:
            self.close()
            self.stream, self.at = member.open(), 0
        assert first == self.at, "members are read in order"
        size = math.prod(member.shape[1:]) * member.dtype.itemsize
        member.check_packing((last - first) * size)
        flat = np.frombuffer(_exactly(self.stream, (last - first) * size), member.dtype)
        self.at = last
        if last == member.shape[0]:
            _check_end(self.stream)
        return flat.reshape(last - first, *member.shape[1:])

    def close(self) -> None:
        """Let go of the archive."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None

    @property
    def sample_bytes(self) -> float:
        return self.member.nbytes / max(1, self.member.shape[0])


def check_header_length(n: int) -> None:
    if n > HEADER_LIMIT:
        raise ValueError(f"its header has {n} bytes")


def _exactly(stream: IO[bytes], n: int) -> bytes:
    data = stream.read(n)
    if len(data) != n:
        raise ValueError(f"it ends {n - len(data)} bytes too early")
    return data


def _check_end(stream: IO[bytes]) -> None:
    """Reading to the end makes zipfile compare the checksum."""
    if stream.read(1):
        raise ValueError("it goes on behind its last element")


def column_of(source: Array | Member, axis: int, apart: bool = False) -> ArrayColumn | MemberColumn:
    """Chunks of an array or a member along an axis; `apart`: of a part of the samples, so that no checksum is due."""
    if not isinstance(source, Member):
        return ArrayColumn(source, axis)
    if apart and source.stored and source.nbytes:
        return ArrayColumn(source.mapped(check=False), axis)
    if axis == 0 and source.in_order and source.nbytes:
        return MemberColumn(source)
    return ArrayColumn(source.mapped() if source.stored and source.nbytes > MAPPED_BYTES else source.whole(), axis)


def pieces_of(source: Array | Member, size: int) -> Iterator[tuple[int, Array]]:
    """A 1-D array or member in pieces of some `size` bytes: the first one's position, and the values."""
    step, n = max(1, size // max(1, source.dtype.itemsize)), source.shape[0]
    with contextlib.closing(column_of(source, 0)) as column:
        for first in range(0, n, step):
            yield first, column.read(first, min(n, first + step))


def is_array_like(x: Any) -> bool:
    """Whether an argument is an array, and not an option or a number."""
    return isinstance(x, (np.ndarray, Member)) or (hasattr(x, "__array__") and not np.isscalar(x))

# SPDX-License-Identifier: BSD-3-Clause
"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from ..samples import SEGMENT, counts
from .refusal import Refusal


@contextlib.contextmanager
def written_whole(path: str) -> Iterator[BinaryIO]:
    """A new file beside `path`, renamed to it at the end; after an error or Ctrl-C nothing is left of it.

    It is made before the work begins, so that a place that cannot be written is refused at once.
    """
    partial = f"{path}.{os.getpid()}.part"
    with refusing(path):
        if os.path.isdir(path):
            raise IsADirectoryError("it is a directory")
        file = open(partial, "xb")  # noqa: SIM115 (closed below, before the renaming)
    try:
        try:
            yield file
        finally:
            with refusing(path):
                file.close()  # writes what is buffered
        with refusing(path):
            os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(partial)
        raise


@contextlib.contextmanager
def refusing(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise Refusal(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None


class Losses:
    """Losses of samples, appended to a .npy file of which the length is known at the end."""

    def __init__(self, path: str, file: BinaryIO) -> None:
        self.path, self.file, self.n = path, file, 0
        self._write(header(0))

    def append(self, losses: np.ndarray) -> None:
        """(samples of a chunk,) float64."""
        self._write(np.where(np.isnan(losses), np.nan, losses).astype("<f8").tobytes())  # without marks
        self.n += len(losses)

    def finish(self) -> None:
        """Write the length into the header."""
        with refusing(self.path):
            self.file.seek(0)
        self._write(header(self.n))

    def _write(self, data: bytes) -> None:
        with refusing(self.path):
            self.file.write(data)


class Spilled:
    """Losses of samples, put by in a temporary file to be read once more."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        with refusing("a temporary file"):
            self.file = stack.enter_context(tempfile.TemporaryFile(prefix="fastloss-"))  # noqa: SIM115

    def append(self, losses: np.ndarray) -> None:
        """(n,) float64, marked."""
        with refusing("a temporary file"):
            self.file.write(losses.data)

    def pieces(self) -> Iterator[np.ndarray]:
        """Those of samples that count."""
        self.file.seek(0)
        while data := self.file.read(8 * SEGMENT):
            losses = np.frombuffer(data)
            yield losses[counts(losses)]


def header(n: int) -> bytes:
    """Of a .npy file with n float64 numbers; NumPy pads it, so that it has one length for every n."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (n,)})
    return stream.getvalue()


@contextlib.contextmanager
def losses_file(path: str | None) -> Iterator[Losses | None]:
    """The file of --per-sample, if it is asked for."""
    if path is None:
        yield None
        return
    with written_whole(path) as file:
        losses = Losses(path, file)
        yield losses
        losses.finish()

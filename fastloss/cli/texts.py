# SPDX-License-Identifier: BSD-3-Clause
"""Texts of samples, which are read where they are asked for: there are few worst samples."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from ..arrow import Table
from ..columns import Member, pieces_of

PIECE = 1 << 20  # bytes of a member that are read at a time


class Texts:
    """A member of an archive, or a column of a table."""

    def __init__(self, source: Member | Table, column: str = "") -> None:
        self.source, self.column = source, column

    def __len__(self) -> int:
        if isinstance(self.source, Table):
            return self.source.rows or 0
        return int(self.source.shape[0])

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        if isinstance(self.source, Table):
            return self.source.texts(self.column)
        return pieces_of(self.source, PIECE)

    def at(self, wanted: Collection[int]) -> dict[int, str]:
        """The texts of these samples; ValueError where they cannot be read."""
        found: dict[int, str] = {}
        if not wanted:
            return found
        for first, values in self.pieces():
            found |= {i: as_text(values[i - first]) for i in wanted if first <= i < first + len(values)}
            if max(wanted) < first + len(values):
                break
        return found


def as_text(item: Any) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)

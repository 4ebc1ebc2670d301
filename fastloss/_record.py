# SPDX-License-Identifier: BSD-3-Clause
"""What one step of a call hands to the next: a dataclass that is compiled (0.3 ms) when it is needed, not on import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform():
        return lambda kind: kind


@dataclass_transform()
class Record:
    """A dataclass as soon as there is the first of its class: attributes as annotated, given in order or by name."""

    def __init__(self, *given: Any, **named: Any) -> None:
        from dataclasses import dataclass

        dataclass(eq=False, repr=False)(type(self))  # which sets the class's own __init__
        type(self).__init__(self, *given, **named)

    def but(self, **changed: Any) -> Self:
        """A copy with these attributes changed."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, **changed)
        return copy

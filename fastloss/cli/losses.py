# SPDX-License-Identifier: BSD-3-Clause
"""The losses that the command knows: the package's functions that have a ``reduction``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fastloss as fl

from ..accumulate import NOT_ACCUMULATED

# Arguments that mean nothing here: an evaluation wants values, and makes its own outputs.
NOT_OPTIONS = NOT_ACCUMULATED


@dataclass(frozen=True)
class Loss:
    """A public loss function, and the parameters that a file or a flag may fill."""

    name: str
    function: Callable[..., Any]
    parameters: dict[str, inspect.Parameter]

    @property
    def required(self) -> list[str]:
        return [n for n, p in self.parameters.items() if p.default is inspect.Parameter.empty]

    @property
    def defaults(self) -> dict[str, Any]:
        return {n: p.default for n, p in self.parameters.items() if p.default is not inspect.Parameter.empty}

    def is_array(self, parameter: str) -> bool:
        """Arrays have no default, or None; the other parameters are plain options."""
        return self.parameters[parameter].default in (inspect.Parameter.empty, None)

    def takes_several(self, parameter: str) -> bool:
        """Options that take more than a number (several quantiles) are annotated as such."""
        return not self.is_array(parameter) and self.parameters[parameter].annotation == "Any"

    @property
    def title(self) -> str:
        """The first line of the docstring, without its formula, which is unreadable in a terminal."""
        line = first_sentence((inspect.getdoc(self.function) or "").partition("\n\n")[0])
        return line.partition(":math:")[0].rstrip(" ,:")

    def notes(self) -> dict[str, str]:
        """First sentence of each parameter's entry (``name, name : type``) in the NumPy style docstring."""
        notes: dict[str, str] = {}
        names: list[str] = []
        for line in (inspect.getdoc(self.function) or "").splitlines():
            head, colon, _ = line.partition(" : ")
            if colon and not line[0].isspace():
                names = [name.strip(" *") for name in head.split(",")]
            elif line[:1].isspace():
                notes |= {name: f"{notes.get(name, '')} {line}" for name in names}
            else:
                names = []
        return {name: first_sentence(note) for name, note in notes.items()}


def first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".")


def find_losses() -> dict[str, Loss]:
    """The losses by name: whatever function the package exports that has a ``reduction``."""
    found = {}
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for name in sorted(fl.__all__):
        function = getattr(fl, name)
        if not callable(function) or inspect.isclass(function):
            continue
        every = inspect.signature(function).parameters.items()
        if "reduction" in dict(every):
            taken = {n: p for n, p in every if n not in NOT_OPTIONS and p.kind not in variadic}
            found[name] = Loss(name, function, taken)
    return found

# SPDX-License-Identifier: BSD-3-Clause
"""The losses that the command knows: the package's functions that have a ``reduction``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fastloss as fl

from ..accumulate import NOT_ACCUMULATED, WHOLE_BATCH

# Arguments that mean nothing here: an evaluation wants values, and makes its own outputs.
NOT_OPTIONS = NOT_ACCUMULATED
DIGITS, DIABETES, OCR_LINES = "examples/digits.npz", "examples/diabetes.npz", "examples/ocr_lines.npz"
# What follows the loss's name in a command that runs in a checkout; a loss without one is shown with files to be made.
EXAMPLES = {
    "cross_entropy": f"{DIGITS} --group-by target",
    "ctc_loss": OCR_LINES,
    "focal_loss": f"{DIGITS} --gamma 2",
    "gamma_nll_loss": f"{DIABETES} --no-log-input",
    "gaussian_nll_loss": f"{DIABETES} --var 3000",
    "huber_loss": f"{DIABETES} --delta 10",
    "l1_loss": DIABETES,
    "log_cosh_loss": DIABETES,
    "mape_loss": DIABETES,
    "mse_loss": DIABETES,
    "msle_loss": DIABETES,
    "multi_margin_loss": f"{DIGITS} --margin 2",
    "poisson_nll_loss": f"{DIABETES} --no-log-input",
    "quantile_loss": f"{DIABETES} --q 0.9",
    "rmse_loss": DIABETES,
    "smape_loss": DIABETES,
    "smooth_l1_loss": f"{DIABETES} --beta 10",
    "tweedie_nll_loss": f"{DIABETES} --power 1.5 --no-log-input",
}


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

    @property
    def predictions(self) -> list[str]:
        """The arguments that come from a model: those that get gradients."""
        return [
            n for n, entry in self.entries().items() if n in self.parameters and "prediction operand" in entry.lower()
        ]

    @property
    def whole_batch(self) -> bool:
        """Whether samples depend on each other, so that the loss cannot be had in chunks."""
        return self.name in WHOLE_BATCH

    @property
    def examples(self) -> list[str]:
        """Commands: one that runs in a checkout where there is one, one with members of a file, one with flags."""
        prog = f"fastloss eval {self.name}"
        shipped = [f"{prog} {EXAMPLES[self.name]}"] if self.name in EXAMPLES else []
        flags = " ".join(f"{flag(n)} {n}.npy" for n in self.required)
        return [*shipped, f"{prog} FILE.npz --top 10", f"{prog} {flags} --json"]

    def notes(self) -> dict[str, str]:
        """First sentence of each parameter's entry."""
        return {name: first_sentence(entry) for name, entry in self.entries().items()}

    def entries(self) -> dict[str, str]:
        """Each parameter's entry (``name, name : type``) in the NumPy style docstring, on one line."""
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
        return {name: " ".join(note.split()) for name, note in notes.items()}


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


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

# SPDX-License-Identifier: BSD-3-Clause
"""The frozen list of cells: one loss on one shape and dtype each. Operands are drawn as in tests/cases.py.

Adding a cell is a commit of its own with the reason, so that nobody can choose the cells after the results.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GROUPS = ("small", "in-cache", "beyond-cache")

# Loss of a cell -> name of its case in tests/cases.py.
CASES = {
    "l1": "l1",
    "mse": "mse",
    "huber": "huber",
    "bce_with_logits": "bce",
    "gaussian_nll": "gaussian",
    "cross_entropy": "ce",
}
ELEMENTWISE = ("l1", "mse", "huber", "bce_with_logits", "gaussian_nll")
SIZES = {"100": 100, "10k": 10_000, "1M": 1_000_000, "16M": 16_000_000}


@dataclass(frozen=True)
class Cell:
    """One loss of inputs of one shape and dtype. `shape` is that of `input`; `group` the class of its size."""

    name: str
    loss: str
    shape: tuple[int, ...]
    dtype: str
    group: str

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def streams(self) -> int:
        """Floating-point operands of the size of `input` that a call reads."""
        return 1 if self.loss == "cross_entropy" else 3 if self.loss == "gaussian_nll" else 2

    @property
    def gradients(self) -> int:
        return 2 if self.loss == "gaussian_nll" else 1

    def operands(self) -> dict[str, Any]:
        """Seeded operands of the cell's case, floating-point ones in the cell's dtype."""
        return _case(CASES[self.loss]).operands(self.shape, self.dtype)


def _case(name: str) -> Any:
    """A case by name from tests/cases.py, which is no package and not on sys.path."""
    module = sys.modules.get("fastloss_cases")
    if module is None:
        path = Path(__file__).resolve().parents[1] / "tests" / "cases.py"
        sys.path.append(str(path.parent))  # for the lists that it is made of
        spec = importlib.util.spec_from_file_location("fastloss_cases", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up by name
        spec.loader.exec_module(module)
    return next(case for case in module.CASES if case.name == name)


def _elementwise(size: str, group: str, dtype: str = "float32", losses: tuple[str, ...] = ELEMENTWISE) -> list[Cell]:
    suffix = "" if dtype == "float32" else " " + dtype
    return [Cell(f"{loss} {size}{suffix}", loss, (SIZES[size],), dtype, group) for loss in losses]


def _rows(shape: tuple[int, ...], group: str, dtype: str = "float32") -> Cell:
    suffix = "" if dtype == "float32" else " " + dtype
    return Cell(f"cross_entropy {'x'.join(map(str, shape))}{suffix}", "cross_entropy", shape, dtype, group)


CELLS = [
    *_elementwise("100", "small"),
    _rows((32, 10), "small"),
    *_elementwise("10k", "in-cache"),
    *_elementwise("1M", "in-cache"),
    _rows((1024, 1000), "in-cache"),
    *_elementwise("1M", "in-cache", "float64", ("mse", "bce_with_logits")),
    _rows((1024, 1000), "in-cache", "float64"),
    *_elementwise("16M", "beyond-cache"),
    _rows((512, 50257), "beyond-cache"),
    _rows((100_000, 10), "beyond-cache"),
    _rows((8, 21, 128, 128), "beyond-cache"),
]


@dataclass(frozen=True)
class Floor:
    """What a cell must reach: a paired median ratio to PyTorch at 2 threads, or microseconds at most."""

    cell: str
    mode: str
    ratio: float | None = None
    microseconds: float | None = None


FLOORS = [
    *(Floor(f"{loss} {size}", "forward", 4.0) for loss in ("mse", "huber") for size in ("10k", "1M")),
    *(Floor(f"{loss} 16M", "forward", 3.0) for loss in ("mse", "huber")),
    Floor("bce_with_logits 1M", "forward", 3.0),
    Floor("cross_entropy 1024x1000", "forward", 1.3),
    Floor("cross_entropy 512x50257", "forward", 2.5),
    Floor("cross_entropy 100000x10", "forward", 6.0),
    Floor("cross_entropy 100000x10", "gradient", 2.0),
    *(Floor(f"{loss} 100", "forward", microseconds=1.5) for loss in ELEMENTWISE),
]


def select(words: list[str]) -> list[Cell]:
    """Cells whose group, loss or name is, or whose name contains, one of the words; all of them for no word."""
    if not words:
        return CELLS
    for word in words:
        if not any(_matches(cell, word) for cell in CELLS):
            raise ValueError(f"no cell matches {word!r}; groups are {', '.join(GROUPS)}")
    return [cell for cell in CELLS if any(_matches(cell, word) for word in words)]


def _matches(cell: Cell, word: str) -> bool:
    return word in (cell.group, cell.loss, cell.dtype) or word in cell.name

# SPDX-License-Identifier: BSD-3-Clause
"""The same losses by their direct definition in float64 NumPy: what the kernels are checked against.

These modules hold maths only. Operands arrive validated, broadcast and as float64; weights, masks, reductions and the
working type are the business of `fastloss._call`, which is shared by both backends. Each is imported when first used.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import (
        adversarial,
        binary,
        box,
        ctc,
        distance,
        elementwise,
        likelihood,
        linear,
        margin,
        overlap,
        ranking,
        regression,
        reinforcement,
        row_sums,
        softmax,
        tokens,
        triplet,
        variational,
        wasserstein,
    )

__all__ = [
    "adversarial",
    "binary",
    "box",
    "ctc",
    "distance",
    "elementwise",
    "likelihood",
    "linear",
    "margin",
    "overlap",
    "ranking",
    "regression",
    "reinforcement",
    "row_sums",
    "softmax",
    "tokens",
    "triplet",
    "variational",
    "wasserstein",
]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")

# SPDX-License-Identifier: BSD-3-Clause
"""Cases of likelihood.py."""

from __future__ import annotations

import numpy as np
from case import Case, Operands, Shape, pair


def _gaussian(rng: np.random.Generator, shape: Shape) -> Operands:
    return {**pair(rng, shape), "var": rng.uniform(0.1, 3, shape)}


def _gaussian_per_row(rng: np.random.Generator, shape: Shape) -> Operands:
    """One variance for the whole last axis."""
    return {**pair(rng, shape), "var": rng.uniform(0.1, 3, (*shape[:-1], 1) if shape else ())}


_NLL = ("input", "var")
_NLL_DEFAULTS = {"eps": 1e-6, "full": False}
CASES = [
    Case(
        "gaussian",
        "gaussian_nll_loss",
        "GaussianNLLLoss",
        "gaussian_nll",
        _gaussian,
        {},
        _NLL,
        defaults=_NLL_DEFAULTS,
    ),
    Case(
        "gaussian-full-eps",
        "gaussian_nll_loss",
        "GaussianNLLLoss",
        "gaussian_nll",
        _gaussian,
        {"full": True, "eps": 0.5},
        _NLL,
        defaults=_NLL_DEFAULTS,
    ),
    Case(
        "gaussian-row",
        "gaussian_nll_loss",
        "GaussianNLLLoss",
        "gaussian_nll",
        _gaussian_per_row,
        {},
        _NLL,
        defaults=_NLL_DEFAULTS,
    ),
]

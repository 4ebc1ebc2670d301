# SPDX-License-Identifier: BSD-3-Clause
"""Cases of likelihood.py."""

from __future__ import annotations

import math

import numpy as np
from case import Case, Operands, Shape, pair, written_out

from fastloss.bench.operands import amounts as _amounts
from fastloss.bench.operands import counts as _counts
from fastloss.bench.operands import gaussian as _gaussian
from fastloss.bench.operands import log_probabilities as _probabilities


def _gaussian_per_row(rng: np.random.Generator, shape: Shape) -> Operands:
    """One variance for the whole last axis."""
    return {**pair(rng, shape), "var": rng.uniform(0.1, 3, (*shape[:-1], 1) if shape else ())}


def _rates(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"input": rng.uniform(2, 8, shape), "target": np.asarray(rng.poisson(0.7, shape), np.float64)}


def _log_probabilities(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"input": rng.normal(-3, 1, shape), "target": -rng.gamma(2, 1, shape)}


def _means(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"input": rng.uniform(0.2, 6, shape), "target": rng.gamma(2, 1, shape) + 0.05}


def _real(rng: np.random.Generator, shape: Shape) -> Operands:
    """Logarithms of means, and numbers of either sign."""
    return {"input": rng.normal(0, 1, shape), "target": rng.normal(0, 1, shape)}


_NLL = ("input", "var")
_NLL_DEFAULTS = {"eps": 1e-6, "full": False}
_LEAST = 5e-324
_COUNTS = {"target": (0.0, math.inf)}
_RATES = {"input": (0.0, math.inf), **_COUNTS}
_AMOUNTS = {"target": (_LEAST, math.inf)}
_MEANS = {"input": (_LEAST, math.inf), **_AMOUNTS}
_EPS = {"eps": 1e-8}
_POWER = {"power": 1.5}
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
    Case("poisson", "poisson_nll_loss", "PoissonNLLLoss", "poisson", _counts, bounds=_COUNTS),
    Case("poisson-full", "poisson_nll_loss", "PoissonNLLLoss", "poisson_full", _counts, {"full": True}, bounds=_COUNTS),
    Case(
        "poisson-rate",
        "poisson_nll_loss",
        "PoissonNLLLoss",
        "poisson_rate",
        _rates,
        {"log_input": False},
        defaults=_EPS,
        bounds=_RATES,
    ),
    Case(
        "poisson-rate-full",
        "poisson_nll_loss",
        "PoissonNLLLoss",
        "poisson_rate_full",
        _rates,
        {"log_input": False, "full": True},
        defaults=_EPS,
        bounds=_RATES,
    ),
    Case("kl", "kl_div", "KLDivLoss", "kl_div", _probabilities, bounds=_COUNTS),
    Case("kl-log", "kl_div", "KLDivLoss", "kl_div_log", _log_probabilities, {"log_target": True}),
    Case(
        "gamma",
        "gamma_nll_loss",
        "GammaNLLLoss",
        "gamma",
        _amounts,
        bounds=_AMOUNTS,
        peer=written_out("gamma_nll_loss"),
    ),
    Case(
        "gamma-rate",
        "gamma_nll_loss",
        "GammaNLLLoss",
        "gamma_rate",
        _means,
        {"log_input": False},
        bounds=_MEANS,
        peer=written_out("gamma_nll_loss"),
    ),
    Case(
        "tweedie",
        "tweedie_nll_loss",
        "TweedieNLLLoss",
        "tweedie_between",
        _counts,
        defaults=_POWER,
        bounds=_COUNTS,
        peer=written_out("tweedie_nll_loss"),
    ),
    Case(
        "tweedie-3",
        "tweedie_nll_loss",
        "TweedieNLLLoss",
        "tweedie",
        _amounts,
        {"power": 3},
        defaults=_POWER,
        bounds=_AMOUNTS,
        peer=written_out("tweedie_nll_loss"),
    ),
    Case(
        "tweedie-negative",
        "tweedie_nll_loss",
        "TweedieNLLLoss",
        "tweedie",
        _real,
        {"power": -0.5},
        defaults=_POWER,
        peer=written_out("tweedie_nll_loss"),
    ),
    Case(
        "tweedie-rate",
        "tweedie_nll_loss",
        "TweedieNLLLoss",
        "tweedie_rate",
        _rates,
        {"log_input": False},
        defaults=_POWER,
        bounds=_MEANS,
        peer=written_out("tweedie_nll_loss"),
    ),
]

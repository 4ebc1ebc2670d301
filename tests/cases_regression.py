# SPDX-License-Identifier: BSD-3-Clause
"""Cases of regression.py."""

from __future__ import annotations

import math

from case import Case, pair, weighted, written_out

from fastloss.bench.operands import above_minus_one as _amounts

_HUBER = {"delta": 1.0}
_ABOVE_MINUS_ONE = (-1 + 2**-24, math.inf)
CASES = [
    Case("l1", "l1_loss", "L1Loss", "l1", pair),
    Case("l1-weight", "l1_loss", "L1Loss", "l1", weighted),
    Case("mse", "mse_loss", "MSELoss", "mse", pair),
    Case("mse-weight", "mse_loss", "MSELoss", "mse", weighted),
    Case("huber", "huber_loss", "HuberLoss", "huber", pair, defaults=_HUBER),
    Case(
        "huber-delta-weight",
        "huber_loss",
        "HuberLoss",
        "huber",
        weighted,
        {"delta": 2.5},
        defaults=_HUBER,
    ),
    Case("smooth-l1", "smooth_l1_loss", "SmoothL1Loss", "smooth_l1", pair, defaults={"beta": 1.0}),
    Case("smooth-l1-beta", "smooth_l1_loss", "SmoothL1Loss", "smooth_l1", pair, {"beta": 3.5}, defaults={"beta": 1.0}),
    Case("log-cosh", "log_cosh_loss", "LogCoshLoss", "log_cosh", pair, peer=written_out("log_cosh_loss")),
    Case(
        "quantile",
        "quantile_loss",
        "QuantileLoss",
        "quantile",
        pair,
        defaults={"q": 0.5},
        peer=written_out("quantile_loss"),
    ),
    Case(
        "quantile-q-weight",
        "quantile_loss",
        "QuantileLoss",
        "quantile",
        weighted,
        {"q": 0.9},
        defaults={"q": 0.5},
        peer=written_out("quantile_loss"),
    ),
    Case(
        "mape",
        "mape_loss",
        "MAPELoss",
        "mape",
        pair,
        defaults={"eps": 2.220446049250313e-16},
        peer=written_out("mape_loss"),
    ),
    Case("smape", "smape_loss", "SMAPELoss", "smape", pair, peer=written_out("smape_loss")),
    Case(
        "msle",
        "msle_loss",
        "MSLELoss",
        "msle",
        _amounts,
        bounds={"input": _ABOVE_MINUS_ONE, "target": _ABOVE_MINUS_ONE},
        peer=written_out("msle_loss"),
    ),
]

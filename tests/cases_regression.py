# SPDX-License-Identifier: BSD-3-Clause
"""Cases of regression.py."""

from __future__ import annotations

from case import Case, pair, weighted

_HUBER = {"delta": 1.0}
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
]

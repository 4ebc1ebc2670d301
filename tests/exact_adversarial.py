# SPDX-License-Identifier: BSD-3-Clause
"""Exact definitions of adversarial.py, and inputs that are hard for them; see exact_likelihood.py."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
from draw import Draw
from mpmath import mpf

Numbers = list[Any]


def logistic(x: mpf, y: mpf) -> Numbers:
    z = mpmath.exp(-y * x)
    return [mpmath.log1p(z), -y * z / (1 + z)]


def least_squares(x: mpf, y: mpf) -> Numbers:
    return [(x - y) ** 2 / 2, x - y]


def linear(x: mpf, y: mpf) -> Numbers:
    return [y * x, y]


def _scores(draw: Draw) -> tuple[dict, dict]:
    x = {
        "normal": lambda: draw.normal(4),
        "wide": lambda: draw.wide(-30, 1.9),
        "subnormal": draw.subnormal,
        "edge": lambda: np.clip(draw.ends(), -700, 700),
    }.get(draw.kind, lambda: draw.near(draw.rng.choice([0.0, 1.0, -1.0], draw.shape)))()
    return {"fake": x}, {}


draw_logistic = draw_least_squares = draw_linear = _scores

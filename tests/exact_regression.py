# SPDX-License-Identifier: BSD-3-Clause
"""Exact definitions of regression.py, and inputs that are hard for them.

A definition takes operands and parameters as mpf and gives [value, gradient per prediction]; `draw_<kernel>` gives hard
(operands, options) where the plain pairs of draw.py are not.
"""

from __future__ import annotations

from typing import Any

import mpmath
from draw import Draw
from mpmath import mpf

Numbers = list[Any]


def l1(x: mpf, y: mpf) -> Numbers:
    return [abs(x - y), mpmath.sign(x - y)]


def mse(x: mpf, y: mpf) -> Numbers:
    return [(x - y) ** 2, 2 * (x - y)]


def huber(x: mpf, y: mpf, delta: mpf) -> Numbers:
    d = x - y
    if abs(d) <= delta:
        return [d * d / 2, d]
    return [delta * (abs(d) - delta / 2), delta * mpmath.sign(d)]


def draw_huber(draw: Draw) -> tuple[dict, dict]:
    return draw.pair(kink=0.7), {"delta": 0.7}

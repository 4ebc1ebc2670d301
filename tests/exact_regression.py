# SPDX-License-Identifier: BSD-3-Clause
"""Exact definitions of regression.py, and inputs that are hard for them.

A definition takes operands and parameters as mpf and gives [value, gradient per prediction]; `draw_<kernel>` gives hard
(operands, options) where the plain pairs of draw.py are not.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
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


def smooth_l1(x: mpf, y: mpf, beta: mpf) -> Numbers:
    d = x - y
    if abs(d) < beta:
        return [d * d / beta / 2, d / beta]
    return [abs(d) - beta / 2, mpmath.sign(d)]


def draw_smooth_l1(draw: Draw) -> tuple[dict, dict]:
    return draw.pair(kink=0.7), {"beta": draw.one_of(0.7, 0.0, float(draw.info.smallest_subnormal), 1e-30)}


def log_cosh(x: mpf, y: mpf) -> Numbers:
    d = abs(x - y)
    e = mpmath.exp(-2 * d)
    value = mpmath.log1p(2 * mpmath.sinh(d / 2) ** 2) if d < 1 else d + mpmath.log1p(e) - mpmath.log(2)
    return [value, mpmath.sign(x - y) * (mpmath.tanh(d) if d < 1 else (1 - e) / (1 + e))]


def quantile(x: mpf, y: mpf, q: mpf) -> Numbers:
    d = x - y
    return [max(-q * d, (1 - q) * d), 1 - q if d > 0 else -q if d < 0 else mpf(0)]


def draw_quantile(draw: Draw) -> tuple[dict, dict]:
    return draw.pair(), {"q": draw.one_of(0.5, 0.1, 0.9, 0.0, 1.0)}


def mape(x: mpf, y: mpf, eps: mpf) -> Numbers:
    size = max(abs(y), eps)
    return [abs(x - y) / size, mpmath.sign(x - y) / size]


def draw_mape(draw: Draw) -> tuple[dict, dict]:
    operands, eps = draw.pair(), draw.one_of(2.220446049250313e-16, 1e-3)
    if draw.kind == "kink" and draw.rng.random() < 0.5:  # the bound of the target's size
        operands["target"] = draw.near(eps) * draw.rng.choice([-1, 1], draw.shape)
    return operands, {"eps": eps}


def smape(x: mpf, y: mpf) -> Numbers:
    d, s = x - y, abs(x) + abs(y)
    if s == 0:
        return [mpf(0), mpf(0)]
    factor = 2 if x == 0 else 4 if x * y > 0 else 0
    return [2 * abs(d) / s, mpmath.sign(d) * factor * abs(y) / s**2]


def draw_smape(draw: Draw) -> tuple[dict, dict]:
    operands = draw.pair()
    if draw.kind == "kink" and draw.rng.random() < 0.5:  # where signs change
        operands["input"] = draw.near(0)
    return operands, {}


def msle(x: mpf, y: mpf) -> Numbers:
    x, y = max(x, mpf(-1) + mpf(2) ** -80), max(y, mpf(-1) + mpf(2) ** -80)
    log = mpmath.log1p(x) - mpmath.log1p(y)
    return [log**2, 2 * log / (1 + x)]


def draw_msle(draw: Draw) -> tuple[dict, dict]:
    if draw.kind == "edge":  # next to -1, 0 and the largest numbers
        low = -1 + float(draw.info.epsneg) * draw.rng.integers(1, 9, draw.shape)
        ends = [low, np.roll(low, 1), draw.subnormal(), np.full(draw.shape, float(draw.info.max) / 8)]
        return {name: draw.rng.permuted(ends, axis=0)[0] for name in ("input", "target")}, {}
    if draw.kind == "normal":
        return {name: draw.rng.gamma(2, 3, draw.shape) - 0.9 for name in ("input", "target")}, {}
    operands = draw.pair()
    if draw.kind == "kink":
        operands = {"input": draw.near(np.exp(operands["target"])), "target": np.exp(operands["target"])}
    return {name: np.where(a <= -1, -a, a) for name, a in operands.items()}, {}

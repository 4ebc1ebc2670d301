# SPDX-License-Identifier: BSD-3-Clause
"""Exact definitions of binary.py, and inputs that are hard for them.

A definition takes operands and parameters as mpf and gives [value, gradient per prediction]; `draw_<kernel>` gives hard
(operands, options) where the plain pairs of draw.py are not.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
from draw import Draw
from mpmath import mpf

from fastloss.reference import binary as definitions

Numbers = list[Any]


def bce_logits(x: mpf, y: mpf) -> Numbers:
    return bce_logits_pos(x, y, mpf(1))


def bce_logits_pos(x: mpf, y: mpf, pos_weight: mpf) -> Numbers:
    z = mpmath.exp(-abs(x))
    near, far = 1 / (1 + z), z / (1 + z)  # the larger and the smaller of p and 1 - p
    p, q = (near, far) if x >= 0 else (far, near)
    value = pos_weight * y * (mpmath.log1p(z) + max(-x, 0)) + (1 - y) * (mpmath.log1p(z) + max(x, 0))
    return [value, (1 - y) * p - pos_weight * y * q]


def draw_bce_logits(draw: Draw) -> tuple[dict, dict]:
    target = draw.rng.uniform(0, 1, draw.shape)
    certain = draw.rng.integers(0, 2, draw.shape).astype(np.float64)
    if draw.kind == "normal":
        return {"input": draw.normal(4), "target": np.where(draw.rng.random(draw.shape) < 0.5, target, certain)}, {}
    if draw.kind == "wide":
        x = np.where(draw.rng.random(draw.shape) < 0.5, draw.wide(), draw.wide(-2, 3))
        return {"input": x, "target": np.where(draw.rng.random(draw.shape) < 0.5, target, certain)}, {}
    if draw.kind == "subnormal":
        return {"input": draw.subnormal(), "target": np.abs(draw.subnormal())}, {}
    if draw.kind == "edge":
        x = draw.rng.choice([0.0, 20.0, 87.5, 104.0, 1e4], draw.shape) * draw.rng.choice([-1, 1], draw.shape)
        return {"input": x, "target": np.where(draw.rng.random(draw.shape) < 0.3, target, certain)}, {}
    x = draw.normal(3)  # where the gradient vanishes
    return {"input": x, "target": np.clip(draw.near(1 / (1 + np.exp(-x))), 0, 1)}, {}


def draw_bce_logits_pos(draw: Draw) -> tuple[dict, dict]:
    operands, options = draw_bce_logits(draw)
    return {**operands, "pos_weight": np.abs(draw.wide(-3, 3))}, options


def bce(p: mpf, y: mpf) -> Numbers:
    yes = max(mpmath.log(p), -100) if p > 0 else -100
    no = max(mpmath.log1p(-p), -100) if p < 1 else -100
    return [-y * yes - (1 - y) * no, (p - y) / max(p * (1 - p), mpf("1e-12"))]


def draw_bce(draw: Draw) -> tuple[dict, dict]:
    """Probabilities; targets 0, 1 and between."""
    rng, shape = draw.rng, draw.shape
    target = np.where(rng.random(shape) < 0.5, rng.uniform(0, 1, shape), rng.integers(0, 2, shape))
    if draw.kind == "normal":
        return {"input": rng.uniform(0, 1, shape), "target": target}, {}
    if draw.kind == "wide":
        low, near_one = np.abs(draw.wide(high=0)), 1 - np.abs(draw.wide(-7, 0))
        return {"input": np.where(rng.random(shape) < 0.5, low, near_one), "target": target}, {}
    if draw.kind == "subnormal":
        return {"input": np.abs(draw.subnormal()), "target": np.where(target < 1, np.abs(draw.subnormal()), 1.0)}, {}
    # the ends, both bounds, and where the gradient vanishes
    x = np.choose(rng.integers(0, 5, shape), [draw.near(0.0), draw.near(1.0), draw.near(np.exp(-100.0)),
                                              draw.near(1e-12), draw.near(target)])  # fmt: skip
    return {"input": np.clip(x, 0, 1), "target": target}, {}


def soft_margin(x: mpf, y: mpf) -> Numbers:
    t = y * x
    z = mpmath.exp(-abs(t))
    return [mpmath.log1p(z) + max(-t, 0), -y * (z if t >= 0 else 1) / (1 + z)]


def draw_soft_margin(draw: Draw) -> tuple[dict, dict]:
    sign = draw.rng.choice([-1.0, 1.0], draw.shape)
    if draw.kind == "normal":
        return {"input": draw.normal(4), "target": sign}, {}
    if draw.kind == "wide":
        x = np.where(draw.rng.random(draw.shape) < 0.5, draw.wide(), draw.wide(-2, 3))
        return {"input": x, "target": np.where(draw.rng.random(draw.shape) < 0.5, sign, draw.wide(-2, 0))}, {}
    if draw.kind == "subnormal":
        return {"input": draw.subnormal(), "target": draw.subnormal()}, {}
    return {"input": draw.near(0.0), "target": sign}, {}


def hinge_embedding(x: mpf, y: mpf, margin: mpf) -> Numbers:
    value = x if y == 1 else max(0, margin - x) if y == -1 else max(x, margin)  # x + max(0, margin - x)
    return [value, mpf((1 if y != -1 else 0) - (1 if y != 1 and x <= margin else 0))]


def draw_hinge_embedding(draw: Draw) -> tuple[dict, dict]:
    """Targets that are neither 1 nor -1 as well."""
    target = draw.rng.choice([-1.0, 1.0, -1.0, 1.0, 0.0, 0.5], draw.shape)
    x = {"normal": draw.normal, "wide": draw.wide, "subnormal": draw.subnormal, "kink": lambda: draw.near(0.7)}
    x["edge"] = draw.ends
    return {"input": x[draw.kind](), "target": target}, {"margin": 0.7}


def margin_ranking(x1: mpf, x2: mpf, y: mpf, margin: mpf) -> Numbers:
    v = -y * (x1 - x2) + margin
    slope = y if v >= 0 else mpf(0)
    return [max(0, v), -slope, slope]


def draw_margin_ranking(draw: Draw) -> tuple[dict, dict]:
    sign = draw.rng.choice([-1.0, 1.0], draw.shape)
    pair = draw.pair()
    if draw.kind == "kink":  # the order just kept, or kept by just the margin
        pair["input"] = draw.near(pair["target"] + 0.7 * sign)
    target = np.where(draw.rng.random(draw.shape) < 0.9, sign, draw.normal())
    return {"input1": pair["input"], "input2": pair["target"], "target": target}, {"margin": 0.7}


def focal(x: mpf, y: mpf, alpha: mpf, gamma: mpf) -> Numbers:
    z = mpmath.exp(-abs(x))
    p, q = (1 / (1 + z), z / (1 + z)) if x >= 0 else (z / (1 + z), 1 / (1 + z))
    ce, slope = bce_logits(x, y)
    u, a = p * (1 - y) + q * y, alpha * y + (1 - alpha) * (1 - y) if alpha >= 0 else 1
    return [a * u**gamma * ce, a * (gamma * u ** (gamma - 1) * (1 - 2 * y) * p * q * ce + u**gamma * slope)]


def focal_square(x: mpf, y: mpf, alpha: mpf) -> Numbers:
    return focal(x, y, alpha, mpf(2))


def _draw_focal(draw: Draw, gamma: float) -> tuple[dict, dict]:
    operands, _ = draw_bce_logits(draw)
    alpha = draw.rng.choice([-1.0, 0.25, 0.6])
    if draw.kind == "kink":  # where the gradient vanishes: it rises from a negative to a positive end
        y = draw.rng.uniform(0.01, 0.99, draw.shape)
        low, high = np.full(draw.shape, -60.0), np.full(draw.shape, 60.0)
        for _ in range(60):
            middle = (low + high) / 2
            rises = definitions.focal(middle, y, alpha, gamma)[1][0] > 0
            low, high = np.where(rises, low, middle), np.where(rises, middle, high)
        operands = {"input": draw.near(low), "target": y}
    return operands, {"alpha": alpha}


def draw_focal_square(draw: Draw) -> tuple[dict, dict]:
    return _draw_focal(draw, 2.0)


def draw_focal(draw: Draw) -> tuple[dict, dict]:
    gamma = float(draw.rng.choice([0.0, 0.5, 1.0, 1.5, 3.0, 5.0]))
    operands, options = _draw_focal(draw, gamma)
    return operands, {**options, "gamma": gamma}

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

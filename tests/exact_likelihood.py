# SPDX-License-Identifier: BSD-3-Clause
"""Exact definitions of likelihood.py, and inputs that are hard for them.

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


def gaussian_nll(x: mpf, y: mpf, var: mpf, eps: mpf, full: mpf) -> Numbers:
    d, v = x - y, max(var, eps)
    value = (mpmath.log(v) + d * d / v) / 2 + (mpmath.log(2 * mpmath.pi) / 2 if full else 0)
    return [value, d / v, (1 - d * d / v) / v / 2]


def draw_gaussian_nll(draw: Draw) -> tuple[dict, dict]:
    operands, eps = draw.pair(), 1e-6
    if draw.kind == "normal":
        var = draw.rng.uniform(0.01, 3, draw.shape)
    elif draw.kind == "wide":
        var, eps = np.abs(draw.wide()), float(draw.info.tiny) * 8
    elif draw.kind == "subnormal":
        var = np.maximum(np.abs(draw.subnormal()), float(draw.info.smallest_subnormal))
    else:  # the clamp, log(1), and where the gradient in var vanishes, or the value
        operands = {"input": draw.normal(3), "target": draw.normal()}
        v = draw.rng.uniform(0.01, 1, draw.shape)
        which = draw.rng.integers(0, 4, draw.shape)
        zero = operands["target"] + np.sqrt(-v * np.log(v)) * draw.rng.choice([-1, 1], draw.shape)
        operands["input"] = np.where(which == 3, zero, operands["input"])
        d = operands["input"].astype(draw.dtype) - operands["target"].astype(draw.dtype)
        var = np.choose(which, [draw.near(eps), draw.near(1.0), draw.near(d * d), draw.near(v)])
    if draw.kind != "kink" and draw.rng.random() < 0.5:
        eps = 0.0  # no clamp: the smallest variances are divided by
    return {**operands, "var": np.abs(var)}, {"eps": eps, "full": bool(draw.rng.integers(0, 2))}

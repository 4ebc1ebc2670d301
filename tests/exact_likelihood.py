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
    elif draw.kind == "edge":
        operands = {"input": draw.rng.choice([0.0, 1e-8, 1.0, 1e4], draw.shape), "target": np.zeros(draw.shape)}
        var = draw.rng.choice([0.0, float(draw.info.tiny), eps, 1.0, float(draw.info.max) / 8], draw.shape)
        return {**operands, "var": var}, {"eps": eps, "full": bool(draw.rng.integers(0, 2))}
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


def poisson(x: mpf, y: mpf) -> Numbers:
    rate = mpmath.exp(x)
    return [rate - y * x, rate - y]


def poisson_full(x: mpf, y: mpf) -> Numbers:
    value, grad = poisson(x, y)
    return [value + _stirling(y), grad]


def poisson_rate(x: mpf, y: mpf, eps: mpf) -> Numbers:
    v = max(x, mpf(0)) + eps
    return [x - (y * mpmath.log(v) if y else 0), 1 - (y / v if y else 0)]


def poisson_rate_full(x: mpf, y: mpf, eps: mpf) -> Numbers:
    value, grad = poisson_rate(x, y, eps)
    return [value + _stirling(y), grad]


def _stirling(y: mpf) -> mpf:
    return y * mpmath.log(y) - y + mpmath.log(2 * mpmath.pi * y) / 2 if y > 1 else mpf(0)


def _counts(draw: Draw) -> np.ndarray:
    """Counts, and sums of weighted ones."""
    counts = draw.rng.poisson(draw.rng.choice([0.5, 3.0, 50.0, 1000.0], draw.shape)).astype(np.float64)
    return np.where(draw.rng.random(draw.shape) < 0.7, counts, counts * draw.rng.uniform(0.1, 2, draw.shape))


def _logs_and_counts(draw: Draw) -> dict:
    """Logarithms of rates, and counts or other numbers that are not negative."""
    if draw.kind == "normal":
        return {"input": draw.normal(2), "target": _counts(draw)}
    if draw.kind == "wide":
        x = np.where(draw.rng.random(draw.shape) < 0.5, draw.wide(-6, 2.3), draw.wide())
        return {"input": x, "target": np.abs(draw.wide(-12, 12))}
    if draw.kind == "subnormal":
        return {"input": draw.subnormal(), "target": np.abs(draw.subnormal())}
    if draw.kind == "edge":
        x = draw.rng.choice([0.0, -0.0, 88.5, 89.0, -87.5, -104.0, 1e4, -1e4, 1.0], draw.shape)
        return {"input": x, "target": draw.rng.choice([0.0, 1.0, float(draw.info.tiny), 1e6], draw.shape)}
    x = draw.rng.uniform(
        -4, 9, draw.shape
    )  # where the gradient vanishes; where the value does; around Stirling's bound
    which = draw.rng.integers(0, 3, draw.shape)
    y = np.choose(which, [np.exp(x), np.exp(x) / np.maximum(x, 0.1), np.ones(draw.shape)])
    return {"input": draw.near(x), "target": draw.near(y)}


def _rates_and_counts(draw: Draw) -> dict:
    if draw.kind == "subnormal":
        return {"input": np.abs(draw.subnormal()), "target": np.abs(draw.subnormal())}
    if draw.kind == "wide":
        return {"input": np.abs(draw.wide()), "target": np.abs(draw.wide(-12, 12))}
    if draw.kind == "edge":
        tiny, large = float(draw.info.tiny), float(draw.info.max) / 8
        ends = np.array([tiny, large, 1.0, 1e-8])
        return {"input": draw.rng.choice(ends, draw.shape), "target": draw.rng.choice([0.0, *ends], draw.shape)}
    operands = _logs_and_counts(draw)
    x = np.exp(operands["input"])
    if draw.kind == "kink":  # y log(x) = x, or y = x
        y = np.where(draw.rng.random(draw.shape) < 0.5, x, x / np.maximum(np.log(x), 0.1))
        operands["target"] = np.where(operands["target"] == 1, 1, draw.near(y))
    return {**operands, "input": x}


def draw_poisson(draw: Draw) -> tuple[dict, dict]:
    return _logs_and_counts(draw), {}


draw_poisson_full = draw_poisson


def draw_poisson_rate(draw: Draw) -> tuple[dict, dict]:
    operands = _rates_and_counts(draw)
    if draw.kind == "edge":
        operands["input"] = np.where(draw.rng.random(draw.shape) < 0.3, 0, operands["input"])
    return operands, {"eps": 1e-8}


draw_poisson_rate_full = draw_poisson_rate


def kl_div(x: mpf, y: mpf) -> Numbers:
    return [y * (mpmath.log(y) - x) if y > 0 else mpf(0), -y]


def kl_div_log(x: mpf, y: mpf) -> Numbers:
    return [mpmath.exp(y) * (y - x), -mpmath.exp(y)]


def draw_kl_div(draw: Draw) -> tuple[dict, dict]:
    y = draw.rng.uniform(0, 1, draw.shape)
    if draw.kind == "normal":
        return {"input": -draw.rng.gamma(2, 2, draw.shape), "target": y}, {}
    if draw.kind == "wide":
        return {"input": draw.wide(), "target": np.abs(draw.wide(None, 0))}, {}
    if draw.kind == "subnormal":
        return {"input": draw.subnormal(), "target": np.abs(draw.subnormal())}, {}
    if draw.kind == "edge":
        ends = [0.0, 1.0, float(draw.info.tiny), 1 - float(draw.info.epsneg)]
        return {
            "input": draw.rng.choice([0.0, -104.0, -1e4], draw.shape),
            "target": draw.rng.choice(ends, draw.shape),
        }, {}
    return {"input": draw.near(np.log(y)), "target": draw.near(y)}, {}


def draw_kl_div_log(draw: Draw) -> tuple[dict, dict]:
    y = -draw.rng.gamma(2, 2, draw.shape)
    if draw.kind == "normal":
        return {"input": -draw.rng.gamma(2, 2, draw.shape), "target": y}, {}
    if draw.kind == "wide":
        return {"input": draw.wide(), "target": np.where(draw.rng.random(draw.shape) < 0.5, y * 20, draw.wide())}, {}
    if draw.kind == "subnormal":
        return {"input": draw.subnormal(), "target": draw.subnormal()}, {}
    if draw.kind == "edge":
        ends = [0.0, -87.0, -100.0, -104.0, -1e4]
        return {name: draw.rng.choice(ends, draw.shape) for name in ("input", "target")}, {}
    return {"input": draw.near(y), "target": draw.near(y)}, {}


def gamma(x: mpf, y: mpf) -> Numbers:
    return [x + y * mpmath.exp(-x), 1 - y * mpmath.exp(-x)]


def gamma_rate(x: mpf, y: mpf) -> Numbers:
    return [mpmath.log(x) + y / x, (x - y) / x**2]


def draw_gamma(draw: Draw) -> tuple[dict, dict]:
    operands = _logs_and_counts(draw)
    if draw.kind == "kink":  # where the gradient vanishes, or the value
        x = np.where(draw.rng.random(draw.shape) < 0.5, draw.normal(3), -draw.rng.uniform(0, 4, draw.shape))
        y = np.where(draw.rng.random(draw.shape) < 0.5, np.exp(x), np.abs(x) * np.exp(x))
        operands = {"input": draw.near(x), "target": draw.near(y)}
    return {**operands, "target": _positive(draw, operands["target"])}, {}


def draw_gamma_rate(draw: Draw) -> tuple[dict, dict]:
    operands = _rates_and_counts(draw)
    if draw.kind == "kink":
        v = draw.rng.uniform(0.01, 0.99, draw.shape)
        operands = {"input": v, "target": draw.near(np.where(draw.rng.random(draw.shape) < 0.5, v, -v * np.log(v)))}
    return {name: _positive(draw, a) for name, a in operands.items()}, {}


def _positive(draw: Draw, a: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(a), float(draw.info.smallest_subnormal))


def tweedie(x: mpf, y: mpf, p: mpf) -> Numbers:
    first, second = mpmath.exp((2 - p) * x), y * mpmath.exp((1 - p) * x)
    return [first / (2 - p) - second / (1 - p), first - second]


tweedie_between = tweedie


def tweedie_rate(x: mpf, y: mpf, p: mpf) -> Numbers:
    return [x ** (2 - p) / (2 - p) - y * x ** (1 - p) / (1 - p), x ** (1 - p) - y * x**-p] if x > 0 else [mpf(0)] * 2


def _draw_tweedie(draw: Draw, p: float) -> tuple[dict, dict]:
    operands = _logs_and_counts(draw)
    if draw.kind == "wide":
        operands["input"] = draw.wide(-6, 2.3)
    if draw.kind == "kink" and not 1 < p < 2:  # where the value vanishes
        zero = np.exp(operands["input"]) * (1 - p) / (2 - p)
        y = np.where(draw.rng.random(draw.shape) < 0.5, zero, np.exp(operands["input"]))
        operands["target"] = draw.near(y)
    if p > 2:
        operands["target"] = _positive(draw, operands["target"])
    return operands, {"power": p}


def draw_tweedie(draw: Draw) -> tuple[dict, dict]:
    return _draw_tweedie(draw, draw.one_of(3.0, 2.5, 0.0, -1.5))


def draw_tweedie_between(draw: Draw) -> tuple[dict, dict]:
    return _draw_tweedie(draw, draw.one_of(1.5, 1.1, 1.9, 1.001, 1.999))


def draw_tweedie_rate(draw: Draw) -> tuple[dict, dict]:
    operands, options = _draw_tweedie(draw, draw.one_of(1.5, 1.1, 1.9, 3.0, 0.0, -1.5))
    x = np.exp(np.clip(operands["input"], -80, 80)) if draw.kind != "subnormal" else operands["input"]
    return {**operands, "input": _positive(draw, x)}, options

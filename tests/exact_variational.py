# SPDX-License-Identifier: BSD-3-Clause
"""Exact definitions of variational.py, one dimension or class at a time, and inputs that are hard for them; see
exact_likelihood.py."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
from draw import Draw
from mpmath import mpf

Numbers = list[Any]


def gaussian_kl_normal(mu: mpf, s: mpf) -> Numbers:
    return [(mpmath.expm1(s) - s + mu * mu) / 2, mu, mpmath.expm1(s) / 2]


def gaussian_kl(mu: mpf, s: mpf, n: mpf, u: mpf) -> Numbers:
    d, t = mu - n, s - u
    slope = d * mpmath.exp(-u)
    grown = mpmath.expm1(t)
    return [(grown - t + d * slope) / 2, slope, grown / 2, -slope, -(grown + d * slope) / 2]


def _logs(draw: Draw, kind: str) -> np.ndarray:
    """Logarithms of variances."""
    largest = np.log(float(draw.info.max)) - 4
    if kind == "normal":
        return draw.normal(1.5)
    if kind == "wide":
        return np.clip(draw.wide(-30, 2.5), -largest, largest)
    if kind == "subnormal":
        return draw.subnormal()
    if kind == "edge":
        return draw.rng.choice([0.0, 1.0, -1.0, largest, -largest, float(draw.info.tiny)], draw.shape)
    return draw.near(draw.rng.choice([0.0, 0.34, -0.34, 0.3466, -0.3466, 1e-4], draw.shape))


def _means(draw: Draw) -> np.ndarray:
    return {
        "normal": lambda: draw.normal(2),
        "wide": lambda: draw.wide(-18, 18),
        "subnormal": draw.subnormal,
        "edge": lambda: draw.rng.choice([0.0, 1.0, -1.0, 1e18, 1e-18, float(draw.info.tiny)], draw.shape),
    }.get(draw.kind, lambda: draw.near(1.0))()


def draw_gaussian_kl_normal(draw: Draw) -> tuple[dict, dict]:
    return {"mu": _means(draw), "log_var": _logs(draw, draw.kind)}, {}


def draw_gaussian_kl(draw: Draw) -> tuple[dict, dict]:
    s, u = _logs(draw, draw.kind), _logs(draw, draw.kind)
    mu, n = _means(draw), _means(draw)
    if draw.kind == "kink":  # where the gradient of the prior's log-variance vanishes, and equal Gaussians
        u = draw.normal()
        which = draw.rng.integers(0, 3, draw.shape)
        s = np.where(which == 0, draw.near(u), u - draw.rng.uniform(0, 3, draw.shape))
        n = draw.normal()
        zero = np.sqrt(np.maximum(-np.expm1(s - u) * np.exp(u), 0))
        mu = np.choose(which, [draw.near(n), draw.near(n + zero), n + zero * (1 + draw.normal(1e-3))])
    return {"mu": mu, "log_var": s, "prior_mu": n, "prior_log_var": u}, {}


def js(p: mpf, q: mpf) -> Numbers:
    m = (p + q) / 2
    if m == 0:
        return [mpf(0)] * 3
    of_p, of_q = (mpmath.log(x / m) if x else mpf("-inf") for x in (p, q))
    return [((p * of_p if p else 0) + (q * of_q if q else 0)) / 2, of_p / 2, of_q / 2]


def _masses(draw: Draw) -> dict:
    """Two masses of a class."""
    if draw.kind == "normal":
        return {"input": draw.rng.uniform(0, 1, draw.shape), "target": draw.rng.uniform(0, 1, draw.shape)}
    if draw.kind == "wide":
        return {"input": np.abs(draw.wide(-30, 8)), "target": np.abs(draw.wide(-30, 8))}
    if draw.kind == "subnormal":
        return {"input": np.abs(draw.subnormal()), "target": np.abs(draw.subnormal())}
    if draw.kind == "edge":
        sizes = [float(draw.info.tiny), float(draw.info.eps), 0.5, 1.0, 3.0]
        return {"input": draw.rng.choice(sizes, draw.shape), "target": draw.rng.choice([0.0, *sizes], draw.shape)}
    q = draw.rng.uniform(0.01, 1, draw.shape)  # nearly equal, and around what separates the forms
    factor = draw.rng.choice([1.0, 3.0, 1 / 3, 1 + 1e-3], draw.shape)
    return {"input": np.abs(draw.near(q * factor)), "target": q}


def draw_js(draw: Draw) -> tuple[dict, dict]:
    drawn = _masses(draw)
    if draw.kind == "edge":
        drawn["target"] = np.where(drawn["target"] == 0, 1.0, drawn["target"])
    return drawn, {}


def relative_entropy(p: mpf, q: mpf) -> Numbers:
    u = mpmath.log(p / q) if p and q else mpf("inf")
    return [p * u if p else mpf(0), u + 1, -p / q if q else mpf("-inf")]


def draw_relative_entropy(draw: Draw) -> tuple[dict, dict]:
    return draw_js(draw)

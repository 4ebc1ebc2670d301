# SPDX-License-Identifier: BSD-3-Clause
"""Exact definitions of reinforcement.py, and inputs that are hard for them; see exact_likelihood.py."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
from draw import Draw
from mpmath import mpf

Numbers = list[Any]


def _error(v: mpf, r: mpf, following: mpf, done: mpf, gamma: mpf) -> mpf:
    return v - (r + gamma * (1 - done) * following)


def td_squared(v: mpf, r: mpf, following: mpf, done: mpf, gamma: mpf) -> Numbers:
    d = _error(v, r, following, done, gamma)
    return [d * d, 2 * d]


def td_huber(v: mpf, r: mpf, following: mpf, done: mpf, gamma: mpf, delta: mpf) -> Numbers:
    d = _error(v, r, following, done, gamma)
    size = abs(d)
    inside = size <= delta
    return [d * d / 2 if inside else delta * (size - delta / 2), d if inside else delta * mpmath.sign(d)]


def _transitions(draw: Draw) -> tuple[dict, dict]:
    make = {
        "normal": lambda: draw.normal(2),
        "wide": lambda: draw.wide(-15, 15),
        "subnormal": draw.subnormal,
        "edge": lambda: draw.rng.choice([0.0, 1.0, -1.0, 1e15, float(draw.info.tiny)], draw.shape),
    }.get(draw.kind, lambda: draw.normal(2))
    reward, following = make(), make()
    done = np.asarray(draw.rng.random(draw.shape) < 0.3, np.float64)
    value = make()
    if draw.kind == "kink":  # errors of 0, and of delta
        offset = draw.rng.choice([0.0, 1.0, -1.0], draw.shape)
        value = draw.near(reward + 0.99 * (1 - done) * following + offset)
    return {"value": value, "reward": reward, "next_value": following, "done": done}, {}


draw_td_squared = draw_td_huber = _transitions


def ppo_policy(x: mpf, old: mpf, advantage: mpf, low: mpf, high: mpf, mean: mpf, inverse: mpf) -> Numbers:
    a, ratio = (advantage - mean) * inverse, mpmath.exp(x - old)
    if (ratio > high and a > 0) or (ratio < low and a < 0):
        return [-a * (high if ratio > high else low), mpf(0)]
    return [-a * ratio, -a * ratio]


def draw_ppo_policy(draw: Draw) -> tuple[dict, dict]:
    old = -np.abs(draw.normal(2))
    advantages = draw.normal()
    if draw.kind == "normal":
        x = old + draw.normal(0.3)
    elif draw.kind == "wide":
        x, advantages = -np.abs(draw.wide(-20, 1.8)), draw.wide(-15, 15)
    elif draw.kind == "subnormal":
        x, old, advantages = draw.subnormal(), draw.subnormal(), draw.subnormal()
    elif draw.kind == "edge":
        x = draw.rng.choice([0.0, -1.0, -80.0, float(draw.info.tiny)], draw.shape)
        old = draw.rng.choice([0.0, -1.0, -80.0], draw.shape)
        advantages = draw.rng.choice([0.0, 1.0, -1.0, 1e-20], draw.shape)
    else:
        # beside the ends of the range, where the gradient jumps, by more than the ratio is rounded
        beside = np.log(draw.rng.choice([0.8, 1.2], draw.shape)) + draw.rng.choice([-1e-5, 1e-5], draw.shape)
        x = np.where(draw.rng.random(draw.shape) < 0.5, draw.near(old), old + beside)
    return {"log_probs": x, "old_log_probs": old, "advantages": advantages}, {}

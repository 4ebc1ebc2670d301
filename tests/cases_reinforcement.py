# SPDX-License-Identifier: BSD-3-Clause
"""Cases of reinforcement.py: those of elementwise losses."""

from __future__ import annotations

from typing import Any

import numpy as np
from case import Case, Operands, Shape
from cases_variational import reduced


def _torch_td(
    value: Any, reward: Any, following: Any, done: Any, gamma: float = 0.99, kind: str = "huber", delta: float = 1.0,
    reduction: str = "mean", weight: Any = None,
) -> Any:  # fmt: skip
    import torch.nn.functional as F

    target = (reward + gamma * (1 - done) * following).broadcast_to(value.shape)
    options = {"reduction": "none"}
    loss = (
        F.mse_loss(value, target, **options)
        if kind == "squared"
        else F.huber_loss(value, target, delta=delta, **options)
    )
    return reduced(loss if weight is None else loss * weight, reduction)


def _torch_ppo(log_probs: Any, old: Any, advantages: Any, clip_range: float = 0.2, reduction: str = "mean") -> Any:
    import torch

    ratio = torch.exp(log_probs - old)
    clipped = torch.clamp(ratio, 1 - clip_range, 1 + clip_range)
    return reduced(-torch.min(ratio * advantages, clipped * advantages), reduction)


def _transitions(rng: np.random.Generator, shape: Shape) -> Operands:
    return {
        "value": rng.normal(0, 2, shape),
        "reward": rng.normal(0, 1, shape),
        "next_value": rng.normal(0, 2, shape),
        "done": np.asarray(rng.random(shape) < 0.2, np.float64),
    }


def _weighted(rng: np.random.Generator, shape: Shape) -> Operands:
    return {**_transitions(rng, shape), "weight": rng.uniform(0, 1, shape)}


def _policies(rng: np.random.Generator, shape: Shape) -> Operands:
    old = -rng.gamma(2, 1, shape)
    return {
        "log_probs": old + rng.normal(0, 0.3, shape),
        "old_log_probs": old,
        "advantages": rng.normal(0, 1, shape),
    }


_TD = ("td_loss", "TDLoss")
_GAMMA = {"gamma": 0.99}
_RANGE = {"low": 0.8, "high": 1.2, "mean": 0.0, "inverse": 1.0}
CASES = [
    Case(
        "td", *_TD, "td_huber", _transitions, predictions=("value",), defaults={**_GAMMA, "delta": 1.0}, peer=_torch_td
    ),
    Case(
        "td-squared", *_TD, "td_squared", _transitions, {"kind": "squared", "gamma": 0.5}, ("value",),
        defaults=_GAMMA, peer=_torch_td,
    ),
    Case(
        "td-weight", *_TD, "td_huber", _weighted, predictions=("value",), defaults={**_GAMMA, "delta": 1.0},
        peer=_torch_td,
    ),
    Case(
        "ppo", "ppo_loss", "PPOLoss", "ppo_policy", _policies, predictions=("log_probs",), defaults=_RANGE,
        peer=_torch_ppo,
    ),
]  # fmt: skip

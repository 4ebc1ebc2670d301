# SPDX-License-Identifier: BSD-3-Clause
"""Losses around networks need at most 32 MB beyond their operands and gradients, however large these are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastloss as fl

N = 10_000_000  # 40 MB an array: one copy of it is too much
LIMIT = 32 * 2**20


def flat(a: np.ndarray, *shape: int) -> np.ndarray:
    return a.reshape(shape)


def calls(a: np.ndarray, b: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Two arrays of probabilities in every place."""
    few = np.zeros(N // 10, np.int64), a[: N // 10]
    rows, other = flat(a, -1, 10), flat(b, -1, 10)
    steps = flat(a, 100, -1), flat(b, 100, -1)
    return {
        "gaussian_kl": lambda: fl.gaussian_kl_loss(rows, other, return_grad=True),
        "elbo": lambda: fl.elbo_loss(flat(a, 100, -1), flat(b, 100, -1), rows[:100], other[:100], return_grad=True),
        "js": lambda: fl.js_divergence(rows, other, return_grad=True),
        "renyi": lambda: fl.renyi_divergence(rows, other, return_grad=True),
        "td": lambda: fl.td_loss(a, b, a, False, return_grad=True),
        "dqn": lambda: fl.dqn_loss(rows, few[0], few[1], other, return_grad=True),
        "policy": lambda: fl.policy_gradient_loss(rows, few[0], few[1], ent_coef=0.1, return_grad=True),
        "ppo": lambda: fl.ppo_loss(
            a, b, a, a, b, b, a, clip_range_vf=0.1, normalize_advantage=True, return_grad=True, return_parts=True
        ),
        "gae": lambda: fl.gae(*steps, 0.0),
        "n_step": lambda: fl.n_step_returns(*steps, 0.0, n=3),
        "discriminator": lambda: fl.gan_discriminator_loss(a, b, return_grad=True),
        "generator": lambda: fl.gan_generator_loss(a, kind="minimax", return_grad=True),
        "penalty": lambda: fl.gradient_penalty(flat(a, 50, 2, -1), return_grad=True),
        "penalty of one": lambda: fl.gradient_penalty(flat(a, 2, -1), return_grad=True),
    }


def size(result: Any) -> int:
    """Bytes of all arrays of a result."""
    if isinstance(result, tuple):
        return sum(map(size, result))
    return result.nbytes if isinstance(result, np.ndarray) else 0


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    return tuple(rng.random(N, np.float32) + np.float32(1e-3) for _ in range(2))


@pytest.mark.parametrize("name", calls(np.zeros(1000, np.float32), np.zeros(1000, np.float32)))
def test_no_full_size_copy(arrays, name):
    call = calls(*arrays)[name]
    tracemalloc.start()
    try:
        result = call()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - size(result) < LIMIT, f"{(peak - size(result)) / 2**20:.1f} MB"

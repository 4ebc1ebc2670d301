# SPDX-License-Identifier: BSD-3-Clause
"""Temporal differences, policy losses and sums along trajectories by definition.

The functions of `__all__` are elementwise: see `elementwise` for what they take and give. The others work on rows (N,
C) or on trajectories (T, N).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._term import Array, Term
from .regression import huber, mse
from .variational import _growth

__all__ = ["ppo_clipped", "ppo_kl", "ppo_policy", "ppo_value", "score", "td_error", "td_huber", "td_squared"]


def _zero_of(x: Array) -> Array:
    """0, or nan where x is."""
    return np.where(np.isnan(x), x, 0.0)


def _target(reward: Array, following: Array, done: Array, gamma: float) -> Array:
    """What a value should be: nothing of the next one where the episode is done."""
    return reward + np.where(done == 1.0, _zero_of(following), gamma * (1.0 - done) * following)


@np.errstate(all="ignore")
def td_error(value: Array, reward: Array, following: Array, done: Array, gamma: float) -> Term:
    """r + gamma (1 - done) v' - v."""
    d = _target(reward, following, done, gamma) - value
    return d, (np.where(np.isnan(d), d, -1.0),), _zero_of(d)


@np.errstate(all="ignore")
def td_squared(value: Array, reward: Array, following: Array, done: Array, gamma: float) -> Term:
    """The square of the error."""
    return mse(value, _target(reward, following, done, gamma))


@np.errstate(all="ignore")
def td_huber(value: Array, reward: Array, following: Array, done: Array, gamma: float, delta: float) -> Term:
    """The Huber loss of the error."""
    return huber(value, _target(reward, following, done, gamma), delta)


@np.errstate(all="ignore")
def ppo_policy(
    log_prob: Array, old: Array, advantage: Array, low: float, high: float, mean: float, inverse: float
) -> Term:  # fmt: skip
    """-min(ratio A, clip(ratio) A) of the normalised advantage A."""
    a = (advantage - mean) * inverse
    ratio = np.exp(log_prob - old)
    clipped = ((ratio > high) & (a > 0.0)) | ((ratio < low) & (a < 0.0))
    value = np.where(clipped, -np.clip(ratio, low, high) * a, -ratio * a)
    slope = np.where(clipped, 0.0, -ratio * a)
    return value, (slope,), slope


@np.errstate(all="ignore")
def ppo_value(value: Array, target: Array, old: Array, clip: float) -> Term:
    """Half the larger one of the squared errors of the value, and of the value within `clip` of the old one."""
    moved, d = value - old, value - target
    inside = np.abs(moved) <= clip
    kept = np.where(inside, d, old + np.where(moved > 0.0, clip, -clip) - target)
    nan = _zero_of(moved) + _zero_of(d)
    part = np.where(np.abs(kept) > np.abs(d), 0.0, np.where((np.abs(kept) == np.abs(d)) & ~inside, 0.5, 1.0))
    slope = np.where(part == 0.0, 0.0, part * d)
    return 0.5 * np.square(np.maximum(np.abs(d), np.abs(kept))) + nan, (slope + nan,), part + nan


@np.errstate(all="ignore")
def ppo_kl(log_prob: Array, old: Array) -> Term:
    """exp(t) - 1 - t of the change t."""
    return _growth(log_prob - old)[1], (), None


@np.errstate(all="ignore")
def ppo_clipped(log_prob: Array, old: Array, low: float, high: float) -> Term:
    """1 where the ratio is out of range."""
    ratio = np.exp(log_prob - old)
    return np.where((ratio > high) | (ratio < low), 1.0, _zero_of(ratio)), (), None


@np.errstate(all="ignore")
def score(log_prob: Array, advantage: Array) -> Term:
    """-A log p."""
    product = log_prob * advantage
    return -product, (np.where(np.isnan(log_prob), log_prob, -advantage),), _zero_of(log_prob + advantage)


# ---- rows ------------------------------------------------------------------------------------------------------------


@np.errstate(all="ignore")
def policy_gradient(
    x: Array, actions: NDArray[np.int64], advantage: Array, coefficient: float, logits: bool
) -> tuple[Array, Array]:
    """(losses, gradients) of rows of logits or log-probabilities: -A log p[a] - c H."""
    top = np.argmax(x, axis=1)
    rows = np.arange(len(x))
    log_p = x
    if logits:
        e = np.exp(x - x[rows, top][:, np.newaxis])
        e[rows, top] -= 1.0
        log_p = (x - x[rows, top][:, np.newaxis]) - np.log1p(e.sum(axis=1))[:, np.newaxis]
    p = np.exp(log_p)
    p_log_p = np.where(p == 0.0, 0.0, p * log_p)
    entropy = -p_log_p.sum(axis=1)
    value = -advantage * log_p[rows, actions] - (coefficient * entropy if coefficient else 0.0)
    grad = advantage[:, np.newaxis] * p if logits else np.zeros_like(x)
    if logits:  # of the action, 1 - p as the sum of the others
        others = p.copy()
        others[rows, actions] = 0.0
        grad[rows, actions] = -advantage * others.sum(axis=1)
    else:
        grad[rows, actions] = -advantage
    if coefficient:
        grad = grad + coefficient * (p_log_p + p * (entropy[:, np.newaxis] if logits else 1.0))
    return value, grad


@np.errstate(all="ignore")
def action_values(
    q: Array, actions: NDArray[np.int64], reward: Array, following: Array, done: Array, judge: Array, gamma: float,
    delta: float,
) -> tuple[Array, Array]:  # fmt: skip
    """(losses, gradients) of rows of action values: the next action is the best one by `judge`, the first of equals."""
    rows = np.arange(len(q))
    best = following[rows, np.argmax(judge, axis=1)]
    operands = q[rows, actions], reward, best, done, gamma
    value, (slope,), _ = td_huber(*operands, delta) if delta else td_squared(*operands)
    grad = np.zeros_like(q)
    grad[rows, actions] = slope
    return value, grad


# ---- trajectories ----------------------------------------------------------------------------------------------------


@np.errstate(all="ignore")
def advantages(
    reward: Array, value: Array, following: Array, done: Array, cut: Array, gamma: float, trace: float
) -> Array:
    """A of each step: (gamma lambda)^k times the errors of the steps behind it, summed to the episode's end."""
    steps = len(reward)
    found = np.zeros_like(reward)
    for n in np.ndindex(*reward.shape[1:]):
        for t in range(steps):
            here, factor = (t, *n), 1.0
            for k in range(t, steps):
                at = (k, *n)
                next_value = 0.0 if done[at] == 1 else (1.0 - done[at]) * following[at]
                found[here] += factor * (reward[at] + gamma * next_value - value[at])
                factor *= gamma * trace * (1.0 - done[at]) * (1.0 - cut[at])
                if factor == 0:
                    break
    return found


@np.errstate(all="ignore")
def returns(reward: Array, following: Array, done: Array, cut: Array, gamma: float, horizon: int) -> Array:
    """Discounted rewards of at most `horizon` steps, then the next state's value, to the episode's end."""
    steps = len(reward)
    found = np.zeros_like(reward)
    for n in np.ndindex(*reward.shape[1:]):
        for t in range(steps):
            here, factor, end = (t, *n), 1.0, min(t + horizon, steps)
            for k in range(t, end):
                at = (k, *n)
                found[here] += factor * reward[at]
                factor *= gamma * (1.0 - done[at])
                if factor == 0:
                    break
                if k == end - 1 or cut[at]:
                    found[here] += factor * following[at]
                    break
    return found

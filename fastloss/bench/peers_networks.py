# SPDX-License-Identifier: BSD-3-Clause
"""Losses around networks in fastloss and in PyTorch, as users of the latter compose them; peers.py asks here for their
cells. Operands are drawn here too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .cells import Cell

Calls = dict[str, Callable[[], Any]]
Operands = dict[str, np.ndarray]
VALUE_ONLY = ("gae", "n_step")
PREDICTIONS = {
    "gaussian_kl": ("mu", "log_var"),
    "elbo": ("input", "mu", "log_var"),
    "js": ("input", "target"),
    "renyi": ("input", "target"),
    "td": ("value",),
    "dqn": ("q_values",),
    "policy_gradient": ("input",),
    "ppo": ("log_probs", "values", "entropy"),
    "discriminator": ("real", "fake"),
    "generator": ("fake",),
    "penalty": ("gradients",),
    "wasserstein": ("input", "target"),
}
NAMES = {
    "gaussian_kl": "gaussian_kl_loss",
    "elbo": "elbo_loss",
    "js": "js_divergence",
    "renyi": "renyi_divergence",
    "td": "td_loss",
    "dqn": "dqn_loss",
    "policy_gradient": "policy_gradient_loss",
    "ppo": "ppo_loss",
    "gae": "gae",
    "n_step": "n_step_returns",
    "discriminator": "gan_discriminator_loss",
    "generator": "gan_generator_loss",
    "penalty": "gradient_penalty",
    "wasserstein": "wasserstein_distance_1d",
}
OPTIONS: dict[str, dict[str, Any]] = {
    "policy_gradient": {"ent_coef": 0.01},
    "ppo": {"clip_range_vf": 0.2, "ent_coef": 0.01, "normalize_advantage": True},
    "n_step": {"n": 5},
}


def draw(cell: Cell) -> Operands:
    """Seeded operands in the order in which the function takes them."""
    rng, shape = np.random.default_rng(cell.shape), cell.shape
    normal: Callable[..., Any] = partial(rng.standard_normal, dtype=np.float32)
    rows = shape[:1]

    def probabilities() -> np.ndarray:
        p = rng.random(shape, np.float32) + np.float32(1e-3)
        return p / p.sum(axis=-1, keepdims=True)

    drawn: dict[str, Callable[[], Operands]] = {
        "gaussian_kl": lambda: {"mu": normal(shape), "log_var": normal(shape)},
        "elbo": lambda: {
            "input": normal(shape), "target": rng.random(shape, np.float32), "mu": normal((shape[0], 32)),
            "log_var": normal((shape[0], 32)),
        },
        "js": lambda: {"input": probabilities(), "target": probabilities()},
        "renyi": lambda: {"input": probabilities(), "target": probabilities()},
        "td": lambda: {**_normals(normal, shape, "value", "reward", "next_value"), "done": rng.random(shape) < 0.1},
        "dqn": lambda: {
            "q_values": normal(shape), "actions": rng.integers(0, shape[1], rows), "reward": normal(rows),
            "next_q_values": normal(shape), "done": rng.random(rows) < 0.1,
        },
        "policy_gradient": lambda: {
            "input": normal(shape), "actions": rng.integers(0, shape[1], rows), "advantages": normal(rows),
        },
        "ppo": lambda: _ppo(normal, shape),
        "gae": lambda: _steps(normal, rng, shape),
        "n_step": lambda: _steps(normal, rng, shape),
        "discriminator": lambda: _normals(normal, shape, "real", "fake"),
        "generator": lambda: _normals(normal, shape, "fake"),
        "penalty": lambda: {"gradients": normal(shape) / np.float32(np.sqrt(np.prod(shape[1:])))},
        "wasserstein": lambda: _normals(normal, shape, "input", "target"),
    }  # fmt: skip
    return drawn[cell.loss]()


def _normals(normal: Any, shape: tuple[int, ...], *names: str) -> Operands:
    return {name: normal(shape) for name in names}


def _ppo(normal: Any, shape: tuple[int, ...]) -> Operands:
    old, old_values = -np.abs(normal(shape)), normal(shape)
    return {
        "log_probs": old + np.float32(0.2) * normal(shape),
        "old_log_probs": old,
        "advantages": normal(shape),
        "values": old_values + np.float32(0.2) * normal(shape),
        "returns": normal(shape),
        "old_values": old_values,
        "entropy": np.abs(normal(shape)),
    }


def _steps(normal: Any, rng: np.random.Generator, shape: tuple[int, ...]) -> Operands:
    drawn = _normals(normal, shape, "rewards", "values")
    return {**drawn, "next_value": normal(shape[1:]), "done": rng.random(shape) < 0.02}


def fastloss_calls(module: Any, cell: Cell, operands: Operands) -> Calls:
    function = partial(getattr(module, NAMES[cell.loss]), *operands.values(), **OPTIONS.get(cell.loss, {}))
    if cell.loss in VALUE_ONLY:
        return {"forward": function}
    outs = tuple(np.zeros_like(operands[name]) for name in PREDICTIONS[cell.loss])
    grad_out = outs if len(outs) > 1 else outs[0]
    return {
        "forward": function,
        "gradient": partial(function, return_grad=True),
        "grad_out": partial(function, return_grad=True, grad_out=grad_out),
    }


def torch_calls(torch: Any, cell: Cell, operands: Operands) -> Calls:
    function = partial(functions(torch)[cell.loss], torch)
    tensors = {name: torch.from_numpy(a) for name, a in operands.items()}
    if cell.loss in VALUE_ONLY:
        return {"forward": partial(function, **tensors)}
    leaves = {name: tensors[name].detach().clone().requires_grad_() for name in PREDICTIONS[cell.loss]}

    def gradient() -> Any:
        value = function(**{**tensors, **leaves})
        return value.detach(), torch.autograd.grad(value, list(leaves.values()))

    return {"forward": partial(function, **tensors), "gradient": gradient}


def functions(torch: Any) -> dict[str, Callable[..., Any]]:
    functional = torch.nn.functional
    bce = functional.binary_cross_entropy_with_logits
    return {
        "gaussian_kl": _gaussian_kl,
        "elbo": lambda torch, input, target, mu, log_var: (
            bce(input, target, reduction="sum") / len(input) + _gaussian_kl(torch, mu, log_var)
        ),
        "js": _js,
        "renyi": lambda torch, input, target: torch.log((input**2 / target).sum(-1)).mean(),
        "td": lambda torch, value, reward, next_value, done: functional.smooth_l1_loss(
            value, reward + 0.99 * (1 - done.float()) * next_value
        ),
        "dqn": _dqn,
        "policy_gradient": _policy_gradient,
        "ppo": _ppo_torch,
        "gae": _gae,
        "n_step": _n_step,
        "discriminator": lambda torch, real, fake: bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake)),
        "generator": lambda torch, fake: bce(fake, torch.ones_like(fake)),
        "penalty": lambda torch, gradients: ((gradients.flatten(1).norm(2, dim=1) - 1) ** 2).mean(),
        "wasserstein": lambda torch, input, target: (input.sort()[0] - target.sort()[0]).abs().mean(),
    }


def _gaussian_kl(torch: Any, mu: Any, log_var: Any) -> Any:
    return (-0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(-1)).mean()


def _js(torch: Any, input: Any, target: Any) -> Any:
    m = 0.5 * (input + target)
    return (0.5 * (torch.xlogy(input, input / m) + torch.xlogy(target, target / m)).sum(-1)).mean()


def _dqn(torch: Any, q_values: Any, actions: Any, reward: Any, next_q_values: Any, done: Any) -> Any:
    """As Stable-Baselines3's DQN has it."""
    best = next_q_values.max(dim=1)[0]
    target = reward + (1 - done.float()) * 0.99 * best
    chosen = q_values.gather(1, actions[:, None])[:, 0]
    return torch.nn.functional.smooth_l1_loss(chosen, target)


def _policy_gradient(torch: Any, input: Any, actions: Any, advantages: Any) -> Any:
    """As A2C has it, without the checks of torch.distributions."""
    policy = torch.distributions.Categorical(logits=input, validate_args=False)
    return -(advantages * policy.log_prob(actions)).mean() - 0.01 * policy.entropy().mean()


def _ppo_torch(
    torch: Any, log_probs: Any, old_log_probs: Any, advantages: Any, values: Any, returns: Any, old_values: Any,
    entropy: Any,
) -> Any:  # fmt: skip
    """As CleanRL's ppo.py has it."""
    a = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    ratio = (log_probs - old_log_probs).exp()
    policy = torch.max(-a * ratio, -a * torch.clamp(ratio, 0.8, 1.2)).mean()
    moved = old_values + torch.clamp(values - old_values, -0.2, 0.2)
    value = 0.5 * torch.max((values - returns) ** 2, (moved - returns) ** 2).mean()
    return policy - 0.01 * entropy.mean() + 0.5 * value


def _gae(torch: Any, rewards: Any, values: Any, next_value: Any, done: Any) -> Any:
    """As CleanRL's ppo.py has it."""
    advantages = torch.zeros_like(rewards)
    going_on, tail = 1 - done.float(), 0
    for t in range(len(rewards) - 1, -1, -1):
        following = next_value if t == len(rewards) - 1 else values[t + 1]
        delta = rewards[t] + 0.99 * following * going_on[t] - values[t]
        advantages[t] = tail = delta + 0.99 * 0.95 * going_on[t] * tail
    return advantages, advantages + values


def _n_step(torch: Any, rewards: Any, values: Any, next_value: Any, done: Any) -> Any:
    """n sweeps over shifted arrays; behind the last step there is nothing but its value."""
    n, steps = 5, len(rewards)
    behind = torch.zeros(n, *rewards.shape[1:])
    padded, discount = torch.cat([rewards, behind]), torch.cat([0.99 * (1 - done.float()), behind + 1])
    returns = torch.cat([values, next_value.expand(n, *next_value.shape)])[n:]
    for k in range(n - 1, -1, -1):
        returns = padded[k : k + steps] + discount[k : k + steps] * returns
    return returns

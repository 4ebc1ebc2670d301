# SPDX-License-Identifier: BSD-3-Clause
"""Cases of variational.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from case import Case, Operands, Shape


def reduced(rows: Any, reduction: str) -> Any:
    """A loss of rows in PyTorch, reduced."""
    return rows if reduction == "none" else rows.sum() if reduction == "sum" else rows.mean()


def _torch_kl(mu: Any, log_var: Any, *prior: Any, reduction: str = "mean") -> Any:
    import torch

    n, u = prior or (torch.zeros(()), torch.zeros(()))
    p, q = (torch.distributions.Normal(m, torch.exp(0.5 * s)) for m, s in ((mu, log_var), (n, u)))
    return reduced(torch.distributions.kl_divergence(p, q).sum(-1), reduction)


def _torch_js(p: Any, q: Any, reduction: str = "mean") -> Any:
    import torch

    m = 0.5 * (p + q)
    return reduced(0.5 * (torch.xlogy(p, p / m) + torch.xlogy(q, q / m)).sum(-1), reduction)


def _torch_relative_entropy(p: Any, q: Any, alpha: float = 1.0, reduction: str = "mean") -> Any:
    import torch

    return reduced(torch.xlogy(p, p / q).sum(-1), reduction)


def _gaussians(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"mu": rng.normal(0, 1, shape), "log_var": rng.normal(0, 1, shape)}


def _two(rng: np.random.Generator, shape: Shape) -> Operands:
    second = {"prior_mu": rng.normal(0, 1, shape), "prior_log_var": rng.normal(0, 0.5, shape)}
    return {**_gaussians(rng, shape), **second}


def _rows(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"input": rng.uniform(0.01, 1, shape), "target": rng.uniform(0.01, 1, shape)}


_BOTH = {"input": (0.0, math.inf), "target": (0.0, math.inf)}
_KL = ("gaussian_kl_loss", "GaussianKLLoss")
CASES = [
    Case(
        "gaussian-kl", *_KL, "gaussian_kl_normal", _gaussians, predictions=("mu", "log_var"), per_sample=True,
        peer=_torch_kl,
    ),
    Case(
        "gaussian-kl-prior", *_KL, "gaussian_kl", _two,
        predictions=("mu", "log_var", "prior_mu", "prior_log_var"), per_sample=True, peer=_torch_kl,
    ),
    Case(
        "js", "js_divergence", "JSDivergence", "js", _rows, predictions=("input", "target"), bounds=_BOTH,
        per_sample=True, peer=_torch_js,
    ),
    Case(
        "relative-entropy", "renyi_divergence", "RenyiDivergence", "relative_entropy", _rows, {"alpha": 1.0},
        predictions=("input", "target"), bounds=_BOTH, per_sample=True, peer=_torch_relative_entropy,
    ),
]  # fmt: skip

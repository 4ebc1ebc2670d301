# SPDX-License-Identifier: BSD-3-Clause
"""Losses that PyTorch has no function for, as its users write them, for the peer of peers.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TINY = 2.220446049250313e-16  # mape's smallest denominator


def formulas(torch: Any) -> dict[str, Callable[..., Any]]:
    """Loss of a cell -> the mean loss of tensors."""
    functional = torch.nn.functional

    def focal(x: Any, y: Any) -> Any:
        p = torch.sigmoid(x)
        loss = functional.binary_cross_entropy_with_logits(x, y, reduction="none")
        off = p * (1 - y) + (1 - p) * y
        return ((0.25 * y + 0.75 * (1 - y)) * loss * off**2).mean()

    return {
        "focal": focal,
        "rmse": lambda x, y: torch.sqrt(functional.mse_loss(x, y)),
        "log_cosh": lambda x, y: torch.log(torch.cosh(x - y)).mean(),
        "quantile": lambda x, y: torch.maximum(0.5 * (y - x), -0.5 * (y - x)).mean(),
        "mape": lambda x, y: ((x - y).abs() / y.abs().clamp(min=TINY)).mean(),
        "smape": lambda x, y: (2 * (x - y).abs() / (x.abs() + y.abs())).mean(),
        "msle": lambda x, y: ((torch.log1p(x) - torch.log1p(y)) ** 2).mean(),
        "kl_div": lambda x, y: functional.kl_div(x, y, reduction="none").mean(),  # "mean" warns in every call
        "gamma_nll": lambda x, y: (x + y * torch.exp(-x)).mean(),
        "tweedie_nll": lambda x, y: (2 * torch.exp(0.5 * x) + 2 * y * torch.exp(-0.5 * x)).mean(),
    }


def of_cell(torch: Any, loss: str, name: str) -> Callable[..., Any]:
    """A loss's formula, or the function of that name."""
    return formulas(torch).get(loss) or getattr(torch.nn.functional, name)

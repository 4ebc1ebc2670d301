# SPDX-License-Identifier: BSD-3-Clause
"""Losses that PyTorch has no function for, as its users write them."""

from __future__ import annotations

from typing import Any

import torch


def _log_cosh(x: Any, y: Any) -> Any:
    return torch.log(torch.cosh(x - y))


def _quantile(x: Any, y: Any, q: float = 0.5) -> Any:
    return torch.maximum(q * (y - x), (q - 1) * (y - x))


def _mape(x: Any, y: Any, eps: float = 2.220446049250313e-16) -> Any:
    return (x - y).abs() / y.abs().clamp(min=eps)


def _smape(x: Any, y: Any) -> Any:
    return 2 * (x - y).abs() / (x.abs() + y.abs())


def _msle(x: Any, y: Any) -> Any:
    return (torch.log1p(x) - torch.log1p(y)) ** 2


def _gamma(x: Any, y: Any, log_input: bool = True) -> Any:
    return x + y * torch.exp(-x) if log_input else torch.log(x) + y / x


def _tweedie(x: Any, y: Any, power: float = 1.5, log_input: bool = True) -> Any:
    mean = torch.exp(x) if log_input else x
    return mean ** (2 - power) / (2 - power) - y * mean ** (1 - power) / (1 - power)


ELEMENTS = {
    "log_cosh_loss": _log_cosh,
    "quantile_loss": _quantile,
    "mape_loss": _mape,
    "smape_loss": _smape,
    "msle_loss": _msle,
    "gamma_nll_loss": _gamma,
    "tweedie_nll_loss": _tweedie,
}


def loss(name: str, x: Any, y: Any, *, weight: Any = None, reduction: str = "mean", **options: Any) -> Any:
    """One of them by name; the mean is a weighted one."""
    if name == "rmse_loss":
        return torch.sqrt(torch.nn.functional.mse_loss(x, y))
    value = ELEMENTS[name](x, y, **options)
    total = value.numel() if weight is None else weight.sum()
    value = value if weight is None else value * weight
    return value if reduction == "none" else value.sum() if reduction == "sum" else value.sum() / total

# SPDX-License-Identifier: BSD-3-Clause
"""Formulas of the further regression losses and of the count losses, for the peers of peers.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# Names of fastloss's functions.
FUNCTIONS = {
    "smooth_l1": "smooth_l1_loss",
    "rmse": "rmse_loss",
    "log_cosh": "log_cosh_loss",
    "quantile": "quantile_loss",
    "mape": "mape_loss",
    "smape": "smape_loss",
    "msle": "msle_loss",
    "poisson_nll": "poisson_nll_loss",
    "kl_div": "kl_div",
    "gamma_nll": "gamma_nll_loss",
    "tweedie_nll": "tweedie_nll_loss",
}


def jax_functions(jax: Any) -> dict[str, Callable[..., Any]]:
    jnp = jax.numpy
    elements = {
        "smooth_l1": lambda x, y: jnp.where(jnp.abs(x - y) < 1, 0.5 * (x - y) ** 2, jnp.abs(x - y) - 0.5),
        "log_cosh": lambda x, y: jnp.logaddexp(x - y, y - x) - jnp.log(2.0),
        "quantile": lambda x, y: jnp.maximum(0.5 * (y - x), -0.5 * (y - x)),
        "mape": lambda x, y: jnp.abs(x - y) / jnp.maximum(jnp.abs(y), 2.220446049250313e-16),
        "smape": lambda x, y: 2 * jnp.abs(x - y) / (jnp.abs(x) + jnp.abs(y)),
        "msle": lambda x, y: (jnp.log1p(x) - jnp.log1p(y)) ** 2,
        "poisson_nll": lambda x, y: jnp.exp(x) - y * x,
        "kl_div": lambda x, y: jax.scipy.special.xlogy(y, y) - y * x,
        "gamma_nll": lambda x, y: x + y * jnp.exp(-x),
        "tweedie_nll": lambda x, y: 2 * jnp.exp(0.5 * x) + 2 * y * jnp.exp(-0.5 * x),
    }

    def mean(element: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x, y: jnp.mean(element(x, y))

    means = {name: mean(element) for name, element in elements.items()}
    return {**means, "rmse": lambda x, y: jnp.sqrt(jnp.mean((x - y) ** 2))}


def _halves(x: Any, y: Any) -> Any:
    d = x - y
    return np.where(np.abs(d) < 1, 0.5 * d * d, np.abs(d) - 0.5)


def _xlogy(x: Any, y: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.where(y == 0, 0, y * np.log(y)) - y * x


VALUES: dict[str, Callable[..., Any]] = {
    "smooth_l1": _halves,
    "log_cosh": lambda x, y: np.abs(x - y) + np.log1p(np.exp(-2 * np.abs(x - y))) - x.dtype.type(np.log(2)),
    "quantile": lambda x, y: np.maximum(0.5 * (y - x), -0.5 * (y - x)),
    "mape": lambda x, y: np.abs(x - y) / np.maximum(np.abs(y), x.dtype.type(2.220446049250313e-16)),
    "smape": lambda x, y: 2 * np.abs(x - y) / (np.abs(x) + np.abs(y)),
    "msle": lambda x, y: (np.log1p(x) - np.log1p(y)) ** 2,
    "poisson_nll": lambda x, y: np.exp(x) - y * x,
    "kl_div": _xlogy,
    "gamma_nll": lambda x, y: x + y * np.exp(-x),
    "tweedie_nll": lambda x, y: 2 * np.exp(0.5 * x) + 2 * y * np.exp(-0.5 * x),
}
SLOPES: dict[str, Callable[..., Any]] = {
    "smooth_l1": lambda x, y: np.clip(x - y, -1, 1),
    "log_cosh": lambda x, y: np.tanh(x - y),
    "quantile": lambda x, y: x.dtype.type(0.5) * np.sign(x - y),
    "mape": lambda x, y: np.sign(x - y) / np.maximum(np.abs(y), x.dtype.type(2.220446049250313e-16)),
    "smape": lambda x, y: np.where(
        (x > 0) == (y > 0), 4 * np.sign(x - y) * np.abs(y) / np.square(np.abs(x) + np.abs(y)), 0
    ),
    "msle": lambda x, y: 2 * (np.log1p(x) - np.log1p(y)) / (1 + x),
    "poisson_nll": lambda x, y: np.exp(x) - y,
    "kl_div": lambda x, y: -y,
    "gamma_nll": lambda x, y: 1 - y * np.exp(-x),
    "tweedie_nll": lambda x, y: np.exp(0.5 * x) - y * np.exp(-0.5 * x),
}


def _mean(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def value(x: Any, y: Any) -> Any:
        return np.mean(VALUES[name](x, y))

    def both(x: Any, y: Any) -> Any:
        return value(x, y), (SLOPES[name](x, y) / x.dtype.type(x.size),)

    return value, both


def _rmse(x: Any, y: Any) -> Any:
    return np.sqrt(np.mean(np.square(x - y)))


def _rmse_grad(x: Any, y: Any) -> Any:
    d = x - y
    value = np.sqrt(np.mean(np.square(d)))
    return value, (d / (d.dtype.type(d.size) * value),)


NUMPY = {**{name: _mean(name) for name in VALUES}, "rmse": (_rmse, _rmse_grad)}


def numba_functions(numba: Any, loops: Any) -> dict[str, Any]:
    """Those that are simple to write; `loops` makes a value and a gradient of two element functions."""
    inline = numba.njit(fastmath=True, inline="always")
    one, half, two = np.float32(1), np.float32(0.5), np.float32(2)
    return {
        "smooth_l1": loops(
            inline(lambda x, y: half * (x - y) * (x - y) if abs(x - y) < one else abs(x - y) - half),
            inline(lambda x, y: min(max(x - y, -one), one)),
        ),
        "quantile": loops(inline(lambda x, y: half * abs(x - y)), inline(lambda x, y: half * np.sign(x - y))),
        "mape": loops(
            inline(lambda x, y: abs(x - y) / max(abs(y), np.float32(2.220446049250313e-16))),
            inline(lambda x, y: np.sign(x - y) / max(abs(y), np.float32(2.220446049250313e-16))),
        ),
        "msle": loops(
            inline(lambda x, y: (np.log1p(x) - np.log1p(y)) * (np.log1p(x) - np.log1p(y))),
            inline(lambda x, y: two * (np.log1p(x) - np.log1p(y)) / (one + x)),
        ),
        "poisson_nll": loops(inline(lambda x, y: np.exp(x) - y * x), inline(lambda x, y: np.exp(x) - y)),
        "gamma_nll": loops(inline(lambda x, y: x + y * np.exp(-x)), inline(lambda x, y: one - y * np.exp(-x))),
        "tweedie_nll": loops(
            inline(lambda x, y: two * np.exp(half * x) + two * y * np.exp(-half * x)),
            inline(lambda x, y: np.exp(half * x) - y * np.exp(-half * x)),
        ),
    }

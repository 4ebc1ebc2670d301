# SPDX-License-Identifier: BSD-3-Clause
"""Formulas of elementwise losses and cross entropy for jax.jit, as in optax, for the peers of peers.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import peers_counts, peers_margin


def jax_functions(jax: Any) -> dict[str, Callable[..., Any]]:
    jnp = jax.numpy

    def huber(x: Any, y: Any) -> Any:
        a = jnp.abs(x - y)
        c = jnp.minimum(a, 1.0)
        return jnp.mean(0.5 * c**2 + (a - c))

    def bce(x: Any, y: Any) -> Any:
        return jnp.mean(-y * jax.nn.log_sigmoid(x) - (1.0 - y) * jax.nn.log_sigmoid(-x))

    def gaussian(x: Any, y: Any, var: Any) -> Any:
        v = jnp.maximum(var, 1e-6)
        return jnp.mean(0.5 * (jnp.log(v) + (x - y) ** 2 / v))

    def probabilities(p: Any, y: Any) -> Any:
        yes, no = jnp.maximum(jnp.log(p), -100.0), jnp.maximum(jnp.log1p(-p), -100.0)
        return jnp.mean(-y * yes - (1.0 - y) * no)

    def focal(x: Any, y: Any) -> Any:
        p = jax.nn.sigmoid(x)
        ce = -y * jax.nn.log_sigmoid(x) - (1.0 - y) * jax.nn.log_sigmoid(-x)
        off = p * (1.0 - y) + (1.0 - p) * y
        return jnp.mean((0.25 * y + 0.75 * (1.0 - y)) * off**2 * ce)

    def cross_entropy(x: Any, target: Any) -> Any:
        at_target = jnp.take_along_axis(x, jnp.expand_dims(target, 1), axis=1).squeeze(1)
        return jnp.mean(jax.nn.logsumexp(x, axis=1) - at_target)

    return {
        "l1": lambda x, y: jnp.mean(jnp.abs(x - y)),
        "mse": lambda x, y: jnp.mean((x - y) ** 2),
        "huber": huber,
        "bce_with_logits": bce,
        "gaussian_nll": gaussian,
        "bce": probabilities,
        "soft_margin": lambda x, y: jnp.mean(jax.nn.softplus(-y * x)),
        "multilabel_soft_margin": bce,
        "hinge_embedding": lambda x, y: jnp.mean(jnp.where(y == 1, x, jnp.maximum(1.0 - x, 0.0))),
        "margin_ranking": lambda x1, x2, y: jnp.mean(jnp.maximum(-y * (x1 - x2), 0.0)),
        "focal": focal,
        "cross_entropy": cross_entropy,
        **peers_counts.jax_functions(jax),
        **peers_margin.jax_functions(jax),
    }

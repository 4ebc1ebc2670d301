# SPDX-License-Identifier: BSD-3-Clause
"""Formulas of the margin losses over rows of classes, for the peers of peers.py.

Lists of positives are as long in every row, so that nobody needs more than their filled slots.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# Names of fastloss's functions.
FUNCTIONS = {"multi_margin": "multi_margin_loss", "multilabel_margin": "multilabel_margin_loss"}


def jax_functions(jax: Any) -> dict[str, Callable[..., Any]]:
    jnp = jax.numpy

    def multi_margin(x: Any, target: Any) -> Any:
        at_target = jnp.take_along_axis(x, target[:, None], axis=1)
        h = jnp.maximum(1 - at_target + x, 0)
        others = jnp.arange(x.shape[1]) != target[:, None]
        return jnp.mean(jnp.sum(jnp.where(others, h, 0), axis=1)) / x.shape[1]

    def multilabel_margin(x: Any, lists: Any) -> Any:
        rows = jnp.arange(x.shape[0])[:, None]
        hot = jnp.zeros(x.shape, bool).at[rows, lists].set(True)
        h = jnp.maximum(1 - x[rows, lists][:, :, None] + x[:, None, :], 0)
        return jnp.mean(jnp.sum(jnp.where(hot[:, None, :], 0, h), axis=(1, 2))) / x.shape[1]

    return {"multi_margin": multi_margin, "multilabel_margin": multilabel_margin}


def filled(target: np.ndarray) -> np.ndarray:
    """The slots of the lists before their ends, which stand in one column."""
    return target[:, : int((target[0] >= 0).sum())]


def _multi(x: Any, target: Any) -> tuple[Any, Any]:
    labels = np.expand_dims(target, 1)
    h = np.maximum(1 - np.take_along_axis(x, labels, axis=1) + x, 0)
    np.put_along_axis(h, labels, 0, axis=1)
    return np.mean(h), h


def _multi_grad(x: Any, target: Any) -> Any:
    value, h = _multi(x, target)
    g = (h > 0).astype(x.dtype)
    np.put_along_axis(g, np.expand_dims(target, 1), -g.sum(axis=1, keepdims=True), axis=1)
    return value, (g / x.dtype.type(x.size),)


def _multilabel(x: Any, target: Any, gradient: bool) -> tuple[Any, Any]:
    lists = filled(target)
    others = x.copy()
    np.put_along_axis(others, lists, -np.inf, axis=1)
    g, total = np.zeros_like(x), 0.0
    for k in range(lists.shape[1]):
        positive = lists[:, k : k + 1]
        h = np.maximum(1 - np.take_along_axis(x, positive, axis=1) + others, 0)
        total += np.sum(h)
        if gradient:
            g += h > 0
            np.put_along_axis(g, positive, -np.count_nonzero(h, axis=1, keepdims=True), axis=1)
    return total / x.size, g


def _multilabel_grad(x: Any, target: Any) -> Any:
    value, g = _multilabel(x, target, True)
    return value, (g / x.dtype.type(x.size),)


NUMPY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "multi_margin": (lambda x, target: _multi(x, target)[0], _multi_grad),
    "multilabel_margin": (lambda x, target: _multilabel(x, target, False)[0], _multilabel_grad),
}

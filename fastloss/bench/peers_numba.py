# SPDX-License-Identifier: BSD-3-Clause
"""Loops of elementwise losses and rows of classes, compiled by numba, for the peers of peers.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import peers_counts


def numba_functions(numba: Any) -> dict[str, tuple[Callable[..., Any], Callable[..., Any]]]:
    prange = numba.prange
    parallel = numba.njit(parallel=True, fastmath=True)
    inline = numba.njit(fastmath=True, inline="always")

    def loops(value_of: Any, gradient_of: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
        @parallel
        def value(x: Any, y: Any) -> Any:
            total = 0.0
            for i in prange(x.size):
                total += value_of(x[i], y[i])
            return total / x.size

        @parallel
        def both(x: Any, y: Any) -> Any:
            total = 0.0
            g = np.empty_like(x)
            for i in prange(x.size):
                total += value_of(x[i], y[i])
                g[i] = gradient_of(x[i], y[i]) / np.float32(x.size)
            return total / x.size, g

        return value, both

    @parallel
    def gaussian(x: Any, y: Any, var: Any) -> Any:
        total = 0.0
        for i in prange(x.size):
            v = max(var[i], np.float32(1e-6))
            d = x[i] - y[i]
            total += np.float32(0.5) * (np.log(v) + d * d / v)
        return total / x.size

    @parallel
    def gaussian_both(x: Any, y: Any, var: Any) -> Any:
        total = 0.0
        g, h = np.empty_like(x), np.empty_like(x)
        n = np.float32(x.size)
        for i in prange(x.size):
            v = max(var[i], np.float32(1e-6))
            d = x[i] - y[i]
            q = d / v
            total += np.float32(0.5) * (np.log(v) + d * q)
            g[i] = q / n
            h[i] = np.float32(0.5) * (np.float32(1) / v - q * q) / n
        return total / x.size, (g, h)

    @parallel
    def rows(x: Any, target: Any) -> Any:
        total = 0.0
        for r in prange(x.shape[0]):
            row = x[r]
            top = row.max()
            s = np.float32(0)
            for c in range(row.size):
                s += np.exp(row[c] - top)
            total += np.log(s) + top - row[target[r]]
        return total / x.shape[0]

    @parallel
    def rows_both(x: Any, target: Any) -> Any:
        total = 0.0
        g = np.empty_like(x)
        n = np.float32(x.shape[0])
        for r in prange(x.shape[0]):
            row = x[r]
            top = row.max()
            s = np.float32(0)
            for c in range(row.size):
                g[r, c] = np.exp(row[c] - top)
                s += g[r, c]
            for c in range(row.size):
                g[r, c] /= s * n
            g[r, target[r]] -= np.float32(1) / n
            total += np.log(s) + top - row[target[r]]
        return total / x.shape[0], g

    one, half, zero = np.float32(1), np.float32(0.5), np.float32(0)
    bce = loops(
        inline(lambda x, y: max(x, zero) - x * y + np.log1p(np.exp(-abs(x)))),
        inline(lambda x, y: one / (one + np.exp(-x)) - y),
    )
    return {
        "l1": loops(inline(lambda x, y: abs(x - y)), inline(lambda x, y: np.sign(x - y))),
        "mse": loops(inline(lambda x, y: (x - y) * (x - y)), inline(lambda x, y: np.float32(2) * (x - y))),
        "huber": loops(
            inline(lambda x, y: min(abs(x - y), one) * (abs(x - y) - half * min(abs(x - y), one))),
            inline(lambda x, y: min(max(x - y, -one), one)),
        ),
        "bce_with_logits": bce,
        "multilabel_soft_margin": bce,
        "bce": loops(
            inline(
                lambda p, y: -y * max(np.log(p), np.float32(-100)) - (one - y) * max(np.log1p(-p), np.float32(-100))
            ),
            inline(lambda p, y: (p - y) / max(p * (one - p), np.float32(1e-12))),
        ),
        "soft_margin": loops(
            inline(lambda x, y: max(-x * y, zero) + np.log1p(np.exp(-abs(x * y)))),
            inline(lambda x, y: -y / (one + np.exp(x * y))),
        ),
        "hinge_embedding": loops(
            inline(lambda x, y: x if y == one else max(one - x, zero)),
            inline(lambda x, y: one if y == one else (-one if x <= one else zero)),
        ),
        "gaussian_nll": (gaussian, gaussian_both),
        "cross_entropy": (rows, rows_both),
        **peers_counts.numba_functions(numba, loops),
    }

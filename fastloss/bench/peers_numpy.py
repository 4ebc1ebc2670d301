# SPDX-License-Identifier: BSD-3-Clause
"""Formulas of elementwise losses and cross entropy in plain NumPy, for the peers of peers.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import peers_counts, peers_margin


def _l1(x: Any, y: Any) -> Any:
    return np.mean(np.abs(x - y))


def _l1_grad(x: Any, y: Any) -> Any:
    d = x - y
    return np.mean(np.abs(d)), (np.sign(d) / d.dtype.type(d.size),)


def _mse(x: Any, y: Any) -> Any:
    return np.mean(np.square(x - y))


def _mse_grad(x: Any, y: Any) -> Any:
    d = x - y
    return np.mean(np.square(d)), (d * d.dtype.type(2 / d.size),)


def _huber(x: Any, y: Any) -> Any:
    a = np.abs(x - y)
    c = np.minimum(a, 1)
    return np.mean(c * (a - 0.5 * c))


def _huber_grad(x: Any, y: Any) -> Any:
    d = x - y
    c = np.clip(d, -1, 1)
    return np.mean(c * (d - 0.5 * c)), (c / d.dtype.type(d.size),)


def _bce(x: Any, y: Any) -> Any:
    return np.mean(np.maximum(x, 0) - x * y + np.log1p(np.exp(-np.abs(x))))


def _bce_grad(x: Any, y: Any) -> Any:
    z = np.exp(-np.abs(x))
    sigmoid = np.where(x >= 0, 1, z) / (1 + z)
    return np.mean(np.maximum(x, 0) - x * y + np.log1p(z)), ((sigmoid - y) / x.dtype.type(x.size),)


def _gaussian(x: Any, y: Any, var: Any) -> Any:
    v = np.maximum(var, var.dtype.type(1e-6))
    return np.mean(0.5 * (np.log(v) + np.square(x - y) / v))


def _gaussian_grad(x: Any, y: Any, var: Any) -> Any:
    v, d = np.maximum(var, var.dtype.type(1e-6)), x - y
    q = d / v
    n = x.dtype.type(x.size)
    return np.mean(0.5 * (np.log(v) + d * q)), (q / n, 0.5 * (1 / v - q * q) / n)


def _probabilities(p: Any, y: Any) -> Any:
    return np.mean(-y * np.maximum(np.log(p), -100) - (1 - y) * np.maximum(np.log1p(-p), -100))


def _probabilities_grad(p: Any, y: Any) -> Any:
    w = np.maximum(p * (1 - p), p.dtype.type(1e-12)) * p.dtype.type(p.size)
    return _probabilities(p, y), ((p - y) / w,)


def _soft_margin(x: Any, y: Any) -> Any:
    t = y * x
    return np.mean(np.maximum(-t, 0) + np.log1p(np.exp(-np.abs(t))))


def _soft_margin_grad(x: Any, y: Any) -> Any:
    t = y * x
    z = np.exp(-np.abs(t))
    slope = np.where(t >= 0, z, 1) / (1 + z)
    return np.mean(np.maximum(-t, 0) + np.log1p(z)), (-y * slope / x.dtype.type(x.size),)


def _hinge(x: Any, y: Any) -> Any:
    return np.mean(np.where(y == 1, x, np.maximum(1 - x, 0)))


def _hinge_grad(x: Any, y: Any) -> Any:
    slope = np.where(y == 1, np.float32(1), -(x <= 1).astype(x.dtype))
    return _hinge(x, y), (slope / x.dtype.type(x.size),)


def _ranking(x1: Any, x2: Any, y: Any) -> Any:
    return np.mean(np.maximum(-y * (x1 - x2), 0))


def _ranking_grad(x1: Any, x2: Any, y: Any) -> Any:
    v = -y * (x1 - x2)
    g = np.where(v >= 0, y, 0) / x1.dtype.type(x1.size)
    return np.mean(np.maximum(v, 0)), (-g, g)


def _focal_parts(x: Any, y: Any) -> Any:
    z = np.exp(-np.abs(x))
    p = np.where(x >= 0, 1, z) / (1 + z)
    ce = np.maximum(x, 0) - x * y + np.log1p(z)
    off = p * (1 - y) + (1 - p) * y
    return p, ce, off, (y / 4 + (1 - y) * x.dtype.type(0.75)) * off


def _focal(x: Any, y: Any) -> Any:
    _, ce, off, weight = _focal_parts(x, y)
    return np.mean(weight * off * ce)


def _focal_grad(x: Any, y: Any) -> Any:
    p, ce, off, weight = _focal_parts(x, y)
    slope = 2 * (1 - 2 * y) * p * (1 - p) * ce + off * (p - y)
    return np.mean(weight * off * ce), (weight * slope / x.dtype.type(x.size),)


def _cross_entropy(x: Any, target: Any) -> Any:
    shifted = x - x.max(axis=1, keepdims=True)
    at_target = np.take_along_axis(shifted, np.expand_dims(target, 1), axis=1)
    return np.mean(np.log(np.exp(shifted).sum(axis=1, keepdims=True)) - at_target)


def _cross_entropy_grad(x: Any, target: Any) -> Any:
    shifted = x - x.max(axis=1, keepdims=True)
    labels = np.expand_dims(target, 1)
    at_target = np.take_along_axis(shifted, labels, axis=1)
    p = np.exp(shifted)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    np.put_along_axis(p, labels, np.take_along_axis(p, labels, axis=1) - 1, axis=1)
    p /= x.dtype.type(target.size)
    return np.mean(np.log(total) - at_target), (p,)


NUMPY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "l1": (_l1, _l1_grad),
    "mse": (_mse, _mse_grad),
    "huber": (_huber, _huber_grad),
    "bce_with_logits": (_bce, _bce_grad),
    "gaussian_nll": (_gaussian, _gaussian_grad),
    "bce": (_probabilities, _probabilities_grad),
    "soft_margin": (_soft_margin, _soft_margin_grad),
    "multilabel_soft_margin": (_bce, _bce_grad),
    "hinge_embedding": (_hinge, _hinge_grad),
    "margin_ranking": (_ranking, _ranking_grad),
    "focal": (_focal, _focal_grad),
    "cross_entropy": (_cross_entropy, _cross_entropy_grad),
    **peers_counts.NUMPY,
    **peers_margin.NUMPY,
}

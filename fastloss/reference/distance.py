# SPDX-License-Identifier: BSD-3-Clause
"""Distances of pairs of vectors by definition, on float64 rows (rows, features): value, gradients by x and by y."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Measured = tuple[Array, Array, Array]


@np.errstate(all="ignore")
def minkowski(x: Array, y: Array, p: float, eps: float) -> Measured:
    """(sum |x - y + eps|^p)^(1/p), the largest of them for p = inf.

    The gradient is that of the norm; 0 where the difference is the zero vector, and at features where it is 0. Features
    that are all the largest share the gradient of p = inf. The largest is taken out, so that no power overflows.
    """
    d = (x - y) + eps
    size = np.abs(d)
    largest = size.max(axis=1, initial=0.0)
    safe = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)[:, np.newaxis]
    if np.isinf(p):
        value = largest
        ties = size == largest[:, np.newaxis]
        slope = np.where(ties, 1.0, 0.0) / np.maximum(ties.sum(axis=1, keepdims=True), 1)
    else:
        norm = (size / safe).__pow__(p).sum(axis=1) ** (1 / p)
        value = np.where(np.isfinite(largest) & (largest > 0), norm * safe[:, 0], largest)
        relative = size / np.where(value == 0, 1.0, value)[:, np.newaxis]
        slope = np.where(size == 0, 0.0, relative ** (p - 1))
    grad = np.where(np.isnan(value)[:, np.newaxis], np.nan, np.where(d == 0, 0.0, np.sign(d) * slope))
    return value, grad, -grad


@np.errstate(all="ignore")
def sqeuclidean(x: Array, y: Array, eps: float = 0.0) -> Measured:
    d = (x - y) + eps
    return (d * d).sum(axis=1), 2 * d, -2 * d


def _unit_over(a: Array, most: Array) -> Array:
    """a / most, 0 of a row of zeros."""
    return np.where(most == 0, 0.0, a / np.where(most == 0, 1.0, most))


def _scaled(a: Array, eps: float) -> tuple[Array, Array, Array, Array]:
    """The rows over their largest entry, that, their norm over it, and this no less than eps."""
    largest = np.abs(a).max(axis=1, keepdims=True, initial=0.0)
    largest = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    norm = np.sqrt(((a / largest) ** 2).sum(axis=1, keepdims=True))
    return a / largest, largest, norm, np.maximum(norm, eps / largest)


@np.errstate(all="ignore")
def similarity(x: Array, y: Array, eps: float) -> Measured:
    """x y / (max(|x|, eps) max(|y|, eps)); the gradient of a norm passes below eps too, as in PyTorch.

    Rows are taken over their largest entry, so that no square overflows or vanishes.
    """
    (x, unit_x, norm_x, least_x), (y, unit_y, norm_y, least_y) = _scaled(x, eps), _scaled(y, eps)
    to_x, to_y = _unit_over(x, least_x), _unit_over(y, least_y)
    c = np.clip((to_x * to_y).sum(axis=1, keepdims=True), -1.0, 1.0)
    grad_x = (to_y - c * _unit_over(x, norm_x)) / least_x / unit_x
    grad_y = (to_x - c * _unit_over(y, norm_y)) / least_y / unit_y
    return c[:, 0], grad_x, grad_y


@np.errstate(all="ignore")
def shifted_similarity(x: Array, y: Array) -> Measured:
    """The cosine of PyTorch's cosine_embedding_loss: 1e-12 is added to the squared norms."""
    norm_x = np.sqrt((x * x).sum(axis=1, keepdims=True) + 1e-12)
    norm_y = np.sqrt((y * y).sum(axis=1, keepdims=True) + 1e-12)
    c = np.clip((x / norm_x * (y / norm_y)).sum(axis=1, keepdims=True), -1.0, 1.0)
    return c[:, 0], (y / norm_y - c * (x / norm_x)) / norm_x, (x / norm_x - c * (y / norm_y)) / norm_y


@np.errstate(all="ignore")
def measure(metric: str, x: Array, y: Array, p: float, eps: float) -> Measured:
    """By the name of the metric in a job."""
    powers = {"euclidean": 2.0, "manhattan": 1.0, "chebyshev": np.inf, "minkowski": p}
    if metric in powers:
        return minkowski(x, y, powers[metric], eps)
    if metric == "sqeuclidean":
        return sqeuclidean(x, y, eps)
    if metric == "shifted_similarity":
        return shifted_similarity(x, y)
    value, grad_x, grad_y = similarity(x, y, eps)
    return (1 - value, -grad_x, -grad_y) if metric == "cosine" else (value, grad_x, grad_y)

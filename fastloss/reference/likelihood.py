# SPDX-License-Identifier: BSD-3-Clause
"""Negative log-likelihoods by definition; see `elementwise` for what these functions take and give."""

from __future__ import annotations

import numpy as np

from ._term import Array, Term

__all__ = [
    "gamma",
    "gamma_rate",
    "gaussian_nll",
    "kl_div",
    "kl_div_log",
    "poisson",
    "poisson_full",
    "poisson_rate",
    "poisson_rate_full",
    "tweedie",
    "tweedie_between",
    "tweedie_rate",
]


@np.errstate(all="ignore")
def gaussian_nll(x: Array, y: Array, var: Array, eps: float, full: float) -> Term:
    """(log v + (x - y)^2 / v) / 2 with v = max(var, eps); `full` adds log(2 pi) / 2.

    Gradients are in x and in var. As in torch the clamp is no part of what is differentiated: below eps, var's gradient
    is the one at eps.
    """
    d = x - y
    v = np.maximum(var, eps)
    value = 0.5 * (np.log(v) + d * d / v)
    if full:
        value = value + 0.5 * np.log(2.0 * np.pi)
    return value, (d / v, 0.5 * (1.0 - d * d / v) / v), 1.0 / v


def _zero_of(x: Array) -> Array:
    """0, or nan where x is: what a term is that counts as 0 whatever x."""
    return np.where(np.isnan(x), x, 0.0)


@np.errstate(all="ignore")
def poisson(x: Array, y: Array) -> Term:
    """exp(x) - y x; y x is 0 where y is."""
    rate = np.exp(x)
    return rate - np.where(y == 0.0, _zero_of(x), y * x), (rate - y,), rate


@np.errstate(all="ignore")
def poisson_rate(x: Array, y: Array, eps: float) -> Term:
    """x - y log(x + eps); the logarithm counts as 0 where y is."""
    v = x + eps
    value = x - np.where(y == 0.0, _zero_of(x), y * np.log(v))
    quotient = np.where(y == 0.0, _zero_of(x), y / v)
    return value, (1.0 - quotient,), np.where(y == 0.0, _zero_of(x), quotient / v)


def _with_stirling(y: Array, delta: Array, excess: Array) -> Array:
    """rate - y log(rate) + y log(y) - y + log(2 pi y) / 2, with delta = log(rate / y) and excess = rate - y."""
    series = 0.5 + delta / 6.0 + np.square(delta) / 24.0 + delta**3 / 120.0
    cost = np.where(np.abs(delta) < 1e-3, y * np.square(delta) * series, excess - y * delta)
    return cost + 0.5 * np.log(2.0 * np.pi * y)


@np.errstate(all="ignore")
def poisson_full(x: Array, y: Array) -> Term:
    """`poisson` with Stirling's approximation of log(y!) where y > 1."""
    value, grads, hess = poisson(x, y)
    delta = x - np.log(y)
    return np.where(y > 1.0, _with_stirling(y, delta, y * np.expm1(delta)), value), grads, hess


@np.errstate(all="ignore")
def poisson_rate_full(x: Array, y: Array, eps: float) -> Term:
    """`poisson_rate` with Stirling's approximation of log(y!) where y > 1."""
    value, grads, hess = poisson_rate(x, y, eps)
    v = x + eps
    return np.where(y > 1.0, _with_stirling(y, np.log(v) - np.log(y), v - y) - eps, value), grads, hess


@np.errstate(all="ignore")
def kl_div(x: Array, y: Array) -> Term:
    """y (log(y) - x), 0 where y is 0."""
    value = np.where(y == 0.0, _zero_of(x), y * (np.log(y) - x))
    return value, (_zero_of(x) - y,), _zero_of(x)


@np.errstate(all="ignore")
def kl_div_log(x: Array, y: Array) -> Term:
    """exp(y) (y - x), 0 where exp(y) is 0."""
    p = np.exp(y)
    return np.where(p == 0.0, _zero_of(x), p * (y - x)), (_zero_of(x) - p,), _zero_of(x)


@np.errstate(all="ignore")
def gamma(x: Array, y: Array) -> Term:
    """x + y exp(-x)."""
    ratio = y * np.exp(-x)
    return x + ratio, (1.0 - ratio,), ratio


@np.errstate(all="ignore")
def gamma_rate(x: Array, y: Array) -> Term:
    """log(x) + y / x."""
    ratio = y / x
    return np.log(x) + ratio, ((x - y) / x / x,), (2.0 * ratio - 1.0) / x / x


def _product(y: Array, factor: Array) -> Array:
    """y times factor, 0 where y is 0, whatever the factor."""
    return np.where(y == 0.0, _zero_of(factor), y * factor)


def _difference(a: Array, b: Array, both_infinite: float) -> Array:
    return np.where((a == b) & np.isinf(a), both_infinite, a - b)


@np.errstate(all="ignore")
def tweedie(x: Array, y: Array, power: float) -> Term:
    """exp((2 - p) x) / (2 - p) - y exp((1 - p) x) / (1 - p). Where both terms overflow, the larger one counts."""
    to_two, to_one = 2.0 - power, 1.0 - power
    first, second = np.exp(to_two * x), _product(y, np.exp(to_one * x))
    value = _difference(first / to_two, second / to_one, np.inf)
    grad = _difference(first, second, np.inf if power < 1.0 else -np.inf)
    return value, (grad,), _difference(to_two * first, to_one * second, np.inf)


tweedie_between = tweedie  # 1 < power < 2, where the kernel is another


@np.errstate(all="ignore")
def tweedie_rate(x: Array, y: Array, power: float) -> Term:
    """x^(2 - p) / (2 - p) - y x^(1 - p) / (1 - p)."""
    to_two, to_one = 2.0 - power, 1.0 - power
    lower = np.power(x, to_one)
    value = lower * (x / to_two - y / to_one)
    return value, (lower * ((x - y) / x),), np.power(x, -power) * (to_one + power * (y / x))

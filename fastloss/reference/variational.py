# SPDX-License-Identifier: BSD-3-Clause
"""Divergences by definition, one dimension or class at a time; see `elementwise` for what these functions take and
give."""

from __future__ import annotations

import math

import numpy as np

from ._term import Array, Term

__all__ = ["gaussian_kl", "gaussian_kl_normal", "js", "relative_entropy", "renyi", "renyi_square"]


def _growth(t: Array) -> tuple[Array, Array]:
    """exp(t) - 1, and exp(t) - 1 - t: by its series near 0, where the terms cancel."""
    series = sum(t**k / math.factorial(k + 2) for k in range(18))
    grown = np.expm1(t)
    cost = np.where(np.abs(t) < 0.5, np.square(t) * series, grown - t)
    return grown, np.where(np.isposinf(grown), np.inf, cost)


@np.errstate(all="ignore")
def gaussian_kl_normal(mu: Array, log_var: Array) -> Term:
    """(exp(log_var) + mu^2 - 1 - log_var) / 2."""
    grown, cost = _growth(log_var)
    one = np.where(np.isnan(mu), mu, 1.0)
    return 0.5 * (cost + mu * mu), (mu + 0.0 * np.zeros_like(mu), 0.5 * grown), one


@np.errstate(all="ignore")
def gaussian_kl(mu: Array, log_var: Array, prior_mu: Array, prior_log_var: Array) -> Term:
    """(exp(t) - 1 - t + d^2 exp(-prior_log_var)) / 2, t = log_var - prior_log_var, d = mu - prior_mu."""
    grown, cost = _growth(log_var - prior_log_var)
    d, root = mu - prior_mu, np.exp(-0.5 * prior_log_var)
    slope, square = d * root * root, np.square(d * root)
    return 0.5 * (cost + square), (slope, 0.5 * grown, -slope, -0.5 * (grown + square)), root * root


def _zero_of(x: Array) -> Array:
    """0, or nan where x is."""
    return np.where(np.isnan(x), x, 0.0)


@np.errstate(all="ignore")
def js(p: Array, q: Array) -> Term:
    """(p log(p / m) + q log(q / m)) / 2, m = (p + q) / 2; with p = m (1 + s) and q = m (1 - s) by its series where s is
    small."""
    m = 0.5 * (p + q)
    s = np.where(m == 0.0, 0.0, (p - q) / (p + q))
    of_p = np.where(s < -0.5, np.log(p / m), np.log1p(s))
    of_q = np.where(s > 0.5, np.log(q / m), np.log1p(-s))
    square = np.square(s)
    series = square * sum(square**k / ((k + 1) * (2 * k + 1)) for k in range(26))
    terms = [(p, (1.0 + s) * of_p, of_p), (q, (1.0 - s) * of_q, of_q)]
    direct = sum(np.where(x == 0.0, 0.0, np.where(np.abs(s) <= 0.5, near, x / m * far)) for x, near, far in terms)
    value = 0.5 * m * np.where(np.abs(s) < 0.4, series, direct)
    nan = _zero_of(p + q)
    nothing = m == 0.0
    hess = np.where(p == 0.0, np.inf, 0.5 * (q / (p + q)) / p)
    return (
        np.where(nothing, 0.0, value) + nan,
        (np.where(nothing, 0.0, 0.5 * of_p) + nan, np.where(nothing, 0.0, 0.5 * of_q) + nan),
        hess,
    )


def _log_ratio(p: Array, q: Array) -> Array:
    """log(p / q); 0 where they are equal."""
    near = np.abs(p - q) < 0.5 * q
    return np.where(p == q, 0.0, np.where(near, np.log1p((p - q) / q), np.log(p) - np.log(q)))


@np.errstate(all="ignore")
def relative_entropy(p: Array, q: Array) -> Term:
    """p log(p / q), 0 where p is."""
    u, nan = _log_ratio(p, q), _zero_of(p + q)
    value = np.where(p == 0.0, 0.0, p * u) + nan
    return value, (1.0 + u + nan, np.where(p == 0.0, 0.0, -p / q) + nan), 1.0 / p


@np.errstate(all="ignore")
def renyi(p: Array, q: Array, alpha: float) -> Term:
    """p^alpha q^(1 - alpha), 0 where p is."""
    u, nan = _log_ratio(p, q), _zero_of(p + q)
    slope = np.exp((alpha - 1.0) * u)
    value = np.where(p == 0.0, 0.0, p * slope) + nan
    other = np.where(p == 0.0, 0.0, (1.0 - alpha) * np.exp(alpha * u)) + nan
    return value, (alpha * slope + nan, other), alpha * (alpha - 1.0) * slope / p


@np.errstate(all="ignore")
def renyi_square(p: Array, q: Array) -> Term:
    """p^2 / q, 0 where p is."""
    nan = _zero_of(p + q)
    ratio = np.where(p == 0.0, 0.0, np.where(p == q, 1.0, p / q))
    return p * ratio + nan, (np.where(p == q, 2.0, 2.0 * ratio) + nan, nan - np.square(ratio)), 2.0 / q

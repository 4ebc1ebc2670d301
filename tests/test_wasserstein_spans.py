# SPDX-License-Identifier: BSD-3-Clause
"""`wasserstein_distance_1d` of many samples, span by span: what sorting all at once gives, in little memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import fastloss as fl
from fastloss import _wasserstein, _wasserstein_spans

LIMIT = 32 * 2**20  # beyond inputs and gradients


def draw(rng, ties):
    """Two samples and perhaps their weights."""
    n, m = (int(k) for k in rng.integers(1, 300, 2))
    m = n if rng.random() < 0.3 else m
    dtype = rng.choice([np.float32, np.float64])
    x, y = rng.normal(size=n).astype(dtype), rng.normal(0.5, 2, m).astype(dtype)
    if ties:
        each = rng.integers(1, 8)
        x, y = np.round(x * each) / each, np.round(y * each) / each
    if ties and rng.random() < 0.2:
        x[:] = x[0]
    zeros = rng.random(n) < 0.3
    return (
        x,
        y,
        np.where(zeros, 0.0, 1.0) + 1e-3 if rng.random() < 0.3 else None,
        (rng.uniform(0, 1, m) if rng.random() < 0.3 else None),
    )


@pytest.mark.parametrize("ties", [False, True])
def test_spans_agree_with_sorting_at_once(monkeypatch, rng, ties):
    """Spans of few samples, and single values of many."""
    for name, size in (("SPAN", 40), ("GROUP", 800), ("CHUNK", 16), ("PILOT", 20)):
        monkeypatch.setattr(_wasserstein_spans, name, size)
    for _ in range(150):
        x, y, *weights = draw(rng, ties)
        options = {"return_grad": True, "grad_output": float(rng.normal())}
        monkeypatch.setattr(_wasserstein, "AT_ONCE", 2**60)
        expected, grads = fl.wasserstein_distance_1d(x, y, *weights, **options)
        monkeypatch.setattr(_wasserstein, "AT_ONCE", 0)
        value, found = fl.wasserstein_distance_1d(x, y, *weights, **options)
        assert value == fl.wasserstein_distance_1d(x, y, *weights)
        eps = float(np.finfo(x.dtype).eps)
        assert value == pytest.approx(expected, rel=eps if x.dtype == np.float32 else 1e-12, abs=1e-14)
        for grad, wanted, samples in zip(found, grads, (x, y), strict=True):
            _, equal = np.unique(samples, return_inverse=True)  # of equal samples any may send first
            both = (np.bincount(equal, g) for g in (grad, wanted))
            np.testing.assert_allclose(*both, rtol=8 * eps, atol=max(4 * eps, 1e-12))  # differences of sums up to 1
            if not ties:
                np.testing.assert_allclose(grad, wanted, rtol=8 * eps, atol=1e-12)


def test_samples_that_are_no_numbers(monkeypatch):
    x, y, far = [0.0, np.nan, 2.0], [1.0, 2.0], [0.0, np.inf]
    expected = [fl.wasserstein_distance_1d(*pair) for pair in ((x, y), (far, y), (far, far))]
    monkeypatch.setattr(_wasserstein, "AT_ONCE", 0)
    assert np.isnan(expected[0]) and expected[1] == np.inf and np.isnan(expected[2])
    found = [fl.wasserstein_distance_1d(*pair) for pair in ((x, y), (far, y), (far, far))]
    np.testing.assert_array_equal(found, expected)
    _, grads = fl.wasserstein_distance_1d(x, y, return_grad=True)
    assert all(np.isnan(g).all() for g in grads)


@pytest.mark.parametrize("few", [0, 1])
@pytest.mark.parametrize("return_grad", [False, True])
@pytest.mark.parametrize("kind", ["plain", "weighted", "ties"])
def test_memory_does_not_grow_with_the_samples(rng, few, return_grad, kind):
    x, y, w = (rng.random(4_000_000 if kind == "plain" else 1_500_000, np.float32) for _ in range(3))
    if kind == "ties":
        x, y = np.round(4 * x), np.round(4 * y)
    x, weights = x[few:], (w[few:], w) if kind == "weighted" else ()
    tracemalloc.start()
    try:
        result = fl.wasserstein_distance_1d(x, y, *weights, return_grad=return_grad)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    grads = sum(g.nbytes for g in result[1]) if return_grad else 0
    assert peak - grads < LIMIT, f"{(peak - grads) / 2**20:.1f} MB"


def test_conversion_takes_one_copy(rng):
    """Of as many samples as are just sorted at once."""
    x = rng.integers(0, 100, _wasserstein.AT_ONCE // 8, np.int16).astype(np.float16)
    tracemalloc.start()
    try:
        assert fl.wasserstein_distance_1d(x, x) == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < LIMIT, f"{peak / 2**20:.1f} MB"

# SPDX-License-Identifier: BSD-3-Clause
"""rmse_loss, which has no unreduced form and so fits no case: value and gradient in two passes."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("mpmath", reason="exact results need mpmath")

from cases import SIZES, assert_close, bits
from draw import KINDS, Draw
from exact import LIMIT_ULP, excess_of_root
from test_errors import refusal

import fastloss as fl

DTYPES = [np.float32, np.float64]


@pytest.fixture(params=["native", "reference"])
def each_backend(request):
    with fl.backend(request.param):
        yield request.param


def expected(x, y, weight=None, mask=None, eps=0.0):
    """By definition, in float64."""
    x, y = x.astype(np.float64), np.asarray(y, np.float64)
    w = np.ones_like(x) if weight is None else np.broadcast_to(np.asarray(weight, np.float64), x.shape)
    w = w if mask is None else np.where(mask, w, 0)
    d = np.where(w == 0, 0, x - y)
    value = math.sqrt(math.fsum((w * d * d).ravel()) / math.fsum(w.ravel()) + eps)
    return value, w * d / math.fsum(w.ravel()) / value if value else np.zeros_like(d)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.usefixtures("each_backend")
def test_every_size(dtype, rng):
    for n in [*SIZES[::7], 100_000]:
        x, y = rng.normal(size=(2, n)).astype(dtype)
        value, grad = fl.rmse_loss(x, y, return_grad=True)
        known, known_grad = expected(x, y)
        assert type(value) is np.float64 and grad.dtype == dtype and value == fl.rmse_loss(x, y)
        assert_close(value, known, dtype)
        assert_close(grad, known_grad, dtype)


@pytest.mark.parametrize("eps", [0.0, 0.25])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.usefixtures("each_backend")
def test_options(eps, weighted, masked, rng):
    x, y = rng.normal(size=(6, 5, 40)), rng.normal(size=40)
    weight = rng.uniform(0, 2, (5, 1)) if weighted else None
    mask = rng.random((6, 5, 40)) < 0.7 if masked else None
    known, known_grad = expected(x, y, weight, mask, eps)
    grad_out = np.empty_like(x)
    for factor in (1, -2.5, np.float32(0.5)):
        value, grad = fl.rmse_loss(
            x, y, weight, eps=eps, mask=mask, return_grad=True, grad_output=factor, grad_out=grad_out
        )
        assert grad is grad_out
        assert_close(value, known, np.float64)
        assert_close(grad, known_grad * factor, np.float64)


def test_against_torch(rng):
    torch = pytest.importorskip("torch")
    x, y = rng.normal(size=(2, 50, 7))
    leaf = torch.tensor(x, requires_grad=True)
    known = torch.sqrt(torch.nn.functional.mse_loss(leaf, torch.tensor(y)) + 0.01)
    known.backward()
    value, grad = fl.rmse_loss(x, y, eps=0.01, return_grad=True)
    np.testing.assert_allclose(value, known.item(), rtol=1e-12)
    np.testing.assert_allclose(grad, leaf.grad.numpy(), rtol=1e-11, atol=1e-18)


@pytest.mark.parametrize(("dtype", "sizes"), [(np.float32, (1e-44, 1e-30, 1e25, 3e38)), (np.float64, (1e-300, 1e300))])
@pytest.mark.usefixtures("each_backend")
def test_squares_beyond_the_working_type(dtype, sizes):
    """The root is a number though the squares are none."""
    for size in sizes:
        x = np.array([size, -size, size, -size] * 20, dtype)
        value, grad = fl.rmse_loss(x, dtype(0), return_grad=True)
        assert value == pytest.approx(abs(float(x[0])), rel=1e-6 if dtype is np.float32 else 1e-14)
        np.testing.assert_allclose(grad, np.sign(x) / 80, rtol=1e-5 if dtype is np.float32 else 1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_accuracy(dtype, kind, rng):
    """The contract of an element holds for the value, and for each gradient."""
    for n in (1, 2, 17, 100):
        x, y = (a.astype(dtype) for a in Draw(kind, (n,), np.dtype(dtype), rng).pair().values())
        found = excess_of_root(x, y, *fl.rmse_loss(x, y, return_grad=True))
        assert max(found) <= LIMIT_ULP, (found, x, y)


@pytest.mark.usefixtures("each_backend")
def test_zero_error_nan_and_nothing():
    value, grad = fl.rmse_loss(np.ones(50), 1.0, return_grad=True)
    assert value == 0 and not grad.any()
    value, grad = fl.rmse_loss(np.ones(50), 1.0, eps=0.25, return_grad=True)
    assert value == 0.5 and not grad.any()
    value, grad = fl.rmse_loss(np.array([1.0, np.nan]), 0.0, return_grad=True)
    assert np.isnan(value) and np.isnan(grad).all()
    for mask in (np.zeros(3, bool), None):
        x = np.ones(3) if mask is not None else np.ones(0)
        value, grad = fl.rmse_loss(x, 0.0, mask=mask, return_grad=True)
        assert np.isnan(value) and not grad.any()
    value, grad = fl.rmse_loss(np.ones(3), 0.0, np.zeros(3), return_grad=True)
    assert np.isnan(value) and not grad.any()
    assert fl.rmse_loss(np.array([np.inf, 1.0]), 0.0) == np.inf


def test_bits_do_not_depend_on_threads_or_strides(rng):
    x, y = rng.normal(size=(2, 300_000)).astype(np.float32)
    both = np.stack([x, y], axis=1)
    results = []
    for threads in (1, 2, 3, 7):
        with fl.num_threads(threads):
            results += [fl.rmse_loss(x, y, return_grad=True), fl.rmse_loss(both[:, 0], both[:, 1], return_grad=True)]
    assert len({bits(r) for r in results}) == 1


def test_refusals():
    x = np.ones((4, 3))
    for reduction in ("none", "sum", "average", None):
        message = refusal(lambda r=reduction: fl.rmse_loss(x, x, reduction=r))
        assert "reduction" in message and repr(reduction) in message
    for eps in (-1.0, math.inf, math.nan):
        assert "eps" in refusal(lambda e=eps: fl.rmse_loss(x, x, eps=e))
    assert "target" in refusal(lambda: fl.rmse_loss(x, np.ones(4)))
    assert "grad_output" in refusal(lambda: fl.rmse_loss(x, x, return_grad=True, grad_output=np.ones(3)))
    assert "return_grad" in refusal(lambda: fl.rmse_loss(x, x, grad_output=1.0))
    assert "grad_out" in refusal(lambda: fl.rmse_loss(x, x, return_grad=True, grad_out=np.ones(3)))


def test_criterion():
    x = np.array([1.0, 2.0, 4.0, 4.0])
    y = np.array([1.0, 0.0, 0.0, 0.0])
    assert fl.RMSELoss()(x, y) == 3 and fl.RMSELoss(eps=16.0)(x, y) == 5
    assert bits(fl.RMSELoss().value_and_grad(x, y)) == bits(fl.rmse_loss(x, y, return_grad=True))

# SPDX-License-Identifier: BSD-3-Clause
"""quantile_loss of several quantiles: an axis of input that target does not have."""

from __future__ import annotations

import numpy as np
import pytest
from cases import assert_close, bits
from test_errors import refusal

import fastloss as fl

Q = [0.1, 0.5, 0.75]


@pytest.fixture(params=["native", "reference"])
def each_backend(request):
    with fl.backend(request.param):
        yield request.param


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), (50,), (3000,), (6, 7), (3, 3)], ids=str)
def test_each_quantile_is_the_loss_of_its_own(dtype, shape, rng, each_backend):
    x, y = rng.normal(size=(*shape, 3)).astype(dtype), np.asarray(rng.normal(size=shape), dtype)
    for q in (Q, tuple(Q), np.array(Q), np.array(Q, np.float32)):
        value, grad, hess = fl.quantile_loss(x, y, q=q, reduction="none", return_grad=True, return_hess=True)
        assert value.dtype == grad.dtype == dtype and value.shape == grad.shape == x.shape
        assert (hess == 1).all()
        for k, one in enumerate(q):
            alone = fl.quantile_loss(x[..., k], y, q=float(one), reduction="none", return_grad=True)
            if each_backend == "native":
                assert bits((value[..., k], grad[..., k])) == bits(alone)
            for a, b in zip(
                (value, grad), alone, strict=True
            ):  # the reference rounds a q alone, but not one of several
                assert_close(a[..., k], b, dtype)
    mean, grad = fl.quantile_loss(x, y, q=Q, return_grad=True)
    parts = [fl.quantile_loss(x[..., k], y, q=one) for k, one in enumerate(Q)]
    assert mean == pytest.approx(np.mean(parts), rel=1e-6 if dtype is np.float32 else 1e-14)


@pytest.mark.usefixtures("each_backend")
def test_weights_masks_and_targets_that_broadcast(rng):
    x, weight = rng.normal(size=(5, 4, 3)), rng.uniform(0.5, 2, (5, 4, 1))
    mask = rng.random((5, 4, 1)) < 0.7
    for y in (0.5, np.float64(0.5), np.full((1, 4), 0.5), np.full(4, 0.5), np.full((5, 1), 0.5)):
        value = fl.quantile_loss(x, y, weight, q=Q, mask=mask)
        everywhere = np.broadcast_to(weight, x.shape) * mask
        elements = fl.quantile_loss(x, np.full((5, 4), 0.5), q=Q, reduction="none")
        assert value == pytest.approx(np.sum(elements * everywhere) / everywhere.sum(), rel=1e-13)


@pytest.mark.usefixtures("each_backend")
def test_q_does_not_decide_the_working_type():
    x = np.ones((4, 2), np.float32)
    assert fl.quantile_loss(x, 0.0, q=np.array([0.1, 0.9]), reduction="none").dtype == np.float32
    wide = fl.quantile_loss(x.astype(np.float64), 0.0, q=[0.1, 0.9], reduction="none")
    assert wide[0].tolist() == [0.9, 1 - 0.9]
    assert fl.quantile_loss(np.ones((4, 2), int), 0, q=[0.5, 0.5]) == 0.5


@pytest.mark.parametrize(
    "q", [np.float32(0.25), np.float64(0.25), np.float16(0.25), np.array(0.25), np.array(0.25, "f4")]
)
@pytest.mark.usefixtures("each_backend")
def test_a_numpy_scalar_is_one_quantile(q, rng):
    """Even beside an input whose last axis has one place."""
    for shape in ((5, 3), (5, 1)):
        x, y = rng.normal(size=(2, *shape))
        assert bits(fl.quantile_loss(x, y, q=q, return_grad=True)) == bits(
            fl.quantile_loss(x, y, q=0.25, return_grad=True)
        )
    assert fl.quantile_loss(x, y, q=np.int64(1)) == fl.quantile_loss(x, y, q=1)


def test_refusals():
    x, y = np.ones((4, 3)), np.ones(4)
    assert "q[1] must be in [0, 1], got 1.5" in refusal(lambda: fl.quantile_loss(x, y, q=[0.5, 1.5, 0.5]))
    assert "q must be in [0, 1], got -0.1" in refusal(lambda: fl.quantile_loss(x, x, q=-0.1))
    assert "(4, 3)" in refusal(lambda: fl.quantile_loss(x, y, q=[0.5, 0.5]))
    assert "input" in refusal(lambda: fl.quantile_loss(1.0, 1.0, q=[0.5]))
    assert "target" in refusal(lambda: fl.quantile_loss(x, x, q=Q))
    assert "target" in refusal(lambda: fl.quantile_loss(x, np.ones(3), q=Q))
    assert "q has shape (1, 3)" in refusal(lambda: fl.quantile_loss(x, y, q=[Q]))
    for wrong in ([0.5, "x", 0.1], [True, 0.5, 0.5]):
        assert "q[" in refusal(lambda q=wrong: fl.quantile_loss(x, y, q=q), TypeError)
    for wrong in (True, np.True_, None, "0.5", np.array("0.5"), 1j):
        assert "q must be a real number" in refusal(lambda q=wrong: fl.quantile_loss(x, x, q=q), TypeError)

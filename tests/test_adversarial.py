# SPDX-License-Identifier: BSD-3-Clause
"""Adversarial losses: against the reference, PyTorch, SciPy and central differences. What all elementwise losses share
is tested over cases_adversarial.py."""

from __future__ import annotations

import numpy as np
import pytest
from cases import assert_close, bits
from test_errors import refusal
from test_reinforcement import both, slopes

import fastloss as fl

KINDS = ("bce", "minimax", "lsgan", "hinge", "wasserstein")
each_kind = pytest.mark.parametrize("kind", KINDS)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def torch_discriminator(torch, real, fake, kind):
    functional = torch.nn.functional
    if kind in ("bce", "minimax"):
        bce = functional.binary_cross_entropy_with_logits
        return bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
    if kind == "lsgan":
        return 0.5 * ((real - 1) ** 2).mean() + 0.5 * (fake**2).mean()
    if kind == "hinge":
        return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()
    return fake.mean() - real.mean()


def torch_generator(torch, fake, kind):
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    if kind == "bce":
        return bce(fake, torch.ones_like(fake))
    if kind == "minimax":
        return torch.log(1 - torch.sigmoid(fake)).mean()
    return 0.5 * ((fake - 1) ** 2).mean() if kind == "lsgan" else -fake.mean()


@each_kind
def test_gan_losses_in_torch(kind, rng):
    torch = pytest.importorskip("torch")
    real, fake = rng.normal(0, 2, 60), rng.normal(0, 2, 45)
    tensors = [torch.tensor(a, requires_grad=True) for a in (real, fake)]
    loss = torch_discriminator(torch, *tensors, kind)
    wanted = torch.autograd.grad(loss, tensors)
    value, grads, parts = both(fl.gan_discriminator_loss, real, fake, kind=kind, return_grad=True, return_parts=True)
    assert value == pytest.approx(loss.item(), rel=1e-12) == parts.real + parts.fake
    for grad, expected in zip(grads, wanted, strict=True):
        np.testing.assert_allclose(grad, expected.numpy(), rtol=1e-12, atol=1e-15)
    loss = torch_generator(torch, tensors[1], kind)
    (wanted,) = torch.autograd.grad(loss, [tensors[1]])
    value, grad = both(fl.gan_generator_loss, fake, kind=kind, return_grad=True)
    assert value == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(grad, wanted.numpy(), rtol=1e-9, atol=1e-15)


@each_kind
@each_dtype
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_options(kind, dtype, reduction, rng):
    real, fake = rng.normal(0, 2, (2, 30, 4)).astype(dtype)
    g = rng.normal(size=(30, 4)).astype(dtype)
    mask = rng.random((30, 4)) < 0.6
    for options in ({}, {"grad_output": g}, {"grad_output": 2.0}):
        value, grads = both(fl.gan_discriminator_loss, real, fake, kind=kind, reduction=reduction, return_grad=True,
                            dtype=dtype, **options)  # fmt: skip
        assert grads[0].dtype == dtype
        both(fl.gan_generator_loss, fake, kind=kind, reduction=reduction, return_grad=True, dtype=dtype, **options)
        both(fl.gan_generator_loss, fake, kind=kind, reduction=reduction, mask=mask, return_grad=True, dtype=dtype,
             **options)  # fmt: skip
    if reduction == "none":
        out = np.full((30, 4), np.nan, dtype)
        assert fl.gan_discriminator_loss(real, fake, kind=kind, reduction="none", out=out) is out
        assert bits(out) == bits(value)
        assert fl.gan_generator_loss(fake, kind=kind, reduction="none", out=out) is out


@each_kind
def test_slopes_and_kinks(kind, rng):
    real, fake = rng.normal(0, 2, 20), rng.normal(0, 2, 20)
    _, (g_real, g_fake) = fl.gan_discriminator_loss(real, fake, kind=kind, return_grad=True)
    np.testing.assert_allclose(
        g_real, slopes(lambda x: fl.gan_discriminator_loss(x, fake, kind=kind), real), rtol=1e-6, atol=1e-9
    )
    np.testing.assert_allclose(
        g_fake, slopes(lambda x: fl.gan_discriminator_loss(real, x, kind=kind), fake), rtol=1e-6, atol=1e-9
    )
    if kind == "hinge":
        for x, slope in ((1 - 1e-9, -1.0), (1.0, 0.0), (1 + 1e-9, 0.0)):
            assert fl.gan_discriminator_loss([x], [-2.0], kind=kind, return_grad=True)[1][0].tolist() == [slope]


def test_large_logits_stay_finite():
    value, (g_real, g_fake) = fl.gan_discriminator_loss([-1e4, 1e4], [1e4, -1e4], return_grad=True)
    assert value == 1e4 and g_real.tolist() == [-0.5, 0.0] and g_fake.tolist() == [0.5, 0.0]


# ---- penalty ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 5), (6, 3, 4, 4), (3000, 300), (2, 200_000)], ids=str)
@each_dtype
def test_gradient_penalty(shape, dtype):
    rng = np.random.default_rng(shape)
    g = (rng.normal(size=shape) * 2 / np.sqrt(np.prod(shape[1:]))).astype(dtype)
    flat = g.reshape(shape[0], -1).astype(np.float64)
    norm = np.sqrt(np.square(flat).sum(1))
    value, grad = both(fl.gradient_penalty, g, return_grad=True, dtype=dtype)
    assert value == pytest.approx(np.mean((norm - 1) ** 2), rel=1e-6 if dtype == np.float32 else 1e-13)
    expected = (2 * (1 - 1 / norm)[:, None] * flat / shape[0]).reshape(shape)
    np.testing.assert_allclose(
        grad, expected, rtol=1e-3 if dtype == np.float32 else 1e-9, atol=1e-7 * np.abs(expected).max()
    )
    mask = rng.random(shape[0]) < 0.5
    for options in ({"reduction": "none"}, {"mask": mask}, {"target": 0.0, "reduction": "sum"}, {"one_sided": True}):
        both(fl.gradient_penalty, g, return_grad=True, dtype=dtype, **options)
    turned = np.ascontiguousarray(np.moveaxis(g, 0, -1))
    assert bits(fl.gradient_penalty(np.moveaxis(turned, -1, 0), return_grad=True)) == bits((value, grad))


def test_gradient_penalty_in_torch(rng):
    torch = pytest.importorskip("torch")
    g = torch.tensor(rng.normal(size=(7, 2, 3)), requires_grad=True)
    loss = ((g.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
    loss.backward()
    value, grad = fl.gradient_penalty(g.detach().numpy(), return_grad=True)
    assert value == pytest.approx(loss.item(), rel=1e-13)
    np.testing.assert_allclose(grad, g.grad.numpy(), rtol=1e-12)


def test_gradient_penalty_of_zero_and_one_side():
    value, grad = fl.gradient_penalty(np.zeros((2, 3)), return_grad=True)
    assert value == 1 and not grad.any()
    value, grad = fl.gradient_penalty([[0.3, 0.4], [3.0, 4.0]], one_sided=True, return_grad=True, reduction="none")
    assert value.tolist() == [0.0, 16.0] and grad[0].tolist() == [0.0, 0.0]


# ---- Wasserstein -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 5), (7, 3), (200, 200), (30, 101)])
@pytest.mark.parametrize("weighted", [False, True])
def test_wasserstein_in_scipy(n, m, weighted, rng):
    stats = pytest.importorskip("scipy.stats")
    x, y = rng.normal(size=n), rng.normal(1, 2, m)
    weights = (rng.uniform(0, 1, n), rng.uniform(0, 1, m)) if weighted else (None, None)
    expected = stats.wasserstein_distance(x, y, *weights)
    value, grads = fl.wasserstein_distance_1d(x, y, *weights, return_grad=True)
    assert value == pytest.approx(expected, rel=1e-12) == fl.wasserstein_distance_1d(x, y, *weights)
    with fl.backend("reference"):
        again, wanted = fl.wasserstein_distance_1d(x, y, *weights, return_grad=True)
    assert again == pytest.approx(expected, rel=1e-12)
    for k, (grad, a) in enumerate(zip(grads, (x, y), strict=True)):
        np.testing.assert_allclose(grad, wanted[k], atol=1e-12)

        def moved(z, k=k):
            return fl.wasserstein_distance_1d(*(z, y) if k == 0 else (x, z), *weights)

        np.testing.assert_allclose(grad, slopes(moved, a, 1e-7), atol=1e-6)


def test_wasserstein_of_ties_dtypes_and_outputs():
    assert fl.wasserstein_distance_1d([1.0, 1.0], [1.0, 1.0]) == 0
    assert fl.wasserstein_distance_1d([1, 2, 3], [1, 2, 6]) == pytest.approx(1.0)
    x, y = (np.array(a, np.float32) for a in ([3.0, 1.0], [0.0, 1.0]))
    outs = np.empty(2, np.float32), np.empty(2, np.float32)
    value, grads = fl.wasserstein_distance_1d(x, y, return_grad=True, grad_output=2.0, grad_out=outs)
    assert (
        value == 1.5 and grads[0] is outs[0] and grads[0].tolist() == [1.0, 1.0] and grads[1].tolist() == [-1.0, -1.0]
    )
    assert np.isnan(fl.wasserstein_distance_1d([np.nan, 1.0], [0.0, 1.0]))
    assert_close(fl.WassersteinDistance1D()(x, y), 1.5, np.float32)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fl.gan_discriminator_loss([1.0], [1.0], kind="gan"), ["kind", "gan", "lsgan"]),
        (lambda: fl.gan_generator_loss([1.0], kind=None), ["kind", "None"]),
        (lambda: fl.gan_discriminator_loss([1.0, 2.0], [1.0], reduction="none"), ["fake", "(1,)", "(2,)"]),
        (lambda: fl.gan_discriminator_loss([1.0], [1.0], grad_out=np.ones(1)), ["grad_out", "return_grad"]),
        (lambda: fl.gradient_penalty([1.0, 2.0]), ["gradients", "(2,)"]),
        (lambda: fl.gradient_penalty([[1.0]], target=-1.0), ["target"]),
        (lambda: fl.wasserstein_distance_1d([], [1.0]), ["input", "(0,)"]),
        (lambda: fl.wasserstein_distance_1d([[1.0]], [1.0]), ["input", "(1, 1)"]),
        (lambda: fl.wasserstein_distance_1d([1.0], [1.0], [1.0, 2.0]), ["input_weight", "(2,)"]),
        (lambda: fl.wasserstein_distance_1d([1.0, 2.0], [1.0], [1.0, -2.0]), ["input_weight[1] = -2.0"]),
        (lambda: fl.wasserstein_distance_1d([1.0], [1.0], None, [0.0]), ["target_weight", "0.0"]),
        (lambda: fl.wasserstein_distance_1d([1.0], [1.0], grad_output=1.0), ["grad_output", "return_grad"]),
        (lambda: fl.wasserstein_distance_1d([1.0], [1.0], return_grad=True, grad_output=[1.0]), ["grad_output"]),
    ],
)  # fmt: skip
def test_refusals(call, words):
    message = refusal(call, ValueError, TypeError)
    assert all(word in message for word in words), message

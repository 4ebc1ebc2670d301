# SPDX-License-Identifier: BSD-3-Clause
"""Divergences and the evidence lower bound: against the reference, PyTorch, SciPy, mpmath and central differences. What
all elementwise losses share is tested over cases_variational.py."""

from __future__ import annotations

import numpy as np
import pytest
from cases import assert_close, bits
from test_errors import refusal
from test_reinforcement import both, slopes

import fastloss as fl

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_alpha = pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0, 2.0, 7.5])


def rows(shape: tuple[int, ...], seed: int = 0, dtype=np.float64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, *shape])
    p, q = rng.gamma(1, 1, (2, *shape)) + 1e-3
    return (p / p.sum(-1, keepdims=True)).astype(dtype), (q / q.sum(-1, keepdims=True)).astype(dtype)


# ---- Gaussians -------------------------------------------------------------------------------------------------------


def test_gaussian_kl_in_torch(rng):
    torch = pytest.importorskip("torch")
    mu, s, n, u = rng.normal(size=(4, 30, 7))
    Normal = torch.distributions.Normal
    tensors = [torch.tensor(a, requires_grad=True) for a in (mu, s, n, u)]
    p, q = (Normal(m, torch.exp(0.5 * v)) for m, v in (tensors[:2], tensors[2:]))
    loss = torch.distributions.kl_divergence(p, q).sum(-1).mean()
    loss.backward()
    value, grads = fl.gaussian_kl_loss(mu, s, n, u, return_grad=True)
    assert value == pytest.approx(loss.item(), rel=1e-12)
    for grad, tensor in zip(grads, tensors, strict=True):
        np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-9, atol=1e-15)
    usual = -0.5 * np.mean(np.sum(1 + s - mu**2 - np.exp(s), axis=1))
    assert fl.gaussian_kl_loss(mu, s) == pytest.approx(usual, rel=1e-12)


def test_a_standard_prior_is_none(rng):
    mu, s = rng.normal(size=(2, 40, 5))
    value, (g_mu, g_s, *_) = fl.gaussian_kl_loss(mu, s, 0.0, 0.0, return_grad=True)
    expected, grads = fl.gaussian_kl_loss(mu, s, return_grad=True)
    assert value == pytest.approx(expected, rel=1e-14)
    assert_close(g_mu, grads[0], np.float64)
    assert_close(g_s, grads[1], np.float64)


@each_dtype
def test_equal_gaussians_keep_their_digits(dtype):
    """A log-variance of 1e-4 costs 1e-8 / 4; the usual formula has no digit of it left in float32."""
    s = np.full((1, 3), 1e-4, dtype)
    exact = 3 * (np.expm1(np.float64(s[0, 0])) - np.float64(s[0, 0])) / 2
    assert fl.gaussian_kl_loss(np.zeros((1, 3), dtype), s) == pytest.approx(
        exact, rel=1e-6 if dtype == np.float32 else 1e-8
    )


def test_a_learned_prior_is_summed(rng):
    mu, s = rng.normal(size=(2, 50, 4))
    n, u = rng.normal(size=(2, 4))
    _, grads = fl.gaussian_kl_loss(mu, s, n, u, return_grad=True)
    for k, name in enumerate((n, u), 2):
        found = slopes(lambda x, k=k: fl.gaussian_kl_loss(mu, s, *(x, u) if k == 2 else (n, x)), name)
        np.testing.assert_allclose(grads[k], found, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fl.gaussian_kl_loss(np.ones((3, 2)), 0.0, np.ones(2)), ["prior_log_var", "None"]),
        (lambda: fl.gaussian_kl_loss(np.ones((3, 2)), 0.0, None, np.ones(2)), ["prior_mu", "None"]),
        (lambda: fl.gaussian_kl_loss(1.0, 0.0), ["mu", "()"]),
        (lambda: fl.gaussian_kl_loss(np.ones((3, 0)), 0.0), ["mu", "(3, 0)"]),
        (lambda: fl.gaussian_kl_loss(np.ones((3, 2)), np.ones(3)), ["log_var", "(3,)", "(3, 2)"]),
        (lambda: fl.elbo_loss(np.ones((3, 2)), 0.0, np.ones((4, 2)), 0.0), ["input", "mu", "(4, 2)"]),
        (lambda: fl.elbo_loss(np.ones((3, 2)), 0.0, np.ones((3, 2)), 0.0, beta=-1.0), ["beta"]),
        (
            lambda: fl.elbo_loss(np.ones((3, 2)), 0.0, np.ones((3, 2)), 0.0, reconstruction="l2"),
            ["reconstruction", "l2"],
        ),
        (lambda: fl.elbo_loss(np.ones((3, 2)), 0.0, np.ones((3, 2)), 0.0, reduction="none"), ["reduction", "none"]),
        (lambda: fl.elbo_loss([[1.5]], [[0]], [[0.0]], [[0.0]], reconstruction="bce"), ["input[0, 0] = 1.5"]),
        (lambda: fl.js_divergence(np.ones((3, 2)), np.ones(2)), ["target", "(2,)", "(3, 2)"]),
        (lambda: fl.js_divergence([[0.5, -0.5]], [[0.5, 0.5]]), ["input[0, 1] = -0.5", "negative"]),
        (lambda: fl.renyi_divergence([[0.5, -0.5]], [[0.5, 0.5]]), ["input[0, 1] = -0.5", "negative"]),
        (lambda: fl.renyi_divergence([0.5], [0.5], alpha=0.0), ["alpha", "0.0"]),
        (lambda: fl.renyi_divergence([0.5], [0.5], alpha=np.inf), ["alpha", "inf"]),
        (lambda: fl.renyi_divergence(0.5, 0.5), ["input", "()"]),
    ],
)
def test_refusals(call, words):
    message = refusal(call, ValueError, TypeError)
    assert all(word in message for word in words), message


# ---- the bound -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reconstruction", ["bce_with_logits", "bce", "mse", "l1"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_elbo_in_torch(reconstruction, reduction, rng):
    torch = pytest.importorskip("torch")
    x, y = rng.normal(size=(8, 3, 5)), rng.uniform(size=(8, 3, 5))
    x = 1 / (1 + np.exp(-x)) if reconstruction == "bce" else x
    mu, s = rng.normal(size=(2, 8, 4))
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, mu, s)]
    name = {"bce_with_logits": "binary_cross_entropy_with_logits", "bce": "binary_cross_entropy"}.get(
        reconstruction, f"{reconstruction}_loss"
    )
    cost = getattr(torch.nn.functional, name)(tensors[0], torch.tensor(y), reduction="sum")
    kl = -0.5 * torch.sum(1 + tensors[2] - tensors[1] ** 2 - tensors[2].exp())
    loss = (cost + 3.0 * kl) / (8 if reduction == "mean" else 1)
    loss.backward()
    options = {"beta": 3.0, "reconstruction": reconstruction, "reduction": reduction}
    value, grads, parts = both(fl.elbo_loss, x, y, mu, s, return_grad=True, return_parts=True, **options)
    assert value == pytest.approx(loss.item(), rel=1e-12) == parts.reconstruction + 3.0 * parts.kl
    for grad, tensor in zip(grads, tensors, strict=True):
        np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-9, atol=1e-15)
    outs = tuple(np.full_like(g, np.nan) for g in grads)
    again, written = fl.elbo_loss(x, y, mu, s, return_grad=True, grad_out=outs, **options)
    assert again == value and all(a is b for a, b in zip(written, outs, strict=True)) and bits(outs) == bits(grads)
    _, doubled = fl.elbo_loss(x, y, mu, s, return_grad=True, grad_output=2.0, **options)
    assert_close(doubled[0], 2 * grads[0], np.float64)


def test_elbo_accumulates(rng):
    x, y = rng.normal(size=(30, 6)), rng.uniform(size=(30, 6))
    mu, s = rng.normal(size=(2, 30, 4))
    total = fl.Accumulator(fl.elbo_loss, beta=0.5)
    for part in (slice(0, 11), slice(11, 30)):
        total.update(x[part], y[part], mu[part], s[part])
    assert total.compute() == pytest.approx(fl.elbo_loss(x, y, mu, s, beta=0.5), rel=1e-14)


def test_elbo_of_nothing_is_nan():
    value, grads = fl.elbo_loss(np.ones((0, 3)), np.ones((0, 3)), np.ones((0, 2)), np.ones((0, 2)), return_grad=True)
    assert np.isnan(value) and [g.shape for g in grads] == [(0, 3), (0, 2), (0, 2)]


# ---- rows of probabilities -------------------------------------------------------------------------------------------


def test_js_in_scipy():
    distance = pytest.importorskip("scipy.spatial.distance")
    p, q = rows((50, 9))
    expected = distance.jensenshannon(p, q, axis=1) ** 2
    np.testing.assert_allclose(fl.js_divergence(p, q, reduction="none"), expected, rtol=1e-12)


@each_alpha
def test_renyi_in_mpmath(alpha):
    mpmath = pytest.importorskip("mpmath")
    p, q = rows((20, 6))
    found = fl.renyi_divergence(p, q, alpha=alpha, reduction="none")
    with mpmath.workdps(40):
        for row in range(20):
            a, b = ([mpmath.mpf(float(x)) for x in some[row]] for some in (p, q))
            if alpha == 1:
                exact = mpmath.fsum(x * mpmath.log(x / y) for x, y in zip(a, b, strict=True))
            else:
                total = mpmath.fsum(x**alpha * y ** (1 - alpha) for x, y in zip(a, b, strict=True))
                exact = mpmath.log(total) / (alpha - 1)
            assert abs(float(exact) - found[row]) < 1e-15 + 4e-15 * abs(found[row])


@each_dtype
@each_alpha
@pytest.mark.parametrize("shape", [(7,), (40, 9), (3, 5, 300), (2000, 200)], ids=str)
def test_renyi_agrees_with_its_definition(dtype, alpha, shape):
    p, q = rows(shape, dtype=dtype)
    mask = np.random.default_rng(0).random(shape[:-1]) < 0.7
    for options in ({}, {"reduction": "none"}, {"reduction": "sum"}, {"mask": mask}):
        value, grads = fl.renyi_divergence(p, q, alpha=alpha, return_grad=True, **options)
        with fl.backend("reference"):
            expected, expected_grads = fl.renyi_divergence(p, q, alpha=alpha, return_grad=True, **options)
        # A logarithm of a sum near 1; and the definition's powers err by that of the logarithm times alpha.
        loose = 64 * float(np.finfo(dtype).eps) * max(1.0, alpha)
        np.testing.assert_allclose(value, expected, rtol=loose, atol=loose, equal_nan=True)
        for grad, wanted in zip(grads, expected_grads, strict=True):
            np.testing.assert_allclose(grad, wanted, rtol=loose, atol=loose)
            assert grad.dtype == dtype and grad.shape == shape


@each_alpha
def test_gradients_of_rows_by_differences(alpha):
    p, q = rows((4, 5))
    g = np.array([1.0, -2.0, 0.5, 3.0])
    for function in (lambda p, q, **o: fl.renyi_divergence(p, q, alpha=alpha, **o), fl.js_divergence):
        _, grads = function(p, q, reduction="none", return_grad=True, grad_output=g)
        for k, x in enumerate((p, q)):
            found = slopes(lambda x, k=k, f=function: g * f(*(x, q) if k == 0 else (p, x), reduction="none"), x, 1e-7)
            np.testing.assert_allclose(grads[k], found, rtol=2e-6, atol=1e-8)


@each_alpha
def test_classes_that_one_of_the_rows_has_not(alpha):
    value, grads = both(fl.renyi_divergence, [[0.0, 1.0]], [[0.5, 0.5]], alpha=alpha, return_grad=True)
    assert value == pytest.approx(np.log(2), rel=1e-14) and np.isfinite(grads[1]).all()
    value = both(fl.renyi_divergence, [[0.5, 0.5]], [[0.0, 1.0]], alpha=alpha)
    expected = np.inf if alpha >= 1 else np.log(0.5**alpha) / (alpha - 1)
    assert value == pytest.approx(expected, rel=1e-14)
    assert fl.renyi_divergence([[0.0, 1.0]], [[0.0, 1.0]], alpha=alpha) == 0


def test_js_of_disjoint_rows_is_log_2_and_of_equal_ones_0():
    value, grads = both(fl.js_divergence, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]], return_grad=True)
    assert value == pytest.approx(np.log(2), rel=1e-15)
    assert grads[0][0, 1] == -np.inf and grads[0][0, 2] == 0
    p, _ = rows((5, 4))
    assert fl.js_divergence(p, p) == 0
    assert fl.js_divergence(p, p * (1 + 1e-9)) == pytest.approx(5e-19 / 4, rel=0.5)


def test_bits_of_renyi_do_not_depend_on_threads_or_layout():
    p, q = rows((3000, 300), dtype=np.float32)
    with fl.num_threads(1):
        expected = bits(fl.renyi_divergence(p, q, return_grad=True))
    for n in (2, 3, 7):
        with fl.num_threads(n):
            assert bits(fl.renyi_divergence(p, q, return_grad=True)) == expected
    assert (
        bits(fl.renyi_divergence(np.asfortranarray(p), np.repeat(q, 2, axis=1)[:, ::2], return_grad=True)) == expected
    )


@each_dtype
@pytest.mark.parametrize("classes", [1, 3, 16, 100, 256, 511, 513, 1000, 1025, 16384, 40001])
@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_rows_of_any_length(classes, alpha, dtype):
    """Short rows share a tile, long ones are cut into pieces; a mask between them changes no bit of the others."""
    p, q = rows((7, classes), dtype=dtype)
    value, grads = both(fl.renyi_divergence, p, q, alpha=alpha, return_grad=True, dtype=dtype)
    each, general = fl.renyi_divergence(p, q, alpha=alpha, reduction="none", return_grad=True, grad_output=1 / 7)
    assert_close(value, each.astype(np.float64).mean(), dtype)
    for g, other in zip(grads, general, strict=True):
        assert_close(g, other, dtype)
    mask = np.array([True, False, True, True, False, False, True])
    p[4], q[1] = -1.0, np.nan
    kept, kept_grads = fl.renyi_divergence(p, q, alpha=alpha, reduction="none", mask=mask, return_grad=True)
    assert bits(kept[mask]) == bits(each[mask]) and not kept[~mask].any()
    assert all(not g[~mask].any() and np.isfinite(g).all() for g in kept_grads)

# SPDX-License-Identifier: BSD-3-Clause
"""CTC against PyTorch in float64: losses, reductions, gradients, and where its gradient is another one on purpose."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from ctc_cases import DISTRIBUTIONS, Batch, batch_of, call, draw_labels, random_batch

import fastloss as fl

torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")

NAMES = [name for name in DISTRIBUTIONS if name != "long"]  # which takes it seconds
MASKED = ("masked", "closed vocabulary")


def by_torch(batch: Batch, from_logits: bool, dtype: str = "float64", **options):
    """Loss and gradient of its sum, by log_softmax and ctc_loss under autograd where the input holds logits."""
    x = torch.tensor(batch.inputs(dtype, from_logits), requires_grad=True)
    log_probs = torch.log_softmax(x, -1) if from_logits else x
    rest = (torch.tensor(a) for a in (batch.padded(fill=0), batch.input_lengths, batch.target_lengths))
    loss = torch.nn.functional.ctc_loss(log_probs, *rest, blank=batch.blank, **options)
    loss.sum().backward()
    return loss.detach().numpy(), x.grad.numpy()


def within_lengths(batch: Batch) -> np.ndarray:
    """(T, N, 1): which frames count."""
    return (np.arange(len(batch.x))[:, np.newaxis] < batch.input_lengths)[..., np.newaxis]


@pytest.mark.parametrize(
    ("name", "reduction"), [*((name, "none") for name in NAMES), ("tight", "mean"), ("tight", "sum"), ("peaky", "mean")]
)
def test_values_and_gradients_of_logits(name, reduction):
    """But for masked classes, which make PyTorch's gradient of a whole frame nan."""
    batch = batch_of(name)
    loss, grad = by_torch(batch, True, reduction=reduction)
    found, found_grad = call(batch, "float64", True, reduction=reduction, return_grad=True)
    np.testing.assert_allclose(found, loss, rtol=1e-9)
    # PyTorch's own rounding in log space: an ulp of log-probabilities of the size of the loss
    absolute = 1e-9 + 64 * float(np.max(loss)) * np.finfo(float).eps
    assert np.isnan(grad).any() == (name in MASKED) and np.isfinite(found_grad).all()
    if name not in MASKED:
        np.testing.assert_allclose(found_grad, grad, rtol=0, atol=absolute)


@pytest.mark.parametrize("name", NAMES)
def test_values_of_log_probs_and_the_gradient_that_differs(name):
    """PyTorch adds exp(log_probs) to the gradient in log_probs, which is right only below a log_softmax; at -inf its
    gradient is nan and ours 0.
    """
    batch = batch_of(name)
    x = batch.inputs("float64", False)
    loss, grad = by_torch(batch, False, reduction="none")
    found, found_grad = call(batch, "float64", reduction="none", return_grad=True)
    np.testing.assert_allclose(found, loss, rtol=1e-9)
    difference = np.where(within_lengths(batch), np.exp(np.where(within_lengths(batch), x, 0)), 0)
    absolute = 1e-9 + 64 * float(np.max(np.abs(loss))) * np.finfo(float).eps
    hidden = np.isneginf(x) & np.isnan(grad)
    assert hidden.any() == (name in MASKED) and not found_grad[hidden].any()
    np.testing.assert_allclose((found_grad + difference)[~hidden], grad[~hidden], rtol=0, atol=absolute)


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_samples_without_an_alignment(reduction, zero_infinity):
    """Equal values. Without `zero_infinity` PyTorch's gradient of such a sample is nan; ours is 0."""
    rng = np.random.default_rng(8)
    targets = [draw_labels(rng, n, 6, 0, 0.3) for n in (9, 4, 0, 7, 1)]
    batch = Batch(rng.normal(0, 2, (9, 5, 6)), targets, np.array([5, 9, 4, 9, 1]))
    loss, grad = by_torch(batch, True, reduction=reduction, zero_infinity=zero_infinity)
    options = {"reduction": reduction, "zero_infinity": zero_infinity, "return_grad": True}
    found, found_grad = call(batch, "float64", True, **options)
    np.testing.assert_allclose(found, loss, rtol=1e-12)
    np.testing.assert_allclose(found_grad, grad if zero_infinity else np.nan_to_num(grad, nan=0.0), rtol=0, atol=1e-13)


def test_random_batches():
    rng = np.random.default_rng(9)
    for _ in range(4):
        batch = random_batch(rng, 60)
        loss, _ = by_torch(batch, True, reduction="none")
        found = call(batch, "float64", True, reduction="none")
        same = np.isfinite(loss)  # it makes nan of a frame in which all of the target's labels are masked
        np.testing.assert_allclose(found[same], loss[same], rtol=1e-9, atol=1e-12)
        assert (found[np.isposinf(loss)] == np.inf).all()


def test_names_defaults_and_order_are_torchs():
    ours = inspect.signature(fl.ctc_loss).parameters
    theirs = inspect.signature(torch.nn.functional.ctc_loss).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    assert all(ours[name].default == parameter.default for name, parameter in theirs.items())
    theirs = list(inspect.signature(torch.nn.CTCLoss).parameters)
    assert list(inspect.signature(fl.CTCLoss).parameters)[: len(theirs)] == theirs

# SPDX-License-Identifier: BSD-3-Clause
"""`ctc_loss` at the ends of its range: nothing to align, no alignment, masked labels, nan, frames that do not count."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import assert_close, bits
from ctc_cases import Batch, batch_of, call, drawn, infeasible
from ctc_oracle import exact, log_softmax

import fastloss as fl

each_path = pytest.mark.parametrize("forced", [False, True], ids=["usual", "exact"])
each_input = pytest.mark.parametrize("from_logits", [False, True], ids=["log_probs", "logits"])


@each_input
def test_an_empty_target_is_all_blanks(from_logits):
    batch = batch_of("no labels")
    blanks = batch.inputs("float64", False)[:, :, 0]
    wanted = [-blanks[:n, k].sum() for k, n in enumerate(batch.input_lengths)]
    loss, grad = call(batch, "float64", from_logits, reduction="none", return_grad=True)
    np.testing.assert_allclose(loss, wanted, rtol=1e-12)
    if not from_logits:
        for k, n in enumerate(batch.input_lengths):
            np.testing.assert_allclose(grad[:n, k], np.broadcast_to([-1.0] + [0.0] * 10, (n, 11)), atol=1e-12)
    assert call(batch, "float64", from_logits) == pytest.approx(sum(wanted) / 2, rel=1e-12)


@pytest.mark.parametrize("zero_infinity", [False, True])
@each_input
def test_no_frames(zero_infinity, from_logits):
    """0 for an empty target, no alignment for another; whatever the arrays hold."""
    batch = Batch(
        np.full((6, 3, 4), np.nan), [np.array([1, 2]), np.zeros(0, np.int64), np.array([3])], np.zeros(3, int)
    )
    options = {"reduction": "none", "return_grad": True, "zero_infinity": zero_infinity}
    loss, grad = call(batch, "float32", from_logits, **options)
    inf = 0.0 if zero_infinity else math.inf
    assert loss.tolist() == [inf, 0, inf] and not grad.any()
    none = fl.ctc_loss(np.ones((0, 1, 4)), np.zeros((1, 0), int), [0], [0], reduction="none", return_grad=True)
    assert none[0].tolist() == [0] and none[1].shape == (0, 1, 4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_path
@each_input
@pytest.mark.filterwarnings("error")
def test_samples_without_an_alignment(dtype, from_logits, forced):
    """inf, or 0 if asked, with gradient 0 either way; they stay in the mean's denominator."""
    batch = infeasible()
    bad = np.array([True, True, True, False, False])
    options = {"return_grad": True, "exact": forced}
    loss, grad = call(batch, dtype, from_logits, reduction="none", **options)
    assert (loss[bad] == np.inf).all() and np.isfinite(loss[~bad]).all()
    assert not grad[:, bad].any() and grad[:, ~bad].any() and not np.isnan(grad).any()
    zeroed, zeroed_grad = call(batch, dtype, from_logits, reduction="none", zero_infinity=True, **options)
    assert bits(zeroed_grad) == bits(grad) and bits(zeroed) == bits(np.where(bad, 0, loss).astype(dtype))
    for reduction, weight in (("sum", np.ones(5)), ("mean", 1 / (5 * batch.target_lengths))):
        value, whole = call(batch, dtype, from_logits, reduction=reduction, **options)
        assert value == np.inf
        assert_close(whole, grad * weight[:, np.newaxis], dtype)
        value, other = call(batch, dtype, from_logits, reduction=reduction, zero_infinity=True, **options)
        assert_close(value, (zeroed * weight).sum(), dtype)
        assert bits(other) == bits(whole)


@each_path
@each_input
def test_labels_that_are_masked_everywhere_leave_no_alignment(from_logits, forced):
    batch = drawn()
    batch.x[:, 0, batch.targets[0][2]] = -np.inf
    batch.x[4, 1] = [0.0 if c not in (0, *batch.targets[1]) else -np.inf for c in range(9)]
    loss, grad = call(batch, "float64", from_logits, forced, reduction="none", return_grad=True)
    assert np.isinf(loss).tolist() == [True, True, False, False] and not np.isnan(grad).any()
    assert not grad[:, :2].any() and grad[:, 2].any()
    assert call(batch, "float64", from_logits, forced, reduction="none", zero_infinity=True)[:2].tolist() == [0, 0]


@each_path
@each_input
def test_minus_infinity_has_gradient_zero(from_logits, forced):
    batch = batch_of("masked")
    _, grad = call(batch, "float32", from_logits, forced, return_grad=True)
    assert np.isfinite(grad).all() and not grad[np.isneginf(batch.x)].any()


@pytest.mark.parametrize("mask", [-1e6, -1e12, -1e20, -1e30, float(np.finfo(np.float32).min)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_path
@each_input
def test_a_finite_mask_in_the_target(mask, dtype, from_logits, forced):
    """What people write for -inf: the loss is as large as that, and the gradient still made of probabilities. (Which
    ones hangs on less than an ulp of the mask.)
    """
    batch = drawn()
    batch.x[:, 0, batch.targets[0][2]] = mask
    x = batch.prepared(dtype, from_logits)
    wanted, _ = exact(x.x[:, :1], x.targets[:1], x.input_lengths[:1], 0, from_logits)
    loss, grad = call(x, dtype, from_logits, forced, reduction="none", return_grad=True)
    assert loss[0] == pytest.approx(float(wanted[0]), rel=1e-10 if dtype == "float64" else 2e-6)
    occupancy = -grad[:20, 0].astype(np.float64)
    if from_logits:
        occupancy += np.exp(log_softmax(x.x[:20, 0].astype(np.float64)))
    slack = 1e-9 if dtype == "float64" else 2e-6
    assert occupancy.min() >= -slack
    np.testing.assert_allclose(occupancy.sum(axis=-1), 1, rtol=0, atol=9 * slack)


@pytest.mark.parametrize("junk", [np.nan, np.inf, -np.inf, 1e300])
@each_path
@each_input
@pytest.mark.filterwarnings("error")
def test_frames_beyond_a_length_may_hold_anything(junk, from_logits, forced):
    batch = drawn()
    x = batch.inputs("float64", from_logits)
    options = {"reduction": "none", "return_grad": True}
    clean = Batch(x, batch.targets, batch.input_lengths, 0, True)
    loss, grad = call(clean, "float64", from_logits, forced, **options)
    for n, length in enumerate(batch.input_lengths):
        x[length:, n] = junk
        assert not grad[length:, n].any()
    assert bits(call(clean, "float64", from_logits, forced, **options)) == bits((loss, grad))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_path
@each_input
def test_nan_spoils_its_sample_only(dtype, from_logits, forced):
    """At the blank and at a label; `zero_infinity` does not hide it."""
    batch = drawn()
    options = {"reduction": "none", "return_grad": True, "zero_infinity": True, "exact": forced}
    clean, clean_grad = call(batch, dtype, from_logits, **options)
    x = batch.inputs(dtype, from_logits)
    x[8, 0, 0] = np.nan
    x[7, 3, batch.targets[3][0]] = np.nan
    loss, grad = call(Batch(x, batch.targets, batch.input_lengths, 0, True), dtype, from_logits, **options)
    assert np.isnan(loss).tolist() == [True, False, False, True]
    assert bits(loss[1:3]) == bits(clean[1:3]) and bits(grad[:, 1:3]) == bits(clean_grad[:, 1:3])
    assert np.isnan(grad[:, 0]).any() and np.isnan(grad[:, 3]).any()


def test_nan_where_no_label_looks_changes_nothing_of_log_probs():
    batch = drawn()
    x = batch.inputs("float64", False)
    wanted = bits(call(Batch(x, batch.targets, batch.input_lengths, 0, True), return_grad=True))
    for n, labels in enumerate(batch.targets):
        x[:, n, next(c for c in range(1, 9) if c not in labels)] = np.nan
    assert bits(call(Batch(x, batch.targets, batch.input_lengths, 0, True), return_grad=True)) == wanted
    logits = call(Batch(x, batch.targets, batch.input_lengths), from_logits=True, reduction="none")
    assert np.isnan(logits).all()


def test_an_empty_batch():
    """As of every loss: the mean of nothing is nan."""
    operands = np.ones((5, 0, 4)), np.zeros((0, 3), int), np.zeros(0, int), np.zeros(0, int)
    assert math.isnan(fl.ctc_loss(*operands)) and fl.ctc_loss(*operands, reduction="sum") == 0
    loss, grad = fl.ctc_loss(*operands, reduction="none", return_grad=True)
    assert loss.shape == (0,) and grad.shape == (5, 0, 4)
    assert fl.ctc_loss(operands[0], np.zeros(0, int), *operands[2:], reduction="sum") == 0


def test_only_a_blank():
    loss, grad = fl.ctc_loss(np.full((7, 1, 1), -0.5), np.zeros(0, int), [7], [0], reduction="sum", return_grad=True)
    assert loss == pytest.approx(3.5, rel=1e-14) and (grad == -1).all()
    assert fl.ctc_loss(np.full((7, 1, 1), -0.5), np.zeros(0, int), [7], [0], from_logits=True) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("frame", [230, 280])
def test_a_label_that_frames_rule_out(dtype, frame):
    """Far behind the states that are reached by then: those stay in the window that begins among these frames."""
    rng = np.random.default_rng(0)
    frames, labels = 500, 200
    x = rng.normal(size=(frames, 1, labels + 1)).astype(dtype)
    x -= np.log(np.exp(x).sum(axis=2, keepdims=True))
    x[frame : frame + 40, 0, 5] = -np.inf
    x[frame:, 0, :20] -= dtype(3)
    operands = x, np.arange(1, labels + 1)[np.newaxis], [frames], [labels]
    value, grad = fl.ctc_loss(*operands, return_grad=True)
    with fl.backend("reference"):
        expected, expected_grad = fl.ctc_loss(*operands, return_grad=True)
    eps = float(np.finfo(dtype).eps)
    assert value == pytest.approx(expected, rel=64 * eps)
    np.testing.assert_allclose(grad, expected_grad, atol=64 * eps, rtol=64 * eps)

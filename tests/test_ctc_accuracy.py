# SPDX-License-Identifier: BSD-3-Clause
"""How exact CTC is: published figures, a long double oracle on every distribution, the sum over all paths, and the fast
path against the exact one.

The promise: float64 inputs give the loss within 1e-10 relative and the gradient within 1e-9 absolute, float32 inputs
both within 2e-6; on the usual path and on the exact one, which takes over where the usual one cannot.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from ctc_cases import DISTRIBUTIONS, Batch, batch_of, call, draw_labels, expected, random_batches
from ctc_oracle import all_paths, exact

import fastloss as fl
from fastloss.reference.ctc import ctc

DEEP = bool(os.environ.get("FASTLOSS_DEEP"))
TOLERANCES = {"float32": (2e-6, 2e-6), "float64": (1e-10, 1e-9)}  # loss relative, gradient absolute
SMALL = 0.01  # a smaller loss is minus the log of a probability near 1, and held to what is promised of this one

each_path = pytest.mark.parametrize("forced", [False, True], ids=["usual", "exact"])
each_dtype = pytest.mark.parametrize("dtype", TOLERANCES)
each_input = pytest.mark.parametrize("from_logits", [False, True], ids=["log_probs", "logits"])


def assert_within(result: Any, wanted: Any, dtype: str, note: str = "") -> None:
    """Loss and gradient within the promise, infinite where the wanted loss is."""
    (loss, grad), (wanted_loss, wanted_grad) = result, wanted
    relative, absolute = TOLERANCES[dtype]
    assert np.array_equal(np.isfinite(loss), np.isfinite(wanted_loss)), note
    finite = np.isfinite(wanted_loss)
    assert (loss[~finite] == wanted_loss[~finite]).all(), note
    difference = np.abs(loss[finite] - wanted_loss[finite])
    allowed = relative * np.maximum(np.abs(wanted_loss[finite]), SMALL)
    assert (difference <= allowed).all(), f"{note} loss {loss} instead of {wanted_loss}"
    worst = float(np.max(np.abs(grad - wanted_grad), initial=0))  # nan compares false
    assert worst <= absolute, f"{note} gradient off by {worst}"


# ---- published figures -----------------------------------------------------------------------------------------------

# Probabilities and gradients of `testBasic` in TensorFlow's ctc_loss_op_test, by the implementation of Alex Graves; the
# blank is the last of 6 classes.
GRAVES = [
    [
        [0.633766, 0.221185, 0.0917319, 0.0129757, 0.0142857, 0.0260553],
        [0.111121, 0.588392, 0.278779, 0.0055756, 0.00569609, 0.010436],
        [0.0357786, 0.633813, 0.321418, 0.00249248, 0.00272882, 0.0037688],
        [0.0663296, 0.643849, 0.280111, 0.00283995, 0.0035545, 0.00331533],
        [0.458235, 0.396634, 0.123377, 0.00648837, 0.00903441, 0.00623107],
    ],
    [
        [0.30176, 0.28562, 0.0831517, 0.0862751, 0.0816851, 0.161508],
        [0.24082, 0.397533, 0.0557226, 0.0546814, 0.0557528, 0.19549],
        [0.230246, 0.450868, 0.0389607, 0.038309, 0.0391602, 0.202456],
        [0.280884, 0.429522, 0.0326593, 0.0339046, 0.0326856, 0.190345],
        [0.423286, 0.315517, 0.0338439, 0.0393744, 0.0339315, 0.154046],
    ],
]
# At the labels of the only alignment: 0 1 2 1 0, and 0 1 blank 1 0. Elsewhere the gradient is the probability.
GRAVES_AT_LABELS = [
    [-0.366234, -0.411608, -0.678582, -0.356151, -0.541765],
    [-0.69824, -0.602467, -0.797544, -0.570478, -0.576714],
]
WARP = [[0.1, 0.6, 0.1, 0.1, 0.1], [0.1, 0.1, 0.6, 0.1, 0.1]]


@pytest.fixture(params=["native", "reference"])
def each_backend(request):
    with fl.backend(request.param):
        yield


@pytest.mark.usefixtures("each_backend")
class TestPublishedFigures:
    def test_graves(self):
        logits = np.log(np.array(GRAVES).transpose(1, 0, 2))
        options = {"blank": 5, "reduction": "none", "from_logits": True, "return_grad": True}
        loss, grad = fl.ctc_loss(logits, [[0, 1, 2, 1, 0], [0, 1, 1, 0, -1]], [5, 5], [5, 4], **options)
        np.testing.assert_allclose(loss, [3.3421125851, 5.4226217310], rtol=0, atol=5.1e-11)
        wanted = np.array(GRAVES)
        for n, path in enumerate([[0, 1, 2, 1, 0], [0, 1, 5, 1, 0]]):
            wanted[n, range(5), path] = GRAVES_AT_LABELS[n]
        np.testing.assert_allclose(grad.transpose(1, 0, 2), wanted, rtol=0, atol=1.5e-6)

    def test_warp_ctc_small(self):
        logits = np.array(WARP)[:, np.newaxis]
        loss = fl.ctc_loss(logits, [1, 2], [2], [2], reduction="sum", from_logits=True)
        assert loss == pytest.approx(2.4628583915, abs=5.1e-11)

    def test_mxnet(self):
        """`test_ctc_loss` of Gluon: 20 equal frames, the blank last."""
        options = {"blank": 3, "reduction": "none", "from_logits": True}
        loss = fl.ctc_loss(np.ones((20, 2, 4)), [[1, 0, -1, -1], [2, 1, 1, -1]], [20, 20], [2, 3], **options)
        np.testing.assert_allclose(loss, [18.82820702, 16.50581741], rtol=0, atol=2e-5)


# ---- every distribution ----------------------------------------------------------------------------------------------


@each_path
@each_dtype
@each_input
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_against_long_double(name, from_logits, dtype, forced):
    wanted = expected(name, dtype, from_logits)
    batch = batch_of(name)
    found = call(batch, dtype, from_logits, forced, reduction="none", return_grad=True)
    assert found[0].dtype == found[1].dtype == dtype
    assert_within(found, wanted, dtype, name)
    for n, length in enumerate(batch.input_lengths):
        assert not found[1][length:, n].any(), "gradient beyond the sample's length"
    total = call(batch, dtype, from_logits, forced, reduction="sum")
    assert total == pytest.approx(float(wanted[0].sum()), rel=TOLERANCES[dtype][0])


@pytest.mark.parametrize("name", [name for name in DISTRIBUTIONS if name != "long"])
@each_input
def test_reference_against_long_double(name, from_logits):
    batch = batch_of(name)
    found = ctc(batch.inputs("float64", from_logits), batch.targets, batch.input_lengths, batch.blank, from_logits)
    assert_within(found, expected(name, "float64", from_logits), "float64", name)


@each_path
@each_dtype
def test_small_losses_keep_their_digits(dtype, forced):
    """The right label nearly certain in every frame: the loss is about T exp(-gap), not a difference of large sums."""
    frames = 6
    for gap in (2.0, 8.0, 14.0) if dtype == "float32" else (2.0, 14.0, 20.0):
        x = np.zeros((frames, 1, 4))
        x[:, :, 2] = gap
        batch = Batch(x, [np.array([2])], np.array([frames]))
        wanted = exact(batch.inputs(dtype, True), batch.targets, [frames], 0, True)
        loss, grad = call(batch, dtype, True, forced, reduction="none", return_grad=True)
        absolute = frames * 4 * float(np.finfo(dtype).eps)  # of the normalisers, each a log of nearly 1
        np.testing.assert_allclose(loss, wanted[0].astype(float), rtol=TOLERANCES[dtype][0], atol=absolute)
        np.testing.assert_allclose(grad, wanted[1].astype(float), rtol=0, atol=TOLERANCES[dtype][1])


@each_path
@pytest.mark.parametrize("shift", [1e3, -1e3, 1e30, -3e37])
def test_a_constant_per_frame_only_shifts_log_probs(shift, forced):
    """Numbers of any size: the loss moves by the sum of the shifts, and the gradient not at all."""
    batch = batch_of("one frame") if abs(shift) > 1e6 else batch_of("sigma 3")
    x = batch.x + shift
    moved = Batch(x, batch.targets, batch.input_lengths, batch.blank, True)
    wanted = exact(x, batch.targets, batch.input_lengths, 0, False)
    assert_within(call(moved, "float64", exact=forced, reduction="none", return_grad=True), wanted, "float64")
    logits = Batch(x, batch.targets, batch.input_lengths, batch.blank)
    wanted = exact(x, batch.targets, batch.input_lengths, 0, True)
    loss, grad = call(logits, "float64", True, forced, reduction="none", return_grad=True)
    np.testing.assert_allclose(loss, wanted[0].astype(float), rtol=1e-10)
    np.testing.assert_allclose(grad, wanted[1].astype(float), rtol=0, atol=1e-9)


# ---- the sum over all paths ------------------------------------------------------------------------------------------


def tiny_cases(rng: np.random.Generator, samples: int) -> Any:
    """Samples of every tiny shape and blank: frames (N, T, C) and targets of which some have no alignment."""
    for frames in range(1, 7):
        for classes in (2, 3, 4):
            if classes**frames > 1100:
                continue
            for blank in range(classes):
                x = rng.normal(0, 1, (samples, frames, classes)) * rng.choice([0.3, 3, 30], (samples, 1, 1))
                x[rng.random(x.shape) < 0.07] = -np.inf
                x[..., blank] = np.maximum(x[..., blank], -1e3)
                lengths = rng.integers(0, frames + 1, samples)
                yield x, [draw_labels(rng, n, classes, blank, 0.3) for n in lengths], blank


@each_path
@each_input
def test_against_the_sum_over_all_paths(from_logits, forced):
    """At least 10 000 random tiny samples over the four runs; ten times as many with FASTLOSS_DEEP=1."""
    rng = np.random.default_rng(77)
    for x, targets, blank in tiny_cases(rng, 600 if DEEP else 60):
        loss, grad = all_paths(x, targets, blank, from_logits)
        batch = Batch(np.ascontiguousarray(x.transpose(1, 0, 2)), targets, np.full(len(x), x.shape[1]), blank, True)
        found = call(batch, "float64", from_logits, forced, reduction="none", return_grad=True)
        assert_within((found[0], found[1].transpose(1, 0, 2)), (loss, grad), "float64", f"{x.shape} blank {blank}")


def test_the_reference_and_the_oracle_against_the_sum_over_all_paths():
    rng = np.random.default_rng(78)
    for x, targets, blank in tiny_cases(rng, 10):
        for from_logits in (False, True):
            wanted_loss, wanted_grad = all_paths(x, targets, blank, from_logits)
            frames, lengths = np.ascontiguousarray(x.transpose(1, 0, 2)), np.full(len(x), x.shape[1])
            for way in (ctc, exact):
                loss, grad = way(frames, targets, lengths, blank, from_logits)
                assert_within((loss, grad.transpose(1, 0, 2)), (wanted_loss, wanted_grad), "float64", way.__name__)


# ---- the usual path against the exact one ----------------------------------------------------------------------------

FUZZ = int(os.environ.get("FASTLOSS_CTC_FUZZ", "1000000" if DEEP else "20000"))
SEED = int(os.environ.get("FASTLOSS_SEED", "0"))


def test_random_batches_by_both_paths():
    """Short samples of every kind side by side; FASTLOSS_CTC_FUZZ sets how many."""
    for k, batch in enumerate(random_batches(FUZZ, SEED)):
        dtype, from_logits = ("float64", "float64", "float32")[k % 3], k % 2 == 1
        batch = batch.prepared(dtype, from_logits)
        wanted = call(batch, dtype, from_logits, True, reduction="none", return_grad=True)
        found = call(batch, dtype, from_logits, reduction="none", return_grad=True)
        assert_within(found, wanted, dtype, f"batch {k} of seed {SEED}:")
        if k % 8 == 0:
            few = slice(k % 7, None, 20)
            right = exact(batch.x[:, few], batch.targets[few], batch.input_lengths[few], batch.blank, from_logits)
            assert_within((wanted[0][few], wanted[1][:, few]), right, dtype, f"batch {k} of seed {SEED}, exact path:")

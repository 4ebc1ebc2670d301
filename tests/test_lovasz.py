# SPDX-License-Identifier: BSD-3-Clause
"""Lovasz losses against the published code, restated in torch, and against their definition over all sets."""

from __future__ import annotations

import itertools
import math
import sys

import numpy as np
import overlap_formulas
import pytest
from cases import assert_close, bits

import fastloss as fl

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SHAPES = [(2, 3, 5), (1, 21, 40, 33), (3, 40, 10), (2, 2, 5000), (4, 3)]


def assert_steps_close(grad, expected, dtype):
    """The published steps are differences of Jaccard losses near 1. In float32 a few errors are equal, or change
    places, that are not so in float64."""
    eps = 64 * np.finfo(dtype).eps
    off = ~np.isclose(grad, expected, rtol=eps, atol=eps * np.abs(expected).max() + 4e-16)
    assert np.mean(off) <= (1e-3 if dtype == np.float32 else 0)


def logits(rng, shape, dtype):
    return rng.normal(0, 2, shape).astype(dtype), rng.integers(0, shape[1], shape[:1] + shape[2:])


@each_dtype
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("classes", ["present", "all"])
def test_softmax_is_the_published_code(dtype, shape, classes, rng):
    torch = pytest.importorskip("torch")
    x, t = logits(rng, shape, dtype)
    t[rng.random(t.shape) < 0.1] = -100
    z = torch.tensor(x.astype(np.float64), requires_grad=True)
    flat = z.softmax(1).movedim(1, -1).reshape(-1, shape[1])
    expected = overlap_formulas.lovasz_softmax(flat, torch.tensor(t).reshape(-1), classes)
    expected.backward()
    value, grad = fl.lovasz_softmax_loss(x, t, classes=classes, return_grad=True)
    assert value == fl.lovasz_softmax_loss(x, t, classes=classes) and grad.dtype == dtype
    assert_close(value, expected.detach().numpy(), dtype)
    assert_steps_close(grad, z.grad.numpy(), dtype)
    p = z.softmax(1).detach().numpy()
    assert_close(fl.lovasz_softmax_loss(p, t, classes=classes, from_logits=False), value, dtype)


@each_dtype
@pytest.mark.parametrize("shape", [(5,), (2, 3, 5), (1, 4097), (3, 70, 70)])
def test_hinge_is_the_published_code(dtype, shape, rng):
    torch = pytest.importorskip("torch")
    x, t = rng.normal(0, 2, shape).astype(dtype), rng.random(shape) < 0.3
    for per_image in (False, True):
        z = torch.tensor(x.astype(np.float64), requires_grad=True)
        truth = torch.tensor(t).to(torch.float64)
        if per_image:
            losses = [
                overlap_formulas.lovasz_hinge(a.reshape(-1), b.reshape(-1)) for a, b in zip(z, truth, strict=True)
            ]
            expected = torch.stack(losses).mean()
        else:
            expected = overlap_formulas.lovasz_hinge(z.reshape(-1), truth.reshape(-1))
        expected.backward()
        value, grad = fl.lovasz_hinge_loss(x, t, per_image=per_image, return_grad=True)
        assert_close(value, expected.detach().numpy(), dtype)
        assert_steps_close(grad, z.grad.numpy(), dtype)


def jaccard_of(wrong, truth):
    """The Jaccard loss if just this set of positions is wrong."""
    true = set(np.flatnonzero(truth))
    union = true | wrong
    return len(wrong) / len(union) if union else 0.0


def test_the_extension_by_its_definition(rng):
    """The integral over thresholds of the set function: sum of (e_(k) - e_(k+1)) J({the k largest}), in exact fractions
    of mpmath; and convex, equal to the set function on corners."""
    mpmath = pytest.importorskip("mpmath")
    for n in (1, 2, 3, 5, 8):
        for _ in range(20):
            truth = rng.random(n) < 0.5
            p = rng.random(n)
            e = [abs(mpmath.mpf(float(t)) - mpmath.mpf(a)) for t, a in zip(truth, p, strict=True)]
            order = sorted(range(n), key=lambda k: -e[k])
            ends = [e[k] for k in order] + [mpmath.mpf(0)]
            expected = sum((ends[k] - ends[k + 1]) * jaccard_of(set(order[: k + 1]), truth) for k in range(n))
            both = np.stack([1 - p, p])
            value = fl.lovasz_softmax_loss(both, truth.astype(int), class_axis=0, from_logits=False, classes="all",
                                           reduction="none")[1]  # fmt: skip
            assert abs(float(expected) - value) < 1e-14
    for truth in itertools.product([0, 1], repeat=4):
        for wrong in itertools.product([0, 1], repeat=4):
            p = np.abs(np.array(truth) - np.array(wrong)).astype(float)
            both = np.stack([1 - p, p])
            value = fl.lovasz_softmax_loss(both, np.array(truth), class_axis=0, from_logits=False, classes="all",
                                           reduction="none")[1]  # fmt: skip
            assert abs(value - jaccard_of(set(np.flatnonzero(wrong)), np.array(truth))) < 1e-15


def test_gradients_by_differences(rng):
    """Near kinks too: hinges of at most 1e-3, about 1e-4 apart, with smaller steps."""
    x, t = rng.normal(size=(2, 30)), rng.random((2, 30)) < 0.5
    x[0, :10] = np.where(t[0, :10], 1, -1) * (1 + rng.uniform(-1e-3, 1e-3, 10))
    scores, labels = rng.normal(size=(2, 3, 9)), rng.integers(0, 3, (2, 9))
    for loss, a, truth in ((fl.lovasz_hinge_loss, x, t), (fl.lovasz_softmax_loss, scores, labels)):
        _, grad = loss(a, truth, per_image=True, return_grad=True)
        for place in np.ndindex(a.shape):
            up, down = a.copy(), a.copy()
            up[place] += 1e-7
            down[place] -= 1e-7
            slope = (loss(up, truth, per_image=True) - loss(down, truth, per_image=True)) / 2e-7
            assert abs(slope - grad[place]) < 1e-6


def test_equal_errors(rng):
    """Their order does not change the value; the gradient is one of the subgradients, the same for both backends."""
    x = rng.integers(-2, 3, (4, 50)).astype(float)
    t = rng.random((4, 50)) < 0.4
    value, grad = fl.lovasz_hinge_loss(x, t, return_grad=True)
    order = rng.permutation(50)
    assert abs(fl.lovasz_hinge_loss(x[:, order], t[:, order]) - value) < 1e-14
    with fl.backend("reference"):
        expected, expected_grad = fl.lovasz_hinge_loss(x, t, return_grad=True)
    assert_close(value, expected, np.float64)
    assert_steps_close(grad, expected_grad, np.float64)
    assert not grad[(1 - x * (2 * t - 1)) <= 0].any()


def test_multilabel_hinge_is_one_per_class(rng):
    x, t = rng.normal(size=(2, 3, 40)), rng.random((2, 3, 40)) < 0.5
    value, grad = fl.lovasz_hinge_loss(x, t, mode="multilabel", reduction="none", return_grad=True)
    for c in range(3):
        one, one_grad = fl.lovasz_hinge_loss(x[:, c], t[:, c], return_grad=True)
        assert_close(value[c], one, np.float64)
        assert_close(grad[:, c], one_grad, np.float64)


def test_nothing_true_and_nothing_at_all(rng):
    x = rng.normal(size=(2, 40))
    value = fl.lovasz_hinge_loss(x, np.zeros((2, 40), bool))
    assert abs(value - max(0, (1 + x).max())) < 1e-15
    value, grad = fl.lovasz_hinge_loss(x, np.full((2, 40), 255), ignore_index=255, return_grad=True)
    assert math.isnan(value) and not grad.any()
    labels = np.full((2, 40), -100)
    scores = rng.normal(size=(2, 3, 40))
    value, grad = fl.lovasz_softmax_loss(scores, labels, return_grad=True)
    assert math.isnan(value) and not grad.any()
    labels[0, :7] = 1  # the second image has nothing that counts
    per_image = fl.lovasz_softmax_loss(scores, labels, per_image=True)
    assert_close(per_image, fl.lovasz_softmax_loss(scores[:1], labels[:1]), np.float64)


def test_nan_is_not_sorted_away(rng):
    x, t = rng.normal(size=(3, 40)), rng.random((3, 40)) < 0.5
    x[1, 3] = np.nan
    value, grad = fl.lovasz_hinge_loss(x, t, per_image=True, reduction="none", return_grad=True)
    assert np.isnan(value).tolist() == [False, True, False]
    assert np.isnan(grad[1]).any() and np.isfinite(grad[[0, 2]]).all()


@each_dtype
def test_bits_do_not_depend_on_threads_or_layout(dtype, rng):
    x, t = logits(rng, (3, 5, 70, 41), dtype)
    m = rng.random(x.shape) < 0.3
    for per_image in (False, True):
        options = {"per_image": per_image, "return_grad": True}
        expected = bits((fl.lovasz_softmax_loss(x, t, **options), fl.lovasz_hinge_loss(x, m, **options)))
        for threads in (1, 2, 3, 7, 16):
            with fl.num_threads(threads):
                found = (fl.lovasz_softmax_loss(x, t, **options), fl.lovasz_hinge_loss(x, m, **options))
                assert bits(found) == expected
        for y in (np.asfortranarray(x), np.repeat(x, 2, axis=2)[:, :, ::2]):
            found = (fl.lovasz_softmax_loss(y, t.T.copy().T, **options), fl.lovasz_hinge_loss(y, m, **options))
            assert bits(found) == expected


@pytest.mark.parametrize("name", ["lovasz_softmax 2x4x32x32", "lovasz_hinge 8x1x256x256"])
def test_the_published_code_in_float64_has_the_gradient_of_float32_inputs(name):
    """What the benchmark's peer in float32 is away from it, it owes to its own rounding."""
    torch = pytest.importorskip("torch")
    from fastloss.bench import cells, peers_vision

    (cell,) = cells.select([name])
    operands = cell.operands()
    _, grad = peers_vision.fastloss_calls(fl, cell, operands)["gradient"]()
    doubled = {**operands, "input": operands["input"].astype(np.float64)}
    _, (expected,) = peers_vision.torch_calls(torch, cell, doubled)["gradient"]()
    assert np.mean(np.abs(grad - expected.numpy())) < 1e-6 * np.mean(np.abs(grad))


MEMORY = """
import resource
import numpy as np
import fastloss as fl

def data():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmData:")) * 1024

rng = np.random.default_rng(0)
x = rng.standard_normal((4, 21, 512, 512), np.float32)
t = rng.integers(0, 21, (4, 512, 512))
grad = np.empty_like(x)
m = np.zeros((4, 21, 512, 512), bool)
fl.dice_loss(x[:1, :, :99], t[:1, :99], return_grad=True)  # start the threads
fl.lovasz_softmax_loss(x[:1, :, :99], t[:1, :99], return_grad=True)
soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
resource.setrlimit(resource.RLIMIT_DATA, (data() + 32 * 2**20, hard))
for loss in (fl.dice_loss, fl.jaccard_loss, fl.tversky_loss, fl.focal_tversky_loss, fl.generalized_dice_loss):
    for per_image in (False, True):
        loss(x, t, per_image=per_image, return_grad=True, grad_out=grad)
        loss(x, m, mode="multilabel", per_image=per_image, return_grad=True, grad_out=grad)
        loss(x, m, mode="binary", per_image=per_image, return_grad=True, grad_out=grad)
fl.lovasz_softmax_loss(x, t, per_image=True, return_grad=True, grad_out=grad)
fl.lovasz_softmax_loss(x, t, return_grad=True, grad_out=grad)
fl.giou_loss(x.reshape(-1, 4), x.reshape(-1, 4), return_grad=True, grad_out=grad.reshape(-1, 4))
try:
    x + 1
except MemoryError:
    print("a copy is refused")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits private memory only, as Linux does")
def test_memory_beyond_inputs_and_gradients(run_python):
    """32 MB to spare beside 1 M positions of 21 classes: no one-hot masks (88 MB), no probabilities."""
    result = run_python(MEMORY, OPENBLAS_NUM_THREADS="1")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "a copy is refused\n"


@pytest.mark.parametrize("size", [7, 300])
def test_ignored_truths_of_hinges_are_left_out(rng, size):
    """As if the mask had left them out: value and gradient."""
    x, truth = rng.normal(size=(2, size)).astype(np.float32), rng.integers(0, 2, (2, size))
    ignored = rng.random((2, size)) < 0.3
    target = np.where(ignored, 255, truth)
    value, grad = fl.lovasz_hinge_loss(x, target, ignore_index=255, return_grad=True)
    expected, expected_grad = fl.lovasz_hinge_loss(x, truth, mask=~ignored, return_grad=True)
    assert value == expected
    np.testing.assert_array_equal(grad, expected_grad)
    assert (grad[ignored] == 0).all()

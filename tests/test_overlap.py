# SPDX-License-Identifier: BSD-3-Clause
"""Losses of overlapping masks against their composition in torch in float64, against differences, and as a whole."""

from __future__ import annotations

import itertools
import math

import numpy as np
import overlap_formulas
import pytest
from cases import assert_close, bits

import fastloss as fl

OPTIONS = {
    "dice": [{}, {"smooth": 1.0}],
    "jaccard": [{}, {"smooth": 0.5}],
    "tversky": [{"alpha": 0.3, "beta": 0.7}, {"alpha": 0.9, "beta": 0.2, "smooth": 1e-3}],
    "focal_tversky": [{"alpha": 0.3, "beta": 0.7}, {"alpha": 0.5, "beta": 0.5, "gamma": 2.0, "smooth": 1.0}],
    "generalized_dice": [{}, {"weighting": "simple", "smooth": 1e-3}, {"weighting": "uniform"}],
}
NAMES = list(OPTIONS)
MODES = ("multiclass", "multilabel", "binary")
each_name = pytest.mark.parametrize("name", NAMES)
each_mode = pytest.mark.parametrize("mode", MODES)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def loss_of(name):
    return getattr(fl, f"{name}_loss")


def drawn(rng, shape, mode, axis=1, dtype=np.float64, from_logits=True, hard=True):
    """Scores or probabilities, and truths."""
    x = rng.normal(0, 2, shape)
    if not from_logits:
        x = 1 / (1 + np.exp(-x))
        x = x / x.sum(axis=axis, keepdims=True) if mode == "multiclass" else x
    if mode == "multiclass":
        where = shape[:axis] + shape[axis + 1 :] if axis >= 0 else shape[:-1]
        return x.astype(dtype), rng.integers(0, shape[axis], where)
    t = rng.random(shape)
    return x.astype(dtype), t < 0.3 if hard else t


def by_torch(name, x, t, mode, axis, per_image, from_logits=True, reduction="none", **options):
    """Values, and the gradient of their sum."""
    import torch

    z = torch.tensor(np.asarray(x, np.float64), requires_grad=True)
    axis = None if mode == "binary" else axis % z.ndim
    p = overlap_formulas.probabilities(z, mode, axis, from_logits)
    truth = torch.tensor(t)
    truth = overlap_formulas.masks_of(truth, x.shape[axis], axis) if mode == "multiclass" else truth
    found = [a.movedim(0, 0) for a in overlap_formulas.sums(p, truth.to(torch.float64), axis, per_image)]
    if mode == "binary" and name == "generalized_dice":
        found = [a[..., None] for a in found]
    value = overlap_formulas.formula(name, *found, **options)
    value.sum().backward()
    return value.detach().numpy(), z.grad.numpy()


SHAPES = [(2, 3, 5), (3, 21, 8, 9), (2, 40, 7, 5), (1, 2, 4097), (5, 70, 33), (4, 3)]


@each_name
@each_mode
@each_dtype
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_the_composition(name, mode, dtype, shape, rng):
    pytest.importorskip("torch")
    for options, per_image, from_logits in itertools.product(OPTIONS[name], (False, True), (True, False)):
        x, t = drawn(rng, shape, mode, dtype=dtype, from_logits=from_logits, hard=shape[0] != 2)
        expected, expected_grad = by_torch(name, x, t, mode, 1, per_image, from_logits, **options)
        call = {"mode": mode, "per_image": per_image, "from_logits": from_logits, **options}
        value, grad = loss_of(name)(x, t, reduction="none", return_grad=True, **call)
        soft = mode != "multiclass" and np.asarray(t).dtype.kind == "f"
        work = np.float64 if soft else dtype
        assert value.dtype == grad.dtype == work and value.shape == expected.shape and grad.shape == x.shape
        assert_close(value, expected, dtype)
        # A float32 softmax is off by a few ulp of the probability, its derivative by as many of the slopes.
        np.testing.assert_allclose(
            grad,
            expected_grad,
            rtol=64 * np.finfo(dtype).eps,
            atol=64 * np.finfo(dtype).eps * np.abs(expected_grad).max(),
        )
        mean, mean_grad = loss_of(name)(x, t, return_grad=True, **call)
        assert mean == loss_of(name)(x, t, **call) and type(mean) is np.float64
        assert_close(mean, expected.mean(), dtype)
        # Slopes cancel within the softmax: rounding is relative to them, not to the gradient.
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(
            mean_grad, grad / expected.size, rtol=64 * eps, atol=64 * eps * np.abs(mean_grad).max()
        )


@each_name
@each_mode
@pytest.mark.parametrize("axis", [0, 2, -1])
def test_class_axes(name, mode, axis, rng):
    """Any axis gives what a transposed copy gives."""
    if mode == "binary":
        return
    x, t = drawn(rng, (3, 4, 5, 6), mode, axis)
    for per_image in (False, True):
        value, grad = loss_of(name)(x, t, mode=mode, class_axis=axis, per_image=per_image, reduction="none",
                                    return_grad=True)  # fmt: skip
        moved = np.moveaxis(x, axis, 1)
        other = t if mode == "multiclass" else np.moveaxis(t, axis, 1)
        if axis == 0:  # one image
            moved = x[np.newaxis]
            other = t[np.newaxis]
        expected, expected_grad = loss_of(name)(moved, other, mode=mode, per_image=per_image, reduction="none",
                                                return_grad=True)  # fmt: skip
        back = expected_grad[0] if axis == 0 else np.moveaxis(expected_grad, 1, axis)
        assert_close(value, expected[0] if axis == 0 and per_image else expected, np.float64)
        assert_close(grad, back, np.float64)


@each_name
@each_mode
def test_gradients_by_differences(name, mode, rng):
    x, t = drawn(rng, (2, 3, 4), mode)
    for options in OPTIONS[name]:
        call = {"mode": mode, "per_image": True, **options}
        _, grad = loss_of(name)(x, t, return_grad=True, **call)
        for place in np.ndindex(x.shape):
            up, down = x.copy(), x.copy()
            up[place] += 1e-5
            down[place] -= 1e-5
            slope = (loss_of(name)(up, t, **call) - loss_of(name)(down, t, **call)) / 2e-5
            assert abs(slope - grad[place]) < 1e-9


@each_name
@each_mode
@each_dtype
def test_masks_and_ignored_truths_are_left_out(name, mode, dtype, rng):
    """As if the positions were not there, whatever stands at them."""
    x, t = drawn(rng, (1, 4, 300), mode, dtype=dtype)
    keep = rng.random(300) < 0.6
    t = t if mode == "multiclass" else t.astype(np.int16)
    expected, small = loss_of(name)(x[..., keep], t[..., keep], mode=mode, return_grad=True)
    wrong, other = x.copy(), t.copy()
    wrong[..., ~keep] = np.nan
    other[..., ~keep] = -100
    for truths, options in ((other, {}), (np.where(other == -100, 250, other), {"mask": keep}),
                            (np.where(other == -100, 255, other).astype(np.uint8), {"ignore_index": 255})):  # fmt: skip
        value, grad = loss_of(name)(wrong, truths, mode=mode, return_grad=True, **options)
        np.testing.assert_allclose(value, expected, rtol=1e-6 if dtype == np.float32 else 1e-13)
        assert not grad[..., ~keep].any()
        assert_close(grad[..., keep], small, dtype)
        with fl.backend("reference"):
            assert_close(loss_of(name)(wrong, truths, mode=mode, **options), value, dtype)


@each_name
def test_empty_masks(name):
    """Nothing true and nothing predicted: 0. Something predicted: 1, or what smooth makes of it."""
    x, t = np.zeros((2, 3, 5)), np.zeros((2, 3, 5), bool)
    options = {"mode": "multilabel", "from_logits": False, "reduction": "none", "return_grad": True}
    value, grad = loss_of(name)(x, t, **options)
    assert not value.any() and not grad.any()
    value, grad = loss_of(name)(x + 0.1, t, **options)
    assert np.allclose(value, 1) and np.isfinite(grad).all()
    value, _ = loss_of(name)(x, ~t, **options)
    assert np.allclose(value, 1)
    value, grad = loss_of(name)(x + 1, ~t, **options)
    assert np.allclose(value, 0) and np.isfinite(grad).all()
    nothing, grad = loss_of(name)(x, t, mode="multilabel", mask=np.zeros((2, 5), bool), return_grad=True)
    assert math.isnan(nothing) and not grad.any()
    for shape in ((0, 3, 5), (2, 3, 0)):
        for per_image in (False, True):
            value, grad = loss_of(name)(np.zeros(shape), np.zeros(shape, bool), mode="multilabel", return_grad=True,
                                        per_image=per_image)  # fmt: skip
            assert math.isnan(value) and grad.shape == shape


def test_present_classes(rng):
    x, t = drawn(rng, (3, 5, 40), "multiclass")
    t[t == 2] = 3
    t[0] = 1
    for name in NAMES[:-1]:
        for per_image in (False, True):
            options = {"per_image": per_image, "classes": "present"}
            every = loss_of(name)(x, t, per_image=per_image, reduction="none")
            rows = t if per_image else t.reshape(1, -1)
            present = np.array([[(row == c).any() for c in range(5)] for row in rows]).reshape(every.shape)
            value, grad = loss_of(name)(x, t, reduction="none", return_grad=True, **options)
            assert_close(value, np.where(present, every, 0), np.float64)
            assert_close(loss_of(name)(x, t, **options), every[present].mean(), np.float64)
            _, expected = loss_of(name)(x, t, per_image=per_image, reduction="none", return_grad=True,
                                        grad_output=present.astype(float))  # fmt: skip
            assert_close(grad, expected, np.float64)


@each_mode
def test_an_image_alone_is_the_image_in_company(mode, rng):
    for dtype in (np.float32, np.float64):
        x, t = drawn(rng, (5, 3, 1000), mode, dtype=dtype)
        value, grad = fl.dice_loss(x, t, mode=mode, per_image=True, reduction="none", return_grad=True)
        one = fl.dice_loss(x[2:3], t[2:3], mode=mode, per_image=True, reduction="none", return_grad=True)
        assert bits(one) == bits((value[2:3], grad[2:3]))


@each_name
@each_mode
def test_bits_do_not_depend_on_threads_or_layout(name, mode, rng):
    for dtype in (np.float32, np.float64, np.float16):
        x, t = drawn(rng, (3, 5, 70, 101), mode, dtype=dtype)
        for per_image in (False, True):
            call = {"mode": mode, "per_image": per_image, "return_grad": True}
            expected = bits(loss_of(name)(x, t, **call))
            for threads in (1, 2, 3, 7, 16):
                with fl.num_threads(threads):
                    assert bits(loss_of(name)(x, t, **call)) == expected
            for other in (np.asfortranarray(x), x[::-1, ::-1][::-1, ::-1], x.astype(x.dtype.newbyteorder()),
                          np.repeat(x, 2, axis=-1)[..., ::2]):  # fmt: skip
                assert bits(loss_of(name)(other, np.asfortranarray(t), **call)) == expected


@each_name
@each_mode
@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 64), (3, 2, 1023), (1, 1, 9000), (2, 3)])
def test_the_straight_path_has_the_bits_of_the_long_one(name, mode, shape, rng):
    """A mask that leaves nothing out, and a plain grad_output, take the long one."""
    for dtype, kind in itertools.product((np.float32, np.float64), (bool, np.uint8, np.int64, None)):
        x, t = drawn(rng, shape, mode, dtype=dtype)
        if mode != "multiclass":
            t = t.astype(dtype if kind is None else kind)
        for per_image, from_logits, reduction in itertools.product((False, True), (False, True), ("mean", "sum")):
            p = x if from_logits else (1 / (1 + np.exp(-x))).astype(dtype)
            options = {"mode": mode, "per_image": per_image, "from_logits": from_logits, "reduction": reduction}
            found = loss_of(name)(p, t, return_grad=True, **options)
            assert bits(loss_of(name)(p, t, return_grad=True, mask=True, **options)) == bits(found)
            assert bits(loss_of(name)(p, t, return_grad=True, grad_output=np.ones(()), **options)) == bits(found)
            assert bits(loss_of(name)(p, t, **options)) == bits(found[0])


def test_grad_output_and_outputs(rng):
    x, t = drawn(rng, (4, 3, 50), "multiclass")
    given = rng.normal(size=(4, 3))
    _, grad = fl.dice_loss(x, t, per_image=True, reduction="none", return_grad=True, grad_output=given)
    step = 1e-6
    for place in ((0, 0, 0), (2, 1, 7), (3, 2, 49)):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        ends = [(fl.dice_loss(z, t, per_image=True, reduction="none") * given).sum() for z in (up, down)]
        assert abs((ends[0] - ends[1]) / (2 * step) - grad[place]) < 1e-8
    out, grad_out = np.empty((4, 3)), np.empty(x.shape)
    found = fl.dice_loss(x, t, per_image=True, reduction="none", return_grad=True, out=out, grad_out=grad_out)
    assert found[0] is out and found[1] is grad_out
    _, doubled = fl.dice_loss(x, t, return_grad=True, grad_output=2.0)
    assert_close(doubled, 2 * fl.dice_loss(x, t, return_grad=True)[1], np.float64)


def test_relations():
    """Jaccard and Dice of hard masks; Tversky's special cases; Dice of many classes as scikit-learn's scores."""
    rng = np.random.default_rng(3)
    p, t = rng.random((2, 500)) < 0.4
    options = {"mode": "binary", "from_logits": False}
    dice, jaccard = 1 - fl.dice_loss(p, t, **options), 1 - fl.jaccard_loss(p, t, **options)
    assert abs(jaccard - dice / (2 - dice)) < 1e-15
    assert abs(jaccard - (p & t).sum() / (p | t).sum()) < 1e-15
    x = rng.normal(size=500)
    assert abs(fl.tversky_loss(x, t, mode="binary") - fl.dice_loss(x, t, mode="binary")) < 1e-15
    ones = {"alpha": 1.0, "beta": 1.0}
    assert abs(fl.tversky_loss(x, t, mode="binary", **ones) - fl.jaccard_loss(x, t, mode="binary")) < 1e-15
    assert abs(fl.focal_tversky_loss(x, t, mode="binary", gamma=1.0, **ones)
               - fl.jaccard_loss(x, t, mode="binary")) < 1e-15  # fmt: skip
    metrics = pytest.importorskip("sklearn.metrics")
    found, true = rng.integers(0, 5, (2, 400))
    hot = np.eye(5)[found].T
    ours = 1 - fl.jaccard_loss(hot, true, class_axis=0, from_logits=False, reduction="none")
    np.testing.assert_allclose(ours, metrics.jaccard_score(true, found, average=None), rtol=1e-15)
    ours = 1 - fl.dice_loss(hot, true, class_axis=0, from_logits=False, reduction="none")
    np.testing.assert_allclose(ours, metrics.f1_score(true, found, average=None), rtol=1e-15)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_bad_truths_are_named(backend):
    x = np.zeros((2, 3, 4, 5), np.float32)
    labels = np.zeros((2, 4, 5), np.int64)
    labels[1, 2, 3] = 3
    masks = np.zeros(x.shape)
    masks[1, 2, 3, 4] = 1.5
    grad = np.full(x.shape, 7, np.float32)
    with fl.backend(backend):
        for loss in (fl.dice_loss, fl.lovasz_softmax_loss):
            with pytest.raises(ValueError, match=r"target\[1, 2, 3\] = 3 is out of range for 3 classes"):
                loss(x, labels, return_grad=True, grad_out=grad)
            with pytest.raises(ValueError, match=r"input\[0, 1, 0, 2\] = 1.5 is not a probability"):
                y = x.copy()
                y[0, 1, 0, 2] = 1.5
                loss(y, labels * 0, from_logits=False, return_grad=True, grad_out=grad)
        with pytest.raises(ValueError, match=r"target\[1, 2, 3, 4\] = 1.5 is outside \[0, 1\]"):
            fl.dice_loss(x.astype(float), masks, mode="multilabel")
        with pytest.raises(ValueError, match=r"target\[1, 2, 3, 4\] = 1.5 is outside \[0, 1\]"):
            fl.jaccard_loss(x.astype(float), masks, mode="binary")
        with pytest.raises(ValueError, match=r"target\[1, 2, 3, 4\] = 0.5 is neither 0 nor 1"):
            fl.lovasz_hinge_loss(x.astype(float), masks / 3)
    assert (grad == 7).all()


@pytest.mark.parametrize(
    ("operands", "options", "words"),
    [
        ((np.zeros((2, 3, 4)), np.zeros((2, 5), int)), {}, r"target has shape \(2, 5\), expected \(2, 4\)"),
        ((np.zeros((2, 3, 4)), np.zeros((2, 4), int)), {"mode": "binary"}, r"expected that of input.*multiclass"),
        ((np.zeros((2, 3)), np.zeros(2, int)), {"mode": "auto"}, "mode must be 'multiclass', 'multilabel' or 'binary'"),
        ((np.zeros((2, 3)), np.zeros(2, int)), {"classes": None}, "classes must be 'all' or 'present', got None"),
        ((np.zeros((2, 3)), np.zeros(2, int)), {"smooth": -1.0}, "smooth must be at least 0"),
        ((np.zeros((2, 3)), np.zeros(2, int)), {"class_axis": 2}, "class_axis = 2 is out of range"),
        ((np.zeros((2, 3)), np.zeros(2, int)), {"mask": np.ones(3, bool)}, r"mask has shape \(3,\)"),
        ((np.zeros((2, 3)), np.zeros(2, int)), {"out": np.empty(3)}, "out takes the unreduced loss"),
        ((np.zeros((2, 3)), np.zeros(2, int)), {"reduction": "batchmean"}, "reduction must be"),
    ],
)
def test_refusals(operands, options, words):
    for backend in ("native", "reference"):
        with fl.backend(backend), pytest.raises(ValueError, match=words):
            fl.dice_loss(*operands, **options)


def test_refusals_of_types():
    for options in ({"per_image": 1}, {"from_logits": "no"}, {"return_grad": None}, {"ignore_index": 0.5}):
        with pytest.raises(TypeError, match=next(iter(options))):
            fl.dice_loss(np.zeros((2, 3)), np.zeros(2, int), **options)
    with pytest.raises(TypeError, match="expected integer class indices"):
        fl.dice_loss(np.zeros((2, 3)), np.zeros(2))


@pytest.mark.parametrize(
    "name", ["DiceLoss", "JaccardLoss", "TverskyLoss", "FocalTverskyLoss", "GeneralizedDiceLoss", "LovaszSoftmaxLoss"]
)
def test_classes_hold_options(name, rng):
    x, t = drawn(rng, (2, 3, 7), "multiclass")
    criterion = getattr(fl, name)("sum", per_image=True)
    function = type(criterion)._function
    expected = function(x, t, reduction="sum", per_image=True, return_grad=True)
    assert bits(criterion.value_and_grad(x, t)) == bits(expected) and "per_image=True" in repr(criterion)


def test_parts_do_not_add_up(rng):
    x, t = drawn(rng, (4, 3, 7), "multiclass")
    total = fl.Accumulator(fl.dice_loss)
    total.update(x, t)
    assert total.compute() == fl.dice_loss(x, t)
    with pytest.raises(ValueError, match="whole batch"):
        total.update(x, t)
    images = fl.Accumulator(fl.dice_loss, per_sample=True, per_image=True)
    images.update(x, t, mask=np.arange(7) < 5)
    expected = fl.dice_loss(x, t, per_image=True, mask=np.arange(7) < 5, reduction="none")
    assert_close(images.losses(), expected.mean(axis=1), np.float64)

# SPDX-License-Identifier: BSD-3-Clause
"""Soft targets, smoothing, z-loss, probabilities, nll and focal loss: kernels against the reference, torch and ONNX."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from cases import REDUCTIONS, SOFTMAX, against_reference, assert_close, bits

import fastloss as fl

BEYOND = [c for c in SOFTMAX if c.kernel != "cross_entropy"]
each_case = pytest.mark.parametrize("case", BEYOND, ids=lambda c: c.name)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
inf = np.inf


def moved(case, operands, axis):
    """The same operands with the class axis, 1, elsewhere."""
    names = ("input", "target") if case.lists else ("input",)
    return {**operands, **{name: np.ascontiguousarray(np.moveaxis(operands[name], 1, axis)) for name in names}}


# ---- kernels against the reference -----------------------------------------------------------------------------------


@each_case
@each_dtype
def test_every_path(case, dtype):
    """Columns, kept rows of one tile and of several, rows of several tiles that are not kept, inner axes."""
    shapes = [(5,), (70,), (17, 1), (37, 2), (300, 10), (33, 64), (17, 65), (9, 100), (2, 1025), (1, 3000), (1, 6500)]
    for shape in [*shapes, (3, 2, 17), (2, 33, 5, 3), (1, 70, 300)]:
        for reduction in ("none", "mean"):
            against_reference(case, case.operands(shape, dtype), dtype, str(shape), reduction=reduction)


@each_case
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types(case, dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    for shape in [(7,), (9, 7), (4, 70), (4, 7, 5)]:
        for reduction in REDUCTIONS:
            against_reference(case, case.operands(shape, dtype), dtype, str(shape), reduction=reduction)


@each_case
def test_class_axis(case):
    operands = case.operands((6, 10, 4, 5))
    value, (grad,) = case.gradients(operands)
    for axis in (0, 2, 3, -1, -4):
        got, (got_grad,) = case.gradients(moved(case, operands, axis), class_axis=axis)
        assert_close(got, value, np.float64, f"axis {axis}")
        assert_close(np.moveaxis(got_grad, axis, 1), grad, np.float64, f"axis {axis}")


@each_case
@each_dtype
def test_the_fast_path_gives_the_bits_of_the_general_one(case, dtype, rng):
    """Plain (N, C) arrays go straight to C; the same in another byte order do not."""
    for shape in [(32, 10), (5, 100)]:
        operands = case.operands(shape, dtype)
        general = {k: a.astype(a.dtype.newbyteorder()) if k == "input" else a for k, a in operands.items()}
        mask = rng.random(shape[0]) < 0.7
        for reduction, options in itertools.product(REDUCTIONS, ({}, {"mask": mask})):
            expected = case.gradients(general, reduction=reduction, **options)
            assert bits(case.gradients(operands, reduction=reduction, **options)) == bits(expected)
            assert bits(case.call(operands, reduction=reduction, **options)) == bits(expected[0])
            out = np.full(shape, np.nan, dtype)
            case.gradients(operands, reduction=reduction, grad_out=out, **options)
            assert bits(out) == bits(expected[1])


@each_case
@each_dtype
@pytest.mark.parametrize("shape", [(7, 6), (7, 100), (3, 7000), (7, 6, 5)], ids=str)
def test_nan_stays_in_its_row(case, dtype, shape):
    operands = case.operands(shape, dtype)
    clean, (clean_grad,) = case.gradients(operands, reduction="none")
    label = (2, *(1,) * (len(shape) - 2))
    column = 1 if case.lists else max(int(operands["target"][label]), 0)
    spoilt = operands["input"].copy()
    spoilt[(2, column, *label[1:])] = np.nan
    value, (grad,) = case.gradients({**operands, "input": spoilt}, reduction="none")
    bad = np.zeros(value.shape, bool)
    bad[label] = True
    left_out = not case.lists and operands["target"][label] < 0
    assert bits(value[~bad]) == bits(clean[~bad])
    assert left_out or np.isnan(value[bad]).all()
    bad = np.broadcast_to(np.expand_dims(bad, 1), shape)
    assert bits(grad[~bad]) == bits(clean_grad[~bad])
    assert left_out or case.kernel == "nll" or np.isnan(grad[bad]).any()  # of nll it is a constant


# ---- definitions -----------------------------------------------------------------------------------------------------


@each_dtype
def test_one_hot_targets_are_labels(dtype, rng):
    x, labels = rng.normal(0, 5, (40, 30)).astype(dtype), rng.integers(0, 30, 40)
    hot = np.eye(30, dtype=dtype)[labels]
    for options in ({}, {"label_smoothing": 0.2}, {"z_loss": 0.1}):
        got = fl.cross_entropy(x, hot, reduction="none", return_grad=True, **options)
        expected = fl.cross_entropy(x, labels, reduction="none", return_grad=True, **options)
        for a, b in zip(got, expected, strict=True):
            assert_close(a, b, dtype)


@each_dtype
@pytest.mark.parametrize("classes", [2, 5, 40, 100, 2000])
def test_sure_and_right_rows_keep_their_digits(dtype, classes):
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    hot = np.eye(classes, dtype=dtype)[[1, 1, 1]]
    for margin in (1.0, 10.0, 40.0, 80.0):
        x = np.zeros((3, classes), dtype)
        x[:, 1] = margin
        rest = (classes - 1) * math.exp(-margin)
        off = rest / (1 + rest)
        value, grad = fl.cross_entropy(x, hot, reduction="none", return_grad=True)
        np.testing.assert_allclose(value, math.log1p(rest), rtol=tolerance)
        np.testing.assert_allclose(grad[:, 1], -off, rtol=tolerance)
        np.testing.assert_allclose(grad[:, 0], math.exp(-margin) / (1 + rest), rtol=tolerance)
        if margin * 3 > 87 and dtype == np.float32:
            continue  # the cube of 1 - p is no number of this type
        value, grad = fl.focal_loss(x, [1, 1, 1], reduction="none", return_grad=True)
        factor = off**2 * (2 / (1 + rest) * math.log1p(rest) + off)
        np.testing.assert_allclose(value, off**2 * math.log1p(rest), rtol=2 * tolerance)
        np.testing.assert_allclose(grad[:, 1], -factor, rtol=2 * tolerance)


@each_dtype
@pytest.mark.parametrize("columns", [6, 90])
def test_masked_vocabulary(dtype, columns):
    """-inf, or the smallest number, is fine where the target has nothing, and costs inf where it has something."""
    for floor in (-inf, float(np.finfo(dtype).min)):
        x, t = np.zeros((3, columns), dtype), np.zeros((3, columns), dtype)
        x[:, 3:] = floor
        t[:, :3] = [0.5, 0.5, 0]
        t[2, [0, 5]] = 0.25, 0.25
        value, grad = fl.cross_entropy(x, t, reduction="none", return_grad=True)
        np.testing.assert_allclose(value[:2], math.log(3), rtol=1e-6)
        assert value[2] == inf or (floor > -inf and value[2] > 1e37)
        np.testing.assert_allclose(grad[:2, :4], [[-1 / 6, -1 / 6, 1 / 3, 0]] * 2, rtol=1e-6)
        assert np.isfinite(grad).all()
        labelled = fl.cross_entropy(x, [0, 5, 1], reduction="none", label_smoothing=0.5)
        assert floor > -inf or (labelled == inf).all()
        value, grad = fl.focal_loss(x, [0, 5, 1], reduction="none", return_grad=True)
        np.testing.assert_allclose(value[[0, 2]], (2 / 3) ** 2 * math.log(3), rtol=1e-6)
        assert value[1] == inf or (floor > -inf and value[1] > 1e37)
        np.testing.assert_allclose(grad[1, [0, 5]], [1 / 3, -1], rtol=1e-6)


@each_dtype
@pytest.mark.parametrize("columns", [4, 70, 8000])
def test_rows_without_a_softmax_are_nan(dtype, columns):
    x = np.zeros((4, columns), dtype)
    x[1], x[2, 1], x[3, 0] = -inf, inf, inf
    hot = np.zeros((4, columns), dtype)
    hot[:, 0] = 1
    for target, function, options in (
        (hot, fl.cross_entropy, {}),
        ([0] * 4, fl.cross_entropy, {"label_smoothing": 0.1}),
        ([0] * 4, fl.cross_entropy, {"z_loss": 0.1}),
        ([0] * 4, fl.focal_loss, {}),
    ):
        value, grad = function(x, target, reduction="none", return_grad=True, **options)
        assert np.isfinite(value[0]) and np.isfinite(grad[0]).all()
        assert np.isnan(value[1:]).all() and np.isnan(grad[1:]).any(axis=1).all()


@each_dtype
def test_weights_of_zero_cost_nothing(dtype):
    x = np.array([[0, -inf, 0], [-inf, 0, 0]], dtype)
    weight = np.array([1, 0, 1], dtype)
    assert fl.cross_entropy(x, [1, 2], weight, reduction="none").tolist() == [0, pytest.approx(math.log(2))]
    assert fl.nll_loss(x, [1, 2], weight, reduction="none").tolist() == [0, 0]
    smooth = fl.cross_entropy(x[:1], [0], weight, label_smoothing=0.3, reduction="none")
    assert smooth == pytest.approx(math.log(2) * (0.7 + 2 * 0.1), rel=1e-6)


@each_dtype
def test_z_loss_adds_the_squared_log_sum_exp(dtype, rng):
    x, labels, weight = rng.normal(0, 3, (20, 7)).astype(dtype), rng.integers(0, 7, 20), rng.uniform(0.5, 2, 7)
    weight = weight.astype(dtype)
    lse = np.log(np.exp(x.astype(np.float64)).sum(axis=1))
    labels[3] = -100
    plain = fl.cross_entropy(x, labels, weight, reduction="none")
    value = fl.cross_entropy(x, labels, weight, z_loss=0.25, reduction="none")
    expected = np.where(labels == -100, 0, plain + 0.25 * lse**2)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    counted = weight[labels[labels >= 0]].astype(np.float64).sum()
    assert fl.cross_entropy(x, labels, weight, z_loss=0.25) == pytest.approx(expected.sum() / counted, rel=1e-6)


@each_dtype
def test_probabilities(dtype, rng):
    """A probability of 0 costs inf, with a gradient of -inf; of 1, nothing; where the target has nothing, nothing."""
    p = np.array([[0, 1, 0], [1, 0, 0], [0.25, 0.5, 0.25]], dtype)
    value, grad = fl.cross_entropy(p, [1, 1, 1], from_logits=False, reduction="none", return_grad=True)
    assert value.tolist() == [0, inf, pytest.approx(math.log(2))]
    assert grad.tolist() == [[0, -1, 0], [0, -inf, 0], [0, -2, 0]]
    value, grad = fl.cross_entropy(p, np.eye(3, dtype=dtype)[[1, 1, 1]], from_logits=False, reduction="none",
                                   return_grad=True)  # fmt: skip
    assert value.tolist() == [0, inf, pytest.approx(math.log(2))]
    assert grad.tolist() == [[0, -1, 0], [0, -inf, 0], [0, -2, 0]]
    value, grad = fl.focal_loss(p, [1, 1, 1], from_logits=False, reduction="none", return_grad=True)
    assert value.tolist() == [0, inf, pytest.approx(math.log(2) / 4)]
    assert grad[0].tolist() == [0, 0, 0] and grad[1, 1] == -inf
    x = rng.normal(0, 3, (50, 12)).astype(dtype)
    e = np.exp(x.astype(np.float64))
    p, labels = (e / e.sum(axis=1, keepdims=True)), rng.integers(0, 12, 50)
    for options in ({}, {"label_smoothing": 0.1}):
        np.testing.assert_allclose(fl.cross_entropy(p, labels, from_logits=False, **options),
                                   fl.cross_entropy(x, labels, **options), rtol=1e-6)  # fmt: skip


@each_dtype
def test_probabilities_near_1_keep_their_digits(dtype):
    p = 1 - np.finfo(dtype).eps * np.arange(1, 50).astype(dtype)
    rows = np.stack([p, 1 - p], axis=1)
    value = fl.cross_entropy(rows, np.zeros(49, int), from_logits=False, reduction="none")
    np.testing.assert_allclose(value, -np.log1p(-(1 - p).astype(np.float64)), rtol=4 * np.finfo(dtype).eps)
    value = fl.focal_loss(rows, np.zeros(49, int), from_logits=False, reduction="none")
    off = (1 - p).astype(np.float64)
    np.testing.assert_allclose(value, -(off**2) * np.log1p(-off), rtol=8 * np.finfo(dtype).eps)


@each_dtype
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0, 20.0])
def test_focal_gammas(dtype, gamma, rng):
    x, labels = rng.normal(0, 3, (60, 7)).astype(dtype), rng.integers(0, 7, 60)
    value, grad = fl.focal_loss(x, labels, gamma=gamma, reduction="none", return_grad=True)
    with fl.backend("reference"):
        expected, expected_grad = fl.focal_loss(x, labels, gamma=gamma, reduction="none", return_grad=True)
    eps = (1 + gamma) * 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(value, expected, rtol=eps)
    np.testing.assert_allclose(grad, expected_grad, rtol=eps)
    if gamma == 0:
        plain, plain_grad = fl.cross_entropy(x, labels, reduction="none", return_grad=True)
        assert_close(value, plain, dtype)
        assert_close(grad, plain_grad, dtype)


def test_kornia_focal_loss():
    """Equal logits of five classes: (1 - 1/5)^2 log 5, by hand."""
    assert fl.focal_loss(np.zeros((3, 5)), [0, 1, 4]) == pytest.approx(0.64 * math.log(5), rel=1e-15)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_smoothing_is_the_mixed_target(smoothing, rng):
    """Label smoothing is a distribution; only the mean's denominator differs, where classes are weighted."""
    x, labels, weight = rng.normal(0, 3, (30, 9)), rng.integers(0, 9, 30), rng.uniform(0.5, 2, 9)
    mixed = np.eye(9)[labels] * (1 - smoothing) + smoothing / 9
    got = fl.cross_entropy(x, labels, weight, label_smoothing=smoothing, reduction="none", return_grad=True)
    expected = fl.cross_entropy(x, mixed, weight, reduction="none", return_grad=True)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)
    again = fl.cross_entropy(x, np.eye(9)[labels], weight, label_smoothing=smoothing)
    assert again == pytest.approx(fl.cross_entropy(x, mixed, weight), rel=1e-13)


# ---- ONNX ------------------------------------------------------------------------------------------------------------


def onnx_nll(x, target, weight=None, reduction="mean", ignore_index=None):
    """NegativeLogLikelihoodLoss as ONNX defines it: entry by entry."""
    loss, weights = np.zeros(target.shape), np.zeros(target.shape)
    for place in np.ndindex(*target.shape):
        label = int(target[place])
        if ignore_index is not None and label == ignore_index:
            continue
        weights[place] = 1.0 if weight is None else weight[label]
        loss[place] = -x[(place[0], label, *place[1:])] * weights[place]
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.sum() / weights.sum()


def onnx_softmax_cross_entropy(x, target, **options):
    """SoftmaxCrossEntropyLoss: the above of the logarithm of the softmax over axis 1."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return onnx_nll(np.log(e / e.sum(axis=1, keepdims=True)), target, **options)


# Those of ONNX's node tests, the last two smaller: no further axis to five of them.
ONNX_SHAPES = [(3, 5), (3, 5, 2), (3, 5, 6, 6), (3, 5, 6, 6, 5), (3, 5, 2, 1, 2, 3), (3, 5, 2, 3, 2, 1, 4)]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore_index", [None, 2, -1, -5])
def test_onnx(reduction, weighted, ignore_index):
    rng = np.random.default_rng(0)
    for shape in ONNX_SHAPES:
        x = rng.random(shape)
        target = rng.integers(0, 5, (shape[0], *shape[2:]))
        if ignore_index is not None:
            target[(0,) * target.ndim] = ignore_index
        weight = np.array([0.9, 0.7, 0.8, 0.9, 0.9]) if weighted else None
        options = {} if ignore_index is None else {"ignore_index": ignore_index}
        for ours, definition in ((fl.nll_loss, onnx_nll), (fl.cross_entropy, onnx_softmax_cross_entropy)):
            expected = definition(x, target, weight=weight, reduction=reduction, **options)
            np.testing.assert_allclose(ours(x, target, weight, reduction=reduction, **options), expected, rtol=1e-12)


def test_onnx_example():
    """The example in the text of NegativeLogLikelihoodLoss."""
    x = np.array([[[1.0, 2.0], [2.0, 2.0], [3.0, 2.0]], [[0.0, 1.0], [2.0, 2.0], [1.0, 2.0]]])
    target = np.array([[2, 1], [0, 2]])
    assert fl.nll_loss(x, target, reduction="none").tolist() == [[-3, -2], [0, -2]]
    weight = np.array([0.2, 0.3, 0.1])
    np.testing.assert_allclose(fl.nll_loss(x, target, weight, reduction="sum"), -1.1, rtol=1e-15)
    np.testing.assert_allclose(fl.nll_loss(x, target, weight), -1.57142857, rtol=1e-8)


# ---- torch -----------------------------------------------------------------------------------------------------------

TORCH_SHAPES = [(5,), (7, 5), (3, 5, 4), (2, 5, 3, 2), (2, 5, 2, 3, 2)]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("shape", TORCH_SHAPES, ids=str)
def test_every_combination_against_torch(reduction, soft, shape, rng):
    torch = pytest.importorskip("torch")
    axis = 1 if len(shape) > 1 else 0
    where = (*shape[:axis], *shape[axis + 1 :])
    for weighted, ignore_index, smoothing in itertools.product((False, True), (-100, 3), (0.0, 0.15, 1.0)):
        if soft and ignore_index >= 0:
            continue
        x, weight = rng.normal(0, 4, shape), rng.uniform(0.1, 2, 5) if weighted else None
        target = np.array(rng.integers(0, 5, where))
        if soft:
            target = np.ascontiguousarray(np.moveaxis(rng.dirichlet(np.ones(5), where), -1, axis))
        options = {"ignore_index": ignore_index, "reduction": reduction, "label_smoothing": smoothing}
        leaf = torch.tensor(x, requires_grad=True)
        expected = torch.nn.functional.cross_entropy(
            leaf, torch.tensor(target), None if weight is None else torch.tensor(weight), **options
        )
        expected.sum().backward()
        value, grad = fl.cross_entropy(x, target, weight, return_grad=True, **options)
        ignored = not soft and (np.asarray(target) == ignore_index).all()
        np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-9)
        if not ignored:
            np.testing.assert_allclose(grad, leaf.grad.numpy(), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", TORCH_SHAPES, ids=str)
def test_nll_against_torch(reduction, shape, rng):
    torch = pytest.importorskip("torch")
    where = (shape[0], *shape[2:]) if len(shape) > 1 else ()
    for weighted, ignore_index in itertools.product((False, True), (-100, 3)):
        x, weight = rng.normal(0, 4, shape), rng.uniform(0.1, 2, 5) if weighted else None
        target = np.array(rng.integers(0, 5, where))
        if target.ndim == 0:
            target[...] = 2
        leaf = torch.tensor(x, requires_grad=True)
        options = {"ignore_index": ignore_index, "reduction": reduction}
        expected = torch.nn.functional.nll_loss(
            leaf, torch.tensor(target), None if weight is None else torch.tensor(weight), **options
        )
        expected.sum().backward()
        value, grad = fl.nll_loss(x, target, weight, return_grad=True, **options)
        np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(grad, leaf.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("soft", [False, True])
def test_empty_batches_as_torch(soft):
    torch = pytest.importorskip("torch")
    target = np.zeros((0, 3)) if soft else np.zeros(0, np.int64)
    for reduction in REDUCTIONS:
        expected = torch.nn.functional.cross_entropy(torch.zeros(0, 3), torch.tensor(target), reduction=reduction)
        np.testing.assert_array_equal(fl.cross_entropy(np.zeros((0, 3)), target, reduction=reduction), expected)


# ---- refusals --------------------------------------------------------------------------------------------------------


def refusal(call, *expected) -> str:
    """The message with which both backends refuse this call, having checked that they do so alike."""
    messages = []
    for backend in ("native", "reference"):
        with fl.backend(backend), pytest.raises(expected or ValueError) as caught:
            call()
        messages.append((caught.type, str(caught.value)))
    assert messages[0] == messages[1]
    return messages[0][1]


x43, t43, y4 = np.ones((4, 3)) / 3, np.ones((4, 3)) / 3, np.zeros(4, np.int64)


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, inf])
def test_smoothing_is_a_share(smoothing):
    message = refusal(lambda: fl.cross_entropy(x43, y4, label_smoothing=smoothing))
    assert "label_smoothing" in message and str(smoothing) in message


@pytest.mark.parametrize(("name", "wrong"), [("z_loss", -1.0), ("z_loss", inf), ("gamma", -0.5), ("gamma", inf)])
def test_factors_are_not_negative(name, wrong):
    function = fl.focal_loss if name == "gamma" else fl.cross_entropy
    message = refusal(lambda: function(x43, y4, **{name: wrong}))
    assert name in message and str(wrong) in message


@pytest.mark.parametrize("name", ["label_smoothing", "z_loss", "gamma"])
@pytest.mark.parametrize("wrong", ["1", None, True, float("nan")])
def test_options_are_numbers(name, wrong):
    function = fl.focal_loss if name == "gamma" else fl.cross_entropy
    assert name in refusal(lambda: function(x43, y4, **{name: wrong}), TypeError, ValueError)


def test_from_logits_is_a_bool():
    for function in (fl.cross_entropy, fl.focal_loss):
        assert "from_logits" in refusal(lambda function=function: function(x43, y4, from_logits=1), TypeError)


def test_z_loss_needs_logits():
    assert "z_loss" in refusal(lambda: fl.cross_entropy(x43, y4, from_logits=False, z_loss=0.1))


def test_no_ignored_label_among_probabilities():
    assert "ignore_index" in refusal(lambda: fl.cross_entropy(x43, t43, ignore_index=0))
    assert fl.cross_entropy(x43, t43, ignore_index=-1) == fl.cross_entropy(x43, t43)


def test_targets_of_wrong_shape_or_type():
    for target in (np.ones((4, 2)), np.ones(4), np.ones((4, 3, 1))):
        message = refusal(lambda target=target: fl.cross_entropy(x43, target), TypeError, ValueError)
        assert "target" in message and "(4, 3)" in message and str(target.shape) in message
    for target in (np.ones((4, 3), int), np.ones((4, 3), bool)):
        assert "target" in refusal(lambda target=target: fl.cross_entropy(x43, target), TypeError, ValueError)
    for function in (fl.nll_loss, fl.focal_loss):
        message = refusal(lambda function=function: function(x43, t43), TypeError)
        assert "target" in message and "integer" in message
    assert "0 classes" in refusal(lambda: fl.cross_entropy(np.ones((4, 0)), np.ones((4, 0))))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(30, 3), (300, 5), (9, 100), (4, 5, 6)], ids=str)
@pytest.mark.parametrize("wrong", [1.5, -0.25, inf])
def test_what_is_no_probability_is_named_by_its_place(dtype, shape, wrong):
    p = np.full(shape, 0.5, dtype)
    target = np.zeros((shape[0], *shape[2:]), int)
    place = tuple(n - 2 for n in shape)
    p[place] = wrong
    p[tuple(n - 1 for n in shape)] = -8
    for soft in (False, True):
        labels = np.full(shape, 0.5, dtype) if soft else target
        for options in ({}, {"reduction": "none", "return_grad": True}):
            message = refusal(lambda labels=labels, options=options: fl.cross_entropy(p, labels, from_logits=False,
                                                                                      **options))  # fmt: skip
            assert message == f"input[{', '.join(map(str, place))}] = {np.float64(wrong)} is not a probability"
    left_out = np.ones(target.shape, bool)
    left_out[-2:] = False
    assert np.isfinite(fl.cross_entropy(p, target, from_logits=False, mask=left_out))
    p[place] = p[tuple(n - 1 for n in shape)] = np.nan  # nan is no error
    fl.cross_entropy(p, target, from_logits=False)


def test_bad_labels_come_before_bad_probabilities():
    p = np.full((5000, 3), 0.5)
    p[1, 1] = 2
    target = np.zeros(5000, int)
    target[4000] = 7
    message = refusal(lambda: fl.cross_entropy(p, target, from_logits=False))
    assert message == "target[4000] = 7 is out of range for 3 classes"


def test_class_weights_do_not_share_memory_with_the_gradient():
    grad_out = np.ones((4, 4))
    call = lambda: fl.cross_entropy(np.ones((4, 4)), y4, grad_out[1], return_grad=True, grad_out=grad_out)  # noqa: E731
    assert "grad_out" in refusal(call)

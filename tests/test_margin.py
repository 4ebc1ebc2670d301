# SPDX-License-Identifier: BSD-3-Clause
"""Margin losses: against PyTorch over all options; kinks, nan and infinities, lists of labels, refusals."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from cases import CASES, REDUCTIONS, against_reference, assert_close, bits
from cases_margin import lists_of

import fastloss as fl

LISTS = [case for case in CASES if case.kernel == "multilabel_margin"]
each_backend = pytest.mark.parametrize("backend", ["native", "reference"])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_list = pytest.mark.parametrize("case", LISTS, ids=lambda c: c.name)
inf, nan = math.inf, math.nan


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")


def theirs(torch, function, x, target, **options):
    """Value and gradient by PyTorch."""
    x = torch.tensor(x, requires_grad=True)
    tensors = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    value = getattr(torch.nn.functional, function)(x, torch.tensor(target), **tensors)
    value.sum().backward()
    return value.detach().numpy(), x.grad.numpy()


def assert_same(got, expected):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@each_backend
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_multi_margin_is_torchs(torch, backend, reduction, rng):
    shapes = [(1, 1), (1, 7), (9, 2), (40, 10), (5, 64), (5, 65), (3, 1030)]
    for shape, p, margin, weighted in itertools.product(shapes, (1, 2), (1.0, 0.0, 0.25, -1.0, 30), (False, True)):
        x, target = rng.normal(0, 2, shape), rng.integers(0, shape[1], shape[0])
        options = {"p": p, "margin": margin, "reduction": reduction}
        if weighted:
            options["weight"] = rng.uniform(0, 2, shape[1])
        with fl.backend(backend):
            got = fl.multi_margin_loss(x, target, return_grad=True, **options)
            row = fl.multi_margin_loss(x[0], target[0], return_grad=True, **options)
        assert_same(got, theirs(torch, "multi_margin_loss", x, target, **options))
        assert_same(row, theirs(torch, "multi_margin_loss", x[0], target[0], **options))


@each_backend
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_multilabel_margin_is_torchs(torch, backend, reduction, rng):
    for shape in [(1, 1), (1, 7), (9, 2), (40, 10), (5, 64), (5, 65), (3, 300), (2, 1030)]:
        x = rng.normal(0, 2, shape)
        hot = rng.random(shape) < rng.choice([0, 0.1, 0.5, 0.9, 1], (shape[0], 1))
        lists = lists_of(hot)
        expected = theirs(torch, "multilabel_margin_loss", x, lists, reduction=reduction)
        with fl.backend(backend):
            for target in (lists, hot, lists.astype(np.int16)):
                assert_same(fl.multilabel_margin_loss(x, target, reduction=reduction, return_grad=True), expected)
                row = fl.multilabel_margin_loss(x[0], target[0], reduction=reduction, return_grad=True)
                assert_same(row, theirs(torch, "multilabel_margin_loss", x[0], lists[0], reduction=reduction))


@each_backend
def test_a_class_that_is_named_twice_counts_twice(torch, backend):
    x = np.array([[0.1, 0.2, 0.4, 0.8]])
    for target in ([3, 3, 0, -1], [3, 0, 3, 3], [0, 0, 0, 0], [1, -1, 1, 1]):
        with fl.backend(backend):
            got = fl.multilabel_margin_loss(x, [target], return_grad=True)
        assert_same(got, theirs(torch, "multilabel_margin_loss", x, np.array([target])))


@each_backend
@each_dtype
def test_labels_in_any_order_and_rubbish_behind_the_end(backend, dtype, rng):
    x = rng.normal(0, 2, (4, 9)).astype(dtype)
    with fl.backend(backend):
        expected = fl.multilabel_margin_loss(x, [[1, 4, 7, -1, -1, -1, -1, -1, -1]] * 4, return_grad=True)
        for order in itertools.permutations([1, 4, 7]):
            target = [[*order, -1, 2**40, -(2**40), 9, -7, 0]] * 4
            got = fl.multilabel_margin_loss(x, target, return_grad=True)
            assert_close(got[0], expected[0], dtype)
            assert bits(got[1]) == bits(expected[1])
        shorter = fl.multilabel_margin_loss(x, [[1, 4, 7]] * 4, return_grad=True)
    assert bits(shorter) == bits(expected)


@each_backend
@each_dtype
def test_at_the_kink_the_gradient_is_zero(backend, dtype, torch):
    """The hinge of class 1 is exactly 0, that of class 2 one place above, that of class 3 one place below."""
    up = np.nextafter(dtype(-0.5), dtype(1))
    down = np.nextafter(dtype(-0.5), dtype(-1))
    x = np.array([[0.5, -0.5, up, down]], dtype)
    with fl.backend(backend):
        for p in (1, 2):
            value, grad = fl.multi_margin_loss(x, [0], p=p, return_grad=True)
            expected = theirs(torch, "multi_margin_loss", x, np.array([0]), p=p)
            np.testing.assert_allclose(grad, expected[1], rtol=1e-6)
            np.testing.assert_allclose(value, expected[0], rtol=1e-6)
            assert grad[0, 1] == 0 and grad[0, 2] > 0 and grad[0, 3] == 0
        _, grad = fl.multilabel_margin_loss(x, [[0, -1, -1, -1]], return_grad=True)
        assert grad.tolist() == [[-0.25, 0, 0.25, 0]]


@each_backend
@each_dtype
@pytest.mark.parametrize("classes", [4, 40, 1500])
def test_hinges_of_zeros_of_either_sign(backend, dtype, classes):
    """margin - x[positive] + x[other] of 0 and -0, and of the integers, where half of all hinges stand at the kink."""
    x = np.zeros((2, classes), dtype)
    x[:, 0] = 1
    x[1] = -x[1] + 2 * x[0]
    hot = np.arange(classes) == 0
    with fl.backend(backend):
        value, grad = fl.multilabel_margin_loss(x, [hot] * 2, return_grad=True)
        single, single_grad = fl.multi_margin_loss(x, [0, 0], return_grad=True)
    assert value == 0 and not grad.any() and single == 0 and not single_grad.any()
    whole = np.random.default_rng(0).integers(-2, 3, (30, classes))
    hot = np.arange(classes) % 3 == 0
    h = 1 - whole[:, hot, np.newaxis] + whole[:, np.newaxis, ~hot]
    expected = np.zeros(whole.shape)
    expected[:, hot], expected[:, ~hot] = -(h > 0).sum(axis=2), (h > 0).sum(axis=1)
    with fl.backend(backend):
        value, grad = fl.multilabel_margin_loss(whole.astype(dtype), [hot] * 30, reduction="sum", return_grad=True)
    assert value == pytest.approx(np.maximum(h, 0).sum() / classes, rel=1e-6)
    np.testing.assert_allclose(grad, expected / classes, rtol=1e-6)


@each_backend
@each_dtype
@pytest.mark.parametrize("layout", ["few", "many", "middle"])
def test_nan_and_infinities_of_multi_margin(backend, dtype, layout):
    x = np.zeros((6, 4), dtype)
    x[0, 1] = -inf  # another class: costs nothing
    x[1, 0] = -inf  # the target: costs inf
    x[2, 0] = inf  # the target: costs nothing
    x[3, 1] = inf
    x[4, 1] = nan
    x[5, 0] = nan
    if layout == "many":
        x = np.concatenate([x, np.full((6, 96), -inf, dtype)], axis=1)
    scale, axis = x.shape[1], 1
    if layout == "middle":
        x = np.ascontiguousarray(x.T)[np.newaxis]
    target = np.zeros((1, 6) if layout == "middle" else 6, int)
    with fl.backend(backend):
        value, grad = fl.multi_margin_loss(x, target, reduction="none", return_grad=True, class_axis=axis)
    grad = np.moveaxis(grad, axis, -1).reshape(6, -1)[:, :4] * scale
    np.testing.assert_allclose(value.ravel() * scale, [2, inf, 0, inf, nan, nan])
    np.testing.assert_allclose(grad[0], [-2, 0, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(grad[1], [-3, 1, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(grad[2], [0, 0, 0, 0])
    np.testing.assert_allclose(grad[3], [-3, 1, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(grad[4], [nan, nan, 1, 1], rtol=1e-6)
    assert np.isnan(grad[5]).all()


@pytest.mark.parametrize("classes", [4, 40, 100, 1500])
@pytest.mark.parametrize("p", [1, 2])
def test_a_class_that_costs_nothing_has_no_gradient(p, classes):
    """Whatever comes in: as in PyTorch, which looks at the hinge first."""
    x = np.full((1, classes), -9, np.float32)
    x[0, :3] = 0, 3, 0.5
    _, grad = fl.multi_margin_loss(x, [2], p=p, reduction="none", return_grad=True, grad_output=[inf])
    np.testing.assert_array_equal(grad[0], [inf, inf, -inf] + [0] * (classes - 3))


@each_backend
@each_dtype
@pytest.mark.parametrize("classes", [4, 40, 1500])
def test_nan_and_infinities_of_multilabel_margin(backend, dtype, classes):
    """Two positives, two others, and the rest at -inf."""
    x = np.full((8, classes), -inf, dtype)
    x[:, :4] = 0
    x[0, 2] = -inf
    x[1, 0] = -inf
    x[2, 0] = inf
    x[3, 2] = inf
    x[4, 2] = nan
    x[5, 0] = nan
    x[6, 0], x[6, 2] = inf, nan
    hot = np.arange(classes) < 2
    with fl.backend(backend):
        value, grad = fl.multilabel_margin_loss(x, [hot] * 8, reduction="none", return_grad=True)
        listed = fl.multilabel_margin_loss(x, lists_of(hot)[np.newaxis].repeat(8, 0), reduction="none")
    assert bits(listed) == bits(value)
    np.testing.assert_allclose(value * classes, [2, inf, 2, inf, nan, nan, nan, 4], rtol=1e-6)
    expected = [
        [-1, -1, 0, 2], [-2, -2, 2, 2], [0, -2, 1, 1], [-2, -2, 2, 2],
        [nan, nan, nan, 2], [nan, -2, nan, nan], [nan, nan, nan, 1], [-2, -2, 2, 2],
    ]  # fmt: skip
    np.testing.assert_allclose(grad[:, :4] * classes, expected, rtol=1e-6)
    assert not grad[:, 4:].any()


@each_backend
@each_dtype
def test_rows_without_pairs_cost_nothing(backend, dtype):
    x = np.array([[nan, 1, 2], [nan, nan, inf]], dtype)
    with fl.backend(backend):
        none = fl.multilabel_margin_loss(x, np.zeros((2, 3), bool), reduction="none", return_grad=True)
        every = fl.multilabel_margin_loss(x, np.ones((2, 3), bool), reduction="none", return_grad=True)
        ended = fl.multilabel_margin_loss(x, [[-1, 0, 1], [-1, 5, -9]], reduction="none", return_grad=True)
        alone = fl.multi_margin_loss(x[:, :1], [0, 0], reduction="none", return_grad=True)
    for value, grad in (none, every, ended, alone):
        assert not value.any() and not grad.any()


@each_list
@each_dtype
def test_multilabel_margin_over_classes(case, dtype):
    """Around lanes, tiles and what is handled together, from no positive to all of them."""
    for classes in (1, 2, 3, 15, 16, 17, 33, 64, 65, 130, 1023, 1025, 2100):
        for rows in (1, 3, 17, 37)[: 4 if classes < 500 else 2]:
            operands = case.operands((rows, classes), dtype)
            against_reference(case, operands, dtype, f"{rows} x {classes}", reduction="none")
            against_reference(case, operands, dtype, f"{rows} x {classes}")


@each_dtype
@pytest.mark.parametrize("positives", [1, 3, 4, 5, 7, 8, 63, 64, 65, 127, 128, 129])
def test_numbers_of_positives(dtype, positives, rng):
    """Around how many are handled together; lists that end with -1, with their slots, and hot."""
    x = rng.normal(0, 2, (3, 200)).astype(dtype)
    hot = np.zeros((3, 200), bool)
    np.put_along_axis(hot, np.argsort(rng.random((3, 200)), axis=1)[:, :positives], True, axis=1)
    lists = lists_of(hot)
    with fl.backend("reference"):
        expected, expected_grad = fl.multilabel_margin_loss(x, hot, return_grad=True)
    for target in (hot, lists, lists[:, :positives]):
        value, grad = fl.multilabel_margin_loss(x, target, return_grad=True)
        assert_close(value, expected, dtype)
        assert_close(grad, expected_grad, dtype)


@each_list
@each_dtype
@pytest.mark.parametrize("classes", [1, 2, 10, 17, 65, 1025])
def test_multilabel_margin_of_classes_in_the_middle(case, dtype, classes):
    for inner in [(1,), (2,), (15,), (16,), (17,), (3, 11)]:
        if classes < 100 or math.prod(inner) < 10:
            against_reference(case, case.operands((3, classes, *inner), dtype), dtype, str(inner), reduction="none")
            against_reference(case, case.operands((3, classes, *inner), dtype), dtype, str(inner))


@each_list
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_multilabel_margin_class_axis(case, axis):
    operands = case.operands((6, 10, 4))
    value, (grad,) = case.gradients(operands, reduction="none")
    moved = {name: np.ascontiguousarray(np.moveaxis(a, 1, axis)) for name, a in operands.items()}
    got, (got_grad,) = case.gradients(moved, reduction="none", class_axis=axis)
    assert_close(got, value, np.float64)
    assert_close(np.moveaxis(got_grad, axis, 1), grad, np.float64)


@each_list
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_multilabel_margin_dtypes(case, dtype, reduction):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    for shape in [(1,), (7,), (9, 7), (4, 70, 5)]:
        against_reference(case, case.operands(shape, dtype), dtype, reduction=reduction)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4", ">u8"])
def test_lists_of_any_integer_type(dtype, rng):
    """Unsigned lists have no -1: they end with their slots."""
    x, target = rng.normal(size=(5, 40)), np.argsort(rng.random((5, 40)))[:, :7]
    expected = fl.multilabel_margin_loss(x, target, return_grad=True)
    assert bits(fl.multilabel_margin_loss(x, target.astype(dtype), return_grad=True)) == bits(expected)


@pytest.mark.parametrize("classes", [40, 2000])
def test_bools_of_any_stride(classes, rng):
    x, hot = rng.normal(size=(5, classes)), rng.random((5, classes)) < 0.3
    expected = fl.multilabel_margin_loss(x, hot, return_grad=True)
    for target in (np.asfortranarray(hot), np.repeat(hot, 2, axis=1)[:, ::2], hot[:, ::-1].copy()[:, ::-1]):
        assert bits(fl.multilabel_margin_loss(x, target, return_grad=True)) == bits(expected)
    assert bits(fl.multilabel_margin_loss(x, hot[:1].repeat(5, 0))) == bits(
        fl.multilabel_margin_loss(x, np.broadcast_to(hot[:1], hot.shape))
    )


@each_backend
def test_mean_of_weighted_multi_margin_divides_by_the_number_of_rows(backend, rng):
    x, target, weight = rng.normal(size=(30, 5)), rng.integers(0, 5, 30), rng.uniform(0, 9, 5)
    mask = rng.random(30) < 0.5
    with fl.backend(backend):
        values, full = fl.multi_margin_loss(x, target, weight, reduction="none", return_grad=True)
        value, grad = fl.multi_margin_loss(x, target, weight, mask=mask, return_grad=True)
        assert np.isnan(fl.multi_margin_loss(x, target, weight, mask=np.zeros(30, bool)))
        assert fl.multi_margin_loss(x, target, np.zeros(5)) == 0
    assert_close(value, values[mask].sum() / mask.sum(), np.float64)
    assert_close(grad, np.where(mask[:, np.newaxis], full, 0) / mask.sum(), np.float64)


@pytest.mark.parametrize("classes", [32, 2000])
def test_squares_beyond_float32_whose_mean_is_within(classes):
    x = np.zeros((3, classes), np.float32)
    x[:, 7] = 2 * math.sqrt(float(np.finfo(np.float32).max))
    value = fl.multi_margin_loss(x, [0, 1, 2], p=2, reduction="none")
    np.testing.assert_allclose(value, x[:, 7].astype(float) ** 2 / classes, rtol=1e-6)


REFUSED = {
    "p must be 1 or 2, got 3": lambda: fl.multi_margin_loss([[0.0, 1]], [0], p=3),
    "p must be 1 or 2, got 0.5": lambda: fl.multi_margin_loss([[0.0, 1]], [0], p=0.5),
    "p must be a real number, got bool": lambda: fl.multi_margin_loss([[0.0, 1]], [0], p=True),
    "p must be a real number, got str": lambda: fl.multi_margin_loss([[0.0, 1]], [0], p="1"),
    "margin must not be nan": lambda: fl.multi_margin_loss([[0.0, 1]], [0], margin=nan),
    "margin must be a real number, got NoneType": lambda: fl.multi_margin_loss([[0.0, 1]], [0], margin=None),
    "margin is too large for a float": lambda: fl.multi_margin_loss([[0.0, 1]], [0], margin=10**400),
    "target[1] = 2 is out of range for 2 classes": lambda: fl.multi_margin_loss([[0.0, 1]] * 2, [0, 2]),
    "target[0] = -1 is out of range for 2 classes": lambda: fl.multi_margin_loss([[0.0, 1]] * 2, [-1, 2]),
    "target[0] = -100 is out of range for 2 classes": lambda: fl.multi_margin_loss([[0.0, 1]], [-100]),
    "target[0] = -9223372036854775808 is out of range for 2 classes": lambda: fl.multi_margin_loss(
        [[0.0, 1]], [-(2**63)]
    ),
    "target[0] = 18446744073709551615 is out of range for 2 classes": lambda: fl.multi_margin_loss(
        [[0.0, 1]], np.array([2**64 - 1], np.uint64)
    ),
    "target = 5 is out of range for 2 classes": lambda: fl.multi_margin_loss([0.0, 1], 5),
    "target has shape (1,), expected ()": lambda: fl.multi_margin_loss([0.0, 1], [1]),
    "target has dtype float64, expected integer class indices": lambda: fl.multi_margin_loss([[0.0, 1]], [0.0]),
    "weight has shape (3,), expected (2,): one per class": lambda: fl.multi_margin_loss([[0.0, 1]], [0], np.ones(3)),
    "target[1, 2] = 3 is out of range for 3 classes": lambda: fl.multilabel_margin_loss(
        np.zeros((2, 3)), [[0, -1, 7], [0, 1, 3]]
    ),
    "target[0, 0] = -2 is out of range for 3 classes": lambda: fl.multilabel_margin_loss(
        np.zeros((1, 3)), [[-2, 0, 1]]
    ),
    "target[1, 0, 2] = 4 is out of range for 3 classes": lambda: fl.multilabel_margin_loss(
        np.zeros((2, 3, 4)), np.where(np.arange(24).reshape(2, 3, 4) == 14, 4, 0)
    ),
    "target[2] = 9 is out of range for 3 classes": lambda: fl.multilabel_margin_loss(np.zeros(3), [1, 1, 9]),
    "target has dtype float64, expected integer class indices or bool": lambda: fl.multilabel_margin_loss(
        np.zeros((1, 3)), [[0.0, 1.0, -1.0]]
    ),
    "target has shape (1, 2), expected the shape (1, 3) of input": lambda: fl.multilabel_margin_loss(
        np.zeros((1, 3)), [[True, False]]
    ),
    "target has shape (1, 4), expected the shape (1, 3) of input, or fewer slots along its class axis 1": lambda: (
        fl.multilabel_margin_loss(np.zeros((1, 3)), [[0, 1, 2, -1]])
    ),
    "target has shape (2, 3), expected the shape (1, 3) of input, or fewer slots along its class axis 1": lambda: (
        fl.multilabel_margin_loss(np.zeros((1, 3)), [[0, 1, 2]] * 2)
    ),
    "target has shape (3,), expected the shape (1, 3) of input, or fewer slots along its class axis 1": lambda: (
        fl.multilabel_margin_loss(np.zeros((1, 3)), [0, 1, 2])
    ),
    "mask has shape (3,), which does not broadcast": lambda: fl.multilabel_margin_loss(
        np.zeros((2, 3)), np.zeros((2, 3), bool), mask=np.ones(3, bool)
    ),
    "input has shape ()": lambda: fl.multilabel_margin_loss(1.0, 0),
}


@each_backend
@pytest.mark.parametrize("message", REFUSED)
def test_refusals(backend, message):
    with fl.backend(backend), pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}"):
        REFUSED[message]()


@each_backend
@pytest.mark.parametrize("place", [0, 77, 4999])
def test_nothing_is_written_before_a_bad_list_is_refused(backend, place):
    x, target = np.zeros((5000, 4)), np.zeros((5000, 4), int)
    target[place, 2] = 4
    out, grad_out = np.full(5000, 7.0), np.full((5000, 4), 7.0)
    with fl.backend(backend), pytest.raises(ValueError, match=rf"^target\[{place}, 2\] = 4 "):
        fl.multilabel_margin_loss(x, target, reduction="none", return_grad=True, out=out, grad_out=grad_out)
    assert (out == 7).all() and (grad_out == 7).all()


@each_backend
def test_masked_lists_may_hold_anything(backend, rng):
    x, target, mask = rng.normal(size=(6, 5)), np.full((6, 5), 99), np.arange(6) % 2 == 0
    target[mask] = [3, 1, -1, 0, 0]
    with fl.backend(backend):
        value, grad = fl.multilabel_margin_loss(x, target, mask=mask, return_grad=True)
        kept, kept_grad = fl.multilabel_margin_loss(x[mask], target[mask], return_grad=True)
    assert_close(value, kept, np.float64)
    assert_close(grad[mask], kept_grad, np.float64)
    assert not grad[~mask].any()

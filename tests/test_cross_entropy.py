# SPDX-License-Identifier: BSD-3-Clause
"""Cross entropy: kernels against the reference over classes, shapes, class axes, labels and hostile logits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import CLASSES, REDUCTIONS, ROWS, SOFTMAX, against_reference, assert_close, bits

import fastloss as fl

each_case = pytest.mark.parametrize("case", [c for c in SOFTMAX if c.kernel == "cross_entropy"], ids=lambda c: c.name)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@each_case
@each_dtype
@pytest.mark.parametrize("classes", CLASSES)
def test_every_number_of_classes(case, dtype, classes):
    for rows in (1, 2, 15, 16, 17, 37):
        against_reference(case, case.operands((rows, classes), dtype), dtype, f"{rows} rows", reduction="none")
        against_reference(case, case.operands((rows, classes), dtype), dtype, f"{rows} rows")


@each_case
@each_dtype
def test_many_rows_of_few_classes(case, dtype):
    """Across blocks and tiles, where several rows share a vector."""
    for rows in (511, 513, 1365, 4096, 4097, 12289):
        for classes in (1, 2, 3, 10):
            against_reference(case, case.operands((rows, classes), dtype), dtype, f"{rows} x {classes}")


@each_dtype
@pytest.mark.parametrize("function", [fl.cross_entropy, fl.multi_margin_loss], ids=lambda f: f.__name__)
@pytest.mark.parametrize("classes", [3, 4, 5, 7, 32, 35, 63])
def test_rows_of_few_classes_where_they_stand(function, classes, dtype, rng):
    """Rows apart from each other, backwards and not aligned: the bits of contiguous rows, and nothing beside the
    gradients is touched."""
    for n in (1, 7, 8, 9, 16, 300):
        whole, target = rng.normal(size=(2 * n, classes + 5)).astype(dtype), rng.integers(0, classes, n)
        raw = np.zeros(n * classes * whole.itemsize + 1, np.uint8)
        unaligned = raw[1:].view(dtype).reshape(n, classes)
        unaligned[...] = whole[:n, :classes]
        for logits in (whole[:n, 2:-3], whole[n - 1 :: -1, :classes], whole[::2, 1:-4], unaligned):
            value, grad = function(logits.copy(), target, return_grad=True)
            out = np.full((n + 2, classes), 7, dtype)
            assert function(logits, target, return_grad=True, grad_out=out[1:-1])[0] == value
            np.testing.assert_array_equal(out[1:-1], grad)
            assert (out[[0, -1]] == 7).all()


@each_case
@each_dtype
@pytest.mark.parametrize("classes", [1, 2, 10, 65, 1025])
def test_classes_in_the_middle(case, dtype, classes):
    """Class axis 1 of arrays with further axes, over inner sizes around lanes and tiles."""
    for inner in [(1,), (2,), (15,), (16,), (17,), (3, 11), (64,), (2, 3, 5), (1030,)]:
        shape = (3, classes, *inner)
        if math.prod(shape) > 200_000:
            continue
        against_reference(case, case.operands(shape, dtype), dtype, str(shape), reduction="none")
        against_reference(case, case.operands(shape, dtype), dtype, str(shape))


@each_case
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(1,), (7,), (9, 7), (4, 7, 5), (2, 7, 3, 4)], ids=str)
def test_reductions_dtypes_and_shapes(case, dtype, reduction, shape):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    against_reference(case, case.operands(shape, dtype), dtype, reduction=reduction)


@each_case
@each_dtype
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_class_axis(case, dtype, reduction):
    """The same logits with the classes on any axis give the same losses and, moved back, the same gradients."""
    operands = case.operands((6, 10, 4, 5), dtype)
    value, (grad,) = case.gradients(operands, reduction=reduction)
    for axis in (0, 1, 2, 3, -1, -2, -3, -4):
        moved = {**operands, "input": np.ascontiguousarray(np.moveaxis(operands["input"], 1, axis))}
        got, (got_grad,) = case.gradients(moved, reduction=reduction, class_axis=axis)
        assert_close(got, value, dtype, f"axis {axis}")
        assert got_grad.shape == moved["input"].shape
        assert_close(np.moveaxis(got_grad, axis, 1), grad, dtype, f"axis {axis}")


@each_case
@each_dtype
def test_class_axis_last_of_sequences(case, dtype):
    """(batch, sequence, vocabulary): vocabularies within and beyond a tile."""
    for classes in (2, 10, 64, 1030, 5000):
        shape = (3, classes, 7)
        operands = case.operands(shape, dtype)
        operands["input"] = np.ascontiguousarray(np.moveaxis(operands["input"], 1, -1))
        for reduction in ("none", "mean"):
            value, (grad,) = case.gradients(operands, reduction=reduction, class_axis=-1)
            with fl.backend("reference"):
                expected, (expected_grad,) = case.gradients(operands, reduction=reduction, class_axis=-1)
            assert_close(value, expected, dtype, f"{classes} classes")
            assert_close(grad, expected_grad, dtype, f"{classes} classes")


@pytest.mark.parametrize(
    "dtype", [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, ">i4", ">u8"], ids=str
)
def test_any_integer_labels(dtype):
    case = ROWS[1]
    operands = case.operands((50, 10))
    cast = {**operands, "target": operands["target"].astype(dtype)}
    assert bits(case.gradients(cast)) == bits(case.gradients(operands))


@each_dtype
def test_ignored_labels_do_not_count(dtype, rng):
    x = rng.normal(size=(20, 10)).astype(dtype)
    target = rng.integers(0, 10, 20)
    target[[2, 5, 19]] = -100
    weight = rng.uniform(0.5, 2, 10).astype(dtype)
    kept = target != -100
    value, grad = fl.cross_entropy(x, target, weight, return_grad=True)
    expected, expected_grad = fl.cross_entropy(x[kept], target[kept], weight, return_grad=True)
    assert_close(value, expected, dtype)
    assert_close(grad[kept], expected_grad, dtype)
    assert not grad[~kept].any()
    none = fl.cross_entropy(x, target, reduction="none")
    assert none[~kept].tolist() == [0, 0, 0] and (none[kept] > 0).all()


@pytest.mark.parametrize("ignore_index", [-100, -1, 3, 200, -(2**40)])
def test_ignore_index_in_and_out_of_range(ignore_index, rng):
    x, target = rng.normal(size=(20, 10)), rng.integers(0, 10, 20)
    target[4] = ignore_index
    value, grad = fl.cross_entropy(x, target, ignore_index=ignore_index, reduction="none", return_grad=True)
    ignored = target == ignore_index
    assert not value[ignored].any() and not grad[ignored].any() and (value[~ignored] > 0).all()


@each_dtype
def test_all_ignored_is_nan_with_zero_gradient(dtype):
    value, grad = fl.cross_entropy(np.ones((3, 4), dtype), np.full(3, -100), return_grad=True)
    assert math.isnan(value) and not grad.any()
    value, grad = fl.cross_entropy(np.ones((3, 4), dtype), np.full(3, -100), return_grad=True, reduction="sum")
    assert value == 0 and not grad.any()


@each_dtype
def test_ignored_rows_of_nan_do_not_spread(dtype):
    x = np.zeros((3, 4), dtype)
    x[1] = np.nan
    value, grad = fl.cross_entropy(x, [0, -100, 1], return_grad=True)
    assert value == pytest.approx(math.log(4)) and not grad[1].any()


@each_dtype
@pytest.mark.parametrize("shape", [(7, 6), (7, 100), (7, 2000), (7, 6, 5)], ids=str)
def test_nan_spoils_its_row_only(dtype, shape):
    case = ROWS[0]
    operands = case.operands(shape, dtype)
    clean, (clean_grad,) = case.gradients(operands, reduction="none")
    spoilt = operands["input"].copy()
    spoilt[(2, 3, *(1,) * (len(shape) - 2))] = np.nan
    value, (grad,) = case.gradients({**operands, "input": spoilt}, reduction="none")
    bad = np.zeros(value.shape, bool)
    bad[(2, *(1,) * (len(shape) - 2))] = True
    assert np.isnan(value[bad]).all() and bits(value[~bad]) == bits(clean[~bad])
    bad = np.broadcast_to(np.expand_dims(bad, 1), shape)
    assert np.isnan(grad[bad]).all() and bits(grad[~bad]) == bits(clean_grad[~bad])


@each_dtype
@pytest.mark.parametrize("layout", ["rows", "few", "middle"])
@pytest.mark.filterwarnings("error")
def test_infinite_logits(dtype, layout):
    """-inf has probability 0; at the target it costs inf. A row of -inf alone, or with +inf, has no softmax."""
    inf = np.inf
    rows = np.zeros((6, 5), dtype)
    rows[0, 1] = -inf
    rows[1, 0] = -inf
    rows[2, 1:] = -inf
    rows[3, :] = -inf
    rows[4, 2] = inf
    target = np.zeros(6, np.int64)
    if layout == "rows":
        rows = np.concatenate([rows, np.full((6, 95), -inf, dtype)], axis=1)
    if layout == "middle":
        rows = np.ascontiguousarray(rows.T)[np.newaxis]
        target = target[np.newaxis]
    value, grad = fl.cross_entropy(rows, target, reduction="none", return_grad=True)
    with fl.backend("reference"):
        expected, expected_grad = fl.cross_entropy(rows, target, reduction="none", return_grad=True)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(grad, expected_grad, rtol=1e-6, atol=1e-7)
    if layout != "middle":
        assert value[0] == pytest.approx(math.log(4)) and value[1] == inf and value[2] == 0
        assert np.isnan(value[3]) and np.isnan(value[4])
        assert grad[1, :5] == pytest.approx([-1, 0.25, 0.25, 0.25, 0.25])


@each_dtype
@pytest.mark.parametrize("classes", [2, 5, 40, 2000])
def test_small_losses_keep_their_digits(dtype, classes):
    """A sure and right prediction: the loss is log1p(S), not 0, down to the smallest numbers."""
    for gap in (1.0, 10.0, 20.0, 40.0, 80.0):
        x = np.zeros((3, classes), dtype)
        x[:, 0] = gap
        value, grad = fl.cross_entropy(x, [0, 0, 0], reduction="none", return_grad=True)
        rest = (classes - 1) * math.exp(-gap)
        np.testing.assert_allclose(value, math.log1p(rest), rtol=4e-7 if dtype == np.float32 else 1e-14)
        np.testing.assert_allclose(grad[:, 0], -rest / (1 + rest), rtol=4e-7 if dtype == np.float32 else 1e-14)


@each_dtype
@pytest.mark.parametrize("classes", [40, 1030, 7000])
@pytest.mark.parametrize("soft", [False, True])
def test_larger_logits_further_on(dtype, classes, soft):
    """Every tile holds a larger logit than those before, or the first one the largest, or all the same; then infinities
    and nan of either sign behind the first tile."""
    up = np.linspace(-300, 300, classes)
    rows = np.stack([up, up[::-1], np.zeros(classes), np.where(up < 0, -np.inf, up), -(up**2) / 300])
    target = np.array([classes - 1, 0, 5, classes - 2, classes // 2])
    hot = np.eye(classes, dtype=dtype)[target] if soft else target
    x = rows.astype(dtype)
    value, grad = fl.cross_entropy(x, hot, reduction="none", return_grad=True)
    assert bits(fl.cross_entropy(x, hot, reduction="none")) == bits(value)
    wide = x.astype(np.float64)
    e = np.exp(wide - wide.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    others = np.ones(x.shape, bool)
    np.put_along_axis(others, target[:, None], False, 1)
    expected = np.log1p(np.where(others, e, 0).sum(axis=1) / e[~others])
    np.testing.assert_allclose(value, expected, rtol=tolerance)
    rounded = 1 + 300 * np.finfo(dtype).eps / tolerance  # what differences of logits lose before they are exponents
    np.testing.assert_allclose(grad[others], p[others], rtol=rounded * tolerance, atol=np.finfo(dtype).tiny)
    for k, wrong in enumerate((np.nan, -np.nan, np.inf, np.nan, np.nan)):
        x[k, classes - 7] = wrong
    assert np.isnan(fl.cross_entropy(x, hot, reduction="none")).all()
    assert np.isnan(fl.logsumexp(x)).tolist() == [True, True, False, True, True]


@each_dtype
@pytest.mark.parametrize("offset", [1e3, -1e3, 1e5, 3e30, -3e30])
def test_large_logits_neither_overflow_nor_underflow(dtype, offset):
    x = np.full((2, 8), offset, dtype)
    value, grad = fl.cross_entropy(x, [3, 7], reduction="none", return_grad=True)
    np.testing.assert_allclose(value, math.log(8), rtol=1e-6)
    np.testing.assert_allclose(grad[0], np.where(np.arange(8) == 3, -7 / 8, 1 / 8), rtol=1e-6)
    wide = np.array([[offset, -offset]], dtype)
    expected = max(0.0, -2 * offset)
    np.testing.assert_allclose(fl.cross_entropy(wide, [0], reduction="none"), [expected], rtol=1e-6)


def test_one_class_costs_nothing():
    value, grad = fl.cross_entropy(np.random.default_rng(0).normal(size=(5, 1)), np.zeros(5, int), return_grad=True)
    assert value == 0 and not grad.any()


def test_integer_logits_are_computed_in_float64():
    x = np.arange(12).reshape(3, 4)
    value = fl.cross_entropy(x, [1, 2, 3], reduction="none")
    assert value.dtype == np.float64 and bits(value) == bits(fl.cross_entropy(x * 1.0, [1, 2, 3], reduction="none"))

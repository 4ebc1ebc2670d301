# SPDX-License-Identifier: BSD-3-Clause
"""Elementwise losses: kernels against the reference, and the options that all of them share."""

from __future__ import annotations

import importlib
import inspect
import itertools
import warnings

import numpy as np
import pytest
from cases import CASES, ELEMENTWISE, REDUCTIONS, SIZES, Case, against_reference, assert_close, bits

import fastloss as fl

each_case = pytest.mark.parametrize("case", ELEMENTWISE, ids=lambda c: c.name)
all_cases = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_size(case, dtype):
    for size in SIZES:
        against_reference(case, case.operands((size,), dtype), dtype, f"size {size}", reduction="none")
        against_reference(case, case.operands((size,), dtype), dtype, f"size {size}")


@each_case
@each_reduction
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (1,), (4, 5), (3, 5, 700)], ids=str)
def test_reductions_and_dtypes(case, reduction, dtype, shape):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    against_reference(case, case.operands(shape or case.smallest, dtype), dtype, reduction=reduction)


@all_cases
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reductions_agree_with_each_other(case, dtype):
    """The sum is the sum of the values; the mean divides it by the denominator that the gradient is scaled by."""
    operands = case.operands((50, 7), dtype)
    values, (unscaled, *_) = case.gradients(operands, reduction="none")
    total, (of_sum, *_) = case.gradients(operands, reduction="sum")
    mean, (of_mean, *_) = case.gradients(operands, reduction="mean")
    assert_close(total, values.sum(dtype=np.float64), dtype)
    assert bits(of_sum) == bits(unscaled)
    assert_close(of_mean, unscaled.astype(np.float64) * (mean / total), dtype)


@all_cases
@each_reduction
@pytest.mark.parametrize("kind", ["scalar", "array", "broadcast"])
def test_grad_output_multiplies_the_gradient(case, reduction, kind, rng):
    shape = (6, 5, 33)
    operands = case.operands(shape)
    unreduced = case.loss_shape(shape)
    g = {"scalar": -2.5, "array": rng.normal(size=unreduced), "broadcast": rng.normal(size=unreduced[-1:])}[kind]
    value, grads = case.gradients(operands, reduction=reduction, grad_output=g)
    plain_value, plain = case.gradients(operands, reduction=reduction)
    assert bits(value) == bits(plain_value)
    everywhere = case.spread(np.broadcast_to(g, unreduced))
    for name, grad, reference in zip(case.predictions, grads, plain, strict=True):
        if operands[name].shape == shape:
            assert_close(grad, reference * everywhere, np.float64)
        else:  # broadcast: the products are summed, so weigh the gradients of the full shape
            full = {**operands, name: np.broadcast_to(operands[name], shape).copy()}
            index = case.predictions.index(name)
            weighed = case.gradients(full, reduction=reduction)[1][index] * everywhere
            assert_close(grad, weighed.sum(axis=-1, keepdims=True), np.float64)


@all_cases
@each_reduction
def test_mask_leaves_positions_out(case, reduction, rng):
    """As if the masked positions had not been there; in "none" and in the gradient they are 0, even where NaN."""
    shape = (11, 5, 33)
    operands = case.operands(shape)
    unreduced = case.loss_shape(shape)
    mask = rng.random(unreduced) < 0.6
    everywhere = np.broadcast_to(case.spread(mask), shape)
    operands[case.first] = np.where(everywhere, operands[case.first], np.nan)
    value, grads = case.gradients(operands, reduction=reduction, mask=mask)

    clean = {**operands, case.first: np.where(everywhere, operands[case.first], 1.0)}
    values, full = case.gradients(clean, reduction="none", grad_output=mask.astype(np.float64))
    total = np.where(mask, values, 0.0)
    if reduction == "none":
        assert_close(value, total, np.float64)
        denominator = 1.0
    else:
        denominator = counted(case, clean, mask) if reduction == "mean" else 1.0
        assert_close(value, total.sum() / denominator, np.float64)
    for grad, reference in zip(grads, full, strict=True):
        assert_close(grad, reference / denominator, np.float64)
    assert not grads[0][~everywhere].any()


def counted(case: Case, operands: dict, mask: np.ndarray) -> float:
    """The mean's denominator: elements, or weights for weighted l1, mse and cross entropy."""
    if case.lists:
        return float(mask.sum())
    if case.rows and case.kernel != "multi_margin":
        labels = operands["target"]
        ignored = labels == case.options.get("ignore_index", -100)
        weight = operands.get("weight", np.ones(operands["input"].shape[1]))
        return float(np.where(mask & ~ignored, weight[np.where(ignored, 0, labels)], 0.0).sum())
    if "weight" in operands and case.kernel in ("l1", "mse", "quantile"):
        return float(np.where(mask, operands["weight"], 0.0).sum())
    return float(mask.sum())


@all_cases
def test_mask_broadcasts(case):
    operands = case.operands((6, 5, 4))
    unreduced = case.loss_shape((6, 5, 4))
    mask = np.arange(unreduced[-1]) != 1
    full = np.broadcast_to(mask, unreduced)
    assert bits(case.gradients(operands, mask=mask)) == bits(case.gradients(operands, mask=full.copy()))


@all_cases
def test_mean_over_nothing_is_nan_and_its_gradient_zero(case):
    operands = case.operands((4, 5))
    nothing = np.zeros(case.loss_shape((4, 5)), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, grads = case.gradients(operands, mask=nothing)
        assert np.isnan(value)
        assert case.call(operands, mask=nothing, reduction="sum") == 0
    assert all(not grad.any() for grad in grads)


@all_cases
@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4), (2, 3, 0)], ids=str)
def test_empty(case, shape):
    operands = case.operands(shape)
    if case.vectors and shape[-1] == 0:  # vectors without features are at distance 0
        assert np.isfinite(case.call(operands))
        return
    if case.per_sample and shape[-1] == 0:  # a mean over no classes is refused
        with pytest.raises(ValueError, match="C >= 1"):
            case.call(operands)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean, grads = case.gradients(operands)
        none = case.call(operands, reduction="none")
        total = case.call(operands, reduction="sum")
    assert np.isnan(mean) and total == 0 and none.shape == case.loss_shape(shape)
    assert [g.shape for g in grads] == [operands[name].shape for name in case.predictions]


@all_cases
def test_zero_dimensional_results_are_scalars(case):
    operands = case.operands(case.smallest, np.float32)
    value, grads = case.gradients(operands, reduction="none")
    assert type(value) is np.float32
    assert [np.shape(g) for g in grads] == [operands[name].shape for name in case.predictions]
    assert all(g.dtype == np.float32 for g in grads)


@all_cases
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_out_and_grad_out_are_written_and_returned(case, dtype):
    shape = (6, 5, 33)
    operands = case.operands(shape, dtype)
    value, grads = case.gradients(operands, reduction="none")
    out = np.full(case.loss_shape(shape), np.nan, dtype)
    buffers = tuple(np.full_like(g, np.nan) for g in grads)
    grad_out = buffers if len(buffers) > 1 else buffers[0]
    got, got_grads = case.gradients(operands, reduction="none", out=out, grad_out=grad_out)
    assert got is out and all(a is b for a, b in zip(got_grads, buffers, strict=True))
    assert bits(out) == bits(value) and bits(buffers) == bits(grads)
    assert case.call(operands, reduction="none", out=out) is out

    mean, _ = case.gradients(operands, grad_out=grad_out)
    assert bits((mean, *buffers)) == bits((mean, *case.gradients(operands)[1]))


EQUAL = {
    *((name, "input2") for name in ("ranking", "ranking-margin")),
    ("js", "target"),
    ("relative-entropy", "target"),
}  # of the shape of the first operand


@pytest.mark.parametrize(
    ("case", "name"),
    [
        (case, name)
        for case in ELEMENTWISE
        for name in case.operands((6, 5))
        if name != case.first and (case.name, name) not in EQUAL
    ],
    ids=lambda part: getattr(part, "name", part),
)
def test_one_value_stands_for_all(case, name):
    """A scalar or size-1 axes of any operand but the input; its gradient, where it has one, is summed."""
    operands = case.operands((6, 5))
    for shape in [(), (1,), (5,), (1, 5), (6, 1), (1, 1)]:
        small = {**operands, name: np.array(operands[name].flat[0] + np.zeros(shape))}
        if name in ("weight", "var", "pos_weight") and shape:
            small[name] = small[name] + np.arange(small[name].size).reshape(shape)
        full = {**small, name: np.broadcast_to(small[name], (6, 5)).copy()}
        value, grads = case.gradients(small)
        expected, full_grads = case.gradients(full)
        assert_close(value, expected, np.float64, str(shape))
        for k, prediction in enumerate(case.predictions):
            grad = full_grads[k]
            if prediction == name:
                padded = (1,) * (2 - len(shape)) + shape
                axes = tuple(i for i in range(2) if padded[i] == 1)
                grad = grad.sum(axis=axes, keepdims=True).reshape(shape)
            assert grads[k].shape == grad.shape
            assert_close(grads[k], grad, np.float64, f"{shape} {prediction}")


def test_var_of_the_shape_less_its_last_axis():
    """As in torch a variance of input.shape[:-1] holds for the whole last axis, even where it could be broadcast."""
    rng = np.random.default_rng(0)
    for shape in [(4, 3), (3, 3), (2, 4, 3)]:
        x, y, var = rng.normal(size=shape), rng.normal(size=shape), rng.uniform(0.5, 2, shape[:-1])
        value, (gx, gvar) = fl.gaussian_nll_loss(x, y, var, return_grad=True)
        expected, (ex, evar) = fl.gaussian_nll_loss(x, y, var[..., np.newaxis], return_grad=True)
        assert value == expected and bits(gx) == bits(ex)
        assert gvar.shape == var.shape and bits(gvar) == bits(evar)


def test_values_and_gradients_at_kinks():
    """As PyTorch's: l1 at equality is 0; gaussian's clamp passes the gradient as at eps. Equal numbers cost +0."""
    assert fl.l1_loss([1.0], [1.0], return_grad=True)[1] == 0
    assert fl.huber_loss([1.5, -3.0], [0.0, 0.0], delta=1.5, reduction="none", return_grad=True)[1].tolist() == [
        1.5,
        -1.5,
    ]
    _, (_, clamped) = fl.gaussian_nll_loss([2.0], [0.0], [0.0], eps=0.25, return_grad=True)
    _, (_, at_eps) = fl.gaussian_nll_loss([2.0], [0.0], [0.25], eps=0.25, return_grad=True)
    assert clamped == at_eps != 0
    for dtype in (np.float32, np.float64):
        values = fl.quantile_loss(np.array([0.0, -0.0], dtype), np.zeros(2, dtype), reduction="none")
        assert not np.signbit(values).any()


@pytest.mark.parametrize("other", [0.0, -0.0, 0.5, -3.0, np.inf, np.nan, -np.nan, "next to 1", "next to -1"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_of_hinges_see_a_target_that_is_no_sign(dtype, other):
    """Sums take targets of 1 and -1 a shorter way; one other, wherever it stands, has the bits of the long way."""
    if isinstance(other, str):
        one = dtype(other.removeprefix("next to "))
        other = np.nextafter(one, one + one)
    x = (np.arange(80) / 16 - 2).astype(dtype)  # so that sums are exact
    for place in range(0, 80, 3):
        target = np.where(np.arange(80) % 5 < 2, 1, -1).astype(dtype)
        target[place] = other
        value, grad = fl.hinge_embedding_loss(x, target, reduction="sum", return_grad=True)
        values, expected = fl.hinge_embedding_loss(x, target, reduction="none", return_grad=True)
        assert bits(grad) == bits(expected)
        assert bits(value) == bits(fl.hinge_embedding_loss(x, target, reduction="sum"))
        np.testing.assert_equal(value, values.sum(dtype=np.float64))
        assert values[place] == max(x[place], 1) or np.isnan(other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("place", [0, 3000, 8000, 12_287])
def test_sums_of_hinges_go_on_where_a_run_is_taken_again(dtype, place):
    """In tiles whose targets are converted, of which the first or a later one has a target that is no sign."""
    x = (np.arange(12_288) % 80 / 16 - 2).astype(dtype)
    target = np.where(np.arange(12_288) % 5 < 2, 1, -1).astype(np.int8)
    target[place] = 0
    values = fl.hinge_embedding_loss(x, target, reduction="none").astype(np.float64)
    assert fl.hinge_embedding_loss(x, target, reduction="sum") == values.sum()
    assert fl.hinge_embedding_loss(x, target, reduction="sum", return_grad=True)[0] == values.sum()


def block_sum(values):
    """What a block's sum is by contract: 16 sums side by side in float64, folded by halves."""
    with np.errstate(invalid="ignore"):
        lanes = np.cumsum(values.reshape(-1, 16), axis=0, dtype=np.float64)[-1]
        while lanes.size > 1:
            lanes = lanes[: lanes.size // 2] + lanes[lanes.size // 2 :]
    return lanes[0]


LARGEST = float(np.finfo(np.float32).max)
KINDS_OF_DISTANCES = {
    "usual": lambda u: u,
    "zero": lambda u: 0 * u,
    "subnormal": lambda u: np.floor(u * 50) * 2.0**-149,
    "around the least normal": lambda u: np.ldexp(1.0, -128) * (1 + 5 * u),
    "of many digits": lambda u: np.exp2(u * 100 - 50),
    "of every size": lambda u: np.exp2(u * 270 - 145),
    "close to 2^128 together": lambda u: np.where(np.arange(u.size) % 16 == 5, 2.0**120 * (1 - 2.0**-24), u),
    "2^128 together": lambda u: np.where(np.arange(u.size) % 16 == 5, 2.0**120, u),
    "the largest": lambda u: np.where(u < 0.1, LARGEST, u),
    "the largest, early": lambda u: np.where(np.arange(u.size) < 40, LARGEST, u),
    "one infinity": lambda u: np.where(np.arange(u.size) == 4095, np.inf, u),
    "one NaN": lambda u: np.where(np.arange(u.size) == 77, np.nan, u),
    "one NaN with a sign": lambda u: np.where(np.arange(u.size) == 4000, -np.nan, u),
}


def ranking_loss(input, target, **options):
    """max(0, x) of x = input - target."""
    return fl.margin_ranking_loss(input, target, -np.ones(4096, np.float32), **options)


@pytest.mark.parametrize("target", [np.float32, np.int8], ids=["at once", "by tiles"])
@pytest.mark.parametrize("kind", KINDS_OF_DISTANCES)
@pytest.mark.parametrize("sign", [1, -1])
def test_sums_of_floats_without_sign(kind, target, sign, rng):
    """Their bits are put into doubles as they are, and added so as long as nothing but small floats is met."""
    x = sign * KINDS_OF_DISTANCES[kind](rng.random(4096)).astype(np.float32)
    y = np.zeros(4096, target)
    losses = {
        fl.l1_loss: {}, fl.mse_loss: {}, fl.huber_loss: {"delta": 0.5}, fl.smooth_l1_loss: {"beta": 0.5},
        fl.quantile_loss: {"q": 0.7}, fl.mape_loss: {}, fl.smape_loss: {}, ranking_loss: {},
    }  # fmt: skip
    for function, options in losses.items():
        values, grads = function(x, y, reduction="none", return_grad=True, **options)
        value, found = function(x, y, reduction="sum", return_grad=True, **options)
        np.testing.assert_equal(value, block_sum(values), err_msg=function.__name__)
        assert bits(found) == bits(grads), function.__name__
        np.testing.assert_equal(function(x, y, reduction="sum", **options), value)


def check_against_hessian(function, x, y, **options):
    """Values and gradients beside those of a call with Hessians, which never skips a bound; NaN may have any sign."""
    full = function(x, y, reduction="none", return_grad=True, return_hess=True, **options)
    value, grad = function(x, y, reduction="none", return_grad=True, **options)
    for found, expected in ((value, full[0]), (grad, full[1]), (function(x, y, reduction="none", **options), value)):
        np.testing.assert_array_equal(found, expected)
        number = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found[number]), np.signbit(expected[number]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("power", [1.02, 1.5, 1.97])
@pytest.mark.parametrize("far", [None, "large", "small", "inf", "-inf", "nan", "tiny", "-0", "endless", "undefined"])
def test_moderate_operands_skip_bounds_and_change_no_bit(far, power, dtype, rng):
    """Whether a piece has moderate operands alone, or one that is not; Hessians never skip them."""
    info, n = np.finfo(dtype), 2003
    bound, least = (64, 2.0**-100) if dtype == np.float32 else (500, 2.0**-900)
    x = rng.uniform(-bound, bound, n).astype(dtype)
    x[500:1000] = rng.normal(0, 1, 500)
    x[-3:] = [bound, -bound, 0]
    y = np.where(rng.random(n) < 0.2, 0, np.exp(x * rng.choice([1, 0.5], n))).astype(dtype)
    y[900:] = np.exp(x[900:])  # the gradient cancels
    y[3:6] = [info.max, 1, least]
    numbers = {
        "large": (3 * bound, 1), "small": (-3 * bound, 1), "inf": (np.inf, 1), "-inf": (-np.inf, 1),
        "nan": (np.nan, 1), "tiny": (0, info.smallest_subnormal), "-0": (0, -0.0), "endless": (0, np.inf),
        "undefined": (0, np.nan),
    }  # fmt: skip
    if far is not None:
        x[77::250], y[77::250] = numbers[far]
    check_against_hessian(fl.tweedie_nll_loss, x, y, power=power)
    for bad in (-1, -info.smallest_subnormal, -np.inf):
        y[1234] = bad
        for with_grad in (False, True):
            with pytest.raises(ValueError, match=r"target\[1234\]"):
                fl.tweedie_nll_loss(x, y, power=power, return_grad=with_grad)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("far", [None, "large", "inf", "both", "nan", "huge", "not so low", "beside huge", "above"])
def test_moderate_logarithms_skip_bounds_and_change_no_bit(far, dtype, rng):
    """The same of `msle_loss`, whose domain is the numbers above -1."""
    info, n = np.finfo(dtype), 2003
    huge, most = dtype(2.0 ** (100 if dtype == np.float32 else 900)), dtype(info.max)
    x, y = (np.exp(rng.normal(0, 3, n)).astype(dtype) - dtype(1) for _ in range(2))
    x[:4] = [info.epsneg - 1, 0, -0.0, info.smallest_subnormal]
    x[500:900] = y[500:900]
    x[-3:], y[-3:] = [huge / 4096, huge / 2048, info.max], [1, 0, info.max / 2]  # just near
    numbers = {
        "large": (info.max, 3), "inf": (np.inf, 1), "both": (np.inf, np.inf), "nan": (1, np.nan),
        "huge": (2 * huge, 1), "not so low": (info.max, 4096), "beside huge": (np.nextafter(huge, most), 1023),
        "above": (np.nextafter(dtype(huge / 2048), most), 0),
    }  # fmt: skip
    if far is not None:
        x[77::250], y[77::250] = numbers[far]
        x[78::250], y[78::250] = numbers[far][::-1]
    check_against_hessian(fl.msle_loss, x, y)
    for bad, (name, operand), with_grad in itertools.product(
        (-1, -1.5, -np.inf), (("input", x), ("target", y)), (False, True)
    ):
        before, operand[1234] = operand[1234], bad
        with pytest.raises(ValueError, match=rf"{name}\[1234\]"):
            fl.msle_loss(x, y, return_grad=with_grad)
        operand[1234] = before


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_stays_with_its_element(case, dtype):
    operands = case.operands((4100, 1) if case.per_sample else (4100,), dtype)
    clean, clean_grads = case.gradients(operands, reduction="none")
    for name in [n for n in operands if n != "weight" and operands[n].size == 4100]:
        spoilt = {**operands, name: operands[name].copy()}
        spoilt[name].flat[[3, 1027, 4099]] = np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            value, grads = case.gradients(spoilt, reduction="none")
            assert np.isnan(case.call(spoilt))
        for a, b in zip((value, *grads), (clean, *clean_grads), strict=True):
            if a.size != value.size:  # a sum over broadcast axes, with the NaN in it
                assert np.isnan(a).all()
                continue
            assert np.flatnonzero(np.isnan(a)).tolist() in ([3, 1027, 4099], [])
            kept = np.delete(a, [3, 1027, 4099])
            assert bits(kept) == bits(np.delete(b, [3, 1027, 4099]))
        own = grads[case.predictions.index(name) if name in case.predictions else 0]
        assert np.isnan(value[[3, 1027, 4099]]).all() and np.isnan(own.flat[[3, 1027, 4099]]).all()


@pytest.mark.parametrize("case", [c for c in ELEMENTWISE if "input" not in c.bounds], ids=lambda c: c.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.filterwarnings("error")
def test_infinite_and_huge_inputs(case, dtype):
    """Overflow and infinities go through as the definition has them."""
    huge = float(np.finfo(dtype).max) / 8  # room for the factor 2 and weights
    x = np.array([np.inf, -np.inf, huge, -huge, 1.0, 1.0, np.inf, 1e-40, 0.0, -0.0], dtype)
    y = np.array([0.0, 0.0, 0.0, 0.0, np.inf, -np.inf, np.inf, 0.0, 0.0, 0.0], dtype)
    if "logits" in case.kernel or "focal" in case.kernel:
        y = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1], dtype)
    if "nll" in case.function:
        y[np.isinf(y)] = 2  # counts and amounts are finite
    shape = (10, 1) if case.per_sample else (10,)
    hard = dict(zip(case.operands(shape), (x.reshape(shape), y.reshape(shape)), strict=False))  # the first two
    operands = {**case.operands(shape, dtype), **hard}
    for name, (low, high) in case.bounds.items():
        low = max(low, np.finfo(dtype).tiny) if low > 0 else low
        operands[name] = np.clip(operands[name], low, high).astype(dtype)
    value, grads = case.gradients(operands, reduction="none")
    with fl.backend("reference"):
        expected, expected_grads = case.gradients(operands, reduction="none")
    for a, b in zip((value, *grads), (expected, *expected_grads), strict=True):
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        np.testing.assert_array_equal(np.isinf(a), np.isinf(b))
        finite = np.isfinite(b)
        eps, tiny = np.finfo(dtype).eps, np.finfo(dtype).smallest_subnormal
        np.testing.assert_allclose(a[finite], b[finite], rtol=32 * eps, atol=2 * tiny)


@each_case
def test_integers_are_data(case):
    """All integers: computed in float64. Beside float32: rounded to it."""
    least = max((low for low, _ in case.bounds.values()), default=1)
    integers = np.arange(12).reshape(3, 4) % (2 if case.bounds and least <= 0 else 3) + (least > 0)
    operands = dict.fromkeys(case.operands((3, 4)), integers)
    value = case.call(operands, reduction="none")
    as_float = {k: v.astype(np.float64) for k, v in operands.items()}
    assert value.dtype == np.float64 and bits(value) == bits(case.call(as_float, reduction="none"))
    mixed = {**operands, case.first: operands[case.first].astype(np.float32)}
    value = case.call(mixed, reduction="none")
    as_single = {k: v.astype(np.float32) for k, v in operands.items()}
    assert value.dtype == np.float32 and bits(value) == bits(case.call(as_single, reduction="none"))


@each_case
def test_mixed_precision_is_computed_in_the_widest(case):
    operands = case.operands((40,), np.float32)
    last = "target" if "target" in operands else list(operands)[-1]
    mixed = {**operands, last: operands[last].astype(np.float64)}
    widened = {k: v.astype(np.float64) for k, v in operands.items()}
    value = case.call(mixed, reduction="none")
    assert value.dtype == np.float64 and bits(value) == bits(case.call(widened, reduction="none"))


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("target", [None, bool, np.uint8, np.int32])
def test_the_fast_path_has_the_bits_of_the_general_one(case, dtype, target, rng):
    """With weights, masks and integers of the input's shape; an array scalar as grad_output takes the general path."""
    shape = (100, 50)
    drawn = {k: a for k, a in case.operands(shape, dtype).items() if k != "weight"}
    operands = {k: np.broadcast_to(a, shape).copy() for k, a in drawn.items()}
    if target is not None and len(operands) > 1:
        operands["target" if "target" in operands else list(operands)[-1]] = (
            rng.integers(0, 2, shape) + (case.bounds.get("target", (0,))[0] > 0)
        ).astype(target)
    weights = [{}]
    if "weight" in inspect.signature(getattr(fl, case.function)).parameters:
        weights += [{"weight": rng.integers(0, 9, shape).astype(dtype)}, {"weight": rng.integers(0, 9, shape)}]
    masks = None, rng.random(case.loss_shape(shape)) < 0.8
    for weight, mask, reduction in itertools.product(weights, masks, REDUCTIONS):
        options = {"reduction": reduction, "mask": mask}
        fast = case.gradients({**operands, **weight}, **options)
        general = case.gradients({**operands, **weight}, **options, grad_output=np.float64(1))
        assert bits(fast) == bits(general) and fast[1][0].dtype == dtype


@pytest.mark.parametrize("topic", ["binary", "likelihood", "regression", "relative", "quantile"])
def test_every_loss_takes_weights_and_a_mask(topic):
    for name in importlib.import_module(f"fastloss.{topic}").__all__:
        known = inspect.signature(getattr(fl, name)).parameters
        assert {"weight", "mask"} <= set(known), name


@each_case
def test_weights_multiply_elements(case, rng):
    """With "sum", value and gradients are those of weight=1, weighed."""
    operands = case.operands((3, 40))
    if (
        "weight" not in inspect.signature(getattr(fl, case.function)).parameters
        or "weight" in operands
        or case.per_sample
    ):
        return
    weight, mask = rng.uniform(0, 2, (3, 40)), rng.random((3, 40)) < 0.7
    against_reference(case, {**operands, "weight": weight}, np.float64, mask=mask)
    values, full = case.gradients(operands, reduction="none", grad_output=weight * mask)
    value, grads = case.gradients({**operands, "weight": weight}, reduction="sum", mask=mask)
    assert_close(value, (values * weight * mask).sum(), np.float64)
    for grad, expected in zip(grads, full, strict=True):
        assert_close(grad, expected, np.float64)


@pytest.mark.parametrize("general", [False, True])
def test_weights_and_masks_that_share_memory_with_an_output_are_refused(general):
    x, y, w = np.ones((3, 40))
    options = {"return_grad": True, "grad_output": np.float64(1) if general else None}
    with pytest.raises(ValueError, match="grad_out overlaps"):
        fl.mse_loss(x, y, w, grad_out=w, **options)
    mask = w.view(bool)[:40]
    with pytest.raises(ValueError, match="grad_out overlaps"):
        fl.mse_loss(x, y, mask=mask, grad_out=w, **options)


DOMAINS = [  # loss, inside its domain of targets (NaN is, and makes its element NaN), outside
    (fl.poisson_nll_loss, (0.0, -0.0, np.inf, np.nan, -np.nan), (-1.0, -1e-45, -np.inf), "is negative"),
    (fl.gamma_nll_loss, (1e-45, 2.0, np.nan, -np.nan), (0.0, -0.0, -1e-45, -np.inf), "is not positive"),
    (
        fl.binary_cross_entropy,
        (0.0, -0.0, 1.0, np.nan, -np.nan),
        (-1e-45, np.nextafter(np.float32(1), np.float32(2)), np.inf),
        None,
    ),
]


@pytest.mark.parametrize("loss, inside, outside, words", DOMAINS, ids=lambda x: getattr(x, "__name__", ""))
@pytest.mark.parametrize("place", [0, 37, 1029])
def test_the_ends_of_domains(loss, inside, outside, words, place):
    """Ends, signed zeros and NaN of either sign, in whole lanes and behind them; masked elements may be anything."""
    x, mask = np.full(1030, 0.5, np.float32), np.ones(1030, bool)
    mask[place] = False
    for value in inside:
        target = np.full(1030, 0.5, np.float32)
        target[place] = value
        assert np.isnan(loss(x, target, reduction="none")[place]) == np.isnan(value)
    for value in outside:
        target = np.full(1030, 0.5, np.float32)
        target[place] = value
        with pytest.raises(ValueError, match=rf"target\[{place}\] = .* {words or 'is outside'}"):
            loss(x, target)
        assert loss(x, target, mask=mask) == pytest.approx(loss(x[:9], np.full(9, 0.5, np.float32)), rel=1e-12)

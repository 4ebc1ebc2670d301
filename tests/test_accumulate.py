# SPDX-License-Identifier: BSD-3-Clause
"""Accumulators: any split of the data, in any order of merging, gives the value of one call."""

from __future__ import annotations

import itertools
import math
import pickle

import numpy as np
import pytest
from cases import CASES

import fastloss as fl
from fastloss.samples import QUANTILES, Samples

SHAPES = {False: (301, 3), True: (301, 7)}


def arguments(case, rng):
    """Operands by name, each either of one entry per sample or, in the second dict, the same for all."""
    shape = SHAPES[case.rows]
    operands = case.operands(shape)
    shared = {k: v for k, v in operands.items() if v.ndim == 0 or v.shape[0] != shape[0]}
    return {k: v for k, v in operands.items() if k not in shared}, {**shared, **case.options}


def ragged(rng, n):
    """Bounds of random parts of n samples, some empty."""
    return [0, *sorted(rng.integers(0, n + 1, rng.integers(0, 8))), n]


def of_dtype(operands, dtype):
    """The operands with floating-point ones in this dtype."""
    return {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in operands.items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_any_split_is_one_call(case, reduction, dtype, rng):
    """Of float32 too: nothing is summed in it."""
    parts, options = arguments(case, rng)
    parts = of_dtype(parts, dtype)
    function = getattr(fl, case.function)
    expected = function(**parts, **options, reduction=reduction)
    for _ in range(5):
        bounds = ragged(rng, SHAPES[case.rows][0])
        accumulators = []
        for first, last in itertools.pairwise(bounds):
            one = fl.Accumulator(function, reduction=reduction, **options)
            one.update(**{k: v[first:last] for k, v in parts.items()})
            accumulators.append(pickle.loads(pickle.dumps(one)))
        total = accumulators[0]
        for other in accumulators[1:]:
            total = total + other
        assert total.compute() == pytest.approx(expected, rel=1e-13)
        assert type(total.compute()) is np.float64


def test_statistics_are_those_of_the_samples(rng):
    x, target = rng.normal(size=(50, 4)), rng.integers(0, 4, 50)
    target[7] = -100
    total = fl.Accumulator("cross_entropy", per_sample=True)
    for k in range(0, 50, 20):
        total.update(x[k : k + 20], target[k : k + 20])
    losses = fl.cross_entropy(x, target, reduction="none")
    kept = np.delete(losses, 7)
    found = total.statistics(worst=3)
    assert found["n"] == 49 and math.isnan(total.losses()[7]) and not total.counted()[7]
    assert found["mean"] == pytest.approx(kept.mean()) and found["std"] == pytest.approx(kept.std())
    assert (found["min"], found["max"]) == (kept.min(), kept.max())
    assert found["quantiles"]["0.5"] == pytest.approx(np.median(kept))
    order = np.argsort(-losses)[:3]
    assert found["worst"] == [(i, losses[i]) for i in order]
    assert total.compute() == pytest.approx(fl.cross_entropy(x, target))


def test_the_root_is_taken_last(rng):
    x, y = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    total = fl.Accumulator(fl.rmse_loss, per_sample=True, eps=0.5)
    for k in range(0, 50, 20):
        total.update(x[k : k + 20], y[k : k + 20])
    assert pickle.loads(pickle.dumps(total)).compute() == pytest.approx(fl.rmse_loss(x, y, eps=0.5), rel=1e-14)
    np.testing.assert_allclose(total.losses(), [fl.rmse_loss(a, b, eps=0.5) for a, b in zip(x, y, strict=True)])
    with pytest.raises(ValueError, match="must be 'mean' for rmse_loss"):
        fl.Accumulator(fl.rmse_loss, reduction="sum")


SIZES_OF_ROOTS = [
    (np.float32, (1e25, 1e20, 3e38, 1e-44, 1e-30, 1.0, 1e18)),
    (np.float64, (1e300, 1e200, 1.7e308, 1e-300, 1e-200, 1.0, 1e153, 1.2e154)),
]


@pytest.mark.parametrize(("dtype", "sizes"), SIZES_OF_ROOTS)
@pytest.mark.parametrize("reverse", [False, True])
def test_squares_beyond_the_working_type(dtype, sizes, reverse, rng):
    """Parts whose squares overflow or vanish, in any company, and samples of all sizes in one part."""
    y = rng.uniform(-1, 1, size=(40, 3)).astype(dtype)
    for first, second in itertools.product(sizes, sizes):
        scale = np.array([first] * 20 + [second] * 20, dtype)[:: -1 if reverse else 1, None]
        with np.errstate(over="ignore", under="ignore"):
            x = y * scale
        parts = [fl.Accumulator("rmse_loss", per_sample=True) for _ in range(2)]
        for k, part in enumerate(parts):
            part.update(x[20 * k : 20 * k + 20], 0.0 * y[20 * k : 20 * k + 20])
        total = pickle.loads(pickle.dumps(parts[0])) + parts[1]
        expected = fl.rmse_loss(x, 0.0 * y)
        tiny = 1e-6 if dtype is np.float32 else 1e-13
        assert 0 < expected < math.inf and total.compute() == pytest.approx(expected, rel=tiny)
        total.update(x, 0.0 * y)
        assert total.compute() == pytest.approx(expected, rel=tiny)
        losses = [fl.rmse_loss(row, np.zeros(3, dtype)) for row in x]
        np.testing.assert_allclose(total.losses(), [*losses, *losses], rtol=tiny)


def test_infinity_nan_and_masks_under_the_root():
    x = np.array([[np.inf, 1.0], [1e30, 1.0], [np.nan, 2.0], [1e30, 2.0]], np.float32)
    mask = np.array([[True, True], [True, True], [True, True], [False, True]])
    total = fl.Accumulator("rmse_loss", per_sample=True, eps=4.0)
    total.update(x, np.zeros_like(x), mask=mask)
    np.testing.assert_allclose(total.losses(), [np.inf, 1e30 / 2**0.5, np.nan, 8**0.5], rtol=1e-7)
    assert math.isnan(total.compute())
    total.reset()
    total.update(x[3:], np.zeros((1, 2), np.float32), mask=mask[3:])
    assert total.compute() == pytest.approx(8**0.5)
    total.update(np.full((1, 2), 1e30, np.float32), np.zeros((1, 2), np.float32), [[-1.0, 0.5]])
    assert math.isnan(total.compute()) and math.isnan(total.losses()[1])


def test_batchmean_divides_by_the_samples(rng):
    x, y = rng.normal(size=(50, 3)), rng.uniform(size=(50, 3))
    total = fl.Accumulator(fl.kl_div, reduction="batchmean")
    for k in range(0, 50, 20):
        total.update(x[k : k + 20], y[k : k + 20])
    assert total.compute() == pytest.approx(fl.kl_div(x, y, reduction="batchmean"), rel=1e-14)


def test_mask_differs_by_part():
    total = fl.Accumulator(fl.mse_loss, per_sample=True)
    total.update([1.0, 2.0], [0.0, 0.0], mask=[True, False])
    total.update([3.0], [0.0], mask=[False])
    assert total.compute() == 1.0 and total.counted().tolist() == [True, False, False]
    assert total.statistics()["n"] == 1


def test_rounding_errors_are_kept():
    total = fl.Accumulator(fl.l1_loss, reduction="sum")
    for x in (1e16, *[1.0] * 1000):
        total.update([x], [0.0])
    assert total.compute() == 1e16 + 1000


def test_infinity_nan_and_nothing():
    total = fl.Accumulator(fl.l1_loss)
    assert math.isnan(total.compute())
    total.update(np.empty(0), np.empty(0))
    assert math.isnan(total.compute())
    total.update([np.inf], [0.0])
    assert total.compute() == np.inf
    total.update([np.nan], [0.0])
    assert math.isnan(total.compute())
    total.reset()
    total.update([2.0], [0.0])
    assert total.compute() == 2.0 and "l1_loss" in repr(total)


def test_nothing_is_added_after_an_error():
    total = fl.Accumulator(fl.cross_entropy, per_sample=True)
    total.update([[1.0, 2.0]], [0])
    before = total.compute()
    with pytest.raises(ValueError, match=r"target\[0\] = 7 is out of range"):
        total.update([[1.0, 2.0]], [7])
    assert total.compute() == before and len(total.losses()) == 1


def test_refusals():
    with pytest.raises(ValueError, match="got 'nonsense'"):
        fl.Accumulator("nonsense")
    with pytest.raises(ValueError, match="must be a loss function"):
        fl.Accumulator(fl.MSELoss)
    with pytest.raises(ValueError, match="must be a loss function"):
        fl.Accumulator(fl.verify.__class__)
    with pytest.raises(ValueError, match="no reduction"):
        fl.Accumulator("verify")
    with pytest.raises(TypeError, match="no option 'return_grad'"):
        fl.Accumulator(fl.mse_loss, return_grad=True)
    with pytest.raises(ValueError, match="got 'none'"):
        fl.Accumulator(fl.mse_loss, reduction="none")
    with pytest.raises(ValueError, match="keeps no losses"):
        fl.Accumulator(fl.mse_loss).statistics()
    with pytest.raises(ValueError, match="different losses: mse_loss"):
        fl.Accumulator(fl.mse_loss).merge(fl.Accumulator(fl.l1_loss))
    with pytest.raises(TypeError, match="must be an Accumulator"):
        fl.Accumulator(fl.mse_loss).merge(1)
    with pytest.raises(TypeError):
        fl.Accumulator(fl.mse_loss) + 1


SPLITS = 200


def ctc_parts(rng, n):
    shape = (12, n, 5)
    targets, lengths = rng.integers(1, 5, (n, 4)), rng.integers(0, 5, n)
    return {
        "log_probs": rng.normal(size=shape),
        "targets": targets,
        "input_lengths": np.full(n, 12),
        "target_lengths": lengths,
    }


def split_cases(rng, n):
    """(loss, parts, options, axes other than 0): weights per position and per class, masks, ignored labels, CTC."""
    x, y = rng.normal(size=(n, 5)), rng.normal(size=(n, 5))
    labels = rng.integers(0, 5, n)
    yield "mse_loss", {"input": x, "target": y, "weight": rng.uniform(size=(n, 5))}, {}, {}
    yield "huber_loss", {"input": x, "target": y, "mask": rng.uniform(size=(n, 5)) < 0.3}, {"delta": 0.5}, {}
    yield "rmse_loss", {"input": x, "target": y}, {}, {}
    yield "kl_div", {"input": x, "target": rng.uniform(size=(n, 5))}, {"reduction": "batchmean"}, {}
    yield "multilabel_soft_margin_loss", {"input": x, "target": y > 0}, {"weight": rng.uniform(size=5)}, {}
    ignored = np.where(rng.uniform(size=n) < 0.4, -100, labels)
    yield "cross_entropy", {"input": x, "target": ignored}, {"weight": rng.uniform(size=5)}, {}
    yield "cross_entropy", {"input": x, "target": labels, "mask": labels > 1}, {"reduction": "sum"}, {}
    single = {"input": x.astype(np.float32), "target": labels}
    yield "cross_entropy", single, {"label_smoothing": 0.1}, {}
    yield "focal_loss", single, {}, {}
    narrow = {"input": x.astype(np.float32), "target": y.astype(np.float32)}
    for name in ("l1_loss", "mse_loss", "huber_loss", "smooth_l1_loss", "quantile_loss", "log_cosh_loss"):
        yield name, narrow, {}, {}
    yield "binary_cross_entropy_with_logits", {**narrow, "target": y > 0}, {}, {}
    yield "ctc_loss", ctc_parts(rng, n), {}, {"log_probs": 1}
    yield "linear_cross_entropy", {"input": x, "target": labels}, {"linear_weight": rng.normal(size=(5, 5))}, {}


@pytest.mark.parametrize("k", range(18))
def test_two_hundred_ragged_splits(k, rng):
    """Merged in a random tree: to 1e-12, statistics included."""
    n = 97
    name, parts, options, axes = list(split_cases(rng, n))[k]
    expected = getattr(fl, name)(**parts, **options)
    whole = fl.Accumulator(name, per_sample=True, **options)
    whole.update(**parts)
    for _ in range(SPLITS):
        found = []
        for first, last in itertools.pairwise(ragged(rng, n)):
            one = fl.Accumulator(name, per_sample=True, **options)
            one.update(**{a: np.take(v, range(first, last), axes.get(a, 0)) for a, v in parts.items()})
            found.append(one)
        while len(found) > 1:
            at = rng.integers(len(found) - 1)
            found[at : at + 2] = [found[at] + found[at + 1]]
        assert found[0].compute() == pytest.approx(expected, rel=1e-12)
        np.testing.assert_array_equal(found[0].losses(), whole.losses())
    assert found[0].statistics(5) == whole.statistics(5)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_samples_change_no_bit_of_the_value(case, rng):
    """One pass gives both; float32 too, whose sums round."""
    parts, options = arguments(case, rng)
    for operands in (parts, of_dtype(parts, np.float32)):
        plain, both = (fl.Accumulator(case.function, per_sample=s, **options) for s in (False, True))
        plain.update(**operands)
        both.update(**operands)
        assert plain.compute() == pytest.approx(both.compute(), rel=1e-14)


@pytest.mark.parametrize("n", [1, 2, 5, 200_000])
def test_statistics_against_numpy(n, rng):
    """Quantiles without a sort, worst samples piece by piece: numbers of all sizes, equal ones, infinities."""
    wide = rng.normal(size=n) * 10.0 ** rng.integers(-300, 300, n)
    for losses in (wide, rng.integers(-2, 3, n) * 1.0, np.where(rng.uniform(size=n) < 0.3, np.inf, 1.0)):
        samples = Samples()
        samples.append(losses, np.ones(n, bool))
        found = samples.statistics()
        with np.errstate(over="ignore", invalid="ignore"):
            expected = np.quantile(losses, [float(q) for q in QUANTILES])
            above = np.quantile(losses, [float(q) for q in QUANTILES], method="higher")
            expected = np.where(np.isnan(expected), above, expected)
        np.testing.assert_allclose(list(found["quantiles"].values()), expected, rtol=1e-13)
        assert (found["min"], found["max"]) == (losses.min(), losses.max())
        order = np.argsort(-losses, kind="stable")[:7]
        index, worst = samples.worst(7)
        np.testing.assert_array_equal(index, order)
        np.testing.assert_array_equal(worst, losses[order])


def test_a_sample_takes_eight_bytes(rng):
    samples = Samples()
    losses, counted = rng.normal(size=1000), rng.uniform(size=1000) < 0.5
    losses[::7] = np.nan
    for _ in range(300):
        samples.append(losses, counted)
    again = pickle.loads(pickle.dumps(samples))
    assert len(pickle.dumps(samples)) < 8 * 300_000 + 1000
    np.testing.assert_array_equal(again.counted(), np.tile(counted, 300))
    np.testing.assert_array_equal(again.losses(), np.tile(np.where(counted, losses, np.nan), 300))
    assert again.statistics()["n"] == 300 * counted.sum() and np.isnan(again.statistics()["quantiles"]["0.5"])
    assert np.isnan(again.worst(3)[1]).all() and len(samples.worst(0)[0]) == 0

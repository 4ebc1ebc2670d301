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


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_any_split_is_one_call(case, reduction, rng):
    parts, options = arguments(case, rng)
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

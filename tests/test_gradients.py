# SPDX-License-Identifier: BSD-3-Clause
"""Gradients against central differences of the value in float64, which share nothing with the derivation."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES, REDUCTIONS

KINKED = ("l1", "huber", "smooth_l1", "quantile", "mape", "smape")
each_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


def smooth(case, shape, seed):
    """Operands where the gradient is the slope: var above eps, since the clamp passes the gradient as at eps."""
    operands = case.operands(shape, seed=seed)
    if "var" in operands:
        operands["var"] += case.options.get("eps", 0)
    if case.options.get("from_logits") is False:  # differences of log(p) need p to be large beside their step
        operands["input"] = np.maximum(operands["input"], 0.2)
    return operands


def central_differences(case, operands, name, **options):
    """d(sum of the result) / d(operand `name`), one coordinate after the other."""
    slope = np.empty(operands[name].shape)
    for place in np.ndindex(*slope.shape):
        step = 1e-5 * max(1.0, abs(operands[name][place]))
        ends = []
        for sign in (1, -1):
            moved = operands[name].copy()
            moved[place] += sign * step
            ends.append(np.sum(case.call({**operands, name: moved}, **options)))
        slope[place] = (ends[0] - ends[1]) / (2 * step)
    return slope


def noise(value):
    """What rounding of the sum of `value` makes of a difference over a step of 1e-5, beside 1e-9."""
    return 1e-9 + np.finfo(float).eps * abs(float(np.sum(value))) / 1e-5


@each_case
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 3, 4)], ids=str)
def test_each_coordinate(case, reduction, shape):
    operands = smooth(case, shape, seed=3)
    value, grads = case.gradients(operands, reduction=reduction)
    for name, grad in zip(case.predictions, grads, strict=True):
        slope = central_differences(case, operands, name, reduction=reduction)
        np.testing.assert_allclose(grad, slope, rtol=2e-7, atol=noise(value), err_msg=name)


@each_case
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_mask_and_class_weights_in_the_denominator(case, reduction, rng):
    operands = smooth(case, (4, 3, 2), seed=4)
    mask = rng.random(case.loss_shape((4, 3, 2))) < 0.7
    value, grads = case.gradients(operands, reduction=reduction, mask=mask)
    for name, grad in zip(case.predictions, grads, strict=True):
        slope = central_differences(case, operands, name, reduction=reduction, mask=mask)
        np.testing.assert_allclose(grad, slope, rtol=2e-7, atol=noise(value), err_msg=name)


@each_case
def test_along_random_directions_of_a_large_input(case, rng):
    """Across blocks: the slope of the mean along a direction is the gradient's product with it."""
    operands = smooth(case, (1500, 10), seed=5)
    _, grads = case.gradients(operands)
    for name, grad in zip(case.predictions, grads, strict=True):
        direction = rng.normal(size=grad.shape)
        if name == "input" and case.kernel in KINKED:  # no step across a kink, nor where the slope is steep
            direction[np.abs(operands["input"] - operands["target"]) < 1e-3] = 0
            direction[np.minimum(np.abs(operands["input"]), np.abs(operands["target"])) < 1e-2] = 0
        if name == "var":
            direction = np.clip(direction, -1, 1)
        step = 1e-6
        ends = [case.call({**operands, name: operands[name] + s * step * direction}) for s in (1, -1)]
        assert np.sum(grad * direction) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-8)

# SPDX-License-Identifier: BSD-3-Clause
"""The reference against published values and against mpmath: what the kernels are checked by must itself be right."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from cases import ELEMENTWISE

import fastloss as fl
from fastloss.reference import elementwise, softmax


@pytest.fixture(autouse=True, params=["reference", "native"])
def each_backend(request):
    with fl.backend(request.param):
        yield


def test_optax_huber():
    """The values of the test of `huber_loss` in Optax."""
    x = [-2.0, 0.5, 0.0, 0.5, 2.0, 4.0, 132.0]
    y = [0.0, -0.5, 0.0, 1.0, 1.0, 2.0, 0.3]
    expected = [1.5, 0.5, 0.0, 0.125, 0.5, 1.5, 131.2]
    np.testing.assert_allclose(fl.huber_loss(x, y, reduction="none"), expected, rtol=1e-14)


def test_optax_softmax_cross_entropy():
    """The values of the tests of `softmax_cross_entropy` and `safe_softmax_cross_entropy` in Optax."""
    x = [[10.0, 1.0, -2.0], [1.0, 4.0, 0.2], [-np.inf, 0.0, -np.inf]]
    np.testing.assert_allclose(fl.cross_entropy(x, [1, 0, 1], reduction="none"), [9.00013, 3.0696733, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ([-1e9, -1e-9], [1.0, 0.0], 5e8),
        ([-1e9, -1e-9], [0.0, 1.0], 0.3465736),
        ([1e9, -1e-9], [0.0, 1.0], 5e8),
        ([0.0, 0.0], [1.0, 0.0], 0.6931472),
    ],
)
def test_optax_sigmoid_cross_entropy(x, y, expected):
    """The values of the test of `sigmoid_binary_cross_entropy` in Optax."""
    assert fl.binary_cross_entropy_with_logits(x, y) == pytest.approx(expected, rel=1e-6)


def test_scikit_learn_log_loss():
    """The value of the test of `log_loss` in scikit-learn: logits that are log-probabilities."""
    p = np.array([[0.5, 0.5], [0.1, 0.9], [0.01, 0.99], [0.9, 0.1], [0.75, 0.25], [0.001, 0.999]])
    assert fl.cross_entropy(np.log(p), [0, 0, 0, 1, 1, 1]) == pytest.approx(1.8817971, abs=5e-8)


def test_gaussian_entropy():
    """The negative log-likelihood of a standard normal at its mean and one deviation off."""
    expected = [0.918938533204672741780329736406, 1.418938533204672741780329736406]
    np.testing.assert_allclose(
        fl.gaussian_nll_loss([0.0, 1.0], 0.0, 1.0, full=True, reduction="none"), expected, rtol=1e-15
    )


@pytest.mark.parametrize(
    ("name", "function", "expected"),
    [("digits", "cross_entropy", 0.5741325628335937), ("diabetes", "mse_loss", 3420.357711638813)],
)
def test_examples(name, function, expected):
    """The two data sets that ship as examples."""
    with np.load(Path(__file__).parents[1] / "examples" / f"{name}.npz") as data:
        value = getattr(fl, function)(data["input"], data["target"])
    assert value == pytest.approx(expected, rel=1e-8 if function == "cross_entropy" else 1e-15)


@pytest.mark.parametrize("kind", ["normal", "wide", "kink", "subnormal", "edge"])
@pytest.mark.parametrize(
    "case", [c for c in ELEMENTWISE if not c.options and "weight" not in c.name], ids=lambda c: c.name
)
def test_elementwise_definitions(case, kind, rng):
    """The reference against mpmath, within rounding and the conditioning of the problem."""
    mpmath = pytest.importorskip("mpmath")
    from exact import DIGITS, exact_element, parameters, sample

    operands, options = sample(case, kind, 150, np.float64, rng)
    if kind == "wide":  # squares of 1e300 overflow in a direct definition
        operands = {k: np.sign(v) * np.abs(v) ** 0.2 for k, v in operands.items()}
        options = {k: v**0.2 if k == "eps" else v for k, v in options.items()}
    if kind == "subnormal":  # and reciprocals of 1e-310
        options = {k: max(v, 1e-300) if k == "eps" else v for k, v in options.items()}
    params = parameters(case, options, np.float64)
    value, grads, _ = getattr(elementwise, case.kernel)(*operands.values(), *params)
    with mpmath.workdps(DIGITS):
        for i in range(150):
            exact, slack = exact_element(case, operands, params, i)
            for actual, expected, moved in zip((value, *grads), exact, slack, strict=True):
                if abs(expected) > 1e300:  # may overflow on the way
                    continue
                assert abs(mpmath.mpf(float(actual[i])) - expected) <= 2e-15 * abs(expected) + 8 * moved + 1e-323


def test_softmax_definition(rng):
    mpmath = pytest.importorskip("mpmath")
    from exact import DIGITS, cross_entropy

    x = np.concatenate([rng.normal(0, s, (20, 6)) for s in (0.1, 3, 30, 300)])
    target = rng.integers(0, 6, 80)
    value, grad = softmax.cross_entropy(x[:, :, np.newaxis], target[:, np.newaxis])
    with mpmath.workdps(DIGITS):
        for i in range(80):
            exact = cross_entropy([mpmath.mpf(float(v)) for v in x[i]], int(target[i]))
            for actual, expected in zip((value[i, 0], *grad[i, :, 0]), exact, strict=True):
                assert abs(mpmath.mpf(float(actual)) - expected) <= 2e-13 * abs(expected) + 1e-300


@pytest.mark.parametrize("case", ELEMENTWISE, ids=lambda c: c.name)
def test_hess_is_the_slope_of_the_gradient(case):
    """The second derivatives that the reference states, by central differences of its gradients, away from kinks."""
    if case.kernel == "quantile":
        return  # 1 by convention
    x, *rest = (a for name, a in case.operands((200,)).items() if name != "weight")
    h = 1e-5
    low, at, high = (getattr(elementwise, case.kernel)(x + s * h, *rest, *case.params()) for s in (-1, 0, 1))
    smooth = np.broadcast_to(np.abs(high[2] - low[2]) <= 1e-3 * (1 + np.abs(at[2])), x.shape)
    assert smooth.mean() > 0.9
    slope = (high[1][0] - low[1][0]) / (2 * h)
    np.testing.assert_allclose(np.broadcast_to(at[2], x.shape)[smooth], slope[smooth], rtol=1e-6, atol=1e-8)


def test_values_of_zero_cost():
    assert fl.mse_loss([1.5], [1.5]) == 0 and fl.l1_loss([1.5], [1.5]) == 0 and fl.huber_loss([1.5], [1.5]) == 0
    assert fl.cross_entropy([[0.0, -math.inf]], [0]) == 0

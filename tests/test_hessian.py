# SPDX-License-Identifier: BSD-3-Clause
"""The second derivative by the first prediction: of the kernels against its definition, of the functions against
differences of the gradient."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from cases import CASES, ELEMENTWISE, OTHER_KERNELS, REDUCTIONS, assert_close, bits, working_type
from test_errors import refusal

import fastloss as fl
from fastloss import _call
from fastloss.reference import elementwise as definitions

native = pytest.importorskip("fastloss._native", reason="needs the compiled extension")
MODULES = [thing for name, thing in vars(fl).items() if inspect.ismodule(thing) and not name.startswith("_")]
GIVEN = [c for c in CASES if "return_hess" in getattr(fl, c.function).__kwdefaults__]
each_given = pytest.mark.parametrize("case", GIVEN, ids=lambda c: c.name)
NAMED = [s for m in MODULES for v in vars(m).values() for s in (v.values() if isinstance(v, dict) else (v,))]
SPECS = {s.name: s for s in NAMED if isinstance(s, _call.Elementwise)}


@pytest.mark.parametrize("case", ELEMENTWISE, ids=lambda c: c.name)
@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 16, 1000, 5000])
def test_hess_against_definition(case, real, n):
    spec, rng = SPECS[case.kernel], np.random.default_rng(n)
    drawn = case.operands((n,), real)
    weight = drawn.pop("weight", rng.uniform(0.5, 2, n).astype(real))
    grad_output = rng.uniform(-2, 2, n).astype(real)
    operands = [np.broadcast_to(a, n).copy() for a in drawn.values()]
    mask = rng.uniform(size=n) < 0.8
    grads = tuple(np.empty(n, real) for _ in spec.predictions)
    hess, value = np.empty(n, real), np.empty(n, real)
    params, scale = tuple(case.params()), 0.25
    native.run_elementwise(
        spec.index, hess.itemsize, (n,), tuple(operands), params, weight, mask, grad_output, scale, value, grads,
        (None, None), hess,
    )  # fmt: skip
    v, g, h = getattr(definitions, spec.name)(*(a.astype(float) for a in operands), *params)
    tolerance = 1e-5 if real is np.float32 else 1e-12
    factor = weight * grad_output * scale
    np.testing.assert_allclose(hess, np.where(mask, h * factor, 0), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(grads[0], np.where(mask, g[0] * factor, 0), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(value, np.where(mask, v * weight, 0), rtol=tolerance, atol=tolerance)


def test_every_row_has_its_function_and_its_cases():
    """elementwise.def, the Python side and cases.py agree on operands, predictions and parameters."""
    rows = native.losses()
    assert set(rows) == {*SPECS, "identity"}
    assert set(SPECS) == {case.kernel for case in ELEMENTWISE} | set(OTHER_KERNELS)
    for case in ELEMENTWISE:
        spec = SPECS[case.kernel]
        _, operands, predictions, params = rows[case.kernel]
        assert (operands, predictions) == (len(spec.operands), len(spec.predictions))
        found = [s for s in NAMED if isinstance(s, _call.Elementwise) and s.name == case.kernel]
        assert case.predictions in [tuple(s.operands[k] for k in s.predictions) for s in found]
        assert params == len(case.params())


def slopes(case, operands, **options):
    """Central differences of the gradient: the matrix of second derivatives is diagonal, so all elements move at once.
    And where that means something: no kink within reach."""
    step, x = 1e-5, operands["input"]
    low, at, high = (case.gradients({**operands, "input": x + s * step}, **options)[1][0] for s in (-1, 0, 1))
    slope = (high - low) / (2 * step)
    with np.errstate(all="ignore"):
        smooth = np.abs((high - at) - (at - low)) <= 1e-3 * np.abs(high - low) + 1e-13
    return slope, smooth


@each_given
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("extras", ["plain", "mask", "grad_output", "scalar grad_output", "weight"])
def test_slope_of_the_gradient(case, reduction, backend, extras, rng):
    shape = (30, 7)
    operands, options = case.operands(shape, seed=7), {"reduction": reduction}
    if extras == "mask":
        options["mask"] = rng.random((30, 1)) < 0.7
    elif extras == "grad_output":
        options["grad_output"] = rng.normal(size=shape)
    elif extras == "scalar grad_output":
        options["grad_output"] = -2.5
    elif extras == "weight":
        if "weight" not in inspect.signature(getattr(fl, case.function)).parameters:
            return
        operands["weight"] = rng.uniform(0.5, 2, 7)
    with fl.backend(backend):
        value, grad, hess = case.call(operands, return_grad=True, return_hess=True, **options)
        assert bits((value, grad)) == bits(case.call(operands, return_grad=True, **options))
        slope, smooth = slopes(case, operands, **options)
    if case.kernel == "quantile":
        return  # ones by convention: its own slope is 0
    assert smooth.mean() > 0.9
    np.testing.assert_allclose(hess[smooth], slope[smooth], rtol=1e-6, atol=1e-8)


@each_given
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_types_shapes_and_backends(case, dtype):
    for shape in ((), (1,), (5, 3), (2, 3000), (0, 4)):
        if shape == () and any(np.shape(a) for a in case.operands((1,)).values() if np.ndim(a) == 0):
            continue
        operands = {k: a.reshape(shape) if a.shape == (1,) and not shape else a
                    for k, a in case.operands(shape or (1,), dtype).items()}  # fmt: skip
        hess = case.call(operands, return_grad=True, return_hess=True)[2]
        with fl.backend("reference"):
            expected = case.call(operands, return_grad=True, return_hess=True)[2]
        assert type(hess) is type(expected) and hess.shape == shape and hess.dtype == working_type(dtype)
        assert_close(hess, expected, dtype)


@each_given
@pytest.mark.parametrize("layout", ["gaps", "swapped", "broadcast target"])
def test_the_general_path_has_the_bits_of_the_fast_one(case, layout):
    operands = case.operands((50, 40), np.float32)
    if layout == "broadcast target":
        operands["target"] = np.broadcast_to(operands["target"][:1], (50, 40))
    plain = {k: np.ascontiguousarray(a) for k, a in operands.items()}
    if layout == "gaps":
        operands = {k: np.repeat(a, 2, axis=-1)[..., ::2] for k, a in operands.items()}
    elif layout == "swapped":
        operands = {k: a.astype(a.dtype.newbyteorder()) for k, a in operands.items()}
    options = {"return_grad": True, "return_hess": True}
    assert bits(case.call(operands, **options)) == bits(case.call(plain, **options))


@each_given
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("general", [False, True])
def test_hess_out_is_written_and_returned(case, dtype, general):
    operands = case.operands((60, 5), dtype)
    options = {"return_grad": True, "return_hess": True, "grad_output": 1.0 if general else None}
    value, grad, hess = case.call(operands, **options)
    outs = np.full_like(grad, 7), np.full_like(grad, 7)
    got = case.call(operands, **options, grad_out=outs[0], hess_out=outs[1])
    assert got[1] is outs[0] and got[2] is outs[1]
    assert bits(got) == bits((value, grad, hess))


@each_given
def test_refusals(case):
    operands = case.operands((40, 5))
    good = np.empty((40, 5))

    def refused(*kinds, **options):
        return refusal(lambda: case.call(operands, **options), *kinds)

    assert "return_grad" in refused(return_hess=True)
    assert "return_hess" in refused(return_grad=True, hess_out=good)
    assert "return_hess" in refused(TypeError, return_grad=True, return_hess=1)
    both = {"return_grad": True, "return_hess": True}
    assert "hess_out" in refused(**both, hess_out=np.empty((5, 40)))
    assert "hess_out" in refused(TypeError, **both, hess_out=np.empty((40, 5), np.float32))
    assert "hess_out overlaps" in refused(**both, hess_out=operands["input"])
    assert "hess_out overlaps" in refused(**both, grad_out=good, hess_out=good)
    readonly = good.copy()
    readonly.flags.writeable = False
    assert "hess_out" in refused(**both, hess_out=readonly)
    refused(**both, hess_out=good, reduction="average")


@each_given
def test_criterion_and_verify(case):
    operands = case.operands((40, 5))
    held = {k: operands.pop(k) for k in ("weight", "pos_weight") if k in operands}
    try:
        criterion = getattr(fl, case.criterion)(**held, **case.options)
    except TypeError:  # torch's constructor takes no weight
        criterion, held = getattr(fl, case.criterion)(**case.options), {}
    options = {**held, **case.options, "return_hess": True}
    expected = getattr(fl, case.function)(*operands.values(), return_grad=True, **options)
    assert bits(criterion.value_grad_hess(*operands.values())) == bits(expected)
    found = fl.verify(getattr(fl, case.function), *operands.values(), **options)
    assert [d.name for d in found] == ["value", "grad[0]", "hess"] and found[2].absolute < 1e-12


def test_losses_without_it_say_so():
    given = {case.criterion for case in GIVEN}
    for case in CASES:
        if case.criterion not in given:
            criterion = getattr(fl, case.criterion)()
            with pytest.raises(TypeError, match=f"{case.criterion}: {case.function} gives no second derivative"):
                criterion.value_grad_hess()


def test_a_mean_over_nothing():
    x = np.ones(50)
    value, grad, hess = fl.mse_loss(x, x, mask=np.zeros(50, bool), return_grad=True, return_hess=True)
    assert np.isnan(value) and not grad.any() and not hess.any()

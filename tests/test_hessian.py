# SPDX-License-Identifier: BSD-3-Clause
"""The kernels' second derivative in the first prediction, in the same pass, against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from cases import ELEMENTWISE

import fastloss as fl
from fastloss import _call
from fastloss.reference import elementwise as definitions

native = pytest.importorskip("fastloss._native", reason="needs the compiled extension")
MODULES = (fl.binary, fl.likelihood, fl.regression)
SPECS = {s.name: s for m in MODULES for s in vars(m).values() if isinstance(s, _call.Elementwise)}


@pytest.mark.parametrize("case", ELEMENTWISE, ids=lambda c: c.name)
@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 16, 1000, 5000])
def test_hess_against_definition(case, real, n):
    spec, rng = SPECS[case.kernel], np.random.default_rng(n)
    drawn = case.operands((n,), real)
    weight = drawn.pop("weight", rng.uniform(0.5, 2, n).astype(real))
    operands = [np.broadcast_to(a, n).copy() for a in drawn.values()]
    mask = rng.uniform(size=n) < 0.8
    grads = tuple(np.empty(n, real) for _ in spec.predictions)
    hess, value = np.empty(n, real), np.empty(n, real)
    params, scale = tuple(case.params()), 0.25
    native.run_elementwise(
        spec.index, hess.itemsize, (n,), tuple(operands), params, weight, mask, None, scale, value, grads, (None, None),
        hess,
    )  # fmt: skip
    v, g, h = getattr(definitions, spec.name)(*(a.astype(float) for a in operands), *params)
    tolerance = 1e-5 if real is np.float32 else 1e-12
    np.testing.assert_allclose(hess, np.where(mask, h * weight * scale, 0), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(grads[0], np.where(mask, g[0] * weight * scale, 0), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(value, np.where(mask, v * weight, 0), rtol=tolerance, atol=tolerance)


def test_every_row_has_its_function_and_its_cases():
    """elementwise.def, the Python side and cases.py agree on operands, predictions and parameters."""
    rows = native.losses()
    assert set(rows) == {*SPECS, "identity"}
    assert set(SPECS) == {case.kernel for case in ELEMENTWISE}
    for case in ELEMENTWISE:
        spec = SPECS[case.kernel]
        _, operands, predictions, params = rows[case.kernel]
        assert (operands, predictions) == (len(spec.operands), len(spec.predictions))
        assert tuple(spec.operands[k] for k in spec.predictions) == case.predictions
        assert params == len(case.params())

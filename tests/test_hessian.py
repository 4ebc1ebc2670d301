# SPDX-License-Identifier: BSD-3-Clause
"""The kernels' second derivative in the first prediction, in the same pass, against its definition."""

from __future__ import annotations

import numpy as np
import pytest

import fastloss as fl
from fastloss import _call
from fastloss.reference import elementwise as definitions

native = pytest.importorskip("fastloss._native", reason="needs the compiled extension")
PARAMS = {"huber": (0.5,), "gaussian_nll": (1e-6, 1.0)}
SPECS = [s for s in vars(fl.elementwise).values() if isinstance(s, _call.Elementwise)]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 16, 1000, 5000])
def test_hess_against_definition(spec, real, n):
    rng = np.random.default_rng(n)
    operands = [rng.standard_normal(n), *(rng.uniform(0.1, 1, n) for _ in spec.operands[1:])]
    operands = [a.astype(real) for a in operands]
    weight, mask = rng.uniform(0.5, 2, n).astype(real), rng.uniform(size=n) < 0.8
    grads = tuple(np.empty(n, real) for _ in spec.predictions)
    hess, value = np.empty(n, real), np.empty(n, real)
    params, scale = PARAMS.get(spec.name, ()), 0.25
    native.run_elementwise(
        spec.index, hess.itemsize, (n,), tuple(operands), params, weight, mask, None, scale, value, grads, (None, None),
        hess,
    )  # fmt: skip
    v, g, h = getattr(definitions, spec.name)(*(a.astype(float) for a in operands), *params)
    tolerance = 1e-5 if real is np.float32 else 1e-12
    np.testing.assert_allclose(hess, np.where(mask, h * weight * scale, 0), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(grads[0], np.where(mask, g[0] * weight * scale, 0), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(value, np.where(mask, v * weight, 0), rtol=tolerance, atol=tolerance)


def test_every_row_has_its_function():
    """elementwise.def and the Python side agree on operands, predictions and parameters."""
    rows = native.losses()
    assert set(rows) == {s.name for s in SPECS} | {"identity"}
    for spec in SPECS:
        _, operands, predictions, params = rows[spec.name]
        assert (operands, predictions) == (len(spec.operands), len(spec.predictions))
        assert params == len(PARAMS.get(spec.name, ()))

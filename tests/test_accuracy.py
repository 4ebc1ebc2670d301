# SPDX-License-Identifier: BSD-3-Clause
"""The accuracy contract: 4 ulp beyond conditioning per element, value and gradients; and the exactness of sums.

float32 kernels are held against the float64 reference on many elements, float64 kernels against mpmath on fewer.
test_reference.py holds the reference against mpmath.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mpmath", reason="exact results need mpmath")

from cases import CASES, KERNELS, REDUCTIONS
from draw import KINDS
from exact import LIMIT_ULP, excess, sample

import fastloss as fl


def assert_within(case, operands, options):
    results = excess(case, operands, options)
    for k, found in enumerate(results):
        worst = int(np.argmax(found))
        place = {name: np.asarray(a)[worst].tolist() for name, a in operands.items()}
        what = "value" if k == 0 else f"gradient {k - 1}"
        assert found[worst] <= LIMIT_ULP, f"{what} errs by {found[worst]:.3g} ulp at {place} {options}"


@pytest.mark.parametrize("case", KERNELS, ids=lambda c: c.kernel)
@pytest.mark.parametrize("kind", KINDS)
def test_single_precision(case, kind, rng):
    rows = ((1, 1), (5, 40_000), (33, 5_000), (1200, 100))
    for classes, n in rows if case.rows else ((0, 5_000),) * 20:  # many draws: options too are drawn
        assert_within(case, *sample(case, kind, n, np.float32, rng, classes))


@pytest.mark.parametrize("case", KERNELS, ids=lambda c: c.kernel)
@pytest.mark.parametrize("kind", KINDS)
def test_double_precision(case, kind, rng):
    for classes, n in ((5, 200), (33, 20), (600, 1)) if case.rows else ((0, 20),) * 12:
        assert_within(case, *sample(case, kind, n, np.float64, rng, classes))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_with_classes_in_the_middle(dtype, rng):
    """The kernel that runs along the inner axis keeps the same contract."""
    case = next(c for c in KERNELS if c.rows)
    for kind in KINDS:
        operands, _ = sample(case, kind, 320 if dtype == np.float64 else 4800, dtype, rng, classes=6)
        rows, classes = operands["input"].shape
        moved = {
            "input": np.ascontiguousarray(operands["input"].reshape(10, rows // 10, classes).transpose(0, 2, 1)),
            "target": operands["target"].reshape(10, -1),
        }
        value, (grad,) = case.gradients(moved, reduction="none")
        flat, (flat_grad,) = case.gradients(operands, reduction="none")
        eps = float(np.finfo(dtype).eps)
        back = grad.transpose(0, 2, 1).reshape(rows, classes)
        np.testing.assert_allclose(value.ravel(), flat, rtol=16 * eps, atol=4 * np.finfo(dtype).tiny)
        np.testing.assert_allclose(back, flat_grad, rtol=16 * eps, atol=4 * np.finfo(dtype).tiny)


def test_the_page_has_every_loss_type_and_kind_of_input():
    """docs/accuracy.md, which tools/accuracy.py writes, is not older than the list of losses."""
    text = (Path(__file__).resolve().parents[1] / "docs" / "accuracy.md").read_text(encoding="utf-8")
    sections = [part for part in text.split("\n### ")[1:] if part.startswith("float")]
    assert {title.partition(",")[0] for title in sections} == {"float32", "float64"}
    wanted = {case.function for case in KERNELS} | {"rmse_loss"}
    for section in sections:
        rows = [line.split("|")[1:-1] for line in section.splitlines() if line.startswith("| ")]
        assert [cell.strip() for cell in rows[0]] == ["loss", "result", *KINDS, "sum"]
        assert {row[0].strip(" `").partition(" ")[0] for row in rows[1:] if row[0].startswith(" `")} == wanted
        names = [(row[0], row[1]) for row in rows[1:] if row[0].startswith(" `")]
        assert len(set(names)) == len(names), "two rows of one name"


SUMS = {
    "constant": lambda n, rng: np.full(n, 0.1),
    "uniform": lambda n, rng: rng.uniform(0, 1, n),
    "wide": lambda n, rng: 10 ** rng.uniform(-12, 4, n),
    "large first": lambda n, rng: np.where(np.arange(n) == 0, 1e7, 1e-2),
    **{
        f"large every {period}": lambda n, rng, period=period: np.where(np.arange(n) % period == 0, 1e6, 0.1)
        for period in (2, 16, 17, 256, 512, 4096, 4097)
    },
    **{
        f"staircase of {period}": lambda n, rng, period=period: 1.0 + (np.arange(n) % period) * 1e-6
        for period in (16, 256, 1024, 4096)
    },
}


@pytest.mark.parametrize("shape_of_sum", SUMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums(shape_of_sum, dtype, rng):
    """A reduction adds at most 1e-7 (float32) or 1e-14 (float64) relative to the exact sum of its elements."""
    limit = 1e-7 if dtype == np.float32 else 1e-14
    for n in (1, 15, 255, 257, 1023, 4095, 4097, 65_537, 1_000_003):
        x = SUMS[shape_of_sum](n, rng).astype(dtype)
        exact = math.fsum(x)
        assert abs(fl.l1_loss(x, dtype(0), reduction="sum") - exact) <= limit * exact, n
        assert abs(fl.l1_loss(x, dtype(0)) - exact / n) <= limit * exact / n, n


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_of_every_loss(case, dtype):
    limit = 1e-7 if dtype == np.float32 else 1e-14
    for shape in [(60_000, 7)] if case.rows or case.per_sample else [(500_000,)]:
        operands = case.operands(shape, dtype)
        values = case.call(operands, reduction="none")
        exact = math.fsum(values)
        size = math.fsum(np.abs(values))  # a likelihood may be negative
        total = case.call(operands, reduction="sum")
        assert abs(total - exact) <= limit * size
        if "weight" not in operands and case.name != "ce-ignore":
            assert abs(case.call(operands) - exact / values.size) <= limit * size / values.size


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_denominators_are_exact_sums_too(dtype):
    """A million equal weights: the weighted mean of a constant is the constant."""
    limit = 1e-7 if dtype == np.float32 else 1e-14
    n = 1_000_003
    weight = np.full(n, 0.1, dtype)
    assert abs(fl.mse_loss(np.full(n, 2, dtype), dtype(0), weight) - 4) <= 8 * limit
    labels = np.zeros(n, np.uint8)
    flat = fl.cross_entropy(np.zeros((n, 2), dtype), labels, np.full(2, 0.1, dtype))
    assert abs(flat - math.log(2)) <= 2 * limit


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_gradient_of_a_broadcast_operand_is_summed_in_float64(reduction, rng):
    x, y = rng.normal(size=(2, 1_000_003)).astype(np.float32)
    _, (_, full) = fl.gaussian_nll_loss(x, y, np.full_like(x, 2), reduction=reduction, return_grad=True)
    _, (_, grad) = fl.gaussian_nll_loss(x, y, np.float32(2), reduction=reduction, return_grad=True)
    assert np.shape(grad) == ()
    assert abs(grad - math.fsum(full)) <= 2e-7 * math.fsum(np.abs(full))

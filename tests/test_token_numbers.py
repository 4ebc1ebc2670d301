# SPDX-License-Identifier: BSD-3-Clause
"""Token quantities in numbers: the accuracy contract, other libraries, special values, the order of the k best."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from cases import bits
from test_tokens import draw, each_dtype, everything

import fastloss as fl

# ---- accuracy --------------------------------------------------------------------------------------------------------


def hard_rows(rng: np.random.Generator, classes: int, dtype: Any) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Pairs of rows, and a target, where naive formulas lose digits."""
    eps = float(np.finfo(dtype).eps)

    def near(x: np.ndarray, by: float) -> np.ndarray:
        return x + by * rng.normal(size=classes)

    spread = rng.normal(0, 3, classes)
    one = np.where(np.arange(classes) == classes // 2, 30.0, 0.0) + 0.1 * rng.normal(size=classes)
    zero = np.where(np.arange(classes) == 0, 0.0, -20.0 - rng.random(classes))
    balanced = -math.log(classes) + 1e-3 * rng.normal(size=classes)
    masked = np.where(rng.random(classes) < 0.3, -np.inf, spread)
    masked[0] = 0.0
    tied = np.where(np.arange(classes) % 3 == 0, 7.5, -40.0)
    rows = [
        (spread, rng.normal(0, 3, classes)),
        (spread, near(spread, 1e-3)),
        (spread, near(spread, 30 * eps)),
        (spread, near(spread, 0.8)),
        (spread, near(spread, 2.5) + 100.0),
        (one, near(one, 0.1)),
        (zero, near(zero, 0.3)),
        (balanced, near(balanced, 1e-2)),
        (masked, near(masked, 0.1)),
        (tied, near(tied, 1.0)),
        (1e3 * spread, 1e3 * near(spread, 0.01)),
        (0.01 * spread, -0.01 * spread),
    ]
    if dtype == np.float64:  # sums of 1 and something far below an ulp of it
        rows.append((np.where(np.arange(classes) == 1 % classes, 100.0, 0.0), np.arange(classes) * 1.0))
    targets = [int(rng.integers(classes)) for _ in rows]
    return [(x.astype(dtype), y.astype(dtype), t) for (x, y), t in zip(rows, targets, strict=True)]


def exact_quantities(x: list[float], y: list[float], target: int) -> dict[str, tuple[Any, list[Any]]]:
    """Each quantity by mpmath, with its derivatives in x and then in y."""
    import mpmath

    px, py = ([mpmath.exp(mpmath.mpf(v)) for v in row] for row in (x, y))
    sx, sy = mpmath.fsum(px), mpmath.fsum(py)
    p, q = [v / sx for v in px], [v / sy for v in py]
    log_p, log_q = ([mpmath.log(v) if v else mpmath.mpf("-inf") for v in row] for row in (p, q))
    h = -mpmath.fsum(a * b for a, b in zip(p, log_p, strict=True) if a)
    kl = mpmath.fsum(a * (b - c) for a, b, c in zip(p, log_p, log_q, strict=True) if a)
    return {
        "logsumexp": (mpmath.log(sx), p),
        "entropy": (h, [-a * (b + h) if a else 0 for a, b in zip(p, log_p, strict=True)]),
        "token_log_probs": (log_p[target], [(i == target) - a for i, a in enumerate(p)]),
        "kl_div_logits": (
            kl,
            [a * (b - c - kl) if a else 0 for a, b, c in zip(p, log_p, log_q, strict=True)]
            + [b - a for a, b in zip(p, q, strict=True)],
        ),
    }


@each_dtype
@pytest.mark.parametrize("layout", ["rows", "columns"])
def test_accuracy_contract(dtype, layout, rng):
    """At most 4 ulp beyond twice what half an ulp of each logit changes."""
    mpmath = pytest.importorskip("mpmath")
    for classes in (1, 2, 5, 70) if layout == "rows" else (3, 40):
        for x, y, target in hard_rows(rng, classes, dtype):
            gap = max(float(np.ptp(row[np.isfinite(row)])) for row in (x, y))
            digits = min(400, 60 + int(gap / 2))
            half = [0.5 * float(np.spacing(abs(v))) if np.isfinite(v) else 0.0 for v in (*x, *y)]
            with mpmath.workdps(digits):
                exact = exact_quantities(x.tolist(), y.tolist(), target)
            a, b, axis = (x, y, 0) if layout == "rows" else (x[:, np.newaxis], y[:, np.newaxis], 0)
            where = target if layout == "rows" else [target]
            found = everything(a, b, where, class_axis=axis)
            for name, (value, derivatives) in exact.items():
                got = float(np.asarray(found[name]).reshape(()))
                with mpmath.workdps(digits):
                    if mpmath.isinf(value):
                        assert got == float(value), name
                        continue
                    slack = 2 * mpmath.fsum(abs(d) * s for d, s in zip(derivatives, half, strict=False))
                    ulp = float(np.spacing(dtype(abs(float(value)))))
                    excess = float((abs(mpmath.mpf(got) - value) - slack) / ulp)
                assert excess <= 4, f"{name} errs by {excess:.3g} ulp: {got!r}, {float(value)!r}; {x!r} {y!r} {target}"


def test_against_scipy(rng):
    special = pytest.importorskip("scipy.special")
    x = rng.normal(0, 10, (50, 300))
    x[rng.random(x.shape) < 0.1] = -np.inf
    np.testing.assert_allclose(fl.logsumexp(x), special.logsumexp(x, axis=-1), rtol=1e-14)
    p = special.softmax(x, axis=-1)
    np.testing.assert_allclose(fl.entropy(x), special.entr(p).sum(-1), rtol=1e-12)
    y = rng.normal(0, 10, x.shape)
    expected = special.rel_entr(p, special.softmax(y, axis=-1)).sum(-1)
    np.testing.assert_allclose(fl.kl_div_logits(x, y), expected, rtol=1e-12)


def test_against_torch(rng):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(rng.normal(0, 3, (20, 30, 50)))
    target = torch.from_numpy(rng.integers(0, 50, (20, 30)))
    log_p = torch.log_softmax(x, -1)
    expected = log_p.gather(-1, target[..., None])[..., 0]
    np.testing.assert_allclose(fl.token_log_probs(x, target), expected, rtol=1e-12)
    values, indices = torch.topk(log_p, 7)
    found, found_indices = fl.topk_log_probs(x, 7)
    np.testing.assert_allclose(found, values, rtol=1e-12)
    np.testing.assert_array_equal(found_indices, indices)
    np.testing.assert_allclose(fl.perplexity(x, target), torch.exp(-expected.mean()), rtol=1e-12)
    np.testing.assert_allclose(fl.entropy(x), torch.distributions.Categorical(logits=x).entropy(), rtol=1e-12)


@each_dtype
def test_log_probabilities_are_minus_cross_entropy(dtype, rng):
    for shape in ((100, 12), (9, 2000)):
        x, _, target = draw(shape, -1, dtype)
        expected = fl.cross_entropy(x, target, reduction="none")
        np.testing.assert_allclose(-fl.token_log_probs(x, target), expected, rtol=4 * np.finfo(dtype).eps)


# ---- special values --------------------------------------------------------------------------------------------------

inf, nan = math.inf, math.nan


@each_dtype
@pytest.mark.parametrize("layout", ["long", "few", "middle"])
@pytest.mark.filterwarnings("error")
def test_infinite_and_undefined_logits(dtype, layout):
    rows = np.array(
        [
            *([0, -inf, 0], [-inf, 0, 0], [0, -inf, -inf], [-inf] * 3),
            *([0, inf, 0], [inf] * 3, [0, nan, 0], [-inf, nan, inf]),
        ],
        dtype,
    )
    if layout == "long":
        rows = np.concatenate([rows, np.full((8, 1100), -inf, dtype)], axis=1)
    axis = -1
    target = np.zeros(8, np.int64)
    if layout == "middle":
        rows, axis = np.ascontiguousarray(rows.T)[np.newaxis], 1
        target = target[np.newaxis]
    two, one = math.log(2.0), 0.0
    expected = {
        "logsumexp": [two, two, one, -inf, inf, inf, nan, nan],
        "entropy": [two, two, one, nan, nan, nan, nan, nan],
        "token_log_probs": [-two, -inf, 0, nan, nan, nan, nan, nan],
        "kl_div_logits": [0, 0, 0, nan, nan, nan, nan, nan],
    }
    for backend in ("native", "reference"):
        with fl.backend(backend):
            found = everything(rows, rows, target, class_axis=axis)
            for name, values in expected.items():
                np.testing.assert_allclose(np.ravel(found[name]), values, rtol=1e-6, err_msg=f"{backend} {name}")
            assert math.isnan(found["perplexity"]) and math.isnan(found["bits_per_byte"])
    assert not np.signbit(np.ravel(found["token_log_probs"])[2])


@each_dtype
@pytest.mark.parametrize("classes", [3, 80])
@pytest.mark.filterwarnings("error")
def test_divergence_where_tokens_are_masked(dtype, classes):
    """What p masks costs nothing; what q alone masks is impossible for it: inf, even where p is too small a number."""
    p, q = np.zeros((4, classes), dtype), np.zeros((4, classes), dtype)
    p[0, 1] = q[1, 1] = q[2, 1] = -inf
    p[2, 1] = -3000.0
    p[3, 1] = q[3, 1] = -inf
    expected = [math.log(classes / (classes - 1)), inf, inf, 0.0]
    for backend in ("native", "reference"):
        with fl.backend(backend):
            np.testing.assert_allclose(fl.kl_div_logits(p, q), expected, rtol=1e-6, atol=1e-15)


@each_dtype
@pytest.mark.parametrize("classes", [4, 200])
def test_equal_distributions_do_not_diverge(dtype, classes, rng):
    x = rng.normal(0, 5, (30, classes)).astype(dtype)
    assert not fl.kl_div_logits(x, x.copy()).any()
    assert (fl.kl_div_logits(x, x + dtype(1e-3) * rng.normal(size=x.shape).astype(dtype)) >= 0).all()


@each_dtype
@pytest.mark.parametrize("shape", [(7, 6), (7, 100), (7, 2000)], ids=str)
def test_nan_spoils_its_row_only(dtype, shape):
    x, y, target = draw(shape, -1, dtype)
    clean = everything(x, y, target)
    spoilt = x.copy()
    spoilt[2, 3] = nan
    for name, value in everything(spoilt, y, target).items():
        if name in ("perplexity", "bits_per_byte"):
            assert math.isnan(value)
        elif name != "topk indices":
            assert np.isnan(value[2]).all(), name
            assert bits(np.delete(value, 2, axis=0)) == bits(np.delete(clean[name], 2, axis=0)), name


@each_dtype
def test_extreme_logits(dtype):
    largest = float(np.finfo(dtype).max)
    x = np.array([[largest, -largest, 0.0], [-largest, -largest, -largest], [largest, largest, -inf]], dtype)
    with np.errstate(over="ignore"):
        expected = np.array([largest, -largest, largest]).astype(dtype)
    np.testing.assert_array_equal(fl.logsumexp(x), expected)
    np.testing.assert_allclose(fl.entropy(x), [0, math.log(3), math.log(2)], rtol=1e-6)


# ---- the k best ------------------------------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("classes", [1, 2, 30, 64, 65, 1500])
def test_the_k_best_in_a_stable_order(dtype, classes, rng):
    """Many ties: the lowest index wins, for every k."""
    x = rng.integers(0, 12, (5, classes)).astype(dtype)
    x[1] = np.sort(x[1])
    x[2] = np.sort(x[2])[::-1]
    x[3] = 1.0
    ranked = np.argsort(-x, axis=-1, kind="stable")
    for k in sorted({1, 2, 7, 64, classes // 2, classes - 1, classes} & set(range(1, classes + 1))):
        values, indices = fl.topk_log_probs(x, k)
        np.testing.assert_array_equal(indices, ranked[:, :k])
        for row in range(5):
            expected = fl.token_log_probs(np.broadcast_to(x[row], (k, classes)), indices[row])
            np.testing.assert_allclose(values[row], expected, rtol=4 * np.finfo(dtype).eps)


def test_the_k_best_with_undefined_logits():
    x = np.array([[nan, 1.0, nan, 0.0, -inf], [nan] * 5, [-inf, 0.0, -inf, -inf, nan]])
    for backend in ("native", "reference"):
        with fl.backend(backend):
            values, indices = fl.topk_log_probs(x, 4)
            assert indices.tolist() == [[1, 3, 0, 2], [0, 1, 2, 3], [1, 0, 2, 3]] and np.isnan(values).all()
            values, _ = fl.topk_log_probs([[0.0, -inf, -inf]], 3)
            assert values.tolist() == [[0.0, -inf, -inf]]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_k_best_on_any_axis(axis, rng):
    x = rng.normal(size=(7, 8, 9)).astype(np.float32)
    values, indices = fl.topk_log_probs(x, 4, class_axis=axis)
    expected, expected_indices = fl.topk_log_probs(np.moveaxis(x, axis, -1), 4)
    assert bits(np.moveaxis(values, axis, -1)) == bits(expected)
    np.testing.assert_array_equal(np.moveaxis(indices, axis, -1), expected_indices)

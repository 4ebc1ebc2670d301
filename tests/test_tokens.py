# SPDX-License-Identifier: BSD-3-Clause
"""Token quantities: against the reference, mpmath and a stable sort, over layouts, masks, lengths and hostile input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from cases import assert_close, bits
from test_errors import refusal

import fastloss as fl

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# (shape, class axis): one row, rows done one by one and lanes over rows, tiles and blocks of each, a class axis inside.
LAYOUTS = [
    *(((n,), -1) for n in (1, 2, 17, 64, 65, 1030)),
    *(((n, c), -1) for n in (1, 15, 16, 17, 300) for c in (1, 2, 10, 16, 17, 33, 64)),
    *(((n, c), -1) for n in (1, 3, 40) for c in (65, 100, 1024, 1025, 5000)),
    *(((3, c, n), 1) for c in (1, 2, 17, 40, 65) for n in (1, 15, 16, 300)),
    *(((4, 6, 70), 2), ((4, 6, 70), 0), ((2, 3, 65, 33), -2), ((5, 2, 3, 4), 1)),
]
PER_POSITION = ("logsumexp", "entropy")


def draw(shape: tuple[int, ...], axis: int, dtype: Any, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Two sets of logits and targets."""
    rng = np.random.default_rng([seed, *shape])
    x, y = (rng.normal(0, 4, shape).astype(dtype) for _ in range(2))
    positions = np.moveaxis(x, axis, -1).shape[:-1]
    return x, y, np.asarray(rng.integers(0, shape[axis], positions))


def everything(x: Any, y: Any, target: Any, k: int = 3, **options: Any) -> dict[str, Any]:
    """All quantities of one set of operands."""
    axis = options.get("class_axis", -1)
    values, indices = fl.topk_log_probs(x, min(k, x.shape[axis]), **options)
    return {
        "token_log_probs": fl.token_log_probs(x, target, **options),
        "logsumexp": fl.logsumexp(x, **options),
        "entropy": fl.entropy(x, **options),
        "kl_div_logits": fl.kl_div_logits(x, y, **options),
        "topk values": values,
        "topk indices": indices,
        "perplexity": fl.perplexity(x, target, **options),
        "bits_per_byte": fl.bits_per_byte(x, target, 77, **options),
    }


def against_reference(x: Any, y: Any, target: Any, **options: Any) -> dict[str, Any]:
    found = everything(x, y, target, **options)
    with fl.backend("reference"):
        expected = everything(x, y, target, **options)
    for name, value in found.items():
        assert np.shape(value) == np.shape(expected[name]) and type(value) is type(expected[name]), name
        assert np.asarray(value).dtype == np.asarray(expected[name]).dtype, name
        if name == "topk indices":
            np.testing.assert_array_equal(value, expected[name])
        else:
            assert_close(value, expected[name], x.dtype, name)
    return found


@each_dtype
@pytest.mark.parametrize(("shape", "axis"), LAYOUTS, ids=str)
def test_every_layout(dtype, shape, axis):
    x, y, target = draw(shape, axis, dtype)
    found = against_reference(x, y, target, class_axis=axis)
    for name in ("token_log_probs", "logsumexp", "entropy", "kl_div_logits"):
        assert np.asarray(found[name]).dtype == dtype and np.shape(found[name]) == target.shape, name
    wanted = list(x.shape)
    wanted[axis] = min(3, x.shape[axis])
    assert found["topk values"].shape == tuple(wanted) and found["topk indices"].dtype == np.int64
    assert type(found["perplexity"]) is type(found["bits_per_byte"]) is np.float64


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", ">f4", ">f8", "int8", "uint16", "int64", "bool"])
def test_dtypes_are_read_as_they_are(dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    for shape in ((40, 10), (7, 300)):
        x, y, target = draw(shape, -1, np.float64)
        x, y = (np.abs(a).astype(dtype) if np.dtype(dtype).kind in "biu" else a.astype(dtype) for a in (x, y))
        work = np.float64 if np.dtype(dtype).kind in "biu" or np.dtype(dtype).itemsize == 8 else np.float32
        expected = everything(x.astype(work), y.astype(work), target)
        for name, value in everything(x, y, target).items():
            assert bits(value) == bits(expected[name]), name


def test_lists_are_welcome():
    assert fl.logsumexp([0.0, 0.0]) == np.log(2.0) and type(fl.entropy([[0.0]])[0]) is np.float64
    assert type(fl.logsumexp(np.zeros(3, np.float32))) is np.float32


@each_dtype
@pytest.mark.parametrize("shape", [(50, 10), (6, 700), (3, 20, 90)], ids=str)
def test_threads_strides_and_alignment_do_not_show(dtype, shape):
    x, y, target = draw(shape, -1, dtype)
    expected = {name: bits(value) for name, value in everything(x, y, target).items()}
    swapped = np.swapaxes(np.ascontiguousarray(np.swapaxes(x, 0, -1)), 0, -1)
    gaps = np.repeat(x, 2, axis=-1)[..., ::2]
    memory = np.empty(x.nbytes + 1, np.uint8)
    unaligned = memory[1:].view(np.uint8).reshape(-1)
    unaligned[:] = np.frombuffer(x.tobytes(), np.uint8)
    for variant in (swapped, gaps, x[::-1, ...][::-1, ...], unaligned.view(dtype).reshape(shape)):
        found = everything(variant, np.asfortranarray(y), target)
        assert {name: bits(value) for name, value in found.items()} == expected


@each_dtype
def test_thread_counts(dtype):
    for shape, axis in (((3000, 40), -1), ((300, 1100), -1), ((4, 30, 3000), 1)):
        x, y, target = draw(shape, axis, dtype)
        with fl.num_threads(1):
            expected = {name: bits(value) for name, value in everything(x, y, target, class_axis=axis).items()}
        for n in (2, 3, 7):
            with fl.num_threads(n):
                found = everything(x, y, target, class_axis=axis)
            assert {name: bits(value) for name, value in found.items()} == expected, n


DIGEST = """
import hashlib, numpy as np
from cases import bits
from test_tokens import draw, everything
digest = hashlib.sha256()
for shape, axis in (((300, 17), -1), ((20, 1030), -1), ((3, 40, 50), 1)):
    for dtype in (np.float32, np.float64):
        for value in everything(*draw(shape, axis, dtype), class_axis=axis).values():
            digest.update(bits(value))
print(digest.hexdigest())
"""


def test_equal_bits_on_every_isa_with_fused_multiply_add(run_python):
    fused = [n for n, s in fl.isas().items() if s["compiled"] and s["supported"] and n != "baseline"]
    found = {isa: run_python(DIGEST, FASTLOSS_ISA=isa) for isa in fused}
    assert all(result.returncode == 0 for result in found.values()), found
    assert len({result.stdout for result in found.values()}) <= 1


def test_the_baseline_answers_too(run_python):
    result = run_python(
        "from test_tokens import *\nfor layout in LAYOUTS[::3]:\n"
        "    for dtype in (np.float32, np.float64): against_reference(*draw(*layout, dtype), class_axis=layout[1])",
        FASTLOSS_ISA=next(iter(fl.isas())),
    )
    assert result.returncode == 0, result.stderr


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
            [0, -inf, 0],
            [-inf, 0, 0],
            [0, -inf, -inf],
            [-inf] * 3,
            [0, inf, 0],
            [inf] * 3,
            [0, nan, 0],
            [-inf, nan, inf],
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


# ---- what is left out ------------------------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("classes", [5, 100])
def test_masks_lengths_and_ignored_labels(dtype, classes, rng):
    """Left out: 0 (index -1), whatever stands there; and the rest as if it were alone."""
    x, y, target = draw((4, 6, classes), -1, dtype)
    lengths = np.array([6, 0, 3, 5], np.uint8)
    mask = rng.random((4, 6)) < 0.7
    counted = mask & (np.arange(6) < lengths[:, None])
    x[~counted], y[~counted], target[~counted] = nan, nan, 10_000
    options = {"mask": mask, "lengths": lengths}
    found = against_reference(x, y, target, **options)
    alone = everything(x[counted], y[counted], target[counted])
    for name in ("token_log_probs", "logsumexp", "entropy", "kl_div_logits", "topk values", "topk indices"):
        assert bits(found[name][counted]) == bits(alone[name]), name
        assert (found[name][~counted] == (-1 if name == "topk indices" else 0)).all(), name
    assert found["perplexity"] == pytest.approx(alone["perplexity"], rel=1e-6)
    assert found["bits_per_byte"] == pytest.approx(alone["bits_per_byte"], rel=1e-6)
    ignored = np.where(counted, target, -7)
    assert bits(fl.token_log_probs(x, ignored, ignore_index=-7)) == bits(found["token_log_probs"])
    assert fl.perplexity(x, ignored, ignore_index=-7) == found["perplexity"]


def test_lengths_of_other_shapes(rng):
    x = rng.normal(size=(3, 7, 4, 5))  # classes on axis 1: positions (3, 4, 5)
    lengths = rng.integers(0, 6, (3, 4))
    found = fl.entropy(x, class_axis=1, lengths=lengths)
    assert bits(found == 0) == bits(np.arange(5) >= lengths[..., None])
    assert fl.entropy(x[0, :, 0].T, lengths=2).tolist()[2:] == [0, 0, 0]


def test_nothing_counts():
    for shape in ((0, 5), (3, 0, 5)):
        x, target = np.zeros(shape), np.zeros(shape[:-1], int)
        assert fl.entropy(x).shape == target.shape and fl.topk_log_probs(x, 2)[1].shape == (*target.shape, 2)
        assert math.isnan(fl.perplexity(x, target)) and math.isnan(fl.bits_per_byte(x, target, 0))
    x, target = np.zeros((3, 5)), np.full(3, -100)
    assert math.isnan(fl.perplexity(x, target)) and fl.bits_per_byte(x, target, 9) == 0
    assert fl.token_log_probs(x, target).tolist() == [0, 0, 0]
    for backend in ("native", "reference"):
        with fl.backend(backend):
            assert fl.logsumexp(np.zeros((2, 0))).tolist() == [-inf, -inf]
            assert np.isnan(fl.entropy(np.zeros((2, 0)))).all()


def test_perplexity_and_bits_per_byte(rng):
    x = np.zeros((2, 3, 8))
    target = rng.integers(0, 8, (2, 3))
    assert fl.perplexity(x, target) == pytest.approx(8, rel=1e-14)
    assert fl.bits_per_byte(x, target, 6) == pytest.approx(3, rel=1e-14)
    per_token = np.array([[1, 2, 3], [4, 5, 6]])
    assert fl.bits_per_byte(x, target, per_token) == pytest.approx(18 / 21, rel=1e-14)
    assert fl.bits_per_byte(x, target, per_token, lengths=[1, 2]) == pytest.approx(9 / 10, rel=1e-14)
    assert fl.bits_per_byte(x, np.where(per_token > 3, -100, target), per_token) == pytest.approx(9 / 6, rel=1e-14)
    assert fl.perplexity([[0.0, 2000.0]], [0]) == inf
    assert fl.bits_per_byte(x, target, 0) == inf


def test_out_is_written(rng):
    x, y, target = draw((4, 5, 20), -1, np.float32)
    out = np.empty((4, 5), np.float32)
    for call in (
        lambda **o: fl.logsumexp(x, **o),
        lambda **o: fl.entropy(x, **o),
        lambda **o: fl.token_log_probs(x, target, **o),
        lambda **o: fl.kl_div_logits(x, y, **o),
    ):
        assert call(out=out) is out and bits(out) == bits(call())


# ---- refusals --------------------------------------------------------------------------------------------------------

x45 = np.ones((2, 4, 5))
t4 = np.zeros((2, 4), int)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fl.logsumexp(1.0), ["logits has shape ()"]),
        (lambda: fl.entropy(x45, class_axis=3), ["class_axis = 3 is out of range for logits of shape (2, 4, 5)"]),
        (lambda: fl.entropy(x45, mask=np.ones((4, 2), bool)), ["mask", "(4, 2)", "(2, 4)"]),
        (lambda: fl.entropy(x45, lengths=[1, 2, 3]), ["lengths has shape (3,)", "(2,)"]),
        (lambda: fl.entropy(x45, lengths=[4, 5]), ["lengths[1] = 5 is out of range for 4 positions"]),
        (lambda: fl.entropy(x45, lengths=[-1, 4]), ["lengths[0] = -1 is out of range"]),
        (lambda: fl.entropy(np.ones(4), lengths=1), ["lengths", "one row"]),
        (lambda: fl.topk_log_probs(x45, 0), ["k = 0 is out of range for 5 classes"]),
        (lambda: fl.topk_log_probs(x45, 6), ["k = 6 is out of range for 5 classes"]),
        (lambda: fl.kl_div_logits(x45, x45[..., :4]), ["q_logits has shape (2, 4, 4)", "(2, 4, 5)"]),
        (lambda: fl.token_log_probs(x45, t4 + 5), ["target[0, 0] = 5 is out of range for 5 classes"]),
        (lambda: fl.perplexity(x45, np.where(np.eye(2, 4) > 0, -3, 0)), ["target[0, 0] = -3 is out of range"]),
        (lambda: fl.token_log_probs(x45, t4[0]), ["target has shape (4,)", "(2, 4)"]),
        (lambda: fl.token_log_probs(x45, t4, ignore_index=2**63), ["ignore_index", "64 bits"]),
        (lambda: fl.bits_per_byte(x45, t4, [1, 2]), ["n_bytes has shape (2,)", "(2, 4)"]),
        (lambda: fl.bits_per_byte(x45, t4, -1), ["n_bytes = -1 is negative"]),
        (lambda: fl.logsumexp(x45, out=np.empty(3)), ["out has shape (3,)", "(2, 4)"]),
        (lambda: fl.token_log_probs(x45, t4, out=np.empty((2, 5))[:, :4]), ["out must be C-contiguous"]),
    ],
)
def test_refused_values(call, words):
    message = refusal(call)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fl.logsumexp("text"), ["logits has dtype", "expected"]),
        (lambda: fl.kl_div_logits(x45, x45 + 1j), ["q_logits has dtype complex128"]),
        (lambda: fl.token_log_probs(x45, t4 * 1.0), ["target has dtype float64", "integer"]),
        (lambda: fl.entropy(x45, mask=np.ones((2, 4))), ["mask has dtype float64", "bool"]),
        (lambda: fl.entropy(x45, lengths=[1.0, 2.0]), ["lengths has dtype float64", "integers"]),
        (lambda: fl.topk_log_probs(x45, 2.0), ["k must be an integer", "float"]),
        (lambda: fl.bits_per_byte(x45, t4, 2.5), ["n_bytes has dtype float64", "integers"]),
        (lambda: fl.entropy(x45, class_axis="last"), ["class_axis must be an integer"]),
        (lambda: fl.logsumexp(x45, out=np.empty((2, 4), np.float32)), ["out has dtype float32", "float64"]),
    ],
)
def test_refused_types(call, words):
    message = refusal(call, TypeError)
    assert all(word in message for word in words), message


def test_nothing_is_written_after_a_bad_label(rng):
    x, target = rng.normal(size=(5000, 7)), rng.integers(0, 7, 5000)
    target[4999] = 7
    out = np.full(5000, 3.0)
    assert "target[4999] = 7" in refusal(lambda: fl.token_log_probs(x, target, out=out))
    assert (out == 3.0).all()


@pytest.mark.parametrize("dtype", ["i1", "u1", ">i2", "u4", "i8", "u8"])
def test_any_integer_target(dtype):
    x, _, target = draw((50, 100), -1, np.float32)
    assert bits(fl.token_log_probs(x, target.astype(dtype))) == bits(fl.token_log_probs(x, target))


FENCED = """
import numpy as np
from cases import bits
from guard import LAYOUTS, SIDES, Yard
from test_tokens import draw, everything

for shape, axis in (((17, 3), -1), ((16, 16), -1), ((3, 65), -1), ((2, 1025), -1), ((2, 3, 17), 1), ((1, 70, 9), 1)):
    for dtype in (np.float32, np.float64, np.float16):
        x, y, target = draw(shape, axis, dtype)
        mask = np.asarray(target % 5 > 0)
        expected = {name: bits(value) for name, value in everything(x, y, target, class_axis=axis, mask=mask).items()}
        for name, layout in LAYOUTS.items():
            for side in SIDES:
                print(shape, np.dtype(dtype), name, side, flush=True)
                yard = Yard(layout, side)
                inside = [yard.put(str(k), a) for k, a in enumerate((x, y, target, mask))]
                found = everything(*inside[:3], class_axis=axis, mask=inside[3])
                assert {name: bits(value) for name, value in found.items()} == expected
print("done")
"""


def test_kernels_stay_within_their_arrays(run_python):
    result = run_python(FENCED)
    assert result.stdout.endswith("done\n"), (result.stdout[-200:], result.stderr[-1000:])


MAPPED = """
import resource, sys
import numpy as np
import fastloss as fl

def data():  # private writable memory; pages of a mapped file are no part of it
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmData:")) * 1024

x = np.memmap(sys.argv[1], np.float32, "w+", shape=(64, 200_000))  # a sparse file: its pages read as zeros
target = np.zeros(64, np.uint8)
fl.mse_loss(np.zeros((999, 99), np.float32), 0.0)  # start the threads
soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
resource.setrlimit(resource.RLIMIT_DATA, (data() + 16 * 2**20, hard))
for value in (fl.logsumexp(x), fl.entropy(x), -fl.token_log_probs(x, target), -fl.topk_log_probs(x, 1)[0]):
    assert np.allclose(value, np.log(200_000))
assert not fl.kl_div_logits(x, x).any() and abs(fl.perplexity(x, target) - 200_000) < 0.1
try:
    x + 1
except MemoryError:
    print("a copy is refused")
"""


@pytest.mark.skipif("sys.platform != 'linux'", reason="limits private memory only, as Linux does")
def test_memory_is_that_of_the_result(run_python, tmp_path):
    """With 16 MB to spare, 51 MB of logits are read."""
    result = run_python(f"import sys; sys.argv[1:] = [{str(tmp_path / 'x')!r}]\n{MAPPED}", OPENBLAS_NUM_THREADS="1")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "a copy is refused\n"

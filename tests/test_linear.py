# SPDX-License-Identifier: BSD-3-Clause
"""Losses on a matrix product: tiles against torch, mpmath, the whole product and the reference; memory; refusals."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
from cases import REDUCTIONS, assert_close, bits
from test_errors import refusal

import fastloss as fl
from fastloss import _call_linear

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# (N, V, D, (d1, ...)): one row, one class, one feature, lanes and pieces of rows, further axes.
SHAPES = [
    (5, 7, 3, ()),
    (1, 1, 1, ()),
    (17, 33, 16, ()),
    (3, 16, 5, ()),
    (9, 1500, 4, ()),
    (6, 40, 8, (2,)),
    (4, 70, 3, (2, 3)),
]


@pytest.fixture(params=["whole", "small", "kept"])
def tiles(request, monkeypatch):
    """One tile that holds everything; tiles of 32 classes at most in blocks of 4 rows, computed twice or kept."""
    if request.param != "whole":
        monkeypatch.setattr(_call_linear, "ROWS", 4)
        monkeypatch.setattr(_call_linear, "TILE_BYTES", 4 * 32 * 4)
    monkeypatch.setattr(_call_linear, "KEPT_ROWS", 1)
    if request.param == "small":
        monkeypatch.setattr(_call_linear, "KEPT_BYTES", 0)
    return request.param


def draw(shape: tuple, dtype: Any, seed: int = 0) -> dict[str, Any]:
    n, v, d, more = shape
    rng = np.random.default_rng([seed, n, v, d])
    probabilities = rng.random((n, v, *more))
    return {
        "input": rng.normal(size=(n, d)).astype(dtype),
        "linear_weight": rng.normal(size=(v, *more, d)).astype(dtype),
        "linear_bias": rng.normal(size=(v, *more)).astype(dtype),
        "labels": rng.integers(0, v, (n, *more)),
        "probabilities": (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(dtype),
        "weight": rng.uniform(0.1, 2, v).astype(dtype),
    }


def call(o: dict[str, Any], target: str, bias: bool, weight: bool, **options: Any) -> Any:
    return fl.linear_cross_entropy(
        o["input"], o["linear_weight"], o[target], linear_bias=o["linear_bias"] if bias else None,
        weight=o["weight"] if weight else None, **options,
    )  # fmt: skip


@each_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("target", ["labels", "probabilities"])
def test_against_the_reference(tiles, dtype, shape, target):
    o = draw(shape, dtype)
    for bias, weight, smoothing, reduction in (
        (False, False, 0.0, "mean"),
        (True, True, 0.0, "sum"),
        (True, True, 0.2, "mean"),
        (False, True, 0.7, "none"),
        (True, False, 1.0, "none"),
    ):
        options = {"label_smoothing": smoothing, "reduction": reduction}
        value, grads = call(o, target, bias, weight, return_grad=True, **options)
        alone = call(o, target, bias, weight, **options)
        assert bits(alone) == bits(value)
        with fl.backend("reference"):
            expected, expected_grads = call(o, target, bias, weight, return_grad=True, **options)
        assert type(value) is type(expected) and len(grads) == len(expected_grads) == 2 + bias
        assert_close(value, expected, dtype)
        assert np.shape(value) == (o["labels"].shape if reduction == "none" else ())
        for g, e, name in zip(grads, expected_grads, ("input", "linear_weight", "linear_bias"), strict=False):
            assert g.dtype == e.dtype == dtype and g.shape == o[name].shape
            assert_close(g, e, dtype, name)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("target", ["labels", "probabilities"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_against_torch(tiles, shape, target, reduction):
    torch = pytest.importorskip("torch")
    function = getattr(torch.nn.functional, "linear_cross_entropy", None)
    if function is None:
        pytest.skip("this torch has no linear_cross_entropy")
    o = draw(shape, np.float64)
    o["labels"].flat[-1] = -100 if o["labels"].size > 1 else 0
    for smoothing in (0.0, 0.3):
        tensors = [torch.tensor(o[name], requires_grad=True) for name in ("input", "linear_weight", "linear_bias")]
        expected = function(
            tensors[0], tensors[1], torch.tensor(o[target]), linear_bias=tensors[2], weight=torch.tensor(o["weight"]),
            reduction=reduction, label_smoothing=smoothing,
        )  # fmt: skip
        expected.sum().backward()
        value, grads = call(o, target, True, True, reduction=reduction, label_smoothing=smoothing, return_grad=True)
        np.testing.assert_allclose(value, expected.detach(), rtol=1e-12, atol=1e-14)
        for g, tensor in zip(grads, tensors, strict=True):
            np.testing.assert_allclose(g, tensor.grad, rtol=1e-10, atol=1e-13)


def test_signature_is_torchs():
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn.functional, "linear_cross_entropy", None)
    if theirs is None:
        pytest.skip("this torch has no linear_cross_entropy")
    ours = list(inspect.signature(fl.linear_cross_entropy).parameters.values())
    expected = list(inspect.signature(theirs).parameters.values())
    assert [(p.name, p.kind, p.default) for p in ours[: len(expected)]] == [
        (p.name, p.kind, p.default) for p in expected
    ]


def test_against_cross_entropy_of_the_whole_product(tiles):
    """One set of rounded logits: equal but for sums in another order."""
    o = draw((50, 400, 1, ()), np.float64)  # one feature: no sums within the product
    logits = o["input"] @ o["linear_weight"].T
    for reduction in REDUCTIONS:
        value, (to_input, to_weight) = call(o, "labels", False, True, reduction=reduction, return_grad=True)
        expected, grad = fl.cross_entropy(logits, o["labels"], o["weight"], reduction=reduction, return_grad=True)
        np.testing.assert_allclose(value, expected, rtol=1e-14)
        np.testing.assert_allclose(to_input, grad @ o["linear_weight"], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(to_weight, grad.T @ o["input"], rtol=1e-12, atol=1e-15)


def test_small_losses_keep_their_digits(tiles):
    """A sure and right prediction: log1p of what the others have, and gradients of that size, not 0."""
    mpmath = pytest.importorskip("mpmath")
    for dtype, gap in ((np.float32, 40.0), (np.float64, 80.0), (np.float64, 300.0)):
        w = np.zeros((100, 2), dtype)
        w[:, 1] = np.arange(100) % 2
        w[60] = gap, 0
        x = np.ones((3, 2), dtype)
        value, (to_input, _) = fl.linear_cross_entropy(x, w, [60] * 3, reduction="none", return_grad=True)
        with mpmath.workdps(300):
            rest = sum(mpmath.exp(mpmath.mpf(float(a + b)) - gap) for k, (a, b) in enumerate(w) if k != 60)
            expected, slope = float(mpmath.log1p(rest)), float(-gap * rest / (1 + rest))
        np.testing.assert_allclose(value, expected, rtol=1e-6 if dtype == np.float32 else 1e-13)
        np.testing.assert_allclose(to_input[:, 0], slope, rtol=1e-6 if dtype == np.float32 else 1e-13)
    one_hot = np.eye(100)[[60] * 3]
    assert fl.linear_cross_entropy(x, w, one_hot, reduction="sum") == pytest.approx(3 * expected, rel=1e-13)


@pytest.mark.parametrize("target", ["labels", "probabilities"])
def test_gradients_by_differences(tiles, target):
    o = draw((5, 37, 3, (2,)), np.float64)
    rng = np.random.default_rng(1)
    options = {"reduction": "none", "label_smoothing": 0.1}
    outer = rng.normal(size=(5, 2))
    _, grads = call(o, target, True, True, return_grad=True, grad_output=outer, **options)
    for name, grad in zip(("input", "linear_weight", "linear_bias"), grads, strict=True):
        direction = rng.normal(size=o[name].shape)
        ends = [
            (outer * call({**o, name: o[name] + h * direction}, target, True, True, **options)).sum()
            for h in (1e-5, -1e-5)
        ]
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx((grad * direction).sum(), rel=1e-7)


def test_grad_output_scales(tiles):
    o = draw((6, 40, 4, ()), np.float64)
    _, plain = call(o, "labels", True, False, return_grad=True)
    _, scaled = call(o, "labels", True, False, return_grad=True, grad_output=-2.0)
    for a, b in zip(plain, scaled, strict=True):
        np.testing.assert_allclose(b, -2 * a, rtol=1e-14)


@pytest.mark.parametrize("target", ["labels", "probabilities"])
def test_unbatched(target):
    o = draw((1, 20, 4, ()), np.float64)
    single = {**o, "input": o["input"][0], target: o[target][0]}
    for reduction in REDUCTIONS:
        value, grads = call(single, target, True, True, return_grad=True, reduction=reduction)
        expected, expected_grads = call(o, target, True, True, return_grad=True, reduction=reduction)
        assert bits(value) == bits(np.ravel(expected)) and np.shape(value) == ()
        assert grads[0].shape == (4,) and bits(grads) == bits(expected_grads)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", ">f4", "int8", "int64"])
def test_dtypes_are_read_as_they_are(tiles, dtype):
    """Converted tile by tile, with the bits of operands converted before."""
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    o = draw((9, 100, 8, ()), np.float64)
    given = {k: v if k == "labels" else v.astype(dtype) for k, v in o.items()}
    work = np.float64 if np.dtype(dtype).kind == "i" else np.float32
    converted = {k: v if k == "labels" else v.astype(work) for k, v in given.items()}
    value = call(given, "labels", True, True, return_grad=True, label_smoothing=0.1)
    assert bits(value) == bits(call(converted, "labels", True, True, return_grad=True, label_smoothing=0.1))


def test_strides_and_layouts(tiles):
    """Any strides, and addresses off their alignment, give the bits of contiguous operands."""
    o = draw((20, 90, 6, (2,)), np.float64)
    expected = call(o, "labels", True, True, return_grad=True)
    gaps = {k: np.repeat(v, 2, axis=-1)[..., ::2] if v.ndim else v for k, v in o.items()}
    fortran = {k: np.asfortranarray(v) for k, v in o.items()}
    flip = {k: v[::-1].copy()[::-1] for k, v in o.items()}
    for variant in (gaps, fortran, flip, {k: unaligned(v) for k, v in o.items()}):
        assert bits(call(variant, "labels", True, True, return_grad=True)) == bits(expected)


def unaligned(a):
    """The same array a byte off its alignment."""
    memory = np.zeros(a.nbytes + 1, np.uint8)[1:]
    memory[...] = np.frombuffer(a.tobytes(), np.uint8)
    return memory.view(a.dtype).reshape(a.shape)


def test_few_rows_of_very_many_classes(monkeypatch):
    """Fewer rows than a block is to keep, all of which fit."""
    o = draw((50, 64, 5, ()), np.float32)
    expected = call(o, "labels", True, True, return_grad=True)
    monkeypatch.setattr(_call_linear, "KEPT_BYTES", 100 * 64 * 4)
    assert bits(call(o, "labels", True, True, return_grad=True)) == bits(expected)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_what_does_not_count_is_zero(backend):
    """A label without weight whose probability is 0; and no classes at all, where every label is left out."""
    x, w, bias = np.ones((2, 1)), np.ones((3, 1)), np.array([0.0, 1.0, -np.inf])
    with fl.backend(backend):
        value, grads = fl.linear_cross_entropy(
            x, w, [2, 0], linear_bias=bias, weight=[1.0, 1.0, 0.0], reduction="none", return_grad=True
        )
        assert value[0] == 0 < value[1]
        assert all(np.isfinite(g).all() for g in grads)
        assert grads[0][0] == 0
        for weight in (None, np.zeros(0)):
            nothing = fl.linear_cross_entropy(
                np.ones((2, 3)), np.ones((0, 3)), [-100, -100], weight=weight, reduction="sum"
            )
            assert nothing == 0


def test_run_to_run_and_threads():
    o = draw((300, 3000, 16, ()), np.float32)
    expected = bits(call(o, "labels", True, True, return_grad=True))
    for n in (1, 2, 3):
        with fl.num_threads(n):
            assert bits(call(o, "labels", True, True, return_grad=True)) == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kept", ["all", "some", "none"])
def test_rows_and_gradients_change_no_bit(dtype, kept, monkeypatch):
    """A row's loss is the same alone, among others and with gradients, whatever tiles and blocks of rows these take:
    tiles of one piece, of several, or of all classes."""
    whole = draw((300, 3000, 16, ()), dtype)
    expected = call(whole, "labels", True, True, reduction="none")
    monkeypatch.setattr(_call_linear, "TILE_BYTES", 300 * 4500)
    if kept != "all":
        monkeypatch.setattr(_call_linear, "KEPT_BYTES", 0 if kept == "none" else 140 * 3008 * np.dtype(dtype).itemsize)
    assert bits(call(whole, "labels", True, True, reduction="none", return_grad=True)[0]) == bits(expected)
    for rows in (slice(0, 1), slice(7, 60), slice(100, 300)):
        part = {k: v[rows] if k in ("input", "labels") else v for k, v in whole.items()}
        assert bits(call(part, "labels", True, True, reduction="none")) == bits(expected[rows])


def test_fma_isas_give_equal_bits(same_on_fused_isas):
    """AVX2 and AVX-512, and of what is made of tiles beside it (all triplets: on one machine, with its NumPy)."""
    program = """if True:
        import hashlib
        import numpy as np
        import fastloss as fl
        rng, digest = np.random.default_rng(3), hashlib.sha256()
        for dtype in (np.float32, np.float64):
            x, w = (rng.normal(size=(n, 70)).astype(dtype) for n in (150, 700))
            labels, few = rng.integers(0, 700, 150), rng.integers(0, 9, 150)
            for value, grads in (
                fl.linear_cross_entropy(x, w, labels, return_grad=True),
                fl.info_nce_loss(x, w[:150], return_grad=True),
                fl.batch_hard_triplet_loss(x, few, return_grad=True),
                fl.batch_all_triplet_loss(x, few, return_grad=True),
            ):
                for a in (np.asarray(value), *(grads if isinstance(grads, tuple) else (grads,))):
                    digest.update(a.tobytes())
        print(digest.hexdigest())"""
    same_on_fused_isas(program)


# ---- labels that do not count, special values ------------------------------------------------------------------------


def test_ignored_labels_do_not_count(tiles):
    o = draw((12, 50, 4, ()), np.float64)
    kept = np.arange(12) % 3 > 0
    for ignore_index, stands in ((None, -100), (-7, -7), (3, 3), (99, 99)):
        labels = np.where(kept, np.where(o["labels"] == stands, 4, o["labels"]), stands)
        marked = {**o, "labels": labels, "input": np.where(kept[:, None], o["input"], np.nan)}
        fewer = {**o, "labels": labels[kept], "input": o["input"][kept]}
        for smoothing in (0.0, 0.2):
            options = {"ignore_index": ignore_index, "label_smoothing": smoothing}
            expected = call(fewer, "labels", True, True, **options)
            clean = {**marked, "input": o["input"]}
            value, grads = call(clean, "labels", True, True, return_grad=True, **options)
            assert value == pytest.approx(expected, rel=1e-13) and not grads[0][~kept].any()
            assert call(marked, "labels", True, True, **options) == pytest.approx(expected, rel=1e-13)


def test_nothing_counts():
    for n in (0, 3):
        o = draw((max(n, 1), 5, 2, ()), np.float64)
        o = {**o, "input": np.ones((n, 2)), "labels": np.full(n, -100)}
        for backend in ("native", "reference"):
            with fl.backend(backend):
                value, grads = call(o, "labels", True, True, return_grad=True)
                assert math.isnan(value) and not any(g.any() for g in grads)
                assert call(o, "labels", True, True, reduction="sum") == 0


@each_dtype
def test_infinities_and_nan_stay_in_their_rows(dtype, tiles):
    inf, nan = math.inf, math.nan
    x = np.array([[1, 0], [0, 1], [nan, 0], [1, 1], [0.5, 2]], dtype)
    w = np.arange(100, dtype=dtype).reshape(50, 2) / 100
    bias = np.zeros(50, dtype)
    bias[[3, 40]] = -inf
    labels = np.array([0, 3, 1, 49, -100])
    for backend in ("native", "reference"):
        with fl.backend(backend):
            value, grads = fl.linear_cross_entropy(
                x, w, labels, linear_bias=bias, reduction="none", return_grad=True, grad_output=[1, 1, 0, 1, 1]
            )
            assert value[1] == inf and math.isnan(value[2]) and np.isfinite(value[[0, 3, 4]]).all() and value[4] == 0
            assert np.isfinite(grads[0][[0, 1, 3, 4]]).all() and not grads[0][4].any()
            with np.errstate(all="ignore"):
                masked = fl.linear_cross_entropy(x[:2], w, [0, 0], linear_bias=np.full(50, -inf, dtype))
            assert math.isnan(masked)
            probabilities = np.zeros((1, 50), dtype)
            probabilities[0, 7] = 1
            one = fl.linear_cross_entropy(x[:1], w, probabilities, linear_bias=bias)
            assert one == pytest.approx(fl.linear_cross_entropy(x[:1], w, [7], linear_bias=bias), rel=1e-6)


def test_outputs_are_written(tiles):
    o = draw((6, 40, 4, (3,)), np.float32)
    out = np.empty((6, 3), np.float32)
    grad_out = tuple(np.full_like(o[name], np.nan) for name in ("input", "linear_weight", "linear_bias"))
    value, grads = call(o, "labels", True, True, reduction="none", return_grad=True, out=out, grad_out=grad_out)
    expected, expected_grads = call(o, "labels", True, True, reduction="none", return_grad=True)
    assert value is out and all(a is b for a, b in zip(grads, grad_out, strict=True))
    assert bits(value) == bits(expected) and bits(grads) == bits(expected_grads)


def test_criterion_is_its_function():
    o = draw((6, 40, 4, ()), np.float64)
    options = {"reduction": "sum", "weight": o["weight"], "ignore_index": 3, "label_smoothing": 0.1}
    criterion = fl.LinearCrossEntropyLoss(**options)
    operands = (o["input"], o["linear_weight"], o["labels"])
    value = fl.linear_cross_entropy(*operands, linear_bias=o["linear_bias"], return_grad=True, **options)
    assert bits(criterion.value_and_grad(*operands, linear_bias=o["linear_bias"])) == bits(value)
    assert criterion(*operands) == fl.linear_cross_entropy(*operands, **options)
    assert "LinearCrossEntropyLoss(reduction='sum'" in repr(criterion)


# ---- refusals --------------------------------------------------------------------------------------------------------

x, w, t = np.ones((4, 3)), np.ones((5, 3)), np.zeros(4, int)
p = np.full((4, 5), 0.2)


@pytest.mark.parametrize(
    ("operands", "options", "words"),
    [
        ((x[0, 0], w, t), {}, ["input has shape ()", "(D,) or (N, D)"]),
        ((x[None], w, t), {}, ["input has shape (1, 4, 3)"]),
        ((x, w[0], t), {}, ["linear_weight has shape (3,)"]),
        ((x, w[:, :2], t), {}, ["input has shape (4, 3)", "linear_weight (5, 2)", "features"]),
        ((x[0], w[:, None], t[0]), {}, ["linear_weight has shape (5, 1, 3)", "(3,)"]),
        ((x, w, t[:3]), {}, ["target has shape (3,)", "(4,)"]),
        ((x, w, p[:, :4]), {}, ["target has dtype float64"]),
        ((x, w, t + 5), {}, ["target[0] = 5 is out of range for 5 classes"]),
        ((x, w, np.array([0, 1, -1, 2])), {}, ["target[2] = -1 is out of range for 5 classes"]),
        ((x, w, t), {"linear_bias": np.ones(4)}, ["linear_bias has shape (4,)", "(5,)"]),
        ((x, w, t), {"weight": np.ones(4)}, ["weight has shape (4,)", "(5,)"]),
        ((x, w, t), {"label_smoothing": 1.5}, ["label_smoothing must be in [0, 1], got 1.5"]),
        ((x, w, t), {"label_smoothing": math.nan}, ["label_smoothing must not be nan"]),
        ((x, w, t), {"reduction": "batchmean"}, ["reduction"]),
        ((x, w, t), {"options": object()}, ["options must be None"]),
        ((x, w, p), {"ignore_index": 2}, ["ignore_index", "probabilities"]),
        ((x, w, p.astype(int)), {}, ["target has dtype int64", "probabilities"]),
        ((x, w, t), {"ignore_index": 1.0}, ["ignore_index must be an integer"]),
        ((x, w, t), {"grad_output": 2.0}, ["grad_output is given, but return_grad is False"]),
        ((x, w, t), {"return_grad": True, "grad_out": np.empty((4, 3))}, ["grad_out must be a tuple of 2 arrays"]),
        ((x, w, t), {"return_grad": True, "grad_out": (x, w.copy())}, ["grad_out[0] overlaps"]),
        ((x, "w", t), {}, ["linear_weight has dtype"]),
    ],
)
def test_refusals(operands, options, words):
    message = refusal(lambda: fl.linear_cross_entropy(*operands, **options), ValueError, TypeError)
    assert all(word in message for word in words), message


@pytest.mark.parametrize("dtype", ["i1", "u1", ">i2", "u4", "u8"])
def test_any_integer_labels(dtype):
    o = draw((9, 100, 4, ()), np.float64)
    expected = call(o, "labels", True, True)
    assert call({**o, "labels": o["labels"].astype(dtype)}, "labels", True, True) == expected


MEMORY = """
import resource, sys
import numpy as np
import fastloss as fl

def data():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmData:")) * 1024

n, v, d = 700, 100_000, 8  # the product takes 280 MB, and so would its gradient
rng = np.random.default_rng(0)
x, w = rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(v, d)).astype(np.float32)
target = rng.integers(0, v, n)
fl.linear_cross_entropy(x[:99], w[:999], target[:99] % 999, return_grad=True)  # start the threads
soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
resource.setrlimit(resource.RLIMIT_DATA, (data() + 128 * 2**20, hard))
value, grads = fl.linear_cross_entropy(x, w, target, return_grad=True)
assert abs(value - 15.5) < 1.5 and grads[1].shape == w.shape
try:
    x @ w.T
except MemoryError:
    print("the product is refused")
"""


@pytest.mark.skipif("sys.platform != 'linux'", reason="limits private memory only, as Linux does")
def test_the_product_is_never_whole(run_python):
    result = run_python(MEMORY)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "the product is refused\n"

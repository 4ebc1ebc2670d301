# SPDX-License-Identifier: BSD-3-Clause
"""Distances and losses on pairs and triplets: against PyTorch in float64 over all options, against the reference and
finite differences; kinks, zeros, huge and tiny vectors, nan, shapes, refusals, equal bits."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from cases import REDUCTIONS, assert_close, bits

import fastloss as fl

inf, nan = math.inf, math.nan
each_backend = pytest.mark.parametrize("backend", ["native", "reference"])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
POWERS = (2.0, 1.0, inf, 3.0, 0.5, 1.5, 2.7, 20.0)
SHAPES = [(1,), (9,), (16,), (3, 1), (5, 7), (4, 16), (7, 17), (3, 64), (2, 100), (3, 1024), (2, 1031), (2, 3, 33)]
# Around lanes (16), groups (64), tiles (512 doubles, 1024 floats).
FEATURES = [0, 1, 2, 15, 16, 17, 31, 48, 63, 64, 65, 80, 128, 511, 512, 513, 1023, 1024, 1025, 1100, 2049]


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")


def theirs(torch, name, operands, target=None, **options):
    """Value and gradients by PyTorch."""
    tensors = [torch.tensor(x, requires_grad=True) for x in operands]
    extra = [] if target is None else [torch.tensor(target)]
    value = getattr(torch.nn.functional, name)(*tensors, *extra, **options)
    value.sum().backward()
    return value.detach().numpy(), tuple(t.grad.numpy() for t in tensors)


def assert_same(got, expected):
    """Values, and gradients."""
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-9, atol=1e-13)
    for a, b in zip(got[1], expected[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12 * max(1.0, np.abs(b).max(initial=0)))


# ---- against PyTorch -------------------------------------------------------------------------------------------------


@each_backend
@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("eps", [1e-6, 0.0, 0.1])
def test_pairwise_distance_is_torchs(torch, backend, p, eps, rng):
    for shape in SHAPES:
        x, y = rng.normal(size=(2, *shape))
        with fl.backend(backend):
            got = fl.pairwise_distance(x, y, p=p, eps=eps, return_grad=True)
            kept = fl.pairwise_distance(x, y, p=p, eps=eps, keepdim=True)
        expected = theirs(torch, "pairwise_distance", (x, y), p=p, eps=eps)
        assert_same(got, expected)
        assert kept.shape == (*shape[:-1], 1) and bits(kept) == bits(got[0])


@each_backend
@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("swap", [False, True])
def test_triplet_margin_loss_is_torchs(torch, backend, p, swap, rng):
    for shape, margin, eps in itertools.product(SHAPES, (1.0, 0.05, 30.0), (1e-6, 0.2)):
        vectors = rng.normal(size=(3, *shape))
        for reduction in REDUCTIONS:
            options = {"p": p, "swap": swap, "margin": margin, "eps": eps, "reduction": reduction}
            with fl.backend(backend):
                got = fl.triplet_margin_loss(*vectors, return_grad=True, **options)
            assert_same(got, theirs(torch, "triplet_margin_loss", vectors, **options))


@each_backend
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cosine_embedding_loss_is_torchs(torch, backend, reduction, rng):
    for shape, margin in itertools.product([s for s in SHAPES if len(s) < 3], (0.0, 0.3, -0.5)):
        x, y = rng.normal(size=(2, *shape))
        target = rng.choice([-1, 1], shape[:-1])
        options = {"margin": margin, "reduction": reduction}
        with fl.backend(backend):
            got = fl.cosine_embedding_loss(x, y, target, return_grad=True, **options)
        assert_same(got, theirs(torch, "cosine_embedding_loss", (x, y), target, **options))


@each_backend
@pytest.mark.parametrize("eps", [1e-8, 0.5, 3.0])
def test_cosine_similarity_is_torchs(torch, backend, eps, rng):
    for shape, dim in [((5, 7), 1), ((5, 7), 0), ((3, 17, 4), 1), ((3, 17, 4), -1), ((2, 3, 40), 2), ((6, 5, 3), -3)]:
        x, y = rng.normal(size=(2, *shape))
        with fl.backend(backend):
            got = fl.cosine_similarity(x, y, dim=dim, eps=eps, return_grad=True)
        assert_same(got, theirs(torch, "cosine_similarity", (x, y), dim=dim, eps=eps))


BROADCASTS = [((5, 7), (7,)), ((7,), (5, 7)), ((1, 7), (4, 7)), ((3, 1, 7), (4, 7)), ((2, 3, 7), (3, 7))]


@each_backend
def test_leading_axes_broadcast(torch, backend, rng):
    for first, second in BROADCASTS:
        x, y = rng.normal(size=first), rng.normal(size=second)
        with fl.backend(backend):
            assert_same(fl.pairwise_distance(x, y, return_grad=True), theirs(torch, "pairwise_distance", (x, y)))
            assert_same(
                fl.cosine_similarity(x, y, dim=-1, return_grad=True),
                theirs(torch, "cosine_similarity", (x, y), dim=-1),
            )
    a, p, n = rng.normal(size=(6, 7)), rng.normal(size=(1, 7)), rng.normal(size=(6, 7))
    for vectors in ((a, p, n), (p, a, n), (a, n, p)):
        with fl.backend(backend):
            got = fl.triplet_margin_loss(*vectors, swap=True, return_grad=True)
        assert_same(got, theirs(torch, "triplet_margin_loss", vectors, swap=True))
    x, y = rng.normal(size=(1, 17, 4)), rng.normal(size=(3, 17, 1))
    with fl.backend(backend):
        got = fl.cosine_similarity(x, y, return_grad=True)
    assert_same(got, theirs(torch, "cosine_similarity", (x, y)))


def test_names_and_defaults_are_torchs(torch):
    import inspect

    for name in ("pairwise_distance", "cosine_similarity", "triplet_margin_loss", "cosine_embedding_loss"):
        try:
            theirs = inspect.signature(getattr(torch.nn.functional, name)).parameters
        except ValueError:  # built-in functions have none
            continue
        ours = inspect.signature(getattr(fl, name)).parameters
        for argument, parameter in theirs.items():
            if argument not in ("size_average", "reduce"):
                assert ours[argument].default == parameter.default, (name, argument)


# ---- against the reference and finite differences --------------------------------------------------------------------

CALLS = {
    **{f"distance p={p}": (lambda *v, p=p, **o: fl.pairwise_distance(*v, p=p, **o), 2) for p in POWERS},
    "distance eps": (lambda *v, **o: fl.pairwise_distance(*v, eps=0.3, **o), 2),
    "cosine": (lambda *v, **o: fl.cosine_similarity(*v, dim=-1, **o), 2),
    **{
        f"triplet p={p}{' swap' * swap}": (
            lambda *v, p=p, swap=swap, **o: fl.triplet_margin_loss(*v, p=p, swap=swap, reduction="none", **o),
            3,
        )
        for p in POWERS
        for swap in (False, True)
    },
    "alike": (lambda *v, **o: fl.cosine_embedding_loss(*v, 1, reduction="none", **o), 2),
    "unlike": (lambda *v, **o: fl.cosine_embedding_loss(*v, -1, margin=-0.1, reduction="none", **o), 2),
    "contrastive": (lambda *v, **o: fl.contrastive_loss(*v, 0.3, margin=4.0, reduction="none", **o), 2),
}
each_call = pytest.mark.parametrize("name", CALLS)


def assert_near(actual, expected, dtype, note, length=8.0):
    """As close as rounding leaves differences of distances of this length."""
    eps = 64 * float(np.finfo(dtype).eps)
    atol = eps * max(length, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(actual, expected, rtol=eps, atol=atol, err_msg=note)


@each_call
@each_dtype
def test_kernels_agree_with_the_reference(name, dtype, rng):
    call, count = CALLS[name]
    for features in FEATURES:
        rows = 1 if features > 600 else 5 if features > 100 else 70
        vectors = rng.normal(size=(count, rows, features)).astype(dtype)
        if features == 1:  # in one dimension all angles are alike: no gradient of a cosine but rounding
            vectors = np.sign(vectors) * (1 + np.abs(vectors))
        g = rng.normal(size=rows)
        value, grads = call(*vectors, return_grad=True, grad_output=g)
        assert bits(call(*vectors)) == bits(value)
        with fl.backend("reference"):
            expected, expected_grads = call(*vectors, return_grad=True, grad_output=g)
        assert value.dtype == dtype and value.shape == (rows,)
        assert_near(value, expected, dtype, f"{features} features", max(8.0, features ** (2 if "p=0.5" in name else 1)))
        for k, (a, b) in enumerate(zip(grads, expected_grads, strict=True)):
            assert a.dtype == dtype and a.shape == (rows, features)
            assert_near(a, b, dtype, f"{features} features, gradient {k}")


@each_call
@each_backend
def test_gradients_are_differences_of_values(name, backend, rng):
    call, count = CALLS[name]
    vectors = rng.normal(0, 1, (count, 3, 19))
    h = 1e-6
    with fl.backend(backend):
        _, grads = call(*vectors, return_grad=True)
        for k, (row, feature) in itertools.product(range(count), [(0, 0), (1, 7), (2, 15), (2, 18)]):
            moved = [vectors.copy(), vectors.copy()]
            moved[0][k, row, feature] -= h
            moved[1][k, row, feature] += h
            low, high = (np.sum(call(*m)) for m in moved)
            assert (high - low) / (2 * h) == pytest.approx(grads[k][row, feature], rel=1e-5, abs=1e-7)


@each_call
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", ">f4", "int8", "float64"])
def test_dtypes_and_layouts(name, dtype, rng):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    call, count = CALLS[name]
    for shape in [(9, 33), (3, 64), (2, 1100), (5, 3)]:
        vectors = rng.normal(0, 5, (count, *shape)).astype(dtype)
        work = np.float32 if vectors.dtype.itemsize < 8 and vectors.dtype.kind != "i" else np.float64
        expected = call(*vectors.astype(work), return_grad=True)
        views = [
            list(vectors),
            [np.asfortranarray(v) for v in vectors],
            [np.repeat(v, 2, axis=1)[:, ::2] for v in vectors],
            [v[::-1, ::-1].copy()[::-1, ::-1] for v in vectors],
        ]
        for view in views:
            assert bits(call(*view, return_grad=True)) == bits(expected)


def test_bits_do_not_depend_on_threads(rng):
    vectors = rng.normal(size=(3, 3000, 70)).astype(np.float32)
    target = rng.choice([-1, 1], 3000)
    found = set()
    for n in (1, 2, 3, 7):
        with fl.num_threads(n):
            found.add(
                bits(fl.triplet_margin_loss(*vectors, swap=True, return_grad=True))
                + bits(fl.cosine_embedding_loss(*vectors[:2], target, return_grad=True))
            )
    assert len(found) == 1


DIGEST = """
import hashlib
import numpy as np
import fastloss as fl
from cases import bits
rng, digest = np.random.default_rng(0), hashlib.sha256()
for dtype in ("f4", "f8", "f2"):
    for features in (1, 16, 37, 128, 1024, 1100):
        a, p, n = rng.normal(size=(3, 20, features)).astype(dtype)
        target, labels = rng.choice([-1, 1], 20), rng.integers(0, 4, 20)
        for power in (2.0, 1.0, np.inf, 2.5, 0.7):
            for swap in (False, True):
                digest.update(bits(fl.triplet_margin_loss(a, p, n, p=power, swap=swap, return_grad=True)))
        digest.update(bits(fl.cosine_embedding_loss(a, p, target, return_grad=True)))
        digest.update(bits(fl.contrastive_loss(a, p, target > 0, return_grad=True)))
        digest.update(bits(fl.cosine_similarity(a, p, return_grad=True)))
        digest.update(bits(fl.hardest_triplets(a, labels)) + bits(fl.batch_hard_triplet_loss(a, labels)))
        digest.update(bits(fl.cdist(a, p)))
print(digest.hexdigest())
"""


def test_fma_isas_give_equal_bits(same_on_fused_isas):
    same_on_fused_isas(DIGEST)


def test_a_row_is_the_same_alone(rng):
    vectors = rng.normal(size=(3, 40, 70)).astype(np.float32)
    value, grads = fl.triplet_margin_loss(*vectors, p=3, reduction="none", return_grad=True)
    for k in (0, 17, 39):
        alone, alone_grads = fl.triplet_margin_loss(*vectors[:, k], p=3, reduction="none", return_grad=True)
        assert bits(alone) == bits(value[k]) and bits(alone_grads) == bits(tuple(g[k] for g in grads))


@pytest.mark.parametrize("features", [5, 70, 128])
@pytest.mark.parametrize("name", ["cosine_similarity", "pairwise_distance"])
def test_rows_that_are_finished_together_are_the_same_alone(name, features, rng):
    """Any number of them: several share a register, and the last ones fill none. Strided ones are finished singly."""
    function = getattr(fl, name)
    x, y = rng.normal(size=(2, 67, features)).astype(np.float32)
    alone = [function(a, b) for a, b in zip(x, y, strict=True)]
    for rows in (1, 2, 7, 8, 9, 17, 67):
        assert bits(function(x[:rows], y[:rows])) == bits(np.array(alone[:rows]))
    apart = np.repeat(x, 2, axis=1)[:, ::2]
    assert bits(function(apart, y)) == bits(np.array(alone))


@pytest.mark.parametrize("loss, bad", [(fl.cosine_embedding_loss, 0.0), (fl.contrastive_loss, 1.5)])
def test_a_bad_target_is_named_wherever_it_stands(loss, bad):
    x = np.ones((70, 4), np.float32)
    for place in (0, 15, 16, 63, 64, 69):
        target = np.ones(70, np.float32)
        target[place] = target[-1] = bad  # the first one counts
        with pytest.raises(ValueError, match=rf"target\[{place}\] = {bad}"):
            loss(x, x, target)
        mask = target != bad
        assert loss(x, x, target, mask=mask) == loss(x[mask], x[mask], target[mask])


# ---- kinks, zeros, extremes ------------------------------------------------------------------------------------------


@each_backend
@pytest.mark.parametrize("p", POWERS)
def test_the_gradient_of_a_zero_difference_is_zero(backend, p):
    x = np.array([[1.0, 2.0, 3.0]])
    with fl.backend(backend):
        value, grads = fl.pairwise_distance(x, x, p=p, eps=0.0, return_grad=True)
        shifted, pushed = fl.pairwise_distance(x, x, p=p, eps=1e-6, return_grad=True)
    assert value == 0 and not grads[0].any() and not grads[1].any()
    assert shifted > 0 and (pushed[0] > 0).all() and bits(pushed[0]) == bits(-pushed[1])


@each_backend
def test_largest_features_share_the_gradient(backend):
    with fl.backend(backend):
        value, (gx, _) = fl.pairwise_distance([3.0, -3.0, 1.0, 3.0], np.zeros(4), p=inf, eps=0.0, return_grad=True)
    assert value == 3
    np.testing.assert_allclose(gx, [1 / 3, -1 / 3, 0, 1 / 3])


@each_backend
def test_a_hinge_of_zero_passes_the_gradient(torch, backend):
    vectors = np.array([[[0.0, 0.0]], [[0.0, 1.0]], [[2.0, 0.0]]])
    options = {"margin": 1.0, "eps": 0.0}
    with fl.backend(backend):
        got = fl.triplet_margin_loss(*vectors, return_grad=True, **options)
    assert got[0] == 0 and got[1][0].any()
    assert_same(got, theirs(torch, "triplet_margin_loss", vectors, **options))


@each_backend
def test_a_tie_of_swap_is_split(torch, backend):
    vectors = np.array([[[0.0, 0.0]], [[2.0, 0.0]], [[1.0, 3.0]]])
    options = {"margin": 2.0, "eps": 0.0, "swap": True}
    with fl.backend(backend):
        got = fl.triplet_margin_loss(*vectors, return_grad=True, **options)
    assert_same(got, theirs(torch, "triplet_margin_loss", vectors, **options))


@each_backend
@each_dtype
def test_cosine_of_zeros_and_within_bounds(backend, dtype, rng):
    x = rng.normal(size=(200, 37)).astype(dtype)
    zero = np.zeros_like(x)
    with fl.backend(backend):
        for eps in (1e-8, 0.0):
            value, grads = fl.cosine_similarity(x, zero, eps=eps, return_grad=True)
            assert not value.any() and (eps == 0 or all(np.isfinite(g).all() for g in grads))
        same = fl.cosine_similarity(x, x * dtype(3))
        opposite = fl.cosine_similarity(x, -x)
        loss, grads = fl.cosine_embedding_loss(x, zero, np.ones(200), return_grad=True)
    assert (same <= 1).all() and (opposite >= -1).all()
    assert loss == 1 and all(np.isfinite(g).all() for g in grads)


@each_backend
@each_dtype
@pytest.mark.parametrize("exponent", [-1, 1])
@pytest.mark.parametrize("features", [70, 128])
def test_huge_and_tiny_vectors(backend, dtype, exponent, features, rng):
    """Squares would overflow or vanish: norms are homogeneous, cosines do not change."""
    unit = dtype(2.0) ** (exponent * (100 if dtype is np.float32 else 800))
    x, y = rng.normal(size=(2, 5, features)).astype(dtype)
    with fl.backend(backend):
        for p in (2.0, 3.0, 1.5):
            value, grads = fl.pairwise_distance(x, y, p=p, eps=0.0, return_grad=True)
            scaled, scaled_grads = fl.pairwise_distance(x * unit, y * unit, p=p, eps=0.0, return_grad=True)
            assert_close(scaled / unit, value, dtype)
            assert_close(scaled_grads[0], grads[0], dtype)
        cosine = fl.cosine_similarity(x, y, eps=0.0)
        if exponent > 0 or backend == "native":
            assert_close(fl.cosine_similarity(x * unit, y * unit, eps=0.0), cosine, dtype)


@each_backend
@each_dtype
@pytest.mark.parametrize("p", POWERS)
def test_nan_and_infinity_stay_in_their_row(backend, dtype, p, rng):
    vectors = rng.normal(size=(3, 4, 20)).astype(dtype)
    clean, clean_grads = fl.triplet_margin_loss(*vectors, p=p, reduction="none", return_grad=True)
    vectors[0, 1, 3] = nan
    vectors[2, 2, 17] = inf
    with fl.backend(backend):
        value, grads = fl.triplet_margin_loss(*vectors, p=p, reduction="none", return_grad=True)
        cosine = fl.cosine_similarity(vectors[0], vectors[2])
    assert np.isnan(value[1]) and np.isnan(grads[0][1]).any()
    assert value[2] == 0 and not any(g[2].any() for g in grads)
    for k in (0, 3):
        assert_near(value[k], clean[k], dtype, f"row {k}")
        assert_near(grads[0][k], clean_grads[0][k], dtype, f"row {k}")
    assert np.isnan(cosine[1:3]).all() and np.isfinite(cosine[[0, 3]]).all()


@each_backend
def test_mask_and_denominator(backend, rng):
    vectors, target, mask = rng.normal(size=(3, 30, 7)), rng.choice([-1, 1], 30), rng.random(30) < 0.5
    bad = np.where(mask, target, 9)
    with fl.backend(backend):
        value, grads = fl.triplet_margin_loss(*vectors, mask=mask, return_grad=True)
        kept, kept_grads = fl.triplet_margin_loss(*vectors[:, mask], return_grad=True)
        cosine = fl.cosine_embedding_loss(*vectors[:2], bad, mask=mask)
        assert cosine == pytest.approx(fl.cosine_embedding_loss(*vectors[:2, mask], target[mask]))
        none, none_grads = fl.triplet_margin_loss(*vectors, mask=np.zeros(30, bool), return_grad=True)
    assert_close(value, kept, np.float64)
    for g, k in zip(grads, kept_grads, strict=True):
        assert_close(g[mask], k, np.float64)
        assert not g[~mask].any()
    assert np.isnan(none) and not any(g.any() for g in none_grads)


@each_backend
def test_contrastive_by_hand(backend, rng):
    x, y = rng.normal(size=(2, 20, 6))
    d = np.sqrt(((x - y) ** 2).sum(axis=1))
    label = rng.integers(0, 2, 20)
    expected = np.where(label == 0, d**2 / 2, np.maximum(0, 3.0 - d) ** 2 / 2)
    with fl.backend(backend):
        np.testing.assert_allclose(fl.contrastive_loss(x, y, label, margin=3.0, reduction="none"), expected)
        assert fl.contrastive_loss(x, y, label, margin=3.0) == pytest.approx(expected.mean())
        value, grads = fl.contrastive_loss(x, x, np.ones(20), return_grad=True)
    assert value == 0.5 and not grads[0].any()


def test_near_vectors_keep_their_angle(rng):
    """float32 vectors a millionth apart: 1 - cos is half the squared angle."""
    x = rng.normal(size=(50, 64)).astype(np.float32)
    y = (x + rng.normal(0, 1e-4, x.shape)).astype(np.float32)
    got = fl.cosine_embedding_loss(x, y, np.ones(50), reduction="none")
    expected = fl.cosine_embedding_loss(x.astype(float), y.astype(float), np.ones(50), reduction="none")
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_outputs_are_written_where_asked(rng):
    vectors = list(rng.normal(size=(3, 6, 21)))
    out, grad_out = np.full(6, nan), tuple(np.full((6, 21), nan) for _ in range(3))
    expected = fl.triplet_margin_loss(*vectors, reduction="none", return_grad=True)
    got = fl.triplet_margin_loss(*vectors, reduction="none", return_grad=True, out=out, grad_out=grad_out)
    assert bits((out, grad_out)) == bits(expected) == bits(got)
    with pytest.raises(ValueError, match="overlaps"):
        fl.triplet_margin_loss(*vectors, return_grad=True, grad_out=(vectors[0], *grad_out[1:]))


def test_empty_batches():
    empty = np.zeros((0, 5))
    for reduction, expected in (("mean", nan), ("sum", 0.0)):
        value, grads = fl.triplet_margin_loss(empty, empty, empty, reduction=reduction, return_grad=True)
        np.testing.assert_equal(value, expected)
        assert all(g.shape == (0, 5) for g in grads)
    assert fl.pairwise_distance(empty, empty).shape == (0,)


x23 = np.zeros((2, 3))
REFUSED = {
    "p must be positive, got 0": lambda: fl.pairwise_distance(x23, x23, p=0),
    "p must be positive, got -1": lambda: fl.triplet_margin_loss(x23, x23, x23, p=-1),
    "p must not be nan": lambda: fl.pairwise_distance(x23, x23, p=nan),
    "p must be a real number, got str": lambda: fl.pairwise_distance(x23, x23, p="2"),
    "eps must be finite, got inf": lambda: fl.pairwise_distance(x23, x23, eps=inf),
    "margin must be positive and finite, got 0": lambda: fl.triplet_margin_loss(x23, x23, x23, margin=0),
    "margin must be finite, got inf": lambda: fl.cosine_embedding_loss(x23, x23, 1, margin=inf),
    "swap must be a bool, got int": lambda: fl.triplet_margin_loss(x23, x23, x23, swap=1),
    "x2 has 4 features and x1 has 3 (shapes (2, 4) and (2, 3))": lambda: fl.pairwise_distance(x23, np.zeros((2, 4))),
    "negative has 1 features and anchor has 3": lambda: fl.triplet_margin_loss(x23, x23, np.zeros((2, 1))),
    "shapes do not broadcast: x1 (2, 3), x2 (4, 3)": lambda: fl.pairwise_distance(x23, np.zeros((4, 3))),
    "x1 has shape ()": lambda: fl.pairwise_distance(1.0, 2.0),
    "positive has shape ()": lambda: fl.triplet_margin_loss(x23, 2.0, x23),
    "dim = 2 is out of range for shapes (2, 3) and (2, 3)": lambda: fl.cosine_similarity(x23, x23, dim=2),
    "target[1] = 0 is neither 1 nor -1": lambda: fl.cosine_embedding_loss(x23, x23, [1, 0]),
    "target = 0 is neither 1 nor -1": lambda: fl.cosine_embedding_loss(x23, x23, 0),
    "target[0] = -1 is outside [0, 1]": lambda: fl.contrastive_loss(x23, x23, [-1, 1]),
    "target has shape (3,), which does not broadcast to the shape (2,) of the unreduced loss": lambda: (
        fl.cosine_embedding_loss(x23, x23, [1, 1, 1])
    ),
    "mask has shape (3,), which does not broadcast": lambda: fl.triplet_margin_loss(
        x23, x23, x23, mask=np.ones(3, bool)
    ),
    "anchor has dtype complex128": lambda: fl.triplet_margin_loss(x23 * 1j, x23, x23),
    "reduction must be 'none', 'mean' or 'sum'": lambda: fl.triplet_margin_loss(x23, x23, x23, reduction="max"),
    "grad_out must be a tuple of 3 arrays": lambda: fl.triplet_margin_loss(
        x23, x23, x23, return_grad=True, grad_out=x23
    ),
}


@each_backend
@pytest.mark.parametrize("message", REFUSED)
def test_refusals(backend, message):
    with fl.backend(backend), pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}"):
        REFUSED[message]()


def test_guard_pages(run_python):
    """Vectors, labels and gradients right before and behind memory that may not be touched."""
    program = """
import numpy as np
import fastloss as fl
from guard import SIDES, LAYOUTS, Yard
rng = np.random.default_rng(0)
for features in (1, 3, 15, 16, 17, 33, 64, 100, 1025):
    for dtype in ("f4", "f8", "f2", ">f4"):
        for layout in LAYOUTS.values():
            for side in SIDES:
                print(features, dtype, layout.__name__, side, flush=True)
                yard = Yard(layout, side)
                work = "f8" if dtype == "f8" else "f4"
                shape = (3, features)
                a, p, n = (rng.normal(size=shape).astype(dtype) for _ in range(3))
                t = np.array([1, -1, 1])
                inside = [yard.put(k, v) for k, v in zip("apn", (a, p, n))]
                for power in (1, 2, 3, np.inf):
                    grads = tuple(yard.output("g" + k, shape, work) for k in "apn")
                    out = yard.output("out", (3,), work)
                    fl.triplet_margin_loss(*inside, p=power, swap=True, reduction="none", out=out, return_grad=True,
                                           grad_out=grads)
                fl.cosine_embedding_loss(*inside[:2], yard.put("t", t), reduction="none", out=out, return_grad=True,
                                         grad_out=grads[:2])
print("done")
"""
    result = run_python(program)
    assert result.returncode == 0 and result.stdout.split()[-1] == "done", result.stdout[-200:] + result.stderr[-2000:]

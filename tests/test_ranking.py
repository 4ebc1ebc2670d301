# SPDX-License-Identifier: BSD-3-Clause
"""Losses over whole batches: mining and all triplets against brute force, rankings against PyTorch, gradients against
autograd and differences; distances of the caller's; near-identical vectors, memory, bits, refusals."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from cases import assert_close, bits

import fastloss as fl
from fastloss import _config
from fastloss._call_batch import add_rows
from fastloss._call_ranking import Directions

nan = math.nan
each_backend = pytest.mark.parametrize("backend", ["native", "reference"])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SHAPES = [(1, 3), (2, 1), (7, 5), (16, 16), (33, 17), (60, 64), (130, 9)]


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")


def brute_distances(x, metric="euclidean"):
    d = ((x[:, np.newaxis].astype(np.float64) - x.astype(np.float64)) ** 2).sum(axis=-1)
    return np.sqrt(d) if metric == "euclidean" else d


def brute_hardest(x, labels):
    d, same = brute_distances(x), labels[:, np.newaxis] == labels
    alike = same & ~np.eye(len(x), dtype=bool)
    positive = np.where(alike.any(axis=1), np.argmax(np.where(alike, d, -1), axis=1), -1)
    negative = np.where((~same).any(axis=1), np.argmin(np.where(same, np.inf, d), axis=1), -1)
    return positive, negative


def brute_triplets(x, labels, margin, metric="euclidean"):
    """Hinges of all triplets (a, p, n), nan where they are not valid."""
    d, same = brute_distances(x, metric), labels[:, np.newaxis] == labels
    valid = (same & ~np.eye(len(x), dtype=bool))[:, :, np.newaxis] & ~same[:, np.newaxis, :]
    return np.where(valid, np.maximum(0, margin + d[:, :, np.newaxis] - d[:, np.newaxis, :]), nan)


def differences(call, x, places, h=1e-6):
    """Central differences of call(x) at these places."""
    found = []
    for place in places:
        low, high = x.copy(), x.copy()
        low[place] -= h
        high[place] += h
        found.append((call(high) - call(low)) / (2 * h))
    return found


# ---- triplets --------------------------------------------------------------------------------------------------------


@each_backend
@each_dtype
def test_hardest_triplets_are_those_of_brute_force(backend, dtype, rng):
    for (n, features), classes in itertools.product(SHAPES, (1, 2, 6, 100)):
        x, labels = rng.normal(size=(n, features)).astype(dtype), rng.integers(0, classes, n) * 7 - 3
        with fl.backend(backend):
            got = fl.hardest_triplets(x, labels)
        for a, b in zip(got, brute_hardest(x, labels), strict=True):
            np.testing.assert_array_equal(a, b)


@each_backend
@each_dtype
def test_the_lowest_index_wins_ties(backend, dtype, rng):
    x = rng.integers(0, 3, (150, 3)).astype(dtype)
    labels = rng.integers(0, 4, 150)
    with fl.backend(backend):
        got = fl.hardest_triplets(x, labels)
    for a, b in zip(got, brute_hardest(x, labels), strict=True):
        np.testing.assert_array_equal(a, b)


@each_dtype
def test_mining_sees_what_a_matrix_product_cannot(dtype, rng):
    """Vectors that differ by a few last places, far away from the origin."""
    x = (1000 + np.round(rng.normal(0, 4, (80, 40))) * 1000 * np.finfo(dtype).eps).astype(dtype)
    labels = rng.integers(0, 3, 80)
    for a, b in zip(fl.hardest_triplets(x, labels), brute_hardest(x, labels), strict=True):
        np.testing.assert_array_equal(a, b)


@each_backend
@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
def test_batch_hard_by_brute_force(backend, metric, rng):
    for (n, features), margin in itertools.product(SHAPES, (0.2, 1.0, 5.0)):
        x, labels = rng.normal(size=(n, features)), rng.integers(0, 5, n)
        d, (p, m) = brute_distances(x, metric), brute_hardest(x, labels)
        rows, counted = np.arange(n), (p >= 0) & (m >= 0)
        expected = np.where(counted, np.maximum(0, margin + d[rows, p] - d[rows, m]), 0)
        options = {"margin": margin, "metric": metric}
        with fl.backend(backend):
            value = fl.batch_hard_triplet_loss(x, labels, reduction="none", **options)
            mean, grad = fl.batch_hard_triplet_loss(x, labels, return_grad=True, **options)
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_equal(np.isnan(mean), not counted.any())
        if counted.any():
            assert mean == pytest.approx(expected[counted].mean(), rel=1e-12)
            places = [(0, 0), (n - 1, features - 1), (n // 2, features // 2)]
            with fl.backend(backend):
                slopes = differences(lambda z, o=options, y=labels: fl.batch_hard_triplet_loss(z, y, **o), x, places)
            np.testing.assert_allclose([grad[k] for k in places], slopes, rtol=1e-5, atol=1e-7)


@each_backend
@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
def test_batch_all_by_brute_force(backend, metric, rng):
    for (n, features), margin in itertools.product(SHAPES[:-1], (0.2, 1.0, 5.0)):
        x, labels = rng.normal(size=(n, features)), rng.integers(0, 5, n)
        hinges = brute_triplets(x, labels, margin, metric)
        options = {"margin": margin, "metric": metric}
        with fl.backend(backend):
            value = fl.batch_all_triplet_loss(x, labels, reduction="none", **options)
            total, grad = fl.batch_all_triplet_loss(x, labels, reduction="sum", return_grad=True, **options)
            mean = fl.batch_all_triplet_loss(x, labels, **options)
            active = fl.batch_all_triplet_loss(x, labels, active_only=True, **options)
        np.testing.assert_allclose(value, np.nansum(hinges, axis=(1, 2)), rtol=1e-9, atol=1e-9)
        assert total == pytest.approx(np.nansum(hinges), rel=1e-9)
        if np.isfinite(hinges).any():
            assert mean == pytest.approx(np.nanmean(hinges), rel=1e-9)
        if (hinges > 0).any():
            assert active == pytest.approx(np.nansum(hinges) / np.count_nonzero(hinges > 0), rel=1e-9)
        places = [(0, 0), (n - 1, features - 1), (n // 2, features // 2)]
        with fl.backend(backend):
            slopes = differences(
                lambda z, o=options, y=labels: fl.batch_all_triplet_loss(z, y, reduction="sum", **o), x, places
            )
        np.testing.assert_allclose(
            [grad[k] for k in places], slopes, rtol=1e-4, atol=1e-4 * np.abs(grad).max(initial=1)
        )


@each_dtype
def test_triplet_losses_agree_with_the_reference(dtype, rng):
    x, labels = rng.normal(size=(90, 33)).astype(dtype), rng.integers(0, 8, 90)
    x[1], labels[1] = x[0] + 1e-3, labels[0]  # near in the matrix product
    mask, g = rng.random(90) < 0.7, rng.normal(size=90)
    for function in (fl.batch_hard_triplet_loss, fl.batch_all_triplet_loss):
        for options in ({}, {"mask": mask}, {"reduction": "none", "grad_output": g}, {"metric": "sqeuclidean"}):
            value, grad = function(x, labels, return_grad=True, **options)
            with fl.backend("reference"):
                expected, expected_grad = function(x, labels, return_grad=True, **options)
            assert grad.dtype == dtype
            assert_close(value, expected, dtype)
            np.testing.assert_allclose(
                grad, expected_grad, rtol=1e-4, atol=200 * np.finfo(dtype).eps * np.abs(expected_grad).max()
            )


@each_backend
def test_gradients_of_equal_vectors_are_finite(backend):
    x = np.ones((6, 4))
    for function in (fl.batch_hard_triplet_loss, fl.batch_all_triplet_loss):
        with fl.backend(backend):
            value, grad = function(x, [0, 0, 0, 1, 1, 1], return_grad=True)
        assert value == 1 and not grad.any()


@each_backend
def test_nan_is_the_hardest(backend, rng):
    x = rng.normal(size=(20, 5))
    x[7, 2] = nan
    labels = np.arange(20) % 3
    with fl.backend(backend):
        positive, negative = fl.hardest_triplets(x, labels)
        assert np.isnan(fl.batch_hard_triplet_loss(x, labels))
        assert np.isnan(fl.batch_all_triplet_loss(x, labels))
    assert (positive[labels == 1][np.arange(len(positive[labels == 1])) != 2] == 7).all()
    assert (negative[labels != 1] == 7).all()


@each_backend
def test_without_triplets(backend):
    for labels in ([0, 0, 0], [0, 1, 2]):
        for function in (fl.batch_hard_triplet_loss, fl.batch_all_triplet_loss):
            with fl.backend(backend):
                value, grad = function(np.eye(3), labels, return_grad=True)
            assert np.isnan(value) and not grad.any()


def test_mining_has_equal_bits_over_threads(rng):
    x, labels = rng.normal(size=(700, 30)).astype(np.float32), rng.integers(0, 20, 700)
    found = set()
    for n in (1, 2, 5):
        with fl.num_threads(n):
            found.add(bits(fl.hardest_triplets(x, labels)) + bits(fl.batch_hard_triplet_loss(x, labels)))
    assert len(found) == 1


@pytest.mark.parametrize(("n", "places"), [(0, 3), (1, 1), (50, 1), (200, 7), (64, 1000)])
def test_rows_are_added_in_their_order(n, places, rng):
    where, rows = rng.integers(0, places, n), rng.standard_normal((n, 5)) * 10.0 ** rng.integers(-18, 18, (n, 1))
    own, expected = np.ones((places, 5)), np.ones((places, 5))
    add_rows(own, where, rows)
    np.add.at(expected, where, rows)
    np.testing.assert_array_equal(own, expected)


@each_dtype
def test_mining_of_long_rows(dtype, rng):
    """Of more vectors than a row of pieces has at its finest, and more per piece than a tile of candidates."""
    count = 300_001
    x = rng.normal(size=(count, 16)).astype(dtype)
    labels = rng.integers(0, 3, count)
    x[[5, 299_000]], x[[17, 250_000]] = 40, -40  # ties, of which the first wins
    labels[[5, 299_000, 17, 250_000]] = 0, 0, 0, 1
    x[1] = x[280_000]
    labels[[1, 280_000]] = 0, 2
    lanes = -(-count // 16) * 16
    square, codes = np.full(lanes, np.inf, dtype), np.full(lanes, -1, np.int32 if dtype is np.float32 else np.int64)
    square[:count], codes[:count] = (x.astype(float) ** 2).sum(axis=1), labels
    products = np.zeros((18, lanes), dtype)
    products[:, :count] = x[:18] @ x.T
    found = np.zeros((2, 18), np.int64)
    bound = 50 * float(np.finfo(dtype).eps)
    _config.native.mine(products, x, square, codes, 0, float(square[:count].max()), bound, *found)
    for anchor in (0, 1, 5, 16, 17):
        d = ((x[anchor].astype(float) - x) ** 2).sum(axis=1)
        same = labels == labels[anchor]
        alike = same & (np.arange(count) != anchor)
        assert tuple(found[:, anchor]) == (np.argmax(np.where(alike, d, -1)), np.argmin(np.where(same, np.inf, d)))


@pytest.mark.parametrize("dtype", ["float16", ">f4", "int16", "float64"])
def test_dtypes(dtype, rng):
    x, labels = rng.normal(0, 9, (40, 12)).astype(dtype), rng.integers(0, 6, 40).astype(np.uint8)
    work = np.float32 if dtype in ("float16", ">f4") else np.float64
    for function in (fl.batch_hard_triplet_loss, fl.batch_all_triplet_loss):
        got = function(np.repeat(x, 2, axis=1)[:, ::2], labels, return_grad=True)
        assert bits(got) == bits(function(x.astype(work), labels, return_grad=True))


# ---- rankings --------------------------------------------------------------------------------------------------------


def torch_ranking(torch, name, arrays, factor, normalize=True):
    """Value and gradients by cross entropy of the whole matrix."""
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    unit = [torch.nn.functional.normalize(t, dim=1) if normalize else t for t in tensors]
    n = len(arrays[0])
    if name == "nt_xent":
        z = torch.cat(unit)
        logits = (z @ z.T * factor).masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
        target = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
    else:
        logits, target = unit[0] @ torch.cat(unit[1:]).T * factor, torch.arange(n)
    value = torch.nn.functional.cross_entropy(logits, target)
    value.backward()
    return value.item(), tuple(t.grad.numpy() for t in tensors)


@each_backend
@pytest.mark.parametrize("factor", [1.0, 20.0])
def test_rankings_are_those_of_the_whole_matrix(torch, backend, factor, rng):
    for n, features in [(1, 4), (2, 1), (9, 5), (40, 33), (70, 16)]:
        arrays = rng.normal(size=(3, n, features))
        calls = {
            "nt_xent": (fl.nt_xent_loss, arrays[:2], {"temperature": 1 / factor}),
            "info": (fl.info_nce_loss, arrays[:2], {"temperature": 1 / factor}),
            "product": (fl.info_nce_loss, arrays[:2], {"temperature": 1 / factor, "normalize": False}),
            "pairs": (fl.multiple_negatives_ranking_loss, arrays[:2], {"scale": factor}),
            "negatives": (fl.multiple_negatives_ranking_loss, (*arrays[:2], arrays[2, : n // 2]), {"scale": factor}),
        }
        for name, (function, operands, options) in calls.items():
            with fl.backend(backend):
                value, grads = function(*operands, return_grad=True, **options)
                values = function(*operands, reduction="none", **options)
            expected, expected_grads = torch_ranking(torch, name, operands, factor, options.get("normalize", True))
            assert value == pytest.approx(expected, rel=1e-9, abs=1e-12), name
            assert values.mean() == pytest.approx(expected, rel=1e-9, abs=1e-12)
            for g, e in zip(grads, expected_grads, strict=True):
                np.testing.assert_allclose(g, e, rtol=1e-8, atol=1e-11 * max(1, np.abs(e).max(initial=0)), err_msg=name)


@each_backend
def test_rankings_take_masks_and_incoming_gradients(backend, rng):
    x, y = rng.normal(size=(2, 12, 6))
    mask, g = rng.random(12) < 0.6, rng.normal(size=12)
    with fl.backend(backend):
        values, _ = fl.info_nce_loss(x, y, reduction="none", return_grad=True)
        masked, grads = fl.info_nce_loss(x, y, mask=mask, return_grad=True)
        _, by_mask = fl.info_nce_loss(x, y, reduction="none", return_grad=True, grad_output=mask / mask.sum())
        _, with_g = fl.info_nce_loss(x, y, reduction="none", return_grad=True, grad_output=g)
        h = 1e-6
        moved = [fl.info_nce_loss(x + s * h * np.eye(12, 6), y, reduction="none") @ g for s in (-1, 1)]
    assert masked == pytest.approx(values[mask].mean())
    for a, b in zip(grads, by_mask, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-14)
    assert (moved[1] - moved[0]) / (2 * h) == pytest.approx((with_g[0] * np.eye(12, 6)).sum(), rel=1e-5)


@each_backend
def test_vectors_of_zeros_rank_evenly(backend, rng):
    x, y = np.zeros((5, 3)), rng.normal(size=(5, 3))
    with fl.backend(backend):
        value, grads = fl.info_nce_loss(x, y, return_grad=True)
        both = fl.nt_xent_loss(x, x, return_grad=True)
    assert value == pytest.approx(math.log(5)) and both[0] == pytest.approx(math.log(9))
    assert all(np.isfinite(g).all() for g in (*grads, *both[1]))


def test_float32_rankings_agree_with_float64(rng):
    x, y = rng.normal(size=(2, 300, 40)).astype(np.float32)
    for function in (fl.info_nce_loss, fl.nt_xent_loss, fl.multiple_negatives_ranking_loss):
        value, grads = function(x, y, return_grad=True)
        expected, expected_grads = function(x.astype(float), y.astype(float), return_grad=True)
        assert value == pytest.approx(expected, rel=1e-5)
        for g, e in zip(grads, expected_grads, strict=True):
            assert g.dtype == np.float32
            np.testing.assert_allclose(g, e, atol=1e-5 * np.abs(e).max())


def longdouble_directions(x, g):
    """Rows of x over their lengths, and the gradient by x from g, that by these."""
    x, g = x.astype(np.longdouble), g.astype(np.longdouble)
    length = np.sqrt((x**2).sum(axis=1, keepdims=True))
    least = np.maximum(length, np.longdouble(1e-12))
    unit = x / least
    along = np.where(length < 1e-12, 0, (g * unit).sum(axis=1, keepdims=True))
    return unit, (g - along * unit) / least


@each_backend
@each_dtype
@pytest.mark.parametrize("features", [1, 7, 16, 100, 128])
def test_directions_of_every_length(backend, dtype, features, rng):
    if backend == "native" and np.finfo(np.longdouble).maxexp < 16384:
        pytest.skip("squares of float64 need a longer type")
    info = np.finfo(dtype)
    lengths = np.array([1, 1e-9, 1e-13, 1e-30, 1e9, 1e30, float(info.tiny), float(info.max) / 1e3, 0])
    x = (rng.normal(size=(9, features)) * lengths[:, np.newaxis]).astype(dtype)
    g = rng.normal(size=(9, features)).astype(dtype)
    unit, by_x = longdouble_directions(x, 3 * g.astype(float))
    with fl.backend(backend):
        directions = Directions(x, np.dtype(dtype), True, 3.0)
        got, grad = directions.vectors[:, :features], directions.gradient(np.pad(g, padding(directions, g)))
    np.testing.assert_allclose(got, 3 * unit, rtol=4 * info.eps, atol=info.tiny)
    with np.errstate(over="ignore"):
        expected = by_x.astype(dtype)
    scale = np.abs(g).max() * 3 / np.maximum(np.sqrt((x.astype(np.longdouble) ** 2).sum(axis=1)), 1e-12)
    error = np.abs(grad[:, :features].astype(np.longdouble) - expected)
    assert (error <= 8 * np.finfo(dtype).eps * scale[:, np.newaxis] + info.tiny).all()


def padding(directions, g):
    """Columns that a gradient lacks beside the padded vectors."""
    return (0, 0), (0, directions.vectors.shape[1] - g.shape[1])


@each_backend
def test_directions_keep_nan_and_infinity_in_their_rows(backend, rng):
    x = rng.normal(size=(4, 20)).astype(np.float32)
    x[1, 3], x[2, 5] = nan, np.inf
    with fl.backend(backend):
        got = Directions(x, np.dtype(np.float32), True, 1.0).vectors[:, :20]
    assert np.isnan(got[1]).all() and np.isfinite(got[[0, 3]]).all()
    assert np.isnan(got[2, 5]) and not np.delete(got[2], 5).any()


@pytest.mark.parametrize("dtype", ["float16", ">f4", "float64"])
def test_rankings_take_any_layout(dtype, rng):
    x = rng.normal(size=(2, 40, 24)).astype(dtype)
    work = np.float64 if dtype == "float64" else np.float32
    raw = np.zeros(x[0].nbytes + 1, np.uint8)
    unaligned = raw[1:].view(x.dtype).reshape(x[0].shape)
    unaligned[...] = x[0]
    strided = np.repeat(x[1], 2, axis=1)[:, ::2]
    for function in (fl.info_nce_loss, fl.nt_xent_loss, fl.multiple_negatives_ranking_loss):
        got = function(unaligned, strided, return_grad=True)
        assert bits(got) == bits(function(*x.astype(work), return_grad=True))


# ---- distances of the caller's, and all distances --------------------------------------------------------------------

NAMED = ("euclidean", "sqeuclidean", "manhattan", "chebyshev", "cosine", "pairwise", None)


def torch_distance(torch, name):
    F = torch.nn.functional
    return {
        "euclidean": lambda x, y: (x - y).norm(dim=-1),
        "sqeuclidean": lambda x, y: ((x - y) ** 2).sum(-1),
        "manhattan": lambda x, y: (x - y).abs().sum(-1),
        "chebyshev": lambda x, y: (x - y).abs().amax(-1),
        "cosine": lambda x, y: 1 - F.cosine_similarity(x, y, dim=-1),
        "pairwise": F.pairwise_distance,
        None: None,
    }[name]


@each_backend
@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("swap", [False, True])
def test_triplets_under_named_distances_are_torchs(torch, backend, name, swap, rng):
    for shape in [(6,), (5, 7), (4, 64), (3, 1030)]:
        vectors = rng.normal(size=(3, *shape))
        tensors = [torch.tensor(v, requires_grad=True) for v in vectors]
        expected = torch.nn.functional.triplet_margin_with_distance_loss(
            *tensors, distance_function=torch_distance(torch, name), swap=swap, margin=2.0
        )
        expected.backward()
        with fl.backend(backend):
            value, grads = fl.triplet_margin_with_distance_loss(
                *vectors, distance_function=name, swap=swap, margin=2.0, return_grad=True
            )
        assert value == pytest.approx(expected.item(), rel=1e-9)
        for g, t in zip(grads, tensors, strict=True):
            np.testing.assert_allclose(g, t.grad.numpy(), rtol=1e-9, atol=1e-12)


@each_backend
@pytest.mark.parametrize("swap", [False, True])
def test_a_function_is_as_good_as_a_name(backend, swap, rng):
    a, p, n = rng.normal(size=(3, 8, 10))
    p = p[:1]
    options = {"swap": swap, "mask": rng.random(8) < 0.7, "return_grad": True}
    functions = {
        "pairwise": fl.pairwise_distance,
        "cosine": lambda x, y, **o: (
            (1 - (r := fl.cosine_similarity(x, y, **o))[0], tuple(-g for g in r[1]))
            if o
            else 1 - fl.cosine_similarity(x, y)
        ),
    }
    for name, function in functions.items():
        for reduction in ("mean", "sum", "none"):
            with fl.backend(backend):
                got = fl.triplet_margin_with_distance_loss(
                    a, p, n, distance_function=function, reduction=reduction, **options
                )
                expected = fl.triplet_margin_with_distance_loss(
                    a, p, n, distance_function=name, reduction=reduction, **options
                )
            np.testing.assert_allclose(got[0], expected[0], rtol=1e-12)
            for g, e in zip(got[1], expected[1], strict=True):
                np.testing.assert_allclose(g, e, rtol=1e-10, atol=1e-14)


@each_backend
@each_dtype
def test_cdist(backend, dtype, rng):
    for (n, m), features in itertools.product([(1, 1), (5, 9), (0, 3), (40, 30)], (1, 7, 64, 1030)):
        x, y = rng.normal(size=(n, features)).astype(dtype), rng.normal(size=(m, features)).astype(dtype)
        d = x[:, np.newaxis].astype(float) - y.astype(float)
        expected = {
            "euclidean": np.sqrt((d**2).sum(-1)),
            "sqeuclidean": (d**2).sum(-1),
            "manhattan": np.abs(d).sum(-1),
            "chebyshev": np.abs(d).max(-1, initial=0),
            "minkowski": (np.abs(d) ** 3).sum(-1) ** (1 / 3),
        }
        with fl.backend(backend):
            for metric, e in expected.items():
                got = fl.cdist(x, y, metric, p=3)
                assert got.dtype == dtype and got.shape == (n, m)
                np.testing.assert_allclose(got, e, rtol=32 * np.finfo(dtype).eps, err_msg=metric)
            cosine = fl.cdist(x, y, "cosine")
        lengths = np.linalg.norm(x.astype(float), axis=1)[:, np.newaxis] * np.linalg.norm(y.astype(float), axis=1)
        np.testing.assert_allclose(cosine, 1 - x.astype(float) @ y.T / lengths, atol=8 * np.finfo(dtype).eps)


def test_cdist_of_equal_vectors_is_zero(rng):
    x = (1e4 + rng.normal(size=(20, 30))).astype(np.float32)
    assert not np.diag(fl.cdist(x, x)).any()


x23 = np.zeros((2, 3))
REFUSED = {
    "embeddings has shape (3,), expected (N, D)": lambda: fl.batch_hard_triplet_loss(np.ones(3), [0]),
    "labels has shape (3,), expected (2,): one per embedding": lambda: fl.batch_all_triplet_loss(x23, [0, 1, 2]),
    "labels has dtype float64, expected integers": lambda: fl.hardest_triplets(x23, [0.0, 1.0]),
    "metric must be 'euclidean' or 'sqeuclidean', got 'cosine'": lambda: fl.batch_hard_triplet_loss(
        x23, [0, 1], metric="cosine"
    ),
    "metric must be one of 'euclidean'": lambda: fl.cdist(x23, x23, "l2"),
    "y has 4 features and x has 3": lambda: fl.cdist(x23, np.zeros((2, 4))),
    "x has shape (3,), expected (N, D)": lambda: fl.cdist(np.ones(3), x23),
    "margin must be positive and finite, got -1": lambda: fl.batch_all_triplet_loss(x23, [0, 1], margin=-1),
    "active_only must be a bool, got int": lambda: fl.batch_all_triplet_loss(x23, [0, 1], active_only=1),
    "mask has shape (3,), expected (2,): one per anchor": lambda: fl.batch_hard_triplet_loss(
        x23, [0, 1], mask=np.ones(3, bool)
    ),
    "temperature must be positive and finite, got 0": lambda: fl.info_nce_loss(x23, x23, temperature=0),
    "scale must be positive and finite, got inf": lambda: fl.multiple_negatives_ranking_loss(x23, x23, scale=math.inf),
    "normalize must be a bool, got int": lambda: fl.info_nce_loss(x23, x23, normalize=1),
    "key has shape (3, 3), expected (2, 3): that of query": lambda: fl.info_nce_loss(x23, np.zeros((3, 3))),
    "negative has shape (1, 4), expected (M, 3)": lambda: fl.multiple_negatives_ranking_loss(
        x23, x23, np.zeros((1, 4))
    ),
    "mask has shape (2,), expected (4,): one per query": lambda: fl.nt_xent_loss(x23, x23, mask=np.ones(2, bool)),
    "distance_function must be one of 'euclidean'": lambda: fl.triplet_margin_with_distance_loss(
        x23, x23, x23, distance_function="l2"
    ),
    "distance_function returned shape (2, 3), expected (2,)": lambda: fl.triplet_margin_with_distance_loss(
        x23, x23, x23, distance_function=lambda x, y: x - y
    ),
    "distance_function must return (distances, (gradient by x, gradient by y))": lambda: (
        fl.triplet_margin_with_distance_loss(
            x23, x23, x23, distance_function=lambda x, y, **o: np.zeros(2), return_grad=True
        )
    ),
}


@each_backend
@pytest.mark.parametrize("message", REFUSED)
def test_refusals(backend, message):
    with fl.backend(backend), pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}"):
        REFUSED[message]()

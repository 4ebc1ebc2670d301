# SPDX-License-Identifier: BSD-3-Clause
"""The matrix product below losses that are made of one, against NumPy in higher precision."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cases import bits

import fastloss as fl
from fastloss import _config

pytestmark = pytest.mark.skipif(_config.native is None, reason="the reference backend has no kernels")

SIZES = (1, 2, 5, 11, 12, 13, 31, 32, 33, 47, 48, 49, 95, 97, 130)
DTYPES = (np.float32, np.float64)


def product(a, b, out=None, add=False):
    assert _config.native is not None
    to = np.full((a.shape[0], b.shape[1]), np.nan, a.dtype) if out is None else out
    _config.native.product(a, b, to, add)
    return to


def exact(a, b):
    """To longdouble, without BLAS."""
    return np.einsum("ik,kj->ij", a.astype(np.longdouble), b.astype(np.longdouble))


def bound(a, b):
    """Of the error of a sum of k products: parts of 128 steps, then their sum; each rounding at most eps / 2."""
    k = a.shape[1]
    steps = min(k, 128) + k // 128 + 1
    return steps * np.finfo(a.dtype).eps / 2 * exact(np.abs(a), np.abs(b)) * 1.001


def drawn(rng, m, k, n, dtype):
    return rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)


def layouts(a):
    """The same matrix: contiguous along either axis, with gaps, backwards, unaligned to any register."""
    yield np.ascontiguousarray(a)
    yield np.asfortranarray(a)
    yield np.pad(a, ((0, 0), (1, 2)))[:, 1:-2]
    yield np.pad(a, ((2, 1), (0, 0))).T.copy().T[2:-1]
    yield np.ascontiguousarray(a[::-1])[::-1]
    yield np.asfortranarray(a[:, ::-1])[:, ::-1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_edge(dtype, rng):
    """Rows, columns and depth around the sizes of groups, panels, tiles and pieces."""
    for m, n in itertools.product(SIZES, (*SIZES, 511, 513)):
        k = int(rng.choice([1, 2, 7, 8, 9, 16, 17, 127, 128, 129, 257]))
        a, b = drawn(rng, m, k, n, dtype)
        assert (np.abs(product(a, b) - exact(a, b)) <= bound(a, b)).all(), (m, k, n)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_single_row(dtype, rng):
    """Contiguous columns meet a single row by squares, those of other layouts do not: the same bits."""
    for k, n in itertools.product((*range(1, 18), 31, 127, 130, 144, 257), (1, 2, 3, 4, 7, 15, 16, 17, 33, 513)):
        a, b = drawn(rng, 1, k, n, dtype)
        if n > 4:
            a[0, k // 2], b[k // 3, n // 2], b[-1, 3] = -0.0, np.inf, np.nan
        before = rng.normal(size=(1, n)).astype(dtype)
        expected, added = product(a, np.ascontiguousarray(b)), product(a, np.ascontiguousarray(b), before.copy(), True)
        for y in layouts(b):
            np.testing.assert_array_equal(product(a, y), expected)
            np.testing.assert_array_equal(product(np.asfortranarray(a), y, before.copy(), True), added)
        if n <= 4:
            assert (np.abs(expected - exact(a, b)) <= bound(a, b)).all(), (k, n)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("depth", [3, 16, 100, 128, 300])
def test_a_single_row_from_any_place(depth, dtype, rng):
    """Loops begin where registers do: wherever the matrix begins, and whatever stands around it, the same bits."""
    a, b = drawn(rng, 1, depth, 40, dtype)
    expected = product(a, b)
    assert (np.abs(expected - exact(a, b)) <= bound(a, b)).all()
    apart = -(-max(depth, 40) // 16) * 16 + 16
    for place, (values, turn) in itertools.product(range(17), ((b, False), (b.T, True))):
        memory = np.full(len(values) * apart + 32, np.nan, dtype)
        matrix = memory[place : place + len(values) * apart].reshape(len(values), apart)[:, : values.shape[1]]
        matrix[...] = values
        assert bits(product(a, matrix.T if turn else matrix)) == bits(expected), place


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_single_row_of_more_than_the_scratch(dtype, rng):
    a, b = drawn(rng, 1, 23_000, 20, dtype)
    whole, ones = np.concatenate([a, a]), np.ones((2, 20), dtype)  # two rows are packed in other spans
    expected, added = product(whole, b)[:1], product(whole, b, ones.copy(), add=True)[:1]
    for matrix in (b, np.asfortranarray(b)):
        assert bits(product(a, matrix)) == bits(expected)
        assert bits(product(a, matrix, ones[:1].copy(), add=True)) == bits(added)


def test_a_sum_that_vanishes_keeps_its_sign():
    """Where multiply-adds are fused; all ways to a product agree."""
    a, b = np.full((60, 140), 1e-30, np.float32), np.full((140, 40), -1e-30, np.float32)
    expected = np.signbit(product(a[:, :1], b[:1]))[0, 0]
    for rows, matrix in itertools.product((1, 2, 60), (b, np.asfortranarray(b))):
        for depth in (1, 128):
            assert (np.signbit(product(a[:rows, :depth], matrix[:depth])) == expected).all()
        zeros = np.zeros((rows, 40), np.float32)
        assert not np.signbit(product(a[:rows], matrix, zeros, add=True)).any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "k", "n"), [(50, 200, 40), (200, 70, 33), (150, 131, 600)])
def test_layouts_change_no_bit(dtype, m, k, n, rng):
    a, b = drawn(rng, m, k, n, dtype)
    expected = product(a, b)
    assert (np.abs(expected - exact(a, b)) <= bound(a, b)).all()
    for x, y in itertools.product(layouts(a), layouts(b)):
        assert bits(product(x, y)) == bits(expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", [5, 300])
def test_writes_its_part_only(dtype, m, rng):
    """`out` is a part of a larger matrix, which keeps what stands around it; it is added to where that is asked."""
    a, b = drawn(rng, m, 140, 37, dtype)
    whole = np.full((m + 2, 50), 7, dtype)
    product(a, b, whole[1:-1, 5:42])
    expected = product(a, b)
    assert bits(whole[1:-1, 5:42].copy()) == bits(expected)
    whole[1:-1, 5:42] = 7
    assert (whole == 7).all()
    start = rng.normal(size=expected.shape).astype(dtype)
    found = product(a, b, start.copy(), add=True)
    assert (np.abs(found - (start + exact(a, b))) <= bound(a, b) + 4 * np.finfo(dtype).eps * np.abs(start)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_columns_and_threads_change_no_bit(dtype, rng):
    """A sum depends on its own row and column: not on how many others there are, nor on who computes them."""
    a, b = drawn(rng, 210, 300, 1100, dtype)
    with fl.num_threads(1):
        expected = product(a, b)
    for threads in (2, 3, 7):
        with fl.num_threads(threads):
            assert bits(product(a, b)) == bits(expected)
    for rows, columns in (((0, 1), (0, 1)), ((3, 60), (100, 777)), ((100, 210), (1099, 1100)), ((0, 210), (64, 96))):
        part = product(a[slice(*rows)], b[:, slice(*columns)])
        assert bits(part) == bits(np.ascontiguousarray(expected[slice(*rows), slice(*columns)]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("depth", [385, 897, 1025, 2177, 3713])
def test_few_rows_of_a_great_depth(depth, dtype, rng):
    """Rows of one group are packed as far as there is room, then further; more rows piece by piece: the same bits."""
    a, b = drawn(rng, 100, depth, 70, dtype)
    expected = product(a, b)
    added = product(a, b, np.ones_like(expected), add=True)
    assert (np.abs(expected - exact(a, b)) <= bound(a, b)).all()
    for rows in (1, 2, 4, 5, 6, 7, 12, 13):
        for matrix, left in itertools.product((b, np.asfortranarray(b)), (a[:rows], np.asfortranarray(a[:rows]))):
            assert bits(product(left, matrix)) == bits(expected[:rows])
            assert bits(product(left, matrix, np.ones((rows, 70), dtype), add=True)) == bits(added[:rows])


def test_columns_packed_in_several_goes(rng):
    """A second matrix of more than what is packed at a time."""
    a, b = drawn(rng, 100, 4000, 1300, np.float32)
    found = product(a, b)
    assert (np.abs(found - a.astype(float) @ b.astype(float)) <= bound(a, b)).all()
    assert bits(product(a, b[:, 512:1100])) == bits(np.ascontiguousarray(found[:, 512:1100]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values(dtype, rng):
    """They stay in their row or column; infinity times zero is no number."""
    a, b = drawn(rng, 60, 40, 70, dtype)
    a[3, 7], a[13, 9], a[50, 1], b[5, 9], b[6, 60] = np.nan, np.nan, np.inf, np.inf, np.nan
    b[1, 2] = 0
    with np.errstate(all="ignore"):
        for matrix in (b, np.asfortranarray(b)):
            np.testing.assert_array_equal(np.isnan(product(a, matrix)), np.isnan(exact(a, b)))
            np.testing.assert_array_equal(np.isinf(product(a, matrix)), np.isinf(exact(a, b)))


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)])
def test_nothing_to_multiply(shape):
    m, k, n = shape
    out = np.full((m, n), 5.0)
    _config.native.product(np.ones((m, k)), np.ones((k, n)), out, True)
    assert (out == 5).all()
    _config.native.product(np.ones((m, k)), np.ones((k, n)), out)
    assert not out.any()


def test_broadcast_rows(rng):
    """Of stride 0, which `linear_weight` may have."""
    a, b = drawn(rng, 60, 40, 70, np.float32)
    same = np.broadcast_to(b[:, 5].copy(), (70, 40))
    assert bits(product(a, same.T)) == bits(product(a, np.ascontiguousarray(same.T)))
    assert bits(product(np.broadcast_to(a[3], a.shape), b)) == bits(product(a[[3] * 60], b))


def test_what_does_not_fit_is_refused():
    a = np.ones((6, 6))
    with pytest.raises(ValueError, match="contiguous along neither axis"):
        product(a[::2, ::2], a)
    for out in (np.ones((6, 6)).T, np.ones((6, 5)), np.ones((5, 6))):
        with pytest.raises(ValueError, match="does not go into"):
            product(a, a, out)
    with pytest.raises(ValueError, match="does not go into"):
        product(a, a[:5])


def test_fma_isas_give_equal_bits(same_on_fused_isas):
    """AVX2 and AVX-512, registers of either width."""
    program = """if True:
        import hashlib
        import numpy as np
        from fastloss import _config
        rng, digest = np.random.default_rng(5), hashlib.sha256()
        for dtype in (np.float32, np.float64):
            for m, k, n in ((7, 9, 11), (130, 300, 70), (49, 129, 700)):
                a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
                out = np.empty((m, n), dtype)
                _config.native.product(a, b, out)
                digest.update(out.tobytes())
        print(digest.hexdigest())"""
    same_on_fused_isas(program)

# SPDX-License-Identifier: BSD-3-Clause
"""Equal bits: over thread counts, runs, alignments, strides, FMA ISAs, and with or without the gradient."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from cases import CASES, REDUCTIONS, assert_close, bits, digests, shapes_of

import fastloss as fl

each_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


def test_thread_counts():
    """1, 2, 7 and 16 threads, on shapes of several blocks."""
    with fl.num_threads(1):
        expected = digests(large=True)
    for n in (2, 7, 16):
        with fl.num_threads(n):
            assert digests(large=True) == expected, f"{n} threads"


def test_run_to_run():
    assert digests() == digests()


def test_callers_in_several_threads():
    """The same call from several Python threads at once."""
    expected = digests()
    found = []
    threads = [threading.Thread(target=lambda: found.append(digests())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 3


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_alignment(case, dtype):
    """Every element offset within a cache line gives the same bits."""
    shape = (37, 101)
    operands = case.operands(shape, dtype)
    expected = case.gradients(operands)
    for offset in range(0, 64, np.dtype(dtype).itemsize):
        shifted = {}
        for name, a in operands.items():
            memory = np.empty(a.nbytes + 128, np.uint8)
            start = -memory.ctypes.data % 64 + offset
            shifted[name] = memory[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
            shifted[name][...] = a
        assert bits(case.gradients(shifted)) == bits(expected), f"offset {offset}"


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_value_is_the_same_without_its_gradient(case, dtype, reduction):
    for shape in shapes_of(case):
        operands = case.operands(shape, dtype)
        assert bits(case.call(operands, reduction=reduction)) == bits(case.gradients(operands, reduction=reduction)[0])


@each_case
def test_elements_do_not_depend_on_their_neighbours(case):
    """An element's (or row's) loss and unscaled gradient are the same alone as in company."""
    operands = case.operands((40, 10), np.float32)
    value, (grad, *_) = case.gradients(operands, reduction="none")
    for k in (0, 17, 39):
        shared = {n for n, a in operands.items() if a.shape[:1] != (40,)}
        one = {n: a if n in shared else a[k : k + 1] for n, a in operands.items()}
        alone, (alone_grad, *_) = case.gradients(one, reduction="none")
        assert bits(alone) == bits(value[k : k + 1]) and bits(alone_grad) == bits(grad[k : k + 1])


@pytest.fixture(scope="module")
def by_isa():
    """What `python cases.py` prints under each ISA that this machine can run."""
    import os
    import subprocess
    import sys
    from pathlib import Path

    found = {}
    for isa, state in fl.isas().items():
        if state["compiled"] and state["supported"]:
            result = subprocess.run(
                [sys.executable, str(Path(__file__).with_name("cases.py"))],
                env={**os.environ, "FASTLOSS_ISA": isa, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert result.returncode == 0, result.stderr
            found[isa] = json.loads(result.stdout)
    return found


def test_fma_isas_give_equal_bits(by_isa):
    fused = [isa for isa in by_isa if isa != "baseline"]
    if len(fused) < 2:
        pytest.skip(f"needs a processor with AVX2 and AVX-512, whose bits it compares; here is {sorted(by_isa)}")
    for isa in fused[1:]:
        assert by_isa[isa]["digests"] == by_isa[fused[0]]["digests"], f"{isa} against {fused[0]}"


def test_every_isa_agrees_with_the_reference(by_isa):
    assert by_isa
    for isa, found in by_isa.items():
        assert found["disagreement"] < 16, isa


def test_an_unknown_isa_is_refused(run_python):
    result = run_python("import fastloss", FASTLOSS_ISA="sse9")
    assert result.returncode == 1 and "ImportError" in result.stderr
    assert "FASTLOSS_ISA" in result.stderr and "sse9" in result.stderr


@each_case
def test_one_sum_whatever_the_layout_of_blocks(case):
    """The mean of an input cut in two halves is the mean of the halves (exactly in order, within rounding)."""
    operands = case.operands((20_000, 6))
    whole = case.call(operands, reduction="sum")
    shared = {n for n, a in operands.items() if a.shape[:1] != (20_000,)}
    halves = [
        case.call({n: a if n in shared else a[part] for n, a in operands.items()}, reduction="sum")
        for part in (slice(0, 9_999), slice(9_999, None))
    ]
    assert_close(sum(halves), whole, np.float64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0, 1, 5])
@pytest.mark.parametrize("name", ["l1", "huber", "smape", "margin_ranking", "hinge_embedding"])
def test_gradients_beyond_the_caches(name, offset, dtype):
    """Gradients that are stored past the caches are those of calls so small that they are not, wherever they start."""
    size, piece, guard = 3 * 2**20 + 77, 2**15, 1234.0
    rng = np.random.default_rng(0)
    operands = [rng.normal(0, 2, size).astype(dtype) for _ in range(3 if name == "margin_ranking" else 2)]
    operands[0][5::99_999] = np.inf  # here and there: sums of floats without a sign are computed once more
    if name == "hinge_embedding":  # signs, here and there another number
        operands[1] = np.where(np.arange(size) % 99_999 == 5, operands[1], np.sign(operands[1])).astype(dtype)
    function = getattr(fl, f"{name}_loss")
    memory = [np.full(size + 64, guard, dtype) for _ in operands[1:]]
    outs = tuple(m[offset : offset + size] for m in memory)
    with fl.num_threads(1):
        function(*operands, reduction="sum", return_grad=True, grad_out=outs if len(outs) > 1 else outs[0])
        for start in range(0, size, piece):
            part = slice(start, start + piece)
            grads = function(*(a[part] for a in operands), reduction="sum", return_grad=True)[1]
            for out, grad in zip(outs, grads if len(outs) > 1 else (grads,), strict=True):
                assert bits(out[part]) == bits(grad)
    for m in memory:
        assert np.all(m[:offset] == guard)
        assert np.all(m[offset + size :] == guard)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("features", [100, 128, 2500])
@pytest.mark.parametrize(
    "loss", [fl.triplet_margin_loss, fl.pairwise_distance, fl.cosine_similarity], ids=lambda f: f.__name__
)
def test_gradients_of_vectors_beyond_the_caches(loss, features, dtype):
    """The same of gradients of vectors: whole rows, and parts of long ones, share lines of the cache."""
    rows, piece, guard = 9 * 2**20 // features // (np.dtype(dtype).itemsize // 4), 50, 1234.0
    rng = np.random.default_rng(0)
    operands = [rng.normal(0, 2, (rows, features)).astype(dtype) for _ in range(3 if "triplet" in loss.__name__ else 2)]
    options = {"reduction": "sum"} if "triplet" in loss.__name__ else {"grad_output": np.ones(rows, dtype)}
    memory = [np.full(rows * features + 64, guard, dtype) for _ in operands]
    outs = tuple(m[5 : 5 + rows * features].reshape(rows, features) for m in memory)
    with fl.num_threads(1):
        loss(*operands, return_grad=True, grad_out=outs, **options)
        if "grad_output" in options:
            options["grad_output"] = options["grad_output"][:piece]
        for start in range(0, rows - piece, rows // 7):
            grads = loss(*(a[start : start + piece] for a in operands), return_grad=True, **options)[1]
            for out, grad in zip(outs, grads, strict=True):
                assert bits(out[start : start + piece]) == bits(grad)
    for m in memory:
        assert np.all(m[:5] == guard)
        assert np.all(m[5 + rows * features :] == guard)

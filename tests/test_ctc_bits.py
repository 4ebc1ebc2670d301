# SPDX-License-Identifier: BSD-3-Clause
"""CTC gives equal bits over threads, runs, ISAs, alignments, company and padding, with or without the gradient."""

from __future__ import annotations

import functools
import json
import os
import threading

import numpy as np
import pytest
from cases import bits
from ctc_cases import DISTRIBUTIONS, Batch, batch_of, call, digests, draw_labels, random_batch

import fastloss as fl

SHORT = [name for name in DISTRIBUTIONS if name != "long"]
each_way = [
    pytest.mark.parametrize("dtype", ["float32", "float64"]),
    pytest.mark.parametrize("from_logits", [False, True], ids=["log_probs", "logits"]),
    pytest.mark.parametrize("forced", [False, True], ids=["usual", "exact"]),
]


def in_every_way(test):
    return functools.reduce(lambda f, mark: mark(f), each_way, test)


def both(batch: Batch, dtype: str, from_logits: bool, forced: bool):
    return call(batch, dtype, from_logits, forced, reduction="none", return_grad=True)


def test_thread_counts():
    names = ("sigma 3", "sigma 40", "all blank", "tight", "drifting", "masked", "ocr")
    with fl.num_threads(1):
        expected = digests(names)
    for n in (2, 3, 7, 16):
        with fl.num_threads(n):
            assert digests(names) == expected, f"{n} threads"


@pytest.mark.parametrize("forced", [False, True], ids=["usual", "exact"])
def test_one_long_sequence_by_several_threads(forced):
    rng = np.random.default_rng(0)
    batch = Batch(rng.normal(0, 2, (4000, 1, 40)), [draw_labels(rng, 700, 40)], np.array([4000]))
    with fl.num_threads(1):
        expected = bits(both(batch, "float32", True, forced))
    for n in (2, 5):
        with fl.num_threads(n):
            assert bits(both(batch, "float32", True, forced)) == expected, f"{n} threads"


def test_callers_in_several_threads():
    batch = random_batch(np.random.default_rng(1), 100)
    expected = bits(both(batch, "float32", True, False))
    found = []
    threads = [
        threading.Thread(target=lambda: found.extend(bits(both(batch, "float32", True, False)) for _ in range(5)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 15 and set(found) == {expected}


@in_every_way
@pytest.mark.parametrize("name", SHORT)
def test_a_sample_is_the_same_alone(name, dtype, from_logits, forced):
    """Without its neighbours and without frames beyond its length."""
    batch = batch_of(name)
    loss, grad = both(batch, dtype, from_logits, forced)
    for n, length in enumerate(batch.input_lengths):
        alone, alone_grad = both(batch.one(n), dtype, from_logits, forced)
        assert bits(alone) == bits(loss[n : n + 1]) and bits(alone_grad) == bits(grad[:length, n : n + 1])


@in_every_way
def test_company_order_and_padding(dtype, from_logits, forced):
    """Samples in another order, among others, with more frames behind them that hold anything."""
    batch = random_batch(np.random.default_rng(2), 60)
    loss, grad = both(batch, dtype, from_logits, forced)
    order = np.random.default_rng(3).permutation(np.r_[0:60, 5, 5, 17])
    x = np.full((len(batch.x) + 19, len(order), batch.x.shape[2]), 3.0)
    x[: len(batch.x)] = batch.x[:, order]
    mixed = Batch(x, [batch.targets[n] for n in order], batch.input_lengths[order], batch.blank)
    found, found_grad = both(mixed, dtype, from_logits, forced)
    assert bits(found) == bits(loss[order])
    assert bits(found_grad[: len(batch.x)]) == bits(grad[:, order]) and not found_grad[len(batch.x) :].any()


@in_every_way
@pytest.mark.parametrize("name", ["sigma 3", "sigma 40", "tight", "masked", "no labels", "segments"])
def test_value_is_the_same_without_its_gradient(name, dtype, from_logits, forced):
    batch = batch_of(name).prepared(dtype, from_logits)
    for reduction in ("none", "mean"):
        alone = call(batch, dtype, from_logits, forced, reduction=reduction)
        assert bits(alone) == bits(call(batch, dtype, from_logits, forced, reduction=reduction, return_grad=True)[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("from_logits", [False, True], ids=["log_probs", "logits"])
def test_alignment(dtype, from_logits):
    """Every element offset within a cache line, of inputs and outputs."""
    batch = random_batch(np.random.default_rng(4), 30)
    a = batch.inputs(dtype, from_logits)
    rest = (batch.concatenated, batch.input_lengths, batch.target_lengths)
    options = {"reduction": "none", "return_grad": True, "blank": batch.blank, "from_logits": from_logits}
    expected = bits(fl.ctc_loss(a, *rest, **options))

    def shifted(offset):
        memory = np.empty(a.nbytes + 128, np.uint8)
        start = -memory.ctypes.data % 64 + offset
        return memory[start : start + a.nbytes].view(a.dtype).reshape(a.shape)

    for offset in range(0, 64, a.itemsize):
        x, grad_out = shifted(offset), shifted((3 * offset + a.itemsize) % 64)
        x[...] = a
        assert bits(fl.ctc_loss(x, *rest, **options, grad_out=grad_out)) == expected, f"offset {offset}"


def test_fma_isas_give_equal_bits(run_python):
    isas = [name for name, state in fl.isas().items() if state["compiled"] and state["supported"]]
    fused = [isa for isa in isas if isa != "baseline"]
    if len(fused) < 2:
        pytest.skip(f"needs two ISAs with fused multiply-add, whose bits it compares; here are {isas}")
    found = {}
    for isa in fused:
        result = run_python("ctc_cases.py", FASTLOSS_ISA=isa)
        assert result.returncode == 0, result.stderr
        found[isa] = json.loads(result.stdout)
    for isa in fused[1:]:
        assert found[isa] == found[fused[0]], f"{isa} against {fused[0]}"


FORKED = """
import os, signal
import numpy as np
import fastloss as fl
from ctc_cases import call, every_way, random_batch

batch = random_batch(np.random.default_rng(6), 150)
signal.alarm(100)  # ends a process that hangs, even inside the OpenMP library
fl.set_num_threads(2)
expected = list(every_way(batch))
pid = os.fork()
if pid == 0:
    status = 9
    try:
        signal.alarm(60)
        status = 0 if list(every_way(batch)) == expected else 1
    finally:
        os._exit(status)
assert os.waitpid(pid, 0)[1] == 0
assert list(every_way(batch)) == expected
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child(run_python):
    result = run_python(FORKED)
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr

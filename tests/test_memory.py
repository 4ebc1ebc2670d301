# SPDX-License-Identifier: BSD-3-Clause
"""Calls leave nothing behind, refused ones included; mapped files are not copied (other inputs: test_operands.py)."""

from __future__ import annotations

import json
import sys

import pytest

MALLINFO = """
class Info(ctypes.Structure):  # of glibc's malloc
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Info

def held():
    '''Bytes that C's malloc has given out, and blocks that Python's allocator has.'''
    gc.collect()
    info = mallinfo2()
    return info.uordblks + info.hblkhd, sys.getallocatedblocks()
"""

LEAKS = (
    """
import ctypes, gc, json, os, sys
import numpy as np
import fastloss as fl
from cases import CASES
import every
"""
    + MALLINFO
    + """
def refused(case, operands, **options):
    try:
        case.call(operands, **options)
    except (ValueError, TypeError, IndexError):
        return
    raise AssertionError(f"{case.name}: not refused")

def calls_of(case):
    '''Every way through: fast and general path, staged gradients, each kind of refusal.'''
    shape = (6, 5)
    operands = case.operands(shape, np.float32)
    half = {k: a.astype(np.float16) if a.dtype.kind == "f" else a for k, a in operands.items()}
    labels = case.rows and not case.lists
    bad = {**operands, "target": operands["target"] + 99 if labels else np.ones(7)}
    mask = np.ones(case.loss_shape(shape), bool)
    large = case.operands((600, 500), np.float32)
    yield 1, lambda: case.call(operands)
    yield 1, lambda: case.gradients(operands, reduction="none")
    yield 1, lambda: case.gradients(half, mask=mask, grad_output=2.0)
    out, grads = np.empty(case.loss_shape(shape), np.float32), [np.empty_like(operands[k]) for k in case.predictions]
    grad_out = grads[0] if len(grads) == 1 else tuple(grads)
    yield 1, lambda: case.gradients(operands, reduction="none", out=out, grad_out=grad_out)
    yield 1, lambda: refused(case, bad)
    yield 1, lambda: refused(case, bad, reduction="none", return_grad=True)
    yield 1, lambda: refused(case, operands, return_grad=True, grad_out=np.empty(3))
    yield 1, lambda: refused(case, operands, reduction="median")
    yield 1, lambda: refused(case, {**operands, "input": "text"})
    yield 1, lambda: refused(case, operands, mask=np.ones(3, bool))
    yield 1, lambda: refused(case, operands, reduction="none", out=np.empty(3))
    if case.function == "gaussian_nll_loss":
        yield 1, lambda: refused(case, {**operands, "var": -operands["var"]})
        scalar = {**operands, "var": np.float32(1)}
        yield 1, lambda: case.gradients(scalar)
    yield 100, lambda: case.gradients(large)  # several blocks, and threads

def refused_call(function, operands, options):
    try:
        function(*operands, **options)
    except (ValueError, TypeError, IndexError):
        return
    raise AssertionError(f"{function.__name__}: not refused")

def calls_of_other(call, large):
    '''What fits no case: answered and refused.'''
    function, operands, options = call.func, list(call.args), call.keywords
    for _ in range(2):
        yield 1, call
        yield 1, lambda: refused_call(function, ["text", *operands[1:]], options)
        yield 1, lambda: refused_call(function, operands, {**options, "reduction": "median"})
        yield 1, lambda: refused_call(function, operands, {**options, "mask": np.ones((3, 1, 2), np.float32)})
        yield 1, lambda: refused_call(function, operands[:-1] + [np.array([None])], options)
    yield 1000, large

def named_ways():
    for case in CASES:
        yield case.name, list(calls_of(case))
    small, large = every.calls(12), every.calls(500)
    for name in every.OTHERS:
        yield name, list(calls_of_other(small[name], large[name]))

def kept_by(ways, n):
    '''Calls of the last of three times around, the first of which fill caches; bytes and blocks that it left.'''
    for count in (n // 10, n // 2, n):
        before = held()
        for rarely, call in ways:
            for _ in range(max(1, count // rarely)):
                call()
        after = held()
    return sum(max(1, count // rarely) for rarely, _ in ways), after[0] - before[0], after[1] - before[1]
"""
)

EVERY_LOSS = (
    LEAKS
    + """
N = int(os.environ.get("FASTLOSS_CALLS", "500"))
part, parts = map(int, os.environ.get("FASTLOSS_PART", "0/1").split("/"))
every_one = list(named_ways())
print(len(every_one))
for name, ways in every_one[part::parts]:
    print(json.dumps([name, *kept_by(ways, N)]))
"""
)

# An array that each call keeps, a Python object, and nothing.
PLANTED = (
    LEAKS
    + """
arrays, objects = [], []
plants = {"array": lambda: arrays.append(np.empty(9)), "object": lambda: objects.append(object()), "none": fl.isas}
for name, plant in plants.items():
    print(json.dumps([name, *kept_by([(1, plant), *calls_of(CASES[0])], 200)]))
"""
)


def is_nothing(calls: int, held: int, blocks: int) -> bool:
    """Whether so many calls kept less than a byte each, and of Python's objects less than one in 32."""
    return held < calls and blocks < calls / 32


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc's malloc")
def test_calls_and_refusals_leave_nothing_behind(run_python):
    """About 5000 calls per loss, or FASTLOSS_CALLS of each kind (portions: FASTLOSS_PART=0/4): below a byte each."""
    result = run_python(EVERY_LOSS, OPENBLAS_NUM_THREADS="1")
    if "mallinfo2" in result.stderr:
        pytest.skip("this C library has no mallinfo2")
    assert result.returncode == 0, result.stderr
    total, *made = map(json.loads, result.stdout.splitlines())
    for name, calls, held, blocks in made:
        assert calls > 4000 and is_nothing(calls, held, blocks), name
    assert made
    most = max(held / calls for _, calls, held, _ in made)
    least = min(calls for _, calls, _, _ in made)
    print(f"{len(made)} of {total} losses, {least} calls or more of each, {most:.4f} bytes a call")


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc's malloc")
def test_what_a_call_keeps_is_seen(run_python):
    """The measure can fail: a small array or object that one call in some fifteen keeps is too much."""
    result = run_python(PLANTED, OPENBLAS_NUM_THREADS="1")
    if "mallinfo2" in result.stderr:
        pytest.skip("this C library has no mallinfo2")
    assert result.returncode == 0, result.stderr
    found = {name: is_nothing(*numbers) for name, *numbers in map(json.loads, result.stdout.splitlines())}
    assert found == {"array": False, "object": False, "none": True}


MAPPED = """
import resource, sys
import numpy as np
import fastloss as fl

def data():  # private writable memory; pages of a mapped file are no part of it
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmData:")) * 1024

n = 8192
x = np.memmap(sys.argv[1], np.dtype(sys.argv[2]), "w+", shape=(n, n))  # a sparse file: its pages read as zeros
y = x.T
fl.mse_loss(np.zeros((999, 99), np.float32), 0.0)  # start the threads
soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
resource.setrlimit(resource.RLIMIT_DATA, (data() + 32 * 2**20, hard))
assert fl.mse_loss(x, 0.5) == 0.25
assert fl.huber_loss(x[:1024], y[:1024], mask=np.ones(n, bool)) == 0
value, grad = fl.cross_entropy(x[:256], np.zeros(256, np.uint8), return_grad=True)
assert abs(value - np.log(n)) < 1e-6
try:
    x + 1
except MemoryError:
    print("a copy is refused")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits private memory only, as Linux does")
@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_mapped_files_are_not_copied(run_python, tmp_path, dtype):
    """With 32 MB to spare, 64 million elements of a mapped file are read; one copy of them would not fit."""
    program = f"import sys; sys.argv[1:] = [{str(tmp_path / 'x')!r}, {dtype!r}]\n{MAPPED}"
    result = run_python(program, OPENBLAS_NUM_THREADS="1")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "a copy is refused\n"

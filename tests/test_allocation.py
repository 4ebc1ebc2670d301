# SPDX-License-Identifier: BSD-3-Clause
"""Memory runs out: each allocation of a call, one after the other, fails once. MemoryError, nothing lost, life goes on.

What the extension takes from malloc fails by a preloaded library (tests/c/failing_malloc.c), the data of NumPy arrays
by NumPy's own handler of memory.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "c" / "failing_malloc.c"
DEEP = os.environ.get("FASTLOSS_DEEP") == "1"
COMPILER = shutil.which(os.environ.get("CC", "cc"))
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux" or COMPILER is None, reason="preloads a malloc for glibc"),
    pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a sanitizer has its own malloc"),
]

PROGRAM = """
import ctypes, gc, sys
import numpy as np
import fastloss as fl
from cases import KERNELS, bits
from test_memory import MALLINFO

exec(MALLINFO)
library = ctypes.PyDLL(sys.argv[1])
fail_after, allocations = library.fail_after, library.allocations
fail_after.argtypes, allocations.restype = [ctypes.c_long], ctypes.c_long

def watch_the_extension():
    from fastloss import _native
    with open("/proc/self/maps") as maps:
        ranges = [line.split()[0].split("-") for line in maps if line.rstrip().endswith(_native.__file__)]
    library.watch(*(ctypes.c_size_t(int(word, 16)) for word in (ranges[0][0], ranges[-1][1])))

def have_arrays_fail():
    api = ctypes.pythonapi
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    api.PyCapsule_New.restype = ctypes.py_object
    api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    from numpy._core._multiarray_umath import _ARRAY_API
    table = ctypes.cast(api.PyCapsule_GetPointer(_ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[304])  # PyDataMem_SetHandler
    name = b"mem_handler"
    handler = ctypes.addressof(ctypes.c_char.in_dll(library, "handler"))
    return set_handler(api.PyCapsule_New(handler, name, None)), name

watch_the_extension()
kept = have_arrays_fail()
NONE = ctypes.c_long(0)

def calls():
    rng = np.random.default_rng(0)
    for case in KERNELS[::STEP]:
        for shape in ((40, 5), (300, 41)) if case.rows else ((6, 5), (90, 700)):
            operands = case.operands(shape, np.float32)
            mask = np.ones(case.loss_shape(shape), bool)
            yield case.name, lambda: case.call(operands)
            yield case.name, lambda: case.gradients(operands, reduction="none", mask=mask)
            if not case.rows and len(operands) > len(case.predictions):  # weighted, of the general path
                column = {k: a if k in case.predictions or a.ndim < 2 else a[:, :1] for k, a in operands.items()}
                yield case.name, lambda: case.gradients(column)
    n = rng.uniform(1, 2, (400, 700))
    yield "staged", lambda: fl.gaussian_nll_loss(n, n[0], n[:, :1], return_grad=True)
    yield "staged", lambda: fl.multilabel_soft_margin_loss(n, n > 1.5, reduction="none", return_grad=True)
    x, labels = rng.normal(size=(30, 80, 9)).astype(np.float32), rng.integers(1, 9, (80, 7))
    lengths = np.full(80, 30), np.full(80, 7)
    yield "ctc", lambda: fl.ctc_loss(x, labels, *lengths, return_grad=True)
    yield "ctc general", lambda: fl.ctc_loss(x[::-1], labels, *lengths, reduction="none", from_logits=True)
    logits, tokens = rng.normal(size=(200, 90)).astype(np.float32), rng.integers(0, 90, 200)
    yield "tokens", lambda: (fl.token_log_probs(logits, tokens), fl.entropy(logits), *fl.topk_log_probs(logits, 3))
    w = rng.normal(size=(90, 8)).astype(np.float32)
    yield "linear", lambda: fl.linear_cross_entropy(logits[:, :8], w, tokens, return_grad=True)[0]

fl.set_num_threads(1)  # OpenMP's own threads end the process where they cannot be started
failed, sites, answered = 0, 0, 0
for name, call in calls():
    expected = bits(call())
    fail_after(NONE)
    call()
    count = allocations()
    sites += count
    for round in range(2):
        before = held()
        for k in range(1, count + 1):
            after = ctypes.c_long(k)
            try:
                fail_after(after)
                found = call()
                fail_after(NONE)
            except MemoryError:
                fail_after(NONE)
                failed += 1
            else:
                assert bits(found) == expected, f"{name}: another result after allocation {k} failed"
                answered += 1
            found = None
        lost = [a - b for a, b in zip(held(), before)]
    # Each loss would be an array or a workspace, in each round; caches were filled in the first.
    assert lost[0] < 1000 and lost[1] < 8, f"{name}: {lost} bytes and blocks lost in {count} calls"
    assert bits(call()) == expected, name
print(f"{sites} allocations, {failed} MemoryErrors, {answered} answers")
"""


@pytest.fixture
def library(tmp_path):
    target = tmp_path / "failing_malloc.so"
    done = subprocess.run(
        [COMPILER, "-O1", "-fPIC", "-shared", "-fno-builtin", str(SOURCE), "-o", str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and platform.libc_ver()[0] != "glibc":
        pytest.skip("stands in for glibc's malloc, and the C library here is another")
    assert done.returncode == 0, done.stderr
    return target


def test_each_allocation_fails_once(run_python, library):
    program = f"import sys; sys.argv[1:] = [{str(library)!r}]; STEP = {1 if DEEP else 3}\n{PROGRAM}"
    result = run_python(program, LD_PRELOAD=str(library), OPENBLAS_NUM_THREADS="1")
    assert result.returncode == 0, result.stdout[-500:] + result.stderr[-3000:]
    print(result.stdout)
    sites, _, failed, _, answered, _ = result.stdout.split()
    assert int(failed) == 2 * int(sites) > 100 and int(answered) == 0  # in two rounds


def test_a_loss_is_found(run_python, library):
    """The same with an array that is kept after each failure."""
    program = PROGRAM.replace("failed += 1", "failed += 1; kept = (kept, np.empty(3000))")
    program = f"import sys; sys.argv[1:] = [{str(library)!r}]; STEP = 99\n{program}"
    result = run_python(program, LD_PRELOAD=str(library), OPENBLAS_NUM_THREADS="1")
    assert result.returncode == 1 and "bytes and blocks lost" in result.stderr, result.stderr[-3000:]

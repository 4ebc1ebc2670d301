# SPDX-License-Identifier: BSD-3-Clause
"""Threads of the operating system, counted: never more than were asked for, whoever asks, whatever else is loaded."""

from __future__ import annotations

import sys

import pytest

_native = pytest.importorskip("fastloss._native", reason="the compiled extension is not installed")

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc"),
    pytest.mark.skipif(_native.parallel_backend() != "openmp", reason="about OpenMP"),
]

COMMON = """
import os
import numpy as np
FIRST
import fastloss as fl
LATER

x = np.ones((1024, 1024), np.float32)
labels = np.zeros(1024, int)

def tasks():
    return len(os.listdir("/proc/self/task"))

def started(call, *rest):
    '''Threads that were not there before the call.'''
    before = tasks()
    call(*rest)
    return tasks() - before

def work(n=None):
    if n:
        fl.set_num_threads(n)
    fl.mse_loss(x, x[::-1], return_grad=True)
    return fl.cross_entropy(x, labels)

ASKED = max(2, fl.get_num_threads())
"""


@pytest.fixture
def counted(run_python):
    """What a program prints after COMMON, by names; `first` and `later` are run before and after the import of ours."""

    def counted(program: str, first: str = "", later: str = "", **environment: str) -> list[int]:
        text = COMMON.replace("FIRST", first).replace("LATER", later) + program
        result = run_python(text, **{"OPENBLAS_NUM_THREADS": "1", **environment})
        assert result.returncode == 0, result.stderr
        return [int(word) for word in result.stdout.split()]

    return counted


TORCH = "import torch; torch.ones(2000, 2000).sum()"


@pytest.mark.parametrize(
    ("first", "later"), [("", ""), (TORCH, ""), ("", TORCH)], ids=["alone", "torch before", "torch after"]
)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_as_many_as_asked(counted, n, first, later):
    """The caller is one of them. PyTorch's team is ours where both have found the same OpenMP library."""
    if first or later:
        pytest.importorskip("torch")
    found = counted(f"print(started(work, {n}), started(work), started(work, {n}))", first, later)
    assert found[0] == n - 1 or ((first or later) and found[0] < n)
    assert found[1:] == [0, 0]


@pytest.mark.parametrize(("first", "later"), [("", ""), (TORCH, "")], ids=["alone", "torch before"])
def test_threadpoolctl_holds_and_is_restored(counted, first, later):
    """A limit of 1 starts none; after it, as many as without it."""
    pytest.importorskip("threadpoolctl")
    if first:
        pytest.importorskip("torch")
    program = """
import threadpoolctl
with threadpoolctl.threadpool_limits(1):
    print(started(work), fl.get_num_threads())
print(fl.get_num_threads(), started(work))
"""
    held, limit, restored, more = counted(program, first, later, OMP_NUM_THREADS="2")
    assert (held, limit) == (0, 1)
    assert restored == min(2, _native.usable_cpus())
    assert more == restored - 1 or (first and more < restored)


@pytest.mark.parametrize("setting", ["OMP_NUM_THREADS", "FASTLOSS_NUM_THREADS"])
def test_settings_of_the_environment(counted, setting):
    assert counted("print(started(work))", **{setting: "1"}) == [0]


def test_one_cpu_has_one_thread(counted):
    pin = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    assert counted("print(started(work))", first=pin) == [0]


def test_threads_of_python_have_teams_of_their_own(counted):
    """Four callers of two threads each: at most four more than the callers."""
    program = """
import threading
gate, counts = threading.Barrier(5, timeout=60), []
def caller():
    with fl.num_threads(2):
        gate.wait()
        work()
        gate.wait()
        gate.wait()
before = tasks()
callers = [threading.Thread(target=caller) for _ in range(4)]
for thread in callers:
    thread.start()
gate.wait(); gate.wait()
print(tasks() - before)
gate.wait()
for thread in callers:
    thread.join()
"""
    (most,) = counted(program)
    assert 4 <= most <= 8


NESTED = r"""
#include <Python.h>
#include <omp.h>
/* Call a Python function from each of `threads` threads of an OpenMP region. */
void call_in_parallel(PyObject *function, int threads) {
    PyThreadState *state = PyEval_SaveThread();
#pragma omp parallel num_threads(threads)
    {
        PyGILState_STATE gil = PyGILState_Ensure();
        PyObject *result = PyObject_CallNoArgs(function);
        if (!result) PyErr_Print();
        Py_XDECREF(result);
        PyGILState_Release(gil);
    }
    PyEval_RestoreThread(state);
}
"""


def test_a_call_inside_a_parallel_region_stays_alone(counted, tmp_path):
    """Two threads of another library's region call us: no team inside of a team, nested regions allowed or not."""
    import shutil
    import subprocess
    import sysconfig

    if not shutil.which("gcc"):
        pytest.skip("GCC's OpenMP is the one that ours shares")
    source, library = tmp_path / "nested.c", tmp_path / "nested.so"
    source.write_text(NESTED)
    include = f"-I{sysconfig.get_path('include')}"
    command = ["gcc", "-O1", "-shared", "-fPIC", "-fopenmp", include, str(source), "-o", str(library)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no headers of Python, or no OpenMP")
    program = f"""
import ctypes
nested = ctypes.PyDLL({str(library)!r}).call_in_parallel
nested.argtypes = [ctypes.py_object, ctypes.c_int]
seen = []
print(started(nested, lambda: seen.append((fl.get_num_threads(), work())), 2), *(n for n, _ in seen))
"""
    first = f"import ctypes; ctypes.CDLL({str(library)!r})"
    assert counted(program, first, OMP_MAX_ACTIVE_LEVELS="4", OMP_NUM_THREADS="2") == [1, 1, 1]

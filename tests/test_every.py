# SPDX-License-Identifier: BSD-3-Clause
"""Every loss in eight Python threads at once and in children of multiprocessing.

Other forks are in test_fork.py, repeated calls in test_memory.py.
"""

from __future__ import annotations

import inspect
from concurrent.futures import ThreadPoolExecutor
from random import Random

import every
import pytest
from cases import CASES

import fastloss as fl

# What is no loss, and no number of a row.
TOOLS = {"backend", "evaluate", "get_backend", "get_num_threads", "isas", "num_threads", "set_num_threads"}
TOOLS |= {"show_config", "verify"}


def test_every_function_is_called():
    functions = {name for name in fl.__all__ if inspect.isroutine(getattr(fl, name))}
    called = set(every.calls(20))
    assert set(every.OTHERS) <= called
    assert {case.function for case in CASES} | set(every.OTHERS) == functions - TOOLS


def test_eight_python_threads():
    """Each makes every call, in an order of its own, some of them on two threads of ours."""
    calls = every.calls()
    expected = every.digests(calls)

    def work(k: int) -> dict[str, str]:
        names = Random(k).sample(list(calls), len(calls))
        with fl.num_threads(1 + k % 2):
            return every.digests({name: calls[name] for name in names})

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(work, range(8)):
            assert found == expected


CHILDREN = """
import multiprocessing
from every import calls, digests

def work(_=None):
    return digests(calls())

if __name__ == "__main__":
    expected = work()
    with multiprocessing.get_context(METHOD).Pool(1) as pool:
        assert pool.map_async(work, [0]).get(90) == [expected]
    assert work() == expected
    print(len(expected), "losses")
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_children_of_multiprocessing(run_python, tmp_path, method):
    """Equal bits in a child of each start method; one that hangs is ended by the time limit."""
    path = tmp_path / "children.py"
    path.write_text(f"METHOD = {method!r}\n{CHILDREN}")
    result = run_python(str(path), OPENBLAS_NUM_THREADS="1")  # forks that hang are to be ours
    assert result.returncode == 0, result.stdout + result.stderr
    assert int(result.stdout.split()[0]) == len(every.calls(20))


def test_children_of_multiprocessing_can_fail(run_python, tmp_path):
    """A child that adds up otherwise is found."""
    path = tmp_path / "children.py"
    path.write_text("METHOD = 'spawn'\n" + CHILDREN.replace("def work(_=None):", PLANTED))
    result = run_python(str(path), OPENBLAS_NUM_THREADS="1")
    assert result.returncode == 1 and "AssertionError" in result.stderr, result.stderr


PLANTED = """def work(_=None):
    if multiprocessing.parent_process():
        return digests(calls(501))"""

# SPDX-License-Identifier: BSD-3-Clause
"""No kernel touches memory beyond its arrays: guard.py's walk on every ISA, and proof that it can fail."""

from __future__ import annotations

import subprocess

import pytest

import fastloss as fl

ISAS = [name for name, state in fl.isas().items() if state["compiled"] and state["supported"]]


def last_case(result: subprocess.CompletedProcess) -> str:
    """What the walk was at when it ended, and how it ended."""
    lines = result.stdout.splitlines()
    return f"exit status {result.returncode} in: {lines[-1] if lines else 'nothing'}\n{result.stderr[-2000:]}"


@pytest.mark.parametrize("isa", ISAS)
def test_every_kernel_stays_within_its_arrays(run_python, isa):
    result = run_python("guard.py", FASTLOSS_ISA=isa)
    assert result.returncode == 0, last_case(result)
    assert int(result.stdout.split()[-2]) > 10_000


@pytest.mark.parametrize("isa", ISAS)
def test_scans_and_rows_of_actions_stay_within_theirs(run_python, isa):
    result = run_python("guard_networks.py", FASTLOSS_ISA=isa)
    assert result.returncode == 0, last_case(result)
    assert int(result.stdout.split()[-2]) > 1000


# One element more than the memory has, behind or before: in a tail, in several blocks, in whole vectors.
PLANTED = """
import numpy as np
from cases import CASES
from guard import Fence

case = next(case for case in CASES if case.name == NAME)
n = LENGTH
a = Fence().empty((n,), np.float32, SIDE)
a[:] = 0
longer = np.lib.stride_tricks.as_strided(a if SIDE == "behind" else a[::-1], (n + 1,), (4 if SIDE == "behind" else -4,))
operands = {k: np.zeros(n + 1, np.float32) for k in case.operands((n + 1,))}
case.call(operands)
print("planted", NAME, flush=True)
case.call({**operands, OPERAND: longer})
print("survived")
"""


@pytest.mark.parametrize(
    ("name", "operand", "side", "length"),
    [("l1", "input", "behind", 15), ("mse", "target", "before", 4100), ("gaussian", "var", "behind", 4096)],
)
def test_one_element_too_many_is_caught(run_python, name, operand, side, length):
    program = f"NAME, OPERAND, SIDE, LENGTH = {name!r}, {operand!r}, {side!r}, {length}\n{PLANTED}"
    result = run_python(program)
    assert result.returncode != 0 and result.stdout.split() == ["planted", name], last_case(result)


def test_a_fence_cannot_be_written_over(run_python):
    program = """
import numpy as np
from guard import Fence
a = Fence().empty((8,), np.float64, "behind")
print("planted", flush=True)
np.lib.stride_tricks.as_strided(a, (9,), (8,))[8] = 1
print("survived")
"""
    result = run_python(program)
    assert result.returncode != 0 and result.stdout.split() == ["planted"], last_case(result)

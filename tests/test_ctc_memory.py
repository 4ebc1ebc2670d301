# SPDX-License-Identifier: BSD-3-Clause
"""CTC stays within its arrays (ctc_guard.py, once per ISA), and within the memory that is promised."""

from __future__ import annotations

import os
import sys

import pytest
from test_guard_pages import ISAS, last_case

DEEP = bool(os.environ.get("FASTLOSS_DEEP"))


@pytest.mark.parametrize("isa", ISAS)
def test_ctc_stays_within_its_arrays(run_python, isa):
    result = run_python("ctc_guard.py", FASTLOSS_ISA=isa, FASTLOSS_NUM_THREADS="1")
    assert result.returncode == 0, last_case(result)
    assert int(result.stdout.split()[-2]) > 500


@pytest.mark.parametrize("operand", ["log_probs", "targets", "lengths"])
def test_one_element_too_many_is_caught(run_python, operand):
    """The walk can fail: a call that reads one element behind the fence ends the process."""
    program = f"""
import numpy as np
import fastloss as fl
from guard import Fence
shapes = {{"log_probs": ((8, 2, 5), np.float32), "targets": ((2, 3), np.int64), "lengths": ((2,), np.int64)}}
operands = {{name: Fence().empty(shape, dtype, "behind") for name, (shape, dtype) in shapes.items()}}
operands["log_probs"][...], operands["targets"][...], operands["lengths"][...] = 0, 1, 3
x, targets, lengths = operands.values()
fl.ctc_loss(x, targets, lengths + 4, lengths)
print("planted", flush=True)
a = operands[{operand!r}]
longer = np.lib.stride_tricks.as_strided(a, a.shape, tuple(s + a.itemsize * (k == 0) for k, s in enumerate(a.strides)))
operands[{operand!r}] = longer
x, targets, lengths = operands.values()
fl.ctc_loss(x, targets, [8, 8], lengths)
print("survived")
"""
    result = run_python(program)
    assert result.returncode != 0 and result.stdout.split() == ["planted"], last_case(result)


PEAK = """
import sys
import numpy as np
import fastloss as fl
from ctc_cases import Batch, call, draw_labels

def resident(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key + ":")) * 1024

def reset_peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")

frames, labels, classes, samples, gradient, forced = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
targets = [draw_labels(rng, labels, classes) for _ in range(samples)]
x = rng.standard_normal((frames, samples, classes), np.float32)
batch = Batch(x, targets, np.full(samples, frames))
small = Batch(x[:50], [t[:9] for t in targets], np.full(samples, 50))
options = {"reduction": "none", "return_grad": bool(gradient)}
call(small, np.float32, True, bool(forced), **options)  # start the threads
if gradient:
    options["grad_out"] = np.ones(x.shape, np.float32)
args = (x, np.concatenate(targets), batch.input_lengths, batch.target_lengths)
Batch.inputs = lambda self, dtype, from_logits: x  # no copies of our own
reset_peak()
before = resident("VmRSS")
result = call(batch, np.float32, True, bool(forced), **options)
print(resident("VmHWM") - before)
assert np.isfinite(result[0]).all()
"""

MEGABYTE = 10**6


def peak(run_python, tmp_path, *numbers: int) -> int:
    """Bytes beyond inputs and outputs that one call takes, on two threads."""
    (tmp_path / "peak.py").write_text(PEAK)
    path, words = str(tmp_path / "peak.py"), [str(int(n)) for n in numbers]
    program = f"import sys, runpy; sys.argv[1:] = {words!r}; runpy.run_path({path!r})"
    result = run_python(program, FASTLOSS_NUM_THREADS="2", OPENBLAS_NUM_THREADS="1")
    if "clear_refs" in result.stderr:
        pytest.skip("this system does not let a process reset its peak")
    assert result.returncode == 0, result.stderr
    return int(result.stdout)


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads the resident set from /proc")
each_path = pytest.mark.parametrize("forced", [False, True], ids=["usual", "exact"])


@linux
@each_path
def test_forward_takes_memory_for_one_row_of_states(run_python, tmp_path, forced):
    """Whatever the number of frames."""
    assert peak(run_python, tmp_path, 20_000, 300, 40, 4, False, forced) < 4 * MEGABYTE


@linux
@each_path
def test_gradient_of_usual_lengths(run_python, tmp_path, forced):
    """16 MB per thread at 1500 frames and 120 labels."""
    assert peak(run_python, tmp_path, 1500, 120, 500, 8, True, forced) < 2 * 16 * MEGABYTE


@linux
@each_path
def test_gradient_of_a_long_sequence(run_python, tmp_path, forced):
    assert peak(run_python, tmp_path, 20_000, 2000, 30, 1, True, forced) < 100 * MEGABYTE


@linux
@pytest.mark.skipif(not DEEP, reason="takes minutes; FASTLOSS_DEEP=1 runs it")
def test_gradient_of_a_very_long_sequence(run_python, tmp_path):
    assert peak(run_python, tmp_path, 100_000, 10_000, 30, 1, True, False) < 1000 * MEGABYTE

# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C ends a call that would go on for hours, within a second, and leaves a process that goes on working."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

# Inputs are one number that stands for 2^40 of them: hours of arithmetic, no memory.
PROGRAM = """
import sys, time
import numpy as np
import fastloss as fl

def many(x, *shape):
    return np.broadcast_to(np.asarray(x), shape)

half = np.float32(0.5)
CALLS = {
    "elementwise": lambda: fl.mse_loss(many(half, 2**40), half),
    "weights": lambda: fl.l1_loss(many(half, 2**40), half, many(half, 2**40)),
    "mask": lambda: fl.huber_loss(many(half, 2**40), half, mask=many(True, 2**40)),
    "long rows": lambda: fl.cross_entropy(many(half, 2**20, 2**20), many(0, 2**20)),
    "short rows": lambda: fl.cross_entropy(many(half, 2**36, 10), many(0, 2**36)),
    "inner axis": lambda: fl.cross_entropy(many(half, 2**12, 2**20, 2**8), many(0, 2**12, 2**8)),
    "sequences": lambda: fl.ctc_loss(many(half, 2**12, 2**20, 2**6), many(1, 2**20, 9), many(2**12, 2**20),
                                     many(9, 2**20), from_logits=True),
    "stream": lambda: fl.evaluate(fl.mse_loss, ({"input": x[:99], "target": x[:99]} for _ in iter(int, 1))),
}
x = np.ones(2**20, np.float32)
fl.set_num_threads(int(sys.argv[2]))
expected = fl.mse_loss(x, half)
print("started", flush=True)
try:
    CALLS[sys.argv[1]]()
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
assert fl.mse_loss(x, half) == expected
"""


def latency(kind: str, threads: int) -> float:
    """Seconds from SIGINT to KeyboardInterrupt, in a process that then works on and ends well."""
    argv = [sys.executable, "-c", PROGRAM, kind, str(threads)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "started\n", child.stderr and child.stderr.read()
        time.sleep(0.3)  # well into the call
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        try:
            out, err = child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
    assert child.returncode == 0, err
    return float(out) - sent


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
@pytest.mark.parametrize(
    ("kind", "threads"),
    [
        ("elementwise", 1),
        ("weights", 2),
        ("mask", 2),
        ("long rows", 2),
        ("short rows", 1),
        ("inner axis", 2),
        ("sequences", 2),
        ("stream", 2),
    ],
)
def test_ctrl_c_ends_a_long_call_within_a_second(kind, threads):
    """The best of three: another process may hold the processors for a while."""
    tried = []
    while len(tried) < 3 and (not tried or min(tried) >= 1):
        tried.append(latency(kind, threads))
    assert min(tried) < 1, tried

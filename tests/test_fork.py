# SPDX-License-Identifier: BSD-3-Clause
"""Children of fork: every loss, within seconds, with its parent's bits; multiprocessing's are in test_threads.py.

The parent uses its threads first: a child that waited for those, as libgomp's would, would wait for ever.
"""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

COMMON = """
import ctypes, os, signal, sys, threading
import numpy as np
import fastloss as fl
import every

CALLS = every.calls(500)  # enough work for two threads

def losses(_=None):
    return every.digests(CALLS)

def check():
    return 0 if losses() == expected else 1

signal.alarm(100)  # ends a process that hangs, even inside the OpenMP library
fl.set_num_threads(2)
expected = losses()

def child(fork, work=check):
    '''Exit status of `work` in a forked child.'''
    pid = fork()
    if pid == 0:
        status = 9
        try:
            signal.alarm(60)
            status = work()
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]
"""

WAYS = {
    # The fork of the C library, as another extension would call it: Python's own handlers do not run.
    "C": "assert child(ctypes.PyDLL(None).fork) == 0",
    "os.fork": "assert child(os.fork) == 0",
    "grandchild": "assert child(os.fork, lambda: child(os.fork) and 2) == 0",
    "from a thread": """
statuses = []
thread = threading.Thread(target=lambda: statuses.append(child(os.fork)))
thread.start()
thread.join()
assert statuses == [0]
""",
    "during a call": """
stop = threading.Event()
def keep_calling():
    with fl.num_threads(2):
        while not stop.is_set():
            losses()
thread = threading.Thread(target=keep_calling)
thread.start()
try:
    assert [child(os.fork) for _ in range(3)] == [0, 0, 0]
finally:
    stop.set()
    thread.join()
""",
    "the child sets threads": """
def insist():
    fl.set_num_threads(4)
    with fl.num_threads(3):
        return check()
assert child(os.fork, insist) == 0
""",
    "torch data loader": """
import torch
class Losses(torch.utils.data.Dataset):
    def __len__(self):
        return 2
    def __getitem__(self, index):
        return check()
loader = torch.utils.data.DataLoader(Losses(), num_workers=2, batch_size=1)
assert [int(status) for status in loader] == [0, 0]
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_children_compute_every_loss(run_python, way):
    if way == "torch data loader":
        pytest.importorskip("torch")
    program = COMMON + WAYS[way] + "\nassert check() == 0  # the parent goes on\nprint('done')\n"
    result = run_python(program, OPENBLAS_NUM_THREADS="1")  # a thread of NumPy's may be in the middle of a product
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr

# SPDX-License-Identifier: BSD-3-Clause
"""Paired, interleaved timing: who else uses the machine at the moment slows every contestant of a round alike."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Any

BURST_SECONDS = 0.002  # a contestant's calls per round last about this long together
MAX_CALLS = 5000
# OpenMP's threads spin for about 2 ms after a region; before another library is timed they must have gone to sleep.
SETTLE_SECONDS = 0.004
READ_REPEATS = 20
RETRIES = 4
RETRY_SECONDS = 0.03  # longer calls are interrupted anyway when others want the processors

READ_SOURCE = r"""
#include <stddef.h>
#define STREAMS(body) \
    _Pragma("omp parallel for num_threads(threads) reduction(+:s) schedule(static)") \
    for (ptrdiff_t i = 0; i < n; i++) { body; }
float read1(const float *a, ptrdiff_t n, int threads) { float s = 0; STREAMS(s += a[i]) return s; }
float read2(const float *a, const float *b, ptrdiff_t n, int threads) {
    float s = 0; STREAMS(s += a[i] + b[i]) return s; }
float read3(const float *a, const float *b, const float *c, ptrdiff_t n, int threads) {
    float s = 0; STREAMS(s += a[i] + b[i] + c[i]) return s; }
"""


def burst(call: Callable[[], Any], calls: int) -> float:
    """Seconds per call of so many calls in a row."""
    start = time.perf_counter()
    for _ in repeat(None, calls):
        call()
    return (time.perf_counter() - start) / calls


def undisturbed(call: Callable[[], Any], calls: int) -> tuple[float, bool]:
    """Seconds per call of the first burst that the system does not interrupt, else of the best of a few; and whether
    all were interrupted, because other processes wanted our processors.
    """
    best, started = math.inf, time.perf_counter()
    for k in range(RETRIES):
        if k and time.perf_counter() - started > RETRY_SECONDS:
            break
        before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        best = min(best, burst(call, calls))
        if resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw == before:
            return best, False
    return best, True


def calls_per_burst(call: Callable[[], Any]) -> int:
    call()
    seconds = min(burst(call, 1) for _ in range(3))
    return max(1, min(MAX_CALLS, int(BURST_SECONDS / max(seconds, 1e-7))))


def measure(
    contestants: dict[Any, Callable[[], Any]], budget: float, rounds: int
) -> tuple[dict[Any, list[float]], dict[Any, int]]:
    """Seconds per call of each contestant in each round, in interleaved rounds (A B C, C B A, ...).

    Every burst is preceded by a pause, in which the previous contestant's threads go to sleep, and by calls that are
    not timed, which bring data and threads back: caches are hot as far as the data fit. At most `rounds` rounds, and no
    new one after `budget` seconds unless there are fewer than three. The second result counts the rounds in which other
    processes interrupted a contestant every time.
    """
    calls = {key: calls_per_burst(call) for key, call in contestants.items()}
    times: dict[Any, list[float]] = {key: [] for key in contestants}
    disturbed = dict.fromkeys(contestants, 0)
    started = time.perf_counter()
    gc.collect()
    gc.disable()
    try:
        for k in range(rounds):
            if k >= 3 and time.perf_counter() - started > budget:
                break
            for key in list(contestants)[:: -1 if k % 2 else 1]:
                time.sleep(SETTLE_SECONDS)
                burst(contestants[key], 1 + calls[key] // 4)
                seconds, interrupted = undisturbed(contestants[key], calls[key])
                times[key].append(seconds)
                disturbed[key] += interrupted
    finally:
        gc.enable()
    return times, disturbed


def busy_cores(call: Callable[[], Any]) -> float:
    """Processor seconds per second while the call is repeated for a while: how many threads really work."""
    time.sleep(5 * SETTLE_SECONDS)
    start, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - start < 0.05:
        call()
    return (time.process_time() - used) / (time.perf_counter() - start)


def quartiles(values: list[float]) -> dict[str, float]:
    """Median, quartiles and smallest of the values."""
    if len(values) == 1:
        low = middle = high = values[0]
    else:
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": middle, "low": low, "high": high, "best": min(values), "rounds": len(values)}


class MemoryRead:
    """A loop in C that reads the same arrays with the same threads: the limit that memory sets."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.folder = tempfile.TemporaryDirectory(prefix="fastloss-bench-")
        self.loaded: ctypes.CDLL | None = None
        self.compiler = os.environ.get("CC", "").split()[:1] or [shutil.which("cc") or ""]
        source, target = Path(self.folder.name) / "read.c", Path(self.folder.name) / "read.so"
        source.write_text(READ_SOURCE)
        flags = ["-O3", "-ffast-math", "-march=native", "-shared", "-fPIC"]
        for openmp in (["-fopenmp"], []) if threads == 1 else (["-fopenmp"],):
            command = [*self.compiler, *flags, *openmp, str(source), "-o", str(target)]
            if self.compiler[0] and subprocess.run(command, capture_output=True, check=False).returncode == 0:
                self.loaded = ctypes.CDLL(str(target))
                break

    def call(self, arrays: list[Any]) -> Callable[[], Any] | None:
        """A call that reads the arrays as streams side by side, or None where that cannot be done."""
        if self.loaded is None:
            return None
        function = getattr(self.loaded, f"read{len(arrays)}")
        function.restype = ctypes.c_float
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in arrays]
        n, threads = ctypes.c_ssize_t(arrays[0].nbytes // 4), ctypes.c_int(self.threads)
        return lambda: function(*pointers, n, threads)

    def best(self, arrays: list[Any]) -> float | None:
        """Seconds of the best of twenty reads."""
        call = self.call(arrays)
        if call is None:
            return None
        time.sleep(SETTLE_SECONDS)
        return min(burst(call, 1) for _ in range(READ_REPEATS))

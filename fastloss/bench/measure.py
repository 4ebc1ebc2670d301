# SPDX-License-Identifier: BSD-3-Clause
"""Paired, interleaved timing: who else uses the machine at the moment slows every contestant of a round alike."""

from __future__ import annotations

import gc
import math
import resource
import statistics
import time
from collections.abc import Callable
from itertools import repeat
from typing import Any

BURST_SECONDS = 0.002  # a contestant's calls per round last about this long together
MAX_CALLS = 5000
# OpenMP's threads spin for about 2 ms after a region; before another library is timed they must have gone to sleep.
SETTLE_SECONDS = 0.004
RETRIES = 4
RETRY_SECONDS = 0.03  # longer calls are interrupted anyway when others want the processors


def settle() -> None:
    """Let the threads of whoever ran before go to sleep."""
    time.sleep(SETTLE_SECONDS)


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
                settle()
                burst(contestants[key], 1 + calls[key] // 4)
                seconds, interrupted = undisturbed(contestants[key], calls[key])
                times[key].append(seconds)
                disturbed[key] += interrupted
    finally:
        gc.enable()
    return times, disturbed


def measure_cold(
    contestants: dict[Any, Callable[[], Any]], evict: Callable[[], Any], rounds: int, budget: float
) -> dict[Any, list[float]]:
    """Seconds of single calls, each after `evict` has filled the caches with something else; interleaved as above."""
    times: dict[Any, list[float]] = {key: [] for key in contestants}
    started = time.perf_counter()
    for k in range(rounds):
        if k >= 3 and time.perf_counter() - started > budget:
            break
        for key in list(contestants)[:: -1 if k % 2 else 1]:
            evict()
            settle()
            times[key].append(burst(contestants[key], 1))
    return times


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

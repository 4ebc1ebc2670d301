# SPDX-License-Identifier: BSD-3-Clause
"""Growth: time per element against n with the threads that are here, and on paper what more cores would give.

python benchmarks/scaling.py            # prints the page
python benchmarks/scaling.py --write    # writes docs/scaling.md; some two minutes
"""

from __future__ import annotations

import argparse
import datetime
import math
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fastloss as fl
from fastloss.bench import limits, measure
from fastloss.bench.report import digits, table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
SIZES = (*(10**k for k in range(8)), 40_000_000)
SHORT = 200  # calls per burst from which on the clock would count
QUICK_SIZES = (1, 1000, 100_000)
LOSSES = {"mse_loss": 8, "binary_cross_entropy_with_logits": 8}  # bytes read per element
CORES = (1, 2, 4, 8, 16, 32, 64)
PAPER_SIZES = (10**5, 10**6, 10**7, 10**8, 10**9)
MEMORY = {"desktop, 2 channels": 80.0, "server, 8 channels": 300.0}  # GB/s of a socket, assumed
BLOCK = 4096  # elements whose partial sum one thread folds at the end, in order
FOLD_NS = 5.0  # per block: a compensated addition behind a load
IN_CACHE = 100_000  # elements of which the arithmetic is taken: all in the second-level cache


@dataclass(frozen=True)
class Parts:
    """What the time of a call is made of, in ns and GB/s."""

    call: float  # whatever n
    element: float  # arithmetic of one core per element
    region: float  # of waking a second thread and waiting for it
    bytes: int  # read per element
    stream: float  # GB/s that one core reads

    def terms(self, n: float, cores: int, memory: float) -> dict[str, float]:
        """ns of each term; the slower of arithmetic and memory counts, the other is 0."""
        arithmetic = n * self.element / cores
        read = n * self.bytes / min(cores * self.stream, memory)
        return {
            "the call": self.call,
            "waking threads": self.region * math.log2(cores),
            "the ordered fold": FOLD_NS * n / BLOCK,
            "arithmetic": arithmetic if arithmetic >= read else 0.0,
            "memory": read if read > arithmetic else 0.0,
        }

    def time(self, n: float, cores: int, memory: float) -> float:
        return sum(self.terms(n, cores, memory).values())

    def best(self, n: float, cores: int, memory: float) -> tuple[float, int]:
        """The speed-up with at most so many cores, and how many reach it."""
        times = {c: self.time(n, c, memory) for c in CORES if c <= cores}
        fastest = min(times, key=lambda c: times[c])
        return times[1] / times[fastest], fastest

    def limit(self, n: float, cores: int, memory: float) -> str:
        terms = self.terms(n, cores, memory)
        return max(terms, key=lambda name: terms[name])


def measured(loss: str, threads: list[int], sizes: tuple[int, ...], rounds: int) -> dict[int, dict[int, float]]:
    """Best ns of a call by size and threads, interleaved: the model has no place for other processes."""
    rng = np.random.default_rng(0)
    x, y = (rng.random(max(sizes), np.float32) for _ in range(2))
    found = {}
    for n in sizes:
        call = partial(getattr(fl, loss), x[:n], y[:n])

        def limited(count: int, call: Any = call) -> Any:
            with fl.num_threads(count):
                return best_of(call)

        times: dict[int, list[float]] = {count: [] for count in threads}
        for k in range(rounds):
            for count in threads[:: -1 if k % 2 else 1]:
                measure.settle()
                times[count].append(limited(count))
        found[n] = {count: min(values) * 1e9 for count, values in times.items()}
    return found


def best_of(call: Any) -> float:
    """Seconds of a call: short ones in a burst, of long ones the best of several."""
    calls = measure.calls_per_burst(call)
    if calls > SHORT:
        return measure.burst(call, calls)
    return min(measure.burst(call, 1) for _ in range(max(3, calls)))


def parts_of(times: dict[int, dict[int, float]], size: int, stream: float) -> Parts:
    """Terms from measured times: the smallest call, the slope in cache, and what 2 threads do not halve."""
    small, middle = min(times), min(times, key=lambda n: abs(n - IN_CACHE))
    call = times[small][1]
    element = (times[middle][1] - call) / middle
    both = times[middle].get(2)
    region = 0.0 if both is None else max(0.0, 2 * both - times[middle][1] - call)
    return Parts(call, element, region, size, stream)


def page(runs: dict[str, dict[int, dict[int, float]]], streams: dict[int, float]) -> str:
    threads = sorted(streams)
    text = HEAD.format(
        processor=limits.processor(),
        isa=fl._config.config()["isa"],
        date=datetime.date.today().isoformat(),
        cpus=os.cpu_count(),
        load=round(os.getloadavg()[0], 1),
        streams=" and ".join(f"{digits(s)} GB/s with {n}" for n, s in streams.items()),
    )
    for loss, times in runs.items():
        head = [loss, *(f"ns per element, {n} thread{'s' * (n > 1)}" for n in threads), "ratio"]
        rows = []
        for n, by_threads in times.items():
            ratio = digits(by_threads[1] / by_threads[threads[-1]]) if len(threads) > 1 else ""
            rows.append([f"{n:,}", *(digits(by_threads[t] / n) for t in threads), ratio])
        text += table(head, rows) + "\n"
    text += PAPER
    for loss, times in runs.items():
        parts = parts_of(times, LOSSES[loss], streams[1])
        text += (
            f"`{loss}`: a call {digits(parts.call / 1e3)} us, an element {digits(parts.element)} ns of one core, "
            f"waking a thread {digits(parts.region / 1e3)} us, {digits(parts.stream)} GB/s for one core.\n\n"
        )
        head = ["n", *(f"{name}, {memory:.0f} GB/s" for name, memory in MEMORY.items()), "what stops it"]
        rows = []
        for n in PAPER_SIZES:
            row = [f"{n:,}"]
            for memory in MEMORY.values():
                speed, cores = parts.best(n, CORES[-1], memory)
                row.append(f"{digits(speed)}x with {cores}")
            rows.append([*row, parts.limit(n, CORES[-1], max(MEMORY.values()))])
        text += table(head, rows) + "\n"
    return text + TAIL


HEAD = """# Growth

Written by `python benchmarks/scaling.py --write`. {processor}, {cpus} CPUs, {isa}, {date}, load average {load} at the
start. Values of float32 arrays, hot caches as far as the data fit, best of interleaved rounds. A C loop reads
{streams} threads from beyond the caches.

## Measured

"""
PAPER = """## On paper

Of data that come from memory, a call takes
`call + waking * log2(cores) + fold + max(arithmetic / cores, bytes / min(cores * stream, memory))`.
The call, the arithmetic of an element (its slope while the data are in cache), the waking of threads (what the second
thread does not halve) and *stream*, what one core reads, are measured above. The memory of a whole socket is assumed,
as the columns say, and so is the ordered fold: 5 ns for each block of 4096 elements. Columns: the speed-up over one
core with at most 64, and how many cores reach it.

"""
TAIL = """What would stop 64 cores, in this order as n grows: waking them, which is why a call asks for no more threads
than its work is worth; then memory, which as many cores saturate as its bandwidth is times that of one core. More cores
than that are left to losses with more arithmetic per byte. The ordered fold, the only part that is serial by design,
adds one number per block: 1.2 ps per element. It would be the limit only where memory were to give 6 TB/s, and it is
the price of results that do not depend on threads.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--write", action="store_true", help="write docs/scaling.md")
    parser.add_argument("--quick", action="store_true", help="three sizes, few rounds: whether it works")
    options = parser.parse_args()
    sizes, rounds = (QUICK_SIZES, 3) if options.quick else (SIZES, 9)
    cpus = fl._config.config()["usable_cpus"] or 1
    threads = [n for n in CORES if n <= min(cpus, 2)]
    operands = [np.ones(max(sizes), np.float32) for _ in range(2)]
    streams = {}
    for n in threads:
        seconds = limits.Limits(n, fl._config.config()["isa"]).best_read(operands)
        if seconds is None:
            parser.error("a C compiler is needed, to measure how fast memory is read")
        streams[n] = sum(a.nbytes for a in operands) / seconds / 1e9
    del operands
    runs = {loss: measured(loss, threads, sizes, rounds) for loss in LOSSES}
    text = page(runs, streams)
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()

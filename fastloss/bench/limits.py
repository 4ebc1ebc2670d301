# SPDX-License-Identifier: BSD-3-Clause
"""What the machine can do at best, measured in C beside the losses: reads of caches and memory, multiply-adds."""

from __future__ import annotations

import ctypes
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .measure import burst, settle

REPEATS = 20  # the best of so many is the limit
FLAGS = {"avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"], "avx2": ["-march=x86-64-v3"], "baseline": []}
CHAINS, ROUNDS = 12, 20_000  # independent multiply-adds, enough to hide their latency; and how often each is done
# Additions, multiplications and multiply-adds of one exp of csrc/vecmath.h (the one of softmax): what else it does, in
# integers, goes to other ports on most processors.
EXP_OPERATIONS = 11
MOST_EVICTED = 128 << 20

SOURCE = r"""
#include <stddef.h>
#include <stdint.h>
#define STREAMS(body) \
    uint32_t s = 0; \
    _Pragma("omp parallel for num_threads(threads) reduction(+:s) schedule(static)") \
    for (ptrdiff_t i = 0; i < n; i++) { body; } \
    return s;
typedef const uint32_t *words;
uint32_t read1(words a, ptrdiff_t n, int threads) { STREAMS(s += a[i]) }
uint32_t read2(words a, words b, ptrdiff_t n, int threads) { STREAMS(s += a[i] + b[i]) }
uint32_t read3(words a, words b, words c, ptrdiff_t n, int threads) { STREAMS(s += a[i] + b[i] + c[i]) }
void sweep(uint32_t *a, ptrdiff_t n, int threads) {
    _Pragma("omp parallel num_threads(threads)") /* every thread all of it: each core has caches of its own */
    {
        uint32_t s = 0;
        for (ptrdiff_t i = 0; i < n; i += 16) s += ((volatile uint32_t *)a)[i];
        (void)s;
    }
}
int flush(const char *a, ptrdiff_t n, int threads) { /* its lines out of all caches; 0 where that cannot be asked for */
#ifdef __SSE2__
    _Pragma("omp parallel for num_threads(threads) schedule(static)")
    for (ptrdiff_t i = 0; i < n; i += 64) __builtin_ia32_clflush(a + i);
    __builtin_ia32_mfence();
    return 1;
#else
    return 0;
#endif
}
#if defined __AVX512F__
enum { WIDTH = 64 };
#elif defined __AVX__
enum { WIDTH = 32 };
#else
enum { WIDTH = 16 };
#endif
typedef float vector __attribute__((vector_size(WIDTH)));
int width(void) { return WIDTH / 4; }
float multiply_add(ptrdiff_t rounds, float by) {
    vector x[12], b = by - (vector){0}, c = 1 - b;
    for (int k = 0; k < 12; k++) x[k] = b * (float)(k + 1);
    for (ptrdiff_t i = 0; i < rounds; i++) {
        x[0] = x[0] * b + c; x[1] = x[1] * b + c; x[2] = x[2] * b + c; x[3] = x[3] * b + c;
        x[4] = x[4] * b + c; x[5] = x[5] * b + c; x[6] = x[6] * b + c; x[7] = x[7] * b + c;
        x[8] = x[8] * b + c; x[9] = x[9] * b + c; x[10] = x[10] * b + c; x[11] = x[11] * b + c;
    }
    for (int k = 1; k < 12; k++) x[0] += x[k];
    return x[0][0];
}
"""


class Limits:
    """C loops with the same threads and instruction set; where there is no C compiler, `loaded` is None."""

    def __init__(self, threads: int, isa: str | None) -> None:
        self.threads = threads
        self.loaded: ctypes.CDLL | None = None
        with tempfile.TemporaryDirectory(prefix="fastloss-bench-") as folder:  # what is loaded may go from there
            self.load(Path(folder), FLAGS.get(isa or "", []))
        size = min(2 * largest_cache(), MOST_EVICTED)
        self.elsewhere = np.ones(size // 4, np.uint32)

    def load(self, folder: Path, isa_flags: list[str]) -> None:
        """Compile; for one thread OpenMP may be missing."""
        source, target = folder / "limits.c", folder / "limits.so"
        source.write_text(SOURCE)
        compiler = shlex.split(os.environ.get("CC", "")) or [shutil.which("cc") or ""]
        flags = ["-O3", "-ffp-contract=fast", *isa_flags, "-shared", "-fPIC"]
        for openmp in (["-fopenmp"], []) if self.threads == 1 else (["-fopenmp"],):
            command = [*compiler, *flags, *openmp, str(source), "-o", str(target)]
            if compiler[0] and subprocess.run(command, capture_output=True, check=False).returncode == 0:
                self.loaded = ctypes.CDLL(str(target))
                return

    def read(self, arrays: list[Any], threads: int | None = None) -> Callable[[], Any] | None:
        """A call that reads the arrays as streams side by side, or None where that cannot be done."""
        if self.loaded is None or len(arrays) > 3 or any(a.nbytes != arrays[0].nbytes for a in arrays):
            return None
        function = getattr(self.loaded, f"read{len(arrays)}")
        function.restype = ctypes.c_uint32
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in arrays]
        n = ctypes.c_ssize_t(arrays[0].nbytes // 4)
        return lambda: function(*pointers, n, ctypes.c_int(threads or self.threads))

    def best_read(self, arrays: list[Any]) -> float | None:
        """Seconds of the best of so many reads, with all threads or with one, for whom few bytes are quicker."""
        bests = []
        for threads in {1, self.threads}:
            call = self.read(arrays, threads)
            if call is None:
                return None
            settle()
            bests.append(min(burst(call, 1) for _ in range(REPEATS)))
        return min(bests)

    def best_from_memory(self, arrays: list[Any], call: Callable[[], Any]) -> tuple[float, float] | None:
        """Seconds of the best of so many reads and of the best of so many calls, in turn, each from memory alone: the
        arrays' lines are flushed from all caches before. None where that cannot be done.
        """
        read = self.read(arrays)
        if read is None or not self.flush(arrays):
            return None
        best = {read: float("inf"), call: float("inf")}
        for _ in range(REPEATS):
            for each in best:
                self.flush(arrays)
                settle()
                best[each] = min(best[each], burst(each, 1))
        return best[read], best[call]

    def flush(self, arrays: list[Any]) -> bool:
        """Write the arrays' lines back to memory and drop them from all caches; False where no instruction does so."""
        if self.loaded is None:
            return False
        threads = ctypes.c_int(self.threads)
        return all(
            self.loaded.flush(ctypes.c_void_p(a.ctypes.data), ctypes.c_ssize_t(a.nbytes), threads) for a in arrays
        )

    def ns_per_exp(self) -> float | None:
        """Of one thread, if an exp's arithmetic ran at the rate of independent multiply-adds; None without a compiler.

        That rate does not suffer from latencies, loads and what else a kernel does: nobody reaches it.
        """
        if self.loaded is None:
            return None
        function = self.loaded.multiply_add
        function.restype = ctypes.c_float
        seconds = min(burst(lambda: function(ctypes.c_ssize_t(ROUNDS), ctypes.c_float(0.5)), 1) for _ in range(REPEATS))
        return 1e9 * seconds * EXP_OPERATIONS / (CHAINS * ROUNDS * self.loaded.width())

    def evict(self) -> None:
        """Fill the caches with other data; without a compiler only those of one core."""
        if self.loaded is None:
            self.elsewhere += 1
        else:
            n = ctypes.c_ssize_t(self.elsewhere.size)
            self.loaded.sweep(ctypes.c_void_p(self.elsewhere.ctypes.data), n, ctypes.c_int(self.threads))


def largest_cache() -> int:
    """Bytes of the last level as Linux gives it; else 32 MB."""
    sizes = [32 << 20]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        sizes.append(int(text[:-1]) * {"K": 1 << 10, "M": 1 << 20}.get(text[-1:], 1) if text[:-1].isdecimal() else 0)
    return max(sizes)


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    try:
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return platform.processor() or platform.machine()

# SPDX-License-Identifier: BSD-3-Clause
"""A memory-mapped data set of several GB through `fl.evaluate`: memory, and rate against that of the disk cache.

    python benchmarks/streaming.py --gigabytes 6

Two sparse .npy files stand in a temporary folder. Their holes read as zeros, through the same cache as data would; what
the cache does not hold is read once before. The rate of the cache is that of reading the same bytes by `readinto` of a
buffer of the size of a chunk, best of three as are ours. Memory is the process's peak, mapped pages included.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROUNDS = 3
LOSSES = {"mse_loss": 1, "cross_entropy": 256}  # columns of input; their kernels differ in arithmetic per byte


def peak_memory() -> float:
    """MB resident at most so far."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1000  # type: ignore[index]


def make(folder: Path, loss: str, gigabytes: float) -> dict[str, Path]:
    """Files of zeros that take no place on the disk."""
    columns, size = LOSSES[loss], int(gigabytes * 1e9)
    if loss == "mse_loss":
        n = size // 8
        shapes = {"input": ((n,), np.float32), "target": ((n,), np.float32)}
    else:
        n = size // (4 * columns + 8)
        shapes = {"input": ((n, columns), np.float32), "target": ((n,), np.int64)}
    paths = {name: folder / f"{loss}-{name}.npy" for name in shapes}
    for name, (shape, dtype) in shapes.items():
        np.lib.format.open_memmap(paths[name], "w+", dtype, shape).flush()
    return paths


def read_cache(paths: dict[str, Path]) -> float:
    """Seconds for all bytes."""
    buffer = bytearray(4 << 20)
    start = time.perf_counter()
    for path in paths.values():
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return time.perf_counter() - start


def evaluate(loss: str, paths: dict[str, Path]) -> tuple[float, float]:
    """Seconds, and the value."""
    import fastloss as fl

    maps = {name: np.load(path, mmap_mode="r") for name, path in paths.items()}
    start = time.perf_counter()
    value = float(fl.evaluate(loss, **maps).compute())
    return time.perf_counter() - start, value


def one(loss: str, folder: str) -> None:
    """In a process of its own, whose peak is what is asked for."""
    paths = {name: Path(folder) / f"{loss}-{name}.npy" for name in ("input", "target")}
    size = sum(p.stat().st_size for p in paths.values()) / 1e9
    read_cache(paths)
    cache = min(read_cache(paths) for _ in range(ROUNDS))
    start = peak_memory()
    ours, value = min(evaluate(loss, paths) for _ in range(ROUNDS))
    print(
        f"{loss}: {size:.2f} GB, cache {size / cache:.2f} GB/s, evaluate {size / ours:.2f} GB/s "
        f"({cache / ours:.0%}), peak {peak_memory():.0f} MB ({start:.0f} MB before), value {value:.6g}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=6.0)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--loss", choices=LOSSES, action="append")
    options = parser.parse_args()
    losses = options.loss or list(LOSSES)
    if options.folder:
        return one(losses[0], options.folder)
    for loss in losses:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), loss, options.gigabytes)
            subprocess.run([sys.executable, __file__, "--folder", folder, "--loss", loss], check=True)
    return None


if __name__ == "__main__":
    main()

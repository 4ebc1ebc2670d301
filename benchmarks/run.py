# SPDX-License-Identifier: BSD-3-Clause
"""Ratios of fastloss to what is installed beside it: `python benchmarks/run.py --help`."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cells
import report

ROOT = Path(__file__).resolve().parents[1]
READ_BYTES = 100e6  # below, a second read would find much in the caches
PEERS = ("torch", "jax", "numpy", "numba")
DEFAULT_PEERS = "torch,jax,numpy"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Paired, interleaved timing of fastloss and of its peers.")
    parser.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count() or 1], metavar="N",
                        help="threads of everybody; several numbers are measured one after the other")  # fmt: skip
    parser.add_argument("--cells", nargs="+", default=[], metavar="WORD",
                        help="only cells of this class (small, in-cache, ctc-logits, ...), loss or name")  # fmt: skip
    parser.add_argument("--peers", default=DEFAULT_PEERS, help=f"of {', '.join(PEERS)}; default {DEFAULT_PEERS}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a rough answer within two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--markdown", action="store_true", help="print the tables (the default without --json)")
    parser.add_argument("--write-readme", action="store_true", help="write docs/performance.md and the README's table")
    options = parser.parse_args(arguments)
    if min(options.threads) < 1:
        parser.error("--threads must be at least 1")
    unknown = set(filter(None, options.peers.split(","))) - set(PEERS)
    if unknown:
        parser.error(f"--peers: unknown {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    try:
        cells.select(options.cells)
    except ValueError as error:
        parser.error(f"--cells: {error}")
    return options


def limit_threads(n: int) -> None:
    """Before NumPy and the peers are imported: what can be limited only by the environment."""
    for name in (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "PJRT_NPROC",
        "NPROC",
    ):
        os.environ[name] = str(n)
    if n == 1:
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    os.environ.setdefault("JAX_PLATFORMS", "cpu")


def processor() -> str:
    """The processor's name as the system gives it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()


@contextlib.contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal, if rich is installed; the yielded function is called before each cell."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        yield lambda name: None
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda name: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        started = False

        def advance(name: str) -> None:
            nonlocal started
            bar.update(task, description=name, advance=1 if started else 0)
            started = True

        yield advance


def measure_cell(cell: Any, ours: Any, peers: list[Any], read: Any, budget: float, rounds: int) -> dict[str, Any]:
    """All modes of all contestants on one cell."""
    import measure
    import peers_tokens
    from peers import check_agreement

    operands = cell.operands()
    calls = ours.calls(cell, operands)
    contestants: dict[tuple[str, str], Callable[[], Any]] = {(mode, "fastloss"): call for mode, call in calls.items()}
    for peer in peers:
        for mode, call in peer.calls(cell, operands).items():
            expected = ours.compared(cell, operands, peer.name, mode, calls[mode])
            check_agreement(f"{peer.name} ({mode})", cell, call(), expected())
            contestants[mode, peer.name] = call
    if cell.group == "linear":
        contestants["forward", cells.PRODUCT] = peers_tokens.bare_product(operands)
    times, disturbed = measure.measure(contestants, budget, rounds)
    modes: dict[str, Any] = {}
    for (mode, name), seconds in times.items():
        entry: dict[str, Any] = {
            "us": measure.quartiles([1e6 * s for s in seconds]),
            "disturbed": disturbed[mode, name],
        }
        if name != "fastloss":
            paired = zip(seconds, times[mode, "fastloss"], strict=True)
            entry["ratio"] = measure.quartiles([theirs / ours for theirs, ours in paired])
        if mode == "forward" and cell.group != "small":
            entry["busy_cores"] = round(measure.busy_cores(contestants[mode, name]), 2)
        modes.setdefault(mode, {})[name] = entry
    arrays = [a for a in operands.values() if a.dtype.kind == "f"]
    if cell.is_ctc or (not cell.is_network and sum(a.nbytes for a in arrays) >= READ_BYTES):
        seconds = read.best(arrays)
        if seconds is not None:
            best = modes["forward"]["fastloss"]["us"]["best"]
            modes["forward"]["read_us"] = 1e6 * seconds
            modes["forward"]["read_gb_per_s"] = sum(a.nbytes for a in arrays) / seconds / 1e9
            modes["forward"]["share_of_read"] = 1e6 * seconds / best
    return {"name": cell.name, "group": cell.group, "loss": cell.loss, "shape": list(cell.shape), "dtype": cell.dtype,
            "elements": cell.elements, "bytes": sum(a.nbytes for a in arrays), "modes": modes}  # fmt: skip


def run_here(options: argparse.Namespace) -> dict[str, Any]:
    """One number of threads, in this process."""
    threads = options.threads[0]
    limit_threads(threads)
    import measure
    import numpy as np
    import peers

    chosen = cells.select(options.cells)
    ours = peers.Fastloss(threads)
    found, missing = peers.installed([p for p in options.peers.split(",") if p], threads)
    read = measure.MemoryRead(threads)
    rounds, budget = (5, 0.7) if options.quick else (25, 5.0)
    measured, load = [], other_load()
    with progress(len(chosen)) as advance:
        for cell in chosen:
            advance(cell.name)
            measured.append(measure_cell(cell, ours, found, read, budget, rounds))
    config = ours.module._config.config()
    names = [peer.name for peer in found]
    versions = {"fastloss": ours.version, "Python": platform.python_version(), "numpy": np.__version__}
    versions.update({peer.name: peer.version for peer in found})
    return {
        "machine": {
            "processor": processor(),
            "cpus": os.cpu_count(),
            "isa": config["isa"],
            "system": platform.system(),
        },
        "threads": threads,
        "date": datetime.date.today().isoformat(),
        "load": load,
        "versions": versions,
        "rounds": rounds,
        "peers": names,
        "notes": notes(names, missing, read.loaded is not None, load, report.disturbed_share(measured)),
        "geometric_means": report.geometric_means(measured, names),
        "losses": report.losses(measured, names),
        "floors": report.floors(measured),
        "cells": measured,
    }


def other_load() -> float:
    """Processes that ran beside us during the last minute, on average."""
    return round(os.getloadavg()[0], 2)


def notes(names: list[str], missing: list[str], can_read: bool, load: float, disturbed: float) -> list[str]:
    found = []
    if disturbed > 0.05:
        found.append(f"{report.BUSY} (load average {load} at the start; {disturbed:.0%} of "
                     "the timings were interrupted every time): long calls and calls of several threads suffer most, "
                     "ours and others' alike.")  # fmt: skip
    found.append("Before each burst of calls there is a pause, so that the previous library's spinning threads are "
                 "asleep; bursts that the system interrupts are repeated.")  # fmt: skip
    if "jax" in names:
        found.append("jax has no call that sets its threads: PJRT_NPROC and XLA_FLAGS limit its pool, which leaves its "
                     "dispatching thread; the JSON holds the processor time that every contestant used.")  # fmt: skip
    if "numpy" in names:
        found.append("NumPy uses one thread whatever is set.")
    if missing:
        found.append(f"Not installed, so not measured: {', '.join(missing)}.")
    if not can_read:
        found.append("No C compiler, so memory's limit was not measured.")
    return found


def run_apart(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """One number of threads in a fresh process: libraries read their limits when they are loaded."""
    with tempfile.TemporaryDirectory(prefix="fastloss-bench-") as folder:
        target = Path(folder) / "run.json"
        command = [sys.executable, __file__, "--threads", str(threads), "--peers", options.peers, "--json", str(target)]
        command += ["--quick"] if options.quick else []
        command += ["--cells", *options.cells] if options.cells else []
        subprocess.run(command, check=True)
        return dict(json.loads(target.read_text())["runs"][0])


def main() -> None:
    options = parse()
    if len(options.threads) == 1:
        runs = [run_here(options)]
    else:
        runs = [run_apart(options, threads) for threads in options.threads]
    if options.json:
        options.json.write_text(json.dumps({"runs": runs}, indent=1) + "\n")
    if options.markdown or not (options.json or options.write_readme):
        print(report.markdown(runs))
    if options.write_readme:
        keep = [w for k, w in enumerate(sys.argv) if k and "--json" not in (w, sys.argv[k - 1])]  # no paths of ours
        command = shlex.join(["python", "benchmarks/run.py", *keep])
        pages = ROOT / "docs" / "performance.md"
        pages.write_text(report.PERFORMANCE_HEAD.format(command=command) + report.markdown(runs), encoding="utf-8")
        if not report.write_readme(ROOT / "README.md", report.readme_part(runs[0], "python benchmarks/run.py")):
            print("README.md has no <!-- benchmark:start --> and <!-- benchmark:end -->: not changed", file=sys.stderr)


if __name__ == "__main__":
    main()

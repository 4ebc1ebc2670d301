# SPDX-License-Identifier: BSD-3-Clause
"""Runs of the benchmark: one process per number of threads, as libraries read their limits when they are loaded."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from . import cells

PEERS = ("torch", "jax", "numpy", "scipy", "sklearn", "numexpr", "numba")
SLOW_TO_START = ("numba",)  # it compiles for seconds per loss: no part of a quick run unless named
QUICK_SECONDS = 85.0  # a cell and its compilers may take some seconds more
PEERS_ISA = {  # for whoever can be told: our ISA -> the environment of the others
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2"},
    "baseline": {"ATEN_CPU_CAPABILITY": "default", "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"},
}
CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from fastloss.bench.runner import child; child(*sys.argv[2:])"
)


@dataclass(frozen=True)
class Settings:
    """What is measured. `words` choose cells; `until`: no new cell after this time.time()."""

    threads: int
    words: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()  # of PEERS; all if empty
    quick: bool = False
    cold: bool = True
    quiet: bool = False
    until: float | None = None

    @property
    def cells(self) -> list[cells.Cell]:
        return cells.quick() if self.quick and not self.words else cells.select(list(self.words))

    @property
    def asked(self) -> list[str]:
        """Names of the peers, in the order of the tables."""
        without = SLOW_TO_START if self.quick and not self.peers else ()
        return [name for name in PEERS if name not in without and (not self.peers or name in self.peers)]


def run_all(settings: Settings, threads: list[int]) -> list[dict[str, Any]]:
    """One run per number of threads. A quick one of chosen cells shares its time among them."""
    end = time.time() + QUICK_SECONDS if settings.quick and not settings.words else None
    runs = []
    for k, n in enumerate(threads):
        until = end and time.time() + (end - time.time()) / (len(threads) - k)
        runs.append(run_apart(replace(settings, threads=n, until=until)))
    return runs


def run_apart(settings: Settings) -> dict[str, Any]:
    """One number of threads in a fresh process, which finds the package where this one has."""
    with tempfile.TemporaryDirectory(prefix="fastloss-bench-") as folder:
        target = Path(folder) / "run.json"
        command = [sys.executable, "-c", CHILD, json.dumps(sys.path), json.dumps(asdict(settings)), str(target)]
        done = subprocess.run(command, env=environment(settings.threads), check=False)
        if done.returncode:
            raise RuntimeError(f"the process that measures {settings.threads} threads ended with {done.returncode}")
        return dict(json.loads(target.read_text()))


def environment(threads: int) -> dict[str, str]:
    """What limits threads and instruction sets of libraries that have no call for it."""
    names = (
        "OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS NUMBA_NUM_THREADS NUMEXPR_MAX_THREADS PJRT_NPROC NPROC"
    )
    variables = {**os.environ, **dict.fromkeys(names.split(), str(threads))}
    variables.setdefault("JAX_PLATFORMS", "cpu")
    variables.setdefault("OPENBLAS_THREAD_TIMEOUT", "22")  # 2^22 cycles: asleep after `settle`; by default 20 to 80 ms
    theirs = PEERS_ISA.get(os.environ.get("FASTLOSS_ISA", "").strip().lower(), {})
    variables.setdefault("ATEN_CPU_CAPABILITY", theirs.get("ATEN_CPU_CAPABILITY", ""))
    single = "--xla_cpu_multi_thread_eigen=false" if threads == 1 else ""
    flags = (variables.get("XLA_FLAGS", ""), theirs.get("XLA_FLAGS", ""), single)
    variables["XLA_FLAGS"] = " ".join(filter(None, flags))
    return {name: value for name, value in variables.items() if value or name != "ATEN_CPU_CAPABILITY"}


def child(settings: str, target: str) -> None:
    """The process that measures: settings as JSON, and the file for the result."""
    given: dict[str, Any] = json.loads(settings)
    try:
        run = run_here(Settings(**{**given, "words": tuple(given["words"]), "peers": tuple(given["peers"])}))
    except KeyboardInterrupt:
        sys.exit(130)
    Path(target).write_text(json.dumps(run))


def run_here(settings: Settings) -> dict[str, Any]:
    """One number of threads, in this process."""
    from . import limits, peers, report
    from .cell import measure_cell

    ours = peers.Fastloss(settings.threads)
    config = ours.module._config.config()
    found, missing = peers.installed(settings.asked, settings.threads)
    machine = limits.Limits(settings.threads, config["isa"])
    rounds, budget = (5, 0.7) if settings.quick else (25, 5.0)
    measured: list[dict[str, Any]] = []
    skipped: list[str] = []
    refused: list[str] = []
    load, chosen = round(os.getloadavg()[0], 2), settings.cells
    with progress(len(chosen), settings.threads, settings.quiet) as advance:
        for cell in chosen:
            advance(cell.name)
            if settings.until and time.time() > settings.until:
                skipped.append(cell.name)
                continue
            measured.append(measure_cell(cell, ours, found, machine, budget, rounds, settings.cold, refused))
    names = [peer.name for peer in found]
    versions = {"fastloss": ours.version, "Python": platform.python_version(), "numpy": config["numpy"]}
    versions.update({peer.name: peer.version for peer in found})
    return {
        "machine": {
            "processor": limits.processor(),
            "cpus": os.cpu_count(),
            "isa": config["isa"],
            "system": platform.system(),
        },
        "threads": settings.threads,
        "date": datetime.date.today().isoformat(),
        "load": load,
        "versions": versions,
        "rounds": rounds,
        "peers": names,
        "exp_ns_limit": machine.ns_per_exp(),
        "notes": notes(names, missing, machine, load, report.disturbed_share(measured), skipped, refused, settings),
        "geometric_means": report.geometric_means(measured, names),
        "losses": report.losses(measured, names),
        "floors": report.floors(measured),
        "cells": measured,
    }


def notes(
    names: list[str],
    missing: list[str],
    machine: Any,
    load: float,
    disturbed: float,
    skipped: list[str],
    refused: list[str],
    settings: Settings,
) -> list[str]:
    from . import report

    found = list(refused)
    if disturbed > 0.05:
        found.append(f"{report.BUSY} (load average {load} at the start; {disturbed:.0%} of "
                     "the timings were interrupted every time): long calls and calls of several threads suffer most, "
                     "ours and others' alike.")  # fmt: skip
    if skipped:
        found.append(f"Time was up before these cells: {', '.join(skipped)}.")
    found.append("Before each burst of calls there is a pause, so that the previous library's spinning threads are "
                 "asleep; bursts that the system interrupts are repeated.")  # fmt: skip
    if settings.cold:
        found.append(f"Cold caches: single calls, each after reads of {machine.elsewhere.nbytes >> 20} MB of other "
                     "data by every thread.")  # fmt: skip
    if "jax" in names:
        found.append("jax has no call that sets its threads: PJRT_NPROC and XLA_FLAGS limit its pool, which leaves its "
                     "dispatching thread; the JSON holds the processor time that every contestant used.")  # fmt: skip
    alone = [name for name in ("numpy", "scipy") if name in names]
    if alone:
        found.append(f"{' and '.join(alone)}: one thread whatever is set.")
    if missing:
        found.append(f"Not installed, so not measured: {', '.join(missing)}.")
    if settings.quick and not settings.peers:
        found.append(f"A quick run leaves {', '.join(SLOW_TO_START)} out unless it is named by --peers.")
    if machine.loaded is None:
        found.append("No C compiler, so the machine's limits were not measured.")
    return found


@contextlib.contextmanager
def progress(total: int, threads: int, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal, or a line now and then where rich is not installed; called before each cell."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield lambda name: None
        return
    title = f"{threads} thread{'s' * (threads > 1)}"
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        yield plain_lines(title, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        done = -1

        def advance(name: str) -> None:
            nonlocal done
            done += 1
            bar.update(task, description=f"{title}, {name}", completed=done)

        yield advance


def plain_lines(title: str, total: int) -> Callable[[str], None]:
    done = 0

    def advance(name: str) -> None:
        nonlocal done
        if done % 10 == 0:
            print(f"{title}: cell {done + 1} of {total}, {name}", file=sys.stderr, flush=True)
        done += 1

    return advance

# SPDX-License-Identifier: BSD-3-Clause
"""Write docs/reliability.md: each promise, the test that fails where it is broken, and the figure that was measured.

``python tools/reliability.py`` runs the harnesses at the sizes of the suite (some minutes); ``--full`` at those of
``make deep`` (hours). ``--mutants FILE`` takes the outcome of ``tools/mutate.py --json FILE``. What this machine cannot
run keeps the figure that stands in docs/reliability.json, or says so.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reliability.md"
KEPT = ROOT / "docs" / "reliability.json"
TESTS = ROOT / "tests"

HEAD = """# Reliability

What a numeric extension can do to the process that it runs in, and what keeps this one from it. Each row is a promise,
the test that fails where it is broken, and a figure. Written by `python tools/reliability.py`{full}, {date};
{machine}.

| promise | test | figure |
| --- | --- | --- |
"""

TAIL = """
## What shows that the tests can fail

Bugs are planted behind `-DFL_PLANT` (one place each in `csrc/`, chosen by the variable `FASTLOSS_PLANT`) and must be
found: a label that is not compared, in row losses and in CTC; a tail that is read as a whole vector; a sum whose last
bit depends on the ISA; a fold that leaves out a unit; a forked child that takes itself for its parent; a race.
`tests/test_guard_pages.py` finds an element too many, `tests/test_allocation.py` an array that is kept.
{mutants}
## What is not promised

- Threads are not started in a child of `fork`: it computes alone (the OpenMP library would hang).
- Bits of the x86-64 baseline, which has no fused multiply-add, differ from the others'; so do those of
  `linear_cross_entropy` where NumPy's matrix product does.
- `tests/data/bits.json` keeps digests of results: an upgrade that changes bits shows, and CHANGELOG.md says so.
- The extension declares that it runs without the GIL: its module state is the limit of threads, the choice of an ISA
  (one atomic integer) and when signals were last asked for. No free-threaded interpreter has run the suite yet.
- Memory that runs out is reported by `MemoryError` where we ask for it; OpenMP ends the process where its own threads
  cannot be started.
- A wheel of `cibuildwheel` (the configuration stands in `pyproject.toml`) and macOS have not been tried.
"""


def run(*command, **environment):
    """(exit status, output, seconds) of a command in tests/."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, *command],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path[1:])]), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, time.monotonic() - start


def isas():
    """ISAs that are compiled and run here."""
    program = "import fastloss as fl; print(*(n for n, s in fl.isas().items() if all(s.values())))"
    return run("-c", program)[1].split()


def hostile(calls):
    """Calls with bad labels, lengths and weights: each ISA."""
    made, refused, crashes, seconds = 0, 0, 0, 0.0
    for isa in isas():
        for module, share in (("test_hostile", 1), ("test_ctc_errors", 4)):
            program = f"import {module}; {module}.attack({calls // share}, 7)"
            status, text, took = run("-c", program, FASTLOSS_ISA=isa, FASTLOSS_NUM_THREADS="1")
            last = text.splitlines()[-1]
            crashes += status != 0
            found = re.match(r"(\d+) calls, (\d+) refused", last)
            made, refused = made + int(found[1] if found else 0), refused + int(found[2] if found else 0)
            seconds += took
    return f"{made} calls on {len(isas())} ISAs, {refused} refused, {crashes} crashes; {seconds:.0f} s"


def guard_pages():
    """Calls whose arrays lie against unreadable pages."""
    calls, crashes = 0, 0
    for isa in isas():
        for program in ("guard.py", "ctc_guard.py"):
            status, text, _ = run(program, FASTLOSS_ISA=isa)
            crashes += status != 0
            calls += int(text.split()[-2]) if status == 0 else 0
    return f"{calls} calls on {len(isas())} ISAs, {crashes} crashes"


def suite(*files, **environment):
    """Tests of some files: how many passed."""
    status, text, seconds = run("-m", "pytest", "-q", "-p", "no:cacheprovider", *files, **environment)
    passed = re.search(r"(\d+) passed", text)
    failed = re.search(r"(\d+) failed", text)
    words = f"{passed[1] if passed else 0} tests, {failed[1] if failed else 0} failed; {seconds:.0f} s"
    return words if status in (0, 1) else f"exit status {status}"


def kernel_jobs(jobs):
    """Random jobs under AddressSanitizer."""
    status, text, seconds = run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_fuzz_kernels.py", FASTLOSS_KERNEL_JOBS=str(jobs)
    )
    return f"{jobs} jobs on {len(isas())} ISAs, {'0 faults' if status == 0 else text[-200:]}; {seconds:.0f} s"


def fuzzer(seconds):
    """libFuzzer, from the corpus on."""
    program = "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "test_fuzz_kernels.py::test_libfuzzer"
    status, text, _ = run(*program, FASTLOSS_DEEP="1", FASTLOSS_FUZZ_SECONDS=str(seconds))
    executions = re.search(r"number_of_executed_units: (\d+)", text)
    if "skipped" in text or not executions:
        return None
    return f"{executions[1]} executions in {seconds} s, {'0 crashes' if status == 0 else 'CRASHED'}"


def allocation():
    """Allocations that failed."""
    text = run("-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "test_allocation.py")[1]
    found = re.search(r"(\d+) allocations, (\d+) MemoryErrors, (\d+) answers", text)
    return f"{found[1]} allocations failed twice: {found[2]} MemoryErrors, nothing lost" if found else None


def emulated():
    """Kernels on other processors."""
    text = run(str(ROOT / "tools" / "emulate.py"), "--kernels-only", "--jobs", "600")[1]
    lines = [line for line in text.splitlines() if line.startswith(("kernels on", "LEFT OUT"))]
    return None if any("LEFT OUT" in line for line in lines) else "; ".join(lines)


def rows(full):
    """(promise, tests, how to measure)."""
    calls = 1_000_000 if full else 20_000
    yield ("Bad labels, lengths and weights end in `ValueError`, `TypeError` or `IndexError`, or are answered",
           "test_hostile.py, test_ctc_errors.py", lambda: hostile(calls))  # fmt: skip
    yield ("Labels that another thread changes while we run, arrays that it resizes: never a read out of bounds",
           "test_hostile.py", lambda: suite("test_hostile.py", "-k", "while_we_run"))  # fmt: skip
    yield ("No kernel touches memory beyond its arrays (unreadable pages on either side, 0 to 4 vectors and more)",
           "test_guard_pages.py, test_ctc_memory.py", guard_pages)  # fmt: skip
    yield ("Random jobs for every entry of the kernel table: within their arrays, equal on ISAs, bad labels named",
           "test_fuzz_kernels.py", lambda: kernel_jobs(100_000 if full else 5_000))  # fmt: skip
    yield ("The same, guided by coverage (libFuzzer, AddressSanitizer, UndefinedBehaviorSanitizer)",
           "test_fuzz_kernels.py", lambda: fuzzer(3600 if full else 60))  # fmt: skip
    yield ("Children of `fork`, C's too, of pools and of data loaders compute every loss, with equal bits",
           "test_fork.py", lambda: suite("test_fork.py"))  # fmt: skip
    yield ("Threads: the scheduler under ThreadSanitizer; who decides their number; several Python threads at once",
           "test_threads.py", lambda: suite("test_threads.py"))  # fmt: skip
    yield ("CPUs: affinity and cgroup quotas, nested, of both versions", "test_cpus.py", lambda: suite("test_cpus.py"))
    yield ("Equal bits over threads, runs, alignments, strides and ISAs with fused multiply-add",
           "test_bits.py, test_ctc_bits.py", lambda: suite("test_bits.py", "test_ctc_bits.py"))  # fmt: skip
    yield ("Old processors run the baseline, and Arm has AVX2's bits (emulated by qemu)", "tools/emulate.py", emulated)
    yield ("Calls leave nothing behind, refused ones included: below one byte a call",
           "test_memory.py", lambda: suite("test_memory.py"))  # fmt: skip
    yield ("An allocation that fails is a `MemoryError`, loses nothing, and the next call works",
           "test_allocation.py", allocation)  # fmt: skip
    yield ("Ctrl-C ends a long call within a second", "test_interrupt.py", lambda: suite("test_interrupt.py"))


def machine():
    """Processor, ISAs, versions: no names of machines."""
    import platform

    import numpy

    return f"{platform.machine()}, {', '.join(isas())}, Python {platform.python_version()}, NumPy {numpy.__version__}"


def mutants(path):
    """The score of tools/mutate.py, and the survivors."""
    if not path.exists():
        return ""
    outcomes = json.loads(path.read_text())
    killed = sum(bool(o["killer"]) for o in outcomes)
    equivalent = [o for o in outcomes if o["reason"] and not o["killer"]]
    open_ones = [o for o in outcomes if not o["reason"] and not o["killer"]]
    lines = [
        "",
        f"`tools/mutate.py` plants small faults in `csrc/` at random: of {len(outcomes)} mutants {killed} were killed,",
        f"and {len(equivalent)} that survived were read and found to change nothing, for the reason given.",
        "Survivors:",
        "",
    ]
    for o in [*equivalent, *open_ones]:
        lines.append(f"- `{o['file']}`: `{o['text']}`, {o['what']}: {o['reason'] or 'not seen by the tests'}.")
    return "\n".join([*lines, ""])


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the sizes of `make deep`: hours")
    parser.add_argument("--only", help="measure the rows whose first test begins so, keep the others")
    parser.add_argument("--mutants", type=Path, default=ROOT / "docs" / "mutants.json")
    arguments = parser.parse_args()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    table = list(rows(arguments.full))
    for promise, tests, measure in table:
        figure = measure() if arguments.only is None or tests.startswith(arguments.only) else None
        kept[promise] = figure or kept.get(promise, "not measured here")
        print(f"{tests}: {kept[promise]}", flush=True)
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    text = HEAD.format(full=" --full" if arguments.full else "", date=date.today().isoformat(), machine=machine())
    for promise, tests, _ in table:
        text += f"| {promise} | `{tests.replace(', ', '`, `')}` | {kept[promise]} |\n"
    PAGE.write_text(text + TAIL.format(mutants=mutants(arguments.mutants)))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: BSD-3-Clause
"""Write docs/reliability.md: each promise, the test that fails where it is broken, and the figure that was measured.

``python tools/reliability.py`` measures every row at the size of the suite (half an hour); ``--full`` at that of
``make deep`` (hours); ``--row hostile`` one of them, and keeps the other figures, which stand in docs/reliability.json.
``--add`` adds another portion, of another seed, to rows that count calls, as long as no kernel has changed: a million
calls can be made a few minutes at a time. Mutants are those of ``tools/mutate.py --json docs/mutants.json``.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reliability.md"
KEPT = ROOT / "docs" / "reliability.json"
TESTS = ROOT / "tests"

HEAD = """# Reliability

What a numeric extension can do to the process that it runs in, and what keeps this one from it. Each row is a promise,
the test that fails where it is broken, and a figure: that of a run of `python tools/reliability.py --row` and the name
of the row, at the size that it says. Written {date} on {machine}.

| row | promise | test | figure |
| --- | --- | --- | --- |
"""

TAIL = """
## What shows that the tests can fail

Bugs are planted behind `-DFL_PLANT` (one place each in `csrc/`, chosen by the variable `FASTLOSS_PLANT`) and must be
found: a label that is not compared, in row losses and in CTC; a tail that is read as a whole vector; a sum whose last
bit depends on the ISA; a fold that leaves out a unit; a forked child that takes itself for its parent; a race.
`tests/test_guard_pages.py` finds an element too many, `tests/test_allocation.py` an array that is kept,
`tests/test_memory.py` one that each of many calls keeps.
{mutants}
## What is not promised

- Threads are not started in a child of `fork`: it computes alone (the OpenMP library would hang).
- Bits of the x86-64 baseline, which has no fused multiply-add, differ from the others'; so do those of
  `batch_all_triplet_loss` where NumPy's functions do, which finish each row.
- `tests/data/bits.json` keeps digests of results: an upgrade that changes bits shows, and CHANGELOG.md says so.
- The extension declares that it runs without the GIL. Shared are the choice of an ISA and the mark of a forked child
  (atomic integers), settings of threads (a Python object, swapped whole), caches that are filled once with what any
  caller would find, and when signals were last asked for (a number that only spaces the asking; what a handler raised
  is set and taken by the main thread alone, since Python runs handlers nowhere else). Arrays are the caller's: against
  another thread that resizes one while a call takes its shape only the GIL helps, so a free-threaded program must not
  do that. No free-threaded interpreter was at hand: none has run the suite.
- Memory that runs out is reported by `MemoryError` where we ask for it; OpenMP ends the process where its own threads
  cannot be started.
- `cibuildwheel` (its configuration for manylinux, musllinux and macOS, x86-64 and Arm, stands in `pyproject.toml`) and
  macOS have not been tried; Arm has run under an emulator only.
"""


class Row(NamedTuple):
    """`measure(full, portion)` gives numbers that `words` tells, or None where this machine cannot run it."""

    name: str
    promise: str
    tests: str
    measure: Callable
    words: str
    adds: bool = False  # numbers of portions add up


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


def pytest(*words, **environment):
    """The same of tests, which must not fail: a page of failures is none."""
    status, text, seconds = run("-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", *words, **environment)
    if status:
        sys.exit(f"reliability: {' '.join(words)}: exit status {status}\n{text[-3000:]}")
    passed, skipped = (re.search(rf"(\d+) {word}", text) for word in ("passed", "skipped"))
    counts = {"tests": int(passed[1]) if passed else 0, "skipped": int(skipped[1]) if skipped else 0}
    return text, {**counts, "seconds": seconds}


def suite(*words, **environment):
    """How many tests of some files passed, and how many were skipped; None if none ran."""

    def measure(full, portion):
        found = pytest(*words, **environment)[1]
        return found if found["tests"] else None

    return measure


def isas():
    """ISAs that are compiled and run here."""
    program = "import fastloss as fl; print(*(n for n, s in fl.isas().items() if all(s.values())))"
    return run("-c", program)[1].split()


def hostile(full, portion):
    """Calls with bad labels, lengths and weights on each ISA; a fifth of them CTC's."""
    calls = int(os.environ.get("FASTLOSS_HOSTILE", 1_000_000 if full else 20_000))
    found = {"calls": 0, "isas": len(isas()), "refused": 0, "crashes": 0, "seconds": 0.0}
    for isa in isas():
        for module, count in (("test_hostile", calls * 4 // 5), ("test_ctc_errors", calls // 5)):
            program = f"import {module}; {module}.attack({count}, {portion + 7})"
            status, text, seconds = run("-c", program, FASTLOSS_ISA=isa, FASTLOSS_NUM_THREADS="1")
            if status:
                print(text[-2000:], file=sys.stderr)
                found["crashes"] += 1
                continue
            words = re.search(r"^(\d+) calls, (\d+) refused$", text, re.M)
            found["calls"] += int(words[1])
            found["refused"] += int(words[2])
            found["seconds"] += seconds
    return found


# What the check of labels takes, beside the kernel that it protects; CPU time of one thread, the best of many.
VALIDATION = """
import time
import numpy as np
import fastloss as fl
from fastloss import _call_rows

spent, original = {}, _call_rows.run
def timed(job, labels_only):
    start = time.thread_time_ns()
    result = original(job, labels_only)
    spent[labels_only] = min(spent.get(labels_only, 10**12), time.thread_time_ns() - start)
    return result
_call_rows.run = timed
fl.set_num_threads(1)
shares = []
for n, classes in ((100_000, 10), (1024, 1000)):
    x, labels = np.zeros((n, classes), np.float32), np.arange(n) % classes
    out, grad_out = np.empty(n, np.float32), np.empty_like(x)
    for options in ({}, {"return_grad": True, "grad_out": grad_out}):
        spent.clear()
        for _ in range(60):
            fl.cross_entropy(x, labels, reduction="none", out=out, **options)  # outputs: the path that is timed
        shares.append(100 * spent[True] / (spent[True] + spent[False]))
print(*shares)
"""


def validation(full, portion):
    status, text, _ = run("-c", VALIDATION, OPENBLAS_NUM_THREADS="1")
    assert status == 0, text
    return dict(zip(("few", "few_grad", "many", "many_grad"), map(float, text.split()), strict=True))


def siege(full, portion):
    """Labels, weights and shapes that another thread changes."""
    seconds = 20
    text, found = pytest("test_hostile.py", "-k", "while_we_run", FASTLOSS_SIEGE=str(seconds))
    said = re.findall(r"(\d+) calls of .* in (\d+) s", text)
    return {"calls": sum(int(n) for n, _ in said), "siege": sum(int(n) for _, n in said), **found}


def guard_pages(full, portion):
    """Calls whose arrays lie against unreadable pages."""
    calls, crashes = 0, 0
    for isa in isas():
        for program in ("guard.py", "guard_networks.py", "overlap_guard.py", "ctc_guard.py"):
            status, text, _ = run(program, FASTLOSS_ISA=isa, FASTLOSS_NUM_THREADS="1")
            crashes += status != 0
            calls += int(text.split()[-2]) if status == 0 else 0
    return {"calls": calls, "isas": len(isas()), "crashes": crashes}


def kernel_jobs(full, portion):
    """Random jobs under AddressSanitizer."""
    jobs = 100_000 if full else 5_000
    tests = "test_random_jobs", "test_corpus", "test_planted"
    _, found = pytest("test_fuzz_kernels.py", "-k", " or ".join(tests), FASTLOSS_KERNEL_JOBS=str(jobs))
    return {"jobs": jobs, "isas": len(isas()), **found}


def fuzzer(full, portion):
    """libFuzzer, from the corpus on."""
    seconds = 3600 if full else 60
    environment = {"FASTLOSS_DEEP": "1", "FASTLOSS_FUZZ_SECONDS": str(seconds)}
    text, _ = pytest("test_fuzz_kernels.py::test_libfuzzer", **environment)
    executions = re.search(r"number_of_executed_units: *(\d+)", text)
    return {"executions": int(executions[1]), "seconds": seconds} if executions else None


MEMORY_PARTS = 8


def memory(full, portion):
    """An eighth of the losses (the next with each portion), or all: the least calls of each, the most bytes a call."""
    found = {"losses": 0, "all": 0, "each": [], "bytes": []}
    for part in range(MEMORY_PARTS) if full else (portion,):
        environment = {"FASTLOSS_CALLS": "12000", "FASTLOSS_PART": f"{part}/{MEMORY_PARTS}", "FASTLOSS_DEEP": "1"}
        text, _ = pytest("test_memory.py", "-k", "leave_nothing", "--timeout", "3000", **environment)
        losses, found["all"], each, most = re.search(
            r"(\d+) of (\d+) losses, (\d+) calls or more of each, ([-\d.]+) bytes", text
        ).groups()
        found["losses"] += int(losses)
        found["each"].append(int(each))
        found["bytes"].append(float(most))
    return {**found, "all": int(found["all"]), "each": min(found["each"]), "bytes": max(found["bytes"])}


def allocation(full, portion):
    """Allocations that failed."""
    text, _ = pytest("test_allocation.py")
    sites, failed, _ = re.search(r"(\d+) allocations, (\d+) MemoryErrors, (\d+) answers", text).groups()
    return {"sites": int(sites), "failed": int(failed)}


def emulated(full, portion):
    """Kernels on other processors."""
    jobs = "2000" if full else "600"
    status, text, _ = run(str(ROOT / "tools" / "emulate.py"), "--kernels-only", "--jobs", jobs)
    lines = [line for line in text.splitlines() if line.startswith(("kernels on", "AVX", "LEFT OUT"))]
    assert status == 0, text
    return None if any("LEFT OUT" in line for line in lines) else {"jobs": int(jobs), "said": "; ".join(lines)}


def wheels(full, portion):
    """Two builds, a repaired wheel beside PyTorch; FASTLOSS_WHEELS: a folder that keeps them, to run in portions."""
    keep = os.environ.get("FASTLOSS_WHEELS")
    status, text, _ = run(str(ROOT / "tools" / "wheels.py"), *(["--keep", keep] if keep else []))
    assert status == 0, text
    lines = [line for line in text.splitlines() if line.startswith(("wheel", "LEFT OUT"))]
    return None if any("LEFT OUT" in line for line in lines) else {"said": "; ".join(lines)}


PASSED = "{tests} tests passed, {skipped} skipped; {seconds:.0f} s"
# fmt: off
ROWS = [
    Row("hostile", "Bad labels, lengths and weights end in `ValueError`, `TypeError` or `IndexError`, or are answered",
        "test_hostile.py, test_ctc_errors.py", hostile,
        "{calls} calls on {isas} ISAs, {refused} refused, {crashes} crashes; {seconds:.0f} s", True),
    Row("validation", "The check of labels is cheap beside the loss that it protects",
        "tools/reliability.py", validation,
        "of `cross_entropy` on one thread, without and with gradient: {few:.1f} % and {few_grad:.1f} % of 100000 x 10; "
        "{many:.1f} % and {many_grad:.1f} % of 1024 x 1000"),
    Row("siege", "Labels that another thread changes while we run, arrays that it resizes: never a read out of bounds",
        "test_hostile.py", siege, "{calls} calls of losses of labels in {siege} s, {tests} tests; no crash"),
    Row("guard", "No kernel touches memory beyond its arrays: unreadable pages on either side, 0 to 4 vectors and more",
        "test_guard_pages.py, test_overlap_guard.py, test_ctc_memory.py", guard_pages,
        "{calls} calls on {isas} ISAs, {crashes} crashes"),
    Row("jobs", "Random jobs for entries of the kernel table: within their arrays, equal on ISAs, bad labels named",
        "test_fuzz_kernels.py", kernel_jobs, "{jobs} jobs on {isas} ISAs under sanitizers, 0 faults; {seconds:.0f} s"),
    Row("fuzzer", "The same, guided by coverage (libFuzzer, AddressSanitizer, UndefinedBehaviorSanitizer)",
        "test_fuzz_kernels.py", fuzzer, "{executions} executions in {seconds} s, 0 crashes", True),
    Row("hypothesis", "Random calls of the Python face agree with the reference, and both refuse the same",
        "test_fuzz.py", suite("test_fuzz.py"), PASSED),
    Row("fork", "Children of `fork`, C's too, of pools and of data loaders compute every loss, with equal bits",
        "test_fork.py, test_every.py", suite("test_fork.py", "test_every.py"), PASSED),
    Row("threads", "The scheduler under ThreadSanitizer; who decides the number; several Python threads at once",
        "test_threads.py", suite("test_threads.py"), PASSED),
    Row("counts", "Never more threads than asked: affinity, quotas, settings, threadpoolctl, PyTorch, nested regions",
        "test_thread_counts.py, test_cpus.py", suite("test_thread_counts.py", "test_cpus.py"), PASSED),
    Row("bits", "Equal bits over threads, runs, alignments, strides and ISAs with fused multiply-add",
        "test_bits.py, test_ctc_bits.py", suite("test_bits.py", "test_ctc_bits.py"), PASSED),
    Row("emulated", "Old processors run the baseline, and Arm has AVX2's bits (emulated by qemu)",
        "tools/emulate.py", emulated, "{jobs} jobs: {said}"),
    Row("memory", "Calls leave nothing behind, refused ones included: below one byte a call",
        "test_memory.py", memory,
        "{losses} of {all} losses (of a function with each of its options), {each} calls or more of each, "
        "at most {bytes:.4f} bytes a call", True),
    Row("allocation", "An allocation that fails is a `MemoryError`, loses nothing, and the next call works",
        "test_allocation.py", allocation, "{sites} allocations failed twice: {failed} MemoryErrors, nothing lost"),
    Row("interrupt", "Ctrl-C ends a long call within a second",
        "test_interrupt.py", suite("test_interrupt.py"), PASSED),
    Row("wheels", "Wheels are reproducible, and work beside PyTorch's OpenMP library",
        "tools/wheels.py", wheels, "{said}"),
]
# fmt: on


def machine():
    """Processor, ISAs, versions: no names of machines."""
    import platform

    import numpy

    return f"{platform.machine()}, {', '.join(isas())}, Python {platform.python_version()}, NumPy {numpy.__version__}"


def kernels():
    """A digest of csrc/: portions add up for the same kernels only."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "csrc").iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def mutants(path):
    """The score of tools/mutate.py, and the survivors."""
    if not path.exists():
        return ""
    outcomes = [o for o in json.loads(path.read_text()) if o["killer"] is not None]
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
        text = o["text"].strip(" \\")
        lines.append(f"- `{o['file']}`: `{text}`, {o['what']}: {o['reason'] or 'not seen by the tests'}.")
    return "\n".join([*lines, ""])


TOGETHER = {"isas": max, "all": max, "each": min, "bytes": max}  # of two portions; else their sum


def measured(row, full, add, before):
    """A row's figures: anew, or with another portion of the same kernels added."""
    add = add and row.adds and before.get("kernels") == kernels()
    portion = before["portions"] if add else 0
    numbers = row.measure(full, portion)
    if numbers is None:
        return before
    if add:
        numbers = {name: TOGETHER.get(name, sum)((n, before["numbers"][name])) for name, n in numbers.items()}
    return {"numbers": numbers, "portions": portion + 1, "kernels": kernels(), "words": row.words.format(**numbers)}


def write_page(kept):
    text = HEAD.format(date=date.today().isoformat(), machine=machine())
    for row in ROWS:
        tests = ", ".join(f"`{name}`" for name in row.tests.split(", "))
        words = kept.get(row.name, {}).get("words", "not measured here")
        text += f"| {row.name} | {row.promise} | {tests} | {words} |\n"
    PAGE.write_text(text + TAIL.format(mutants=mutants(ROOT / "docs" / "mutants.json")))


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the sizes of `make deep`: hours")
    names = [row.name for row in ROWS]
    parser.add_argument("--row", action="append", choices=names, help="measure this one, keep the others")
    parser.add_argument(
        "--add", action="store_true", help="add another portion to what stands, where calls are counted"
    )
    parser.add_argument("--page", action="store_true", help="measure nothing: write the page from what is kept")
    arguments = parser.parse_args()
    for row in ROWS:
        if arguments.page or (arguments.row and row.name not in arguments.row):
            continue
        before = json.loads(KEPT.read_text()).get(row.name, {})
        found = measured(row, arguments.full, arguments.add, before)
        kept = {**json.loads(KEPT.read_text()), row.name: found}  # another row may have been measured meanwhile
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
        said = "something is missing here: left as it was" if found is before else found["words"]
        print(f"{row.name}: {said}", flush=True)
    write_page(json.loads(KEPT.read_text()))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: BSD-3-Clause
"""Other processors, emulated: no illegal instruction on an old x86-64, and on Arm the bits of AVX2.

``python tools/emulate.py`` builds tests/c/fuzz_kernels.c for this machine and, with Debian's cross compiler, for
aarch64, and runs the same random jobs

- here, on every ISA;
- on ``qemu-x86_64 -cpu Nehalem`` (2008: no AVX, no FMA): the baseline's digest must be the one found here;
- on ``qemu-aarch64``: NEON's digest must be that of AVX2.

Then, where this Python runs under qemu, ``FASTLOSS_ISA=baseline`` in the installed package, on Nehalem: digests of all
cases of tests/cases.py must be those found here. What is not installed (Debian: qemu-user, gcc-aarch64-linux-gnu) is
said and left out. Exit status 1 if anything differs.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import fuzzing  # noqa: E402

NEHALEM = ("qemu-x86_64", "-cpu", "Nehalem")
ARM = ("qemu-aarch64", "-cpu", "max,pauth=off")
# Prints a digest per case; a few shapes only, since an emulated processor is a hundred times slower.
DIGESTS = """
import cases
cases.shapes_of = lambda case: [(5,), (40, 10), (33, 65)] if case.rows else [(17,), (5, 7), (4097,)]
for name, digest in sorted(cases.digests().items()):
    print(name, digest)
"""


def missing(*programs):
    """The first of these programs that is not installed."""
    return next((name for name in programs if not shutil.which(name)), None)


def same(what, found, expected):
    """Say whether two results are equal; 1 if not."""
    print(f"{what}: {'equal bits' if found == expected else f'{found} is not {expected}'}", flush=True)
    return int(found != expected)


def jobs_on(program, before, arguments):
    """ISA -> digest of the jobs on an emulated processor; the first line of complaint if it ended badly."""
    done = fuzzing.run(program, *arguments, before=before)
    return (
        fuzzing.digests(done.stdout) if done.returncode == 0 else f"exit status {done.returncode}: {done.stderr[:300]}"
    )


def old_processor(here, program, arguments):
    if name := missing(NEHALEM[0]):
        print(f"LEFT OUT: Nehalem: no {name}")
        return 0
    return same("kernels on Nehalem", jobs_on(program, NEHALEM, arguments), {"baseline": here["baseline"]})


def arm(here, folder, arguments):
    if name := missing("aarch64-linux-gnu-gcc", ARM[0]):
        print(f"LEFT OUT: NEON: no {name}")
        return 0
    (folder / "arm").mkdir()
    program = fuzzing.build(folder / "arm", ["aarch64-linux-gnu-gcc"], "__aarch64__", link=("-static",))
    expected = {"neon": here["avx2"]} if "avx2" in here else {}
    return same("kernels on NEON", jobs_on(program, ARM, arguments), expected)


def package(nehalem):
    """Digests of the installed package's baseline, by this Python, here or on Nehalem."""
    environment = {**os.environ, "FASTLOSS_ISA": "baseline", "FASTLOSS_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
                   "NPY_DISABLE_CPU_FEATURES": ""}  # fmt: skip
    command = [*(NEHALEM if nehalem else ()), sys.executable, "-c", DIGESTS]
    done = subprocess.run(
        command, cwd=ROOT / "tests", env=environment, capture_output=True, text=True, check=False, timeout=7200
    )
    return done.stdout if done.returncode == 0 else f"exit status {done.returncode}: {done.stderr[-300:]}"


def python_on_nehalem():
    """NumPy draws its operands with other instructions there: a case counts where its operands are the same."""
    if missing(NEHALEM[0]):
        return 0
    here, there = package(False).split("\n"), package(True).split("\n")
    if len(there) != len(here):
        print(f"package on Nehalem: {there}")
        return 1
    equal = sum(a == b for a, b in zip(here, there, strict=True)) - 1
    print(f"package on Nehalem: {equal} of {len(here) - 1} cases with equal bits, no illegal instruction", flush=True)
    return 0


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", default="2000", help="random jobs on each processor")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--kernels-only", action="store_true", help="leave the installed package out")
    arguments = parser.parse_args()
    jobs = (arguments.jobs, arguments.seed)
    faults = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = fuzzing.build(folder, fuzzing.compiler())
        here = fuzzing.digests(fuzzing.run(program, *jobs).stdout)
        print(f"{arguments.jobs} jobs, seed {arguments.seed}, here: {here}", flush=True)
        faults += old_processor(here, program, jobs)
        faults += arm(here, folder, jobs)
    if not arguments.kernels_only:
        faults += python_on_nehalem()
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

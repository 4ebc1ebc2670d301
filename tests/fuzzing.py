# SPDX-License-Identifier: BSD-3-Clause
"""Builds of tests/c/fuzz_kernels.c: kernels for every ISA, with the sanitizers and flags that a test asks for.

``python tests/fuzzing.py`` writes tests/data/bits.json: digests of results, by which a change of bits is seen.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
from flags import ISAS, KERNEL

ROOT = Path(__file__).resolve().parent.parent
PLAIN = ["blocks", "dispatch", "parallel", "cpus"]
COMMON = (
    "-std=gnu11 -O1 -g1 -fno-math-errno -fno-trapping-math -ffp-contract=off -Wall -Wextra "
    f"-Wno-unknown-pragmas -Wno-pass-failed -I{ROOT / 'csrc'} -I{ROOT / 'tests' / 'c'}"
).split()
# AddressSanitizer's own allocator hides nothing here, so leaks are left to tests of the whole package.
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1", "UBSAN_OPTIONS": "halt_on_error=1"}
CLEAN = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def compiler() -> list[str] | None:
    """CC, else cc; None where there is none."""
    command = shlex.split(os.environ.get("CC", "cc"))
    return command if shutil.which(command[0]) else None


def links(cc: list[str], arguments: list[str], folder: Path) -> bool:
    """Whether a program of these files and flags compiles and links."""
    return (
        subprocess.run([*cc, *arguments, "-o", str(folder / "probe")], capture_output=True, check=False).returncode == 0
    )


def works(cc: list[str], flags: list[str], folder: Path) -> bool:
    """Whether an empty program compiles, links and runs with these flags."""
    source = folder / "empty.c"
    source.write_text("int main(void) { return 0; }\n")
    if not links(cc, [*flags, str(source)], folder):
        return False
    return subprocess.run([str(folder / "probe")], capture_output=True, env=CLEAN, check=False).returncode == 0


def build(
    folder: Path, cc: list[str], family: str = "__x86_64__", reals: tuple[int, ...] = (32, 64), isas: str = "",
    flags: tuple[str, ...] = (), link: tuple[str, ...] = (),
) -> Path:  # fmt: skip
    """The program, for some ISAs of a processor (default: all) and reals (32 alone stands for 64 too)."""
    chosen = {isa: f for isa, f in ISAS[family].items() if not isas or isa in isas.split()}
    have = [f"-DFL_HAVE_{isa.upper()}" for isa in chosen]
    if reals == (32,):
        have += [f"-Dfl_kernels_{isa}_64=fl_kernels_{isa}_32" for isa in chosen]
    jobs = [
        ("csrc/kernels.c", f"{isa}_{real}.o", [*KERNEL, *march, f"-DFL_ISA={isa}", f"-DFL_REAL={real}"])
        for isa, march in chosen.items()
        for real in reals
    ]
    jobs += [(f"csrc/{name}.c", f"{name}.o", have) for name in PLAIN]
    jobs += [("tests/c/fuzz_kernels.c", "fuzz_kernels.o", have)]

    def compile_one(job: tuple[str, str, list[str]]) -> str:
        source, target, own = job
        command = [*cc, *COMMON, *own, *flags, "-c", str(ROOT / source), "-o", str(folder / target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr}"
        return str(folder / target)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, jobs))
    program = folder / "fuzz_kernels"
    command = [*cc, *objects, *flags, *link, "-o", str(program), "-lm", "-pthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr}"
    return program


def run(program: Path, *arguments: str, plant: str = "", before: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """Run it, with one planted bug switched on; `before`: an emulator."""
    return subprocess.run(
        [*before, str(program), *arguments],
        env={**CLEAN, **ENVIRONMENT, "FASTLOSS_PLANT": plant},
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )


def digests(printed: str) -> dict[str, dict[str, str]]:
    """ISA -> kind of job -> digest of its results, from what the program printed."""
    found: dict[str, dict[str, str]] = {}
    for line in printed.splitlines()[1:]:
        kind, _, *words = line.split()
        for word in words:
            isa, digest = word.split("=")
            found.setdefault(isa, {})[kind] = digest
    return found


def counts(printed: str) -> dict[str, int]:
    """Kind -> how many jobs."""
    return {line.split()[0]: int(line.split()[1]) for line in printed.splitlines()[1:]}


# Digests of the results of a fixed set of jobs, by ISA: a change of any bit of any kernel shows.
BITS = ROOT / "tests" / "data" / "bits.json"
BITS_JOBS = ("2000", "1")


def write_bits() -> None:
    """Build in float32 and write BITS; those of ISAs that this machine lacks stay as they are."""
    cc = compiler()
    assert cc, "no C compiler here"
    with tempfile.TemporaryDirectory() as folder:
        done = run(build(Path(folder), cc, reals=(32,)), *BITS_JOBS)
    assert done.returncode == 0, done.stderr
    table = json.loads(BITS.read_text()) if BITS.exists() else {}
    for isa, found in digests(done.stdout).items():
        table["baseline" if isa == "baseline" else "fma"] = found
    BITS.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    print(f"{BITS}: written. If bits have changed, CHANGELOG.md says so.")


if __name__ == "__main__":
    write_bits()

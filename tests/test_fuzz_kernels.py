# SPDX-License-Identifier: BSD-3-Clause
"""Random jobs for every entry of the kernel table, in C under AddressSanitizer: tests/c/fuzz_kernels.c.

The suite makes FASTLOSS_KERNEL_JOBS (default 2000) of a fixed seed, in float32, and runs the corpus. FASTLOSS_DEEP=1
adds float64 and, where Clang has it, libFuzzer for FASTLOSS_FUZZ_SECONDS (default 30) from the corpus on. Bugs that
are planted in the kernels must be found.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from pathlib import Path

import fuzzing
import pytest

import fastloss as fl

CORPUS = Path(__file__).parent / "data" / "kernel_corpus"
JOBS = os.environ.get("FASTLOSS_KERNEL_JOBS", "2000")
SEED = os.environ.get("FASTLOSS_SEED", "1")
DEEP = os.environ.get("FASTLOSS_DEEP") == "1"
SECONDS = os.environ.get("FASTLOSS_FUZZ_SECONDS", "30")
KINDS = 21

pytestmark = [
    pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="compares ISAs of x86-64"),
    pytest.mark.skipif(not (fuzzing.ROOT / "csrc").exists(), reason="the C sources are not beside the tests"),
    pytest.mark.skipif("FASTLOSS_ISA" in os.environ, reason="runs every ISA itself"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program with AddressSanitizer where that works, and bugs to switch on."""
    folder = tmp_path_factory.mktemp("fuzz")
    cc = fuzzing.compiler()
    if cc is None:
        pytest.skip("no C compiler here")
    sanitizer = ("-fsanitize=address",) if fuzzing.works(cc, ["-fsanitize=address"], folder) else ()
    reals = (32, 64) if DEEP else (32,)
    here = " ".join(isa for isa, state in fl.isas().items() if state["supported"])  # others would not be run
    built = fuzzing.build(folder, cc, reals=reals, isas=here, flags=("-DFL_PLANT", *sanitizer))
    return built, bool(sanitizer)


def corpus() -> list[str]:
    return sorted(str(path) for path in CORPUS.iterdir())


def test_random_jobs_agree(program):
    """On every ISA: within their arrays; equal bits where multiply-add is fused, near ones else; bad labels named."""
    result = fuzzing.run(program[0], JOBS, SEED)
    assert result.returncode == 0, result.stderr[-3000:]
    counts = fuzzing.counts(result.stdout)
    assert len(counts) == KINDS and min(counts.values()) > int(JOBS) / KINDS / 2  # each kind of job is tried


def changed_bits(printed: str, table: dict[str, dict[str, str]]) -> list[str]:
    """The kinds of job whose results are not those of the table, on some ISA."""
    found = fuzzing.digests(printed)
    return [
        f"{kind} on {isa}"
        for isa, kinds in found.items()
        for kind, digest in kinds.items()
        if digest != table["baseline" if isa == "baseline" else "fma"][kind]
    ]


@pytest.mark.skipif(DEEP, reason="the table is that of a build without float64")
def test_bits_are_those_of_the_table(program):
    result = fuzzing.run(program[0], *fuzzing.BITS_JOBS)
    table = json.loads(fuzzing.BITS.read_text())
    changed = changed_bits(result.stdout, table)
    assert not changed, (
        f"results have other bits than before: {', '.join(changed)}. If that is meant, run `python tests/fuzzing.py`, "
        "which writes the table anew, and say so in CHANGELOG.md: users rely on equal bits"
    )
    other = fuzzing.run(program[0], fuzzing.BITS_JOBS[0], "2")  # a table that takes everything is none
    assert len(changed_bits(other.stdout, table)) >= KINDS


def test_corpus(program):
    result = fuzzing.run(program[0], *corpus())
    assert result.returncode == 0, result.stderr[-3000:]
    assert f"{len(corpus())} jobs" in result.stdout and len(corpus()) > 50


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        ("label", "not the first bad label|AddressSanitizer"),
        ("ctc label", "not the first bad label|AddressSanitizer"),
        ("tail", "AddressSanitizer"),
        ("bits", "other sums"),
    ],
)
def test_planted_bugs_are_found(program, plant, words):
    if plant == "tail" and not program[1]:
        pytest.skip("AddressSanitizer does not work here")
    result = fuzzing.run(program[0], JOBS, SEED, plant=plant)
    if plant == "bits" and "avx512" not in fuzzing.digests(fuzzing.run(program[0], "10", "1").stdout):
        pytest.skip("this machine has one ISA with fused multiply-add")
    assert result.returncode != 0
    assert any(word in result.stderr for word in words.split("|")), result.stderr[-3000:]


@pytest.mark.skipif(not DEEP, reason="compiles everything again with Clang; FASTLOSS_DEEP=1 runs it")
def test_libfuzzer(tmp_path):
    clang = shutil.which("clang")
    fuzzer = ["-fsanitize=fuzzer", "-DFUZZ_TARGET"]
    (tmp_path / "target.c").write_text("int LLVMFuzzerTestOneInput(const char *p, long n) { return !p && n; }\n")
    if not clang or not fuzzing.links([clang], [*fuzzer, str(tmp_path / "target.c")], tmp_path):
        pytest.skip("no Clang with libFuzzer here")
    sanitizers = "-fsanitize=fuzzer-no-link,address,undefined"
    built = fuzzing.build(
        tmp_path,
        [clang],
        flags=(sanitizers, "-fno-sanitize-recover=undefined", "-DFUZZ_TARGET"),
        link=("-fsanitize=fuzzer",),
    )
    grown = tmp_path / "corpus"
    grown.mkdir()
    result = fuzzing.run(
        built, f"-max_total_time={SECONDS}", "-max_len=64", "-print_final_stats=1",
        f"-artifact_prefix={tmp_path}/", str(grown), str(CORPUS),
    )  # fmt: skip
    print("\n".join(line for line in result.stderr.splitlines() if "stat::" in line or "DONE" in line))
    assert result.returncode == 0, result.stderr[-3000:]

# SPDX-License-Identifier: BSD-3-Clause
"""The C maths of csrc/vecmath.h and csrc/packet.h against libm, on every ISA that this processor runs.

The sampled runs take seconds. ``FASTLOSS_DEEP=1`` walks all 2**32 float32 inputs instead: minutes per function and ISA.
"""

import os
import platform
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "tests" / "c" / "vecmath_check.c"
DEEP = os.environ.get("FASTLOSS_DEEP", "") not in ("", "0")

FUNCTIONS = [
    "atan",
    "exp",
    "exp_down",
    "exp_parts",
    "exp_quick_parts",
    "exp_raised",
    "expm1",
    "log",
    "log1p",
    "log1p_unit",
    "inverse_unit",
]

# As kernels are compiled.
FLAGS = ["-std=gnu11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", f"-I{ROOT / 'csrc'}"]
X86_FLAGS = {
    "baseline": ["-march=x86-64"],
    "avx2": ["-march=x86-64-v3"],
    "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}
ISA_FLAGS = X86_FLAGS if platform.machine().lower() in ("x86_64", "amd64") else {"neon": []}

# Asks the processor and the operating system; prints the names of the ISAs that run here.
PROBE = """
#include <stdio.h>
int main(void) {
#ifdef __x86_64__
    __builtin_cpu_init();
    puts("baseline");
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) puts("avx2");
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) puts("avx512");
#else
    puts("neon");
#endif
    return 0;
}
"""

# Sampling steps over the bit patterns: odd, so that all low bits occur. float64 has a long double reference: slower.
STEPS = {32: 1 if DEEP else 4099, 64: 67 if DEEP else 16411}


def find_compiler():
    """Return the compiler command as a list, or None."""
    names = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
    for name in names:
        command = shlex.split(name)
        if command and shutil.which(command[0]):
            return command
    return None


class Programs:
    """Builds each vecmath_check once per (ISA, real) and runs it once per function."""

    def __init__(self, compiler, folder):
        self.compiler = compiler
        self.folder = folder
        self.built = {}
        self.finished = {}
        probe = folder / "probe.c"
        probe.write_text(PROBE)
        self.compile([str(probe)], folder / "probe")
        self.isas = self.run(folder / "probe").stdout.split()

    def compile(self, arguments, program):
        done = subprocess.run([*self.compiler, *arguments, "-o", str(program), "-lm"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def run(self, program, *arguments):
        return subprocess.run([str(program), *arguments], capture_output=True, text=True)

    def check(self, function, isa, bits):
        """Run one check; return the finished process."""
        if isa not in self.isas:
            pytest.skip(f"this processor does not run {isa}")
        if (isa, bits) not in self.built:
            program = self.folder / f"check_{isa}_{bits}"
            defines = [f"-DFL_ISA={isa}", f"-DFL_REAL={bits}"]
            self.compile([*FLAGS, *ISA_FLAGS[isa], *defines, str(SOURCE)], program)
            self.built[isa, bits] = program
        if (function, isa, bits) not in self.finished:
            self.finished[function, isa, bits] = self.run(self.built[isa, bits], function, str(STEPS[bits]))
        return self.finished[function, isa, bits]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    if not SOURCE.exists() or not (ROOT / "csrc" / "vecmath.h").exists():
        pytest.skip("the C sources are not beside the tests")
    compiler = find_compiler()
    if compiler is None:
        pytest.skip("no C compiler found")
    return Programs(compiler, tmp_path_factory.mktemp("vecmath"))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("isa", list(ISA_FLAGS))
def test_error_is_within_the_contract(programs, isa, bits, function):
    done = programs.check(function, isa, bits)
    print(done.stdout, end="")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif("avx512" not in ISA_FLAGS, reason="x86-64 only: two ISAs with fused multiply-add")
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("bits", [32, 64])
def test_bits_are_equal_on_fused_isas(programs, bits, function):
    hashes = {programs.check(function, isa, bits).stdout.split()[-1] for isa in ("avx2", "avx512")}
    assert len(hashes) == 1

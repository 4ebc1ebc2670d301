# SPDX-License-Identifier: BSD-3-Clause
"""The compiler flags of csrc/, for setup.py and for every check that compiles C itself.

``python tools/flags.py avx2`` prints those of one ISA's kernels, for use in a shell.
"""

import os
import subprocess
import sys

# -fno-fast-math and -fno-lto undo what the caller's or Python's own CFLAGS may hold and this code cannot bear.
# Vectorised float64 exp needs comparisons that do not trap; fused multiply-add is written out where it is meant.
COMMON = (
    "-std=gnu11 -fno-fast-math -O3 -fno-math-errno -fno-trapping-math -ffp-contract=off -fvisibility=hidden -fPIC "
    "-fno-lto -pthread -g0 -Wall -Wextra -Werror=implicit-function-declaration"
).split()
# Both of these would have kernels call functions of libc; they call nothing but memcpy and the like.
KERNEL = ["-U_FORTIFY_SOURCE", "-fno-stack-protector"]
# Asked of compilers that know it, which is GCC alone: without it `rep stos` clears the 128 bytes of a kernel's lanes,
# and starts slowly. `make bench-compare BASE=da0f62c` shows what that took from triplets.
CLEARING = ["-mmemset-strategy=vector_loop:1024:noalign,libcall:-1:noalign"]
# Macro of the processor that the compiler builds for -> flags of each ISA, the plainest first: files without kernels
# are compiled for that one.
ISAS = {
    "__x86_64__": {
        "baseline": ["-march=x86-64", "-mtune=generic"],
        "avx2": ["-march=x86-64-v3", "-mtune=generic"],
        "avx512": ["-march=x86-64-v4", "-mtune=generic", "-mprefer-vector-width=512"],
    },
    "__aarch64__": {"neon": []},
    "": {"baseline": []},
}


def takes(compiler, flags):
    """Whether a compiler, a list of words, knows these flags."""
    command = [*compiler, *flags, "-x", "c", "-c", os.devnull, "-o", os.devnull]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def kernel_flags(isa, real, isa_flags, compiler):
    """Flags of kernels.c for one (ISA x real)."""
    clearing = CLEARING if takes(compiler, [*isa_flags, *CLEARING]) else []
    return [*COMMON, *KERNEL, *isa_flags, *clearing, f"-DFL_ISA={isa}", f"-DFL_REAL={real}"]


def main():
    """Print the flags of the ISA that the first argument names; "plain" is what every file is compiled with."""
    known = {isa: [*KERNEL, *flags] for family in ISAS.values() for isa, flags in family.items() if flags} | {
        "plain": []
    }
    if len(sys.argv) != 2 or sys.argv[1] not in known:
        sys.exit(f"usage: flags.py {'|'.join(known)}")
    print(*COMMON, *known[sys.argv[1]])


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: BSD-3-Clause
"""Build of the C extension; the metadata stands in pyproject.toml.

csrc/kernels.c is compiled once per (ISA x real) with that ISA's flags; every other C file once, for the baseline.
Environment (see CONTRIBUTING.md): CC, FASTLOSS_PARALLEL, FASTLOSS_SANITIZE, FASTLOSS_CC_EXTRA, FASTLOSS_BUILD_ISAS.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

sys.path.insert(0, str(Path(__file__).resolve().parent / "tools"))
from flags import COMMON, ISAS, kernel_flags

if sys.platform == "win32":
    sys.exit("fastloss 0.x does not support Windows: it builds on Linux and macOS (WSL works)")
if sys.platform == "darwin":
    os.environ.setdefault("ARCHFLAGS", f"-arch {os.uname().machine}")  # one processor a build, not universal2

PLAIN_C = ["csrc/blocks.c", "csrc/dispatch.c", "csrc/parallel.c", "csrc/cpus.c", "csrc/caches.c"]
PARALLEL = {
    "openmp": [(["-fopenmp"], ["-fopenmp"]), (["-Xpreprocessor", "-fopenmp"], ["-lomp"])],  # the second: Apple's clang
    "pthreads": [(["-DFL_PTHREADS"], [])],
    "serial": [([], [])],
}
LOOP = "void fl_probe(float *x) { for (int i = 0; i < 64; i++) x[i] = x[i] * 2 + 1; }\n"
OPENMP = """#include <omp.h>
int main(void) {
    int sum = 0;
#pragma omp parallel for num_threads(2) reduction(+ : sum)
    for (int i = 0; i < 10; i++) sum += i;
    return sum != 45 || omp_get_max_threads() < 1;
}
"""


class BuildNative(build_ext):
    """setuptools' build_ext (which runs Cython), given the objects of csrc/ to link in."""

    def build_extensions(self):
        self.cython_c_in_temp = True  # the generated C stands in build/, not beside the .pyx
        super().build_extensions()

    def build_extension(self, ext):
        sanitize = self.sanitizer_flags()
        extra = [*shlex.split(os.environ.get("FASTLOSS_CC_EXTRA", "")), *sanitize]
        link = ["-fno-fast-math", "-pthread", *extra, *([] if sanitize else self.strip_flags())]
        parallel, parallel_compile, parallel_link = self.choose_parallel()
        isas = self.choose_isas()
        first = next(iter(isas.values()))
        have = [f"-DFL_HAVE_{isa.upper()}" for isa in isas]

        objects = [  # (source, name of its folder, flags); the slowest to compile first
            ("csrc/kernels.c", f"{isa}_{real}", [*kernel_flags(isa, real, flags, self.compiler.compiler_so), *extra])
            for isa, flags in reversed(isas.items())
            for real in (64, 32)
        ]
        objects += [(source, "plain", [*COMMON, *first, *have, *parallel_compile, *extra]) for source in PLAIN_C]
        # A changed compiler, option or setting rebuilds everything: the up-to-date checks know only about times.
        settings = repr([self.compiler.compiler_so, objects, link, parallel_link])
        stamp = Path(self.build_temp, "fastloss.settings")
        if not stamp.exists() or stamp.read_text() != settings:
            self.force = True
        with ThreadPoolExecutor(2) as pool:
            ext.extra_objects = list(pool.map(lambda job: self.compile_object(ext, *job), objects))
        ext.extra_compile_args = ["-fno-fast-math", "-O2", "-g0", "-fvisibility=hidden", *extra]
        ext.extra_link_args = [*parallel_link, *link]
        super().build_extension(ext)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(settings)
        print(f"fastloss: kernels for {', '.join(isas)}; parallel backend {parallel}", flush=True)

    def compile_object(self, ext, source, folder, flags):
        """One object file, compiled anew if any file of csrc/ is newer; it contains none of the bridge."""
        output = str(Path(self.build_temp, folder))
        (target,) = self.compiler.object_filenames([source], output_dir=output)
        own = [path for path in ext.depends if not path.endswith(".pxi")]
        if self.force or newer_group([source, *own], target):
            self.compiler.compile([source], output_dir=output, include_dirs=["csrc"], extra_postargs=flags)
        return target

    def choose_isas(self):
        """The ISAs of the processor that the compiler builds for, less those whose flags it refuses.

        FASTLOSS_BUILD_ISAS=avx512 builds that one and the plainest alone: a quicker build while kernels change.
        """
        family = next(m for m in ISAS if not m or self.compiles(f"#ifndef {m}\n#error other\n#endif\n" + LOOP, []))
        wanted = os.environ.get("FASTLOSS_BUILD_ISAS", "").replace(",", " ").split() or ISAS[family]
        if unknown := set(wanted) - set(ISAS[family]):
            sys.exit(f"FASTLOSS_BUILD_ISAS: {', '.join(sorted(unknown))} not among {', '.join(ISAS[family])}")
        chosen = {}
        for isa, flags in ISAS[family].items():
            if chosen and isa not in wanted:
                continue
            if self.compiles(LOOP, [*COMMON, *flags]):
                chosen[isa] = flags
            else:
                print(f"fastloss: the compiler refuses {' '.join(flags)}: built without {isa}", flush=True)
        return chosen

    def choose_parallel(self):
        """Backend of parallel.c with its flags: FASTLOSS_PARALLEL, else OpenMP where it compiles, links and runs."""
        wanted = os.environ.get("FASTLOSS_PARALLEL", "")
        if wanted not in ("", *PARALLEL):
            sys.exit(f"FASTLOSS_PARALLEL must be one of {', '.join(PARALLEL)}, not {wanted!r}")
        for compile_flags, link_flags in PARALLEL[wanted or "openmp"]:
            if wanted in ("serial", "pthreads") or self.compiles(OPENMP, compile_flags, link_flags, run=True):
                return wanted or "openmp", compile_flags, link_flags
        if wanted == "openmp":
            sys.exit("FASTLOSS_PARALLEL=openmp, but no OpenMP program compiles, links and runs with this compiler")
        print("fastloss: no OpenMP program compiles, links and runs here: built serial, one thread only", flush=True)
        return "serial", [], []

    def sanitizer_flags(self):
        """Flags of FASTLOSS_SANITIZE=address,undefined | thread, to compile and to link with."""
        names = os.environ.get("FASTLOSS_SANITIZE", "")
        if not names:
            return []
        clang = self.compiles("#ifndef __clang__\n#error other\n#endif\n" + LOOP, [])
        shared = ["-shared-libsan", "-Qunused-arguments"] if clang else []  # GCC's run-time library is shared already
        return [
            f"-fsanitize={names}",
            "-fno-sanitize-recover=undefined",
            "-fno-omit-frame-pointer",
            "-O1",
            "-g",
            *shared,
        ]

    def strip_flags(self):
        """-Wl,-s where the linker takes it: no symbol table or debug information in the wheel."""
        return ["-Wl,-s"] if self.compiles("int main(void) { return 0; }\n", [], ["-Wl,-s"], run=True) else []

    def compiles(self, text, flags, link_flags=(), run=False):
        """Whether a C text compiles with these flags and, with `run`, links and exits with 0."""
        with tempfile.TemporaryDirectory() as folder:
            source, binary = Path(folder, "probe.c"), Path(folder, "probe")
            source.write_text(text)
            commands = [[*self.compiler.compiler_so, *flags, "-c", str(source), "-o", f"{binary}.o"]]
            if run:
                commands += [[*self.compiler.linker_exe, f"{binary}.o", "-o", str(binary), *link_flags], [str(binary)]]
            try:
                return all(subprocess.run(c, capture_output=True, timeout=60).returncode == 0 for c in commands)
            except (OSError, subprocess.TimeoutExpired):
                return False


setup(
    cmdclass={"build_ext": BuildNative},
    ext_modules=[
        Extension(
            "fastloss._native",
            ["fastloss/_native.pyx"],
            include_dirs=["csrc", numpy.get_include()],
            define_macros=[
                ("NPY_NO_DEPRECATED_API", "NPY_1_22_API_VERSION"),
                ("NPY_TARGET_VERSION", "NPY_1_22_API_VERSION"),  # built with NumPy 2, runs with 1.26 too
            ],
            depends=["setup.py", "tools/flags.py", *sorted(glob("csrc/*")), *sorted(glob("fastloss/*.pxi"))],
        )
    ],
)

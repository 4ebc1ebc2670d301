# SPDX-License-Identifier: BSD-3-Clause
"""The choice of kernels on processors that lack one feature: tests/c/dispatch_check.c with a CPUID of its own.

No processor lacks a feature of a level and has the later ones, but a virtual machine may hide any.
"""

from __future__ import annotations

import platform
import shlex
import subprocess

import fuzzing
import pytest

pytestmark = [
    pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="CPUID is x86's"),
    pytest.mark.skipif(not (fuzzing.ROOT / "csrc").exists(), reason="the C sources are not beside the tests"),
]


def checked(folder, *flags):
    """What the program of these flags prints, and its exit status."""
    cc = fuzzing.compiler()
    if cc is None:
        pytest.skip("no C compiler here")
    source, program = str(fuzzing.ROOT / "tests" / "c" / "dispatch_check.c"), str(folder / "check")
    command = [*cc, "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{fuzzing.ROOT / 'csrc'}", *flags]
    command += [source, "-o", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr}"
    run = subprocess.run([program], capture_output=True, text=True, check=False, env=fuzzing.CLEAN)
    return run.stdout, run.returncode


@pytest.mark.parametrize("have", ["AVX2 AVX512", "AVX2", "AVX512", ""])
def test_a_level_asks_for_each_of_its_features(tmp_path, have):
    """And for nothing else; none is run that is not built, or whose registers the system does not save."""
    assert checked(tmp_path, *(f"-DFL_HAVE_{isa}" for isa in have.split())) == ("ok\n", 0)

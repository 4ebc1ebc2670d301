# SPDX-License-Identifier: BSD-3-Clause
"""The build itself: native code answers, every ISA is in it, its loops are vectorised; setup.py's probes.

A wheel that fell back to scalar code, or to the reference, is slow and passes every other test.
"""

import os
import platform
import runpy
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import setuptools

import fastloss as fl

ROOT = Path(__file__).resolve().parents[1]
X86_64 = platform.machine().lower() in ("x86_64", "amd64")
COMPILER = shutil.which(os.environ.get("CC", "cc"))
SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")
CLEAN = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler here")
needs_binutils = pytest.mark.skipif(
    not (shutil.which("nm") and shutil.which("objdump")), reason="no nm and objdump here"
)


def tool(*arguments):
    """Run a script of tools/ to its end: exit status and all that it printed."""
    command = [sys.executable, str(ROOT / "tools" / arguments[0]), *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=CLEAN)
    return done.returncode, done.stdout + done.stderr


def extension():
    """The file of the compiled extension."""
    from fastloss import _native

    return Path(_native.__file__)


def test_native_answers(capsys):
    assert fl.get_backend() == os.environ.get("FASTLOSS_BACKEND", "native")
    assert extension().parent == Path(fl.__file__).parent
    fl.show_config()
    shown = capsys.readouterr().out
    assert fl.get_backend() in shown
    assert fl.__version__ in shown


@pytest.mark.skipif(not X86_64, reason="x86-64 has three ISAs")
def test_all_three_isas_are_compiled():
    assert {name: has["compiled"] for name, has in fl.isas().items()} == {
        "baseline": True,
        "avx2": True,
        "avx512": True,
    }


@pytest.mark.skipif(SANITIZED, reason="a build with sanitizers is large and not stripped")
def test_extension_is_small():
    """As the wheel, which is compressed, has it."""
    assert len(zlib.compress(extension().read_bytes())) < 3_000_000


@needs_binutils
@pytest.mark.skipif(sys.platform != "linux" or SANITIZED, reason="reads an ordinary ELF symbol table")
def test_extension_exports_only_its_init():
    lines = subprocess.run(
        ["nm", "-D", "--defined-only", str(extension())], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["PyInit__native"]


@needs_compiler
@needs_binutils
@pytest.mark.skipif(
    "FASTLOSS_ISA" in os.environ or SANITIZED, reason="says nothing new when an ISA is forced or in sanitized runs"
)
def test_kernel_objects():
    status, printed = tool("check_objects.py")
    assert status == 0, printed


@needs_compiler
@needs_binutils
@pytest.mark.skipif(not X86_64, reason="the planted faults are x86-64's")
def test_object_check_finds_planted_faults():
    status, printed = tool("check_objects.py", "--self-test")
    assert status == 0, printed


def test_stubs_are_current():
    status, printed = tool("stubs.py", "--check")
    assert status == 0, printed


# ---- setup.py --------------------------------------------------------------------------------------------------------


@pytest.fixture
def builder(monkeypatch, tmp_path):
    """BuildNative of setup.py with a compiler that refuses all commands that contain one of some words."""
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: None)
    monkeypatch.chdir(ROOT)
    command_class = runpy.run_path(str(ROOT / "setup.py"))["BuildNative"]

    def build(*refused):
        compiler = tmp_path / "compiler"
        patterns = "|".join(f"*{word}*" for word in refused) or "refuse nothing"
        compiler.write_text(
            f'#!/bin/sh\ncase "$*" in {patterns.replace(" ", "_")}) exit 1;; esac\nexec {COMPILER} "$@"\n'
        )
        compiler.chmod(0o755)
        command = command_class(setuptools.Distribution())
        command.compiler = SimpleNamespace(compiler_so=[str(compiler)], linker_exe=[str(compiler)])
        return command

    return build


@needs_compiler
@pytest.mark.skipif(not X86_64, reason="about x86-64's flags")
@pytest.mark.parametrize(
    ("refused", "kept"),
    [
        ((), ["baseline", "avx2", "avx512"]),
        (("x86-64-v4",), ["baseline", "avx2"]),
        (("x86-64-v3", "x86-64-v4"), ["baseline"]),
    ],
)
def test_refused_isa_is_left_out_and_named(builder, capsys, refused, kept):
    assert list(builder(*refused).choose_isas()) == kept
    printed = capsys.readouterr().out
    assert printed.count("the compiler refuses") == len(refused)
    assert all(flag in printed for flag in refused)


@needs_compiler
def test_no_openmp_is_serial_and_said(builder, capsys, monkeypatch):
    monkeypatch.delenv("FASTLOSS_PARALLEL", raising=False)
    assert builder("openmp").choose_parallel() == ("serial", [], [])
    assert "built serial" in capsys.readouterr().out


@needs_compiler
def test_parallel_backend_on_demand(builder, monkeypatch):
    monkeypatch.setenv("FASTLOSS_PARALLEL", "openmp")
    with pytest.raises(SystemExit, match="no OpenMP program"):
        builder("openmp").choose_parallel()
    monkeypatch.setenv("FASTLOSS_PARALLEL", "pthreads")
    assert builder().choose_parallel()[0] == "pthreads"
    monkeypatch.setenv("FASTLOSS_PARALLEL", "threads")
    with pytest.raises(SystemExit, match="must be one of openmp, pthreads, serial, not 'threads'"):
        builder().choose_parallel()


def test_windows_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit, match="does not support Windows"):
        runpy.run_path(str(ROOT / "setup.py"))

# SPDX-License-Identifier: BSD-3-Clause
"""The command as a process: exit statuses, variables, signals, and an output that is gone or full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import process

from fastloss import cli
from fastloss.cli import summary

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
DIGITS, DIABETES = str(EXAMPLES / "digits.npz"), str(EXAMPLES / "diabetes.npz")


def test_interrupt_and_memory(monkeypatch, run):
    def raising(error):
        def function(*_, **__):
            raise error

        return function

    monkeypatch.setattr(cli, "load_inputs", raising(KeyboardInterrupt()))
    assert run("eval", "mse_loss", DIABETES) == (130, "", "")
    monkeypatch.undo()
    monkeypatch.setattr(summary, "steps", raising(MemoryError()))
    assert run("eval", "mse_loss", DIABETES) == (2, "", "fastloss: mse_loss: MemoryError\n")


def test_a_bug_of_ours_is_one_line_and_status_1(monkeypatch, run):
    monkeypatch.delenv("FASTLOSS_DEBUG", raising=False)
    monkeypatch.setattr(cli, "summarise", lambda *_: 1 / 0)
    status, out, err = run("eval", "mse_loss", DIABETES)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "a defect of fastloss: ZeroDivisionError: division by zero" in err
    monkeypatch.setenv("FASTLOSS_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["eval", "mse_loss", DIABETES])


def test_process_exit_statuses():
    done = process("eval", "mse_loss", DIABETES, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["value"] == pytest.approx(3420.357711638813, rel=1e-12)
    done = process("eval", "mse_los", DIABETES)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("fastloss: ") and "Traceback" not in done.stderr


SCRIPT = "import sys; from fastloss.cli import main; sys.exit(main())"  # as installers write it


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("FASTLOSS_ISA", "avx3", "FASTLOSS_ISA=avx3 is not an instruction set"),
        ("FASTLOSS_ISA", "avx\n3", r"FASTLOSS_ISA=avx\n3 is not"),
        ("FASTLOSS_ISA", "\udcff", "FASTLOSS_ISA="),  # bytes that are no text
        ("FASTLOSS_BACKEND", "natve", "FASTLOSS_BACKEND must be 'native' or 'reference', got 'natve'"),
    ],
)
@pytest.mark.parametrize("how", ["script", "module", "short"])
def test_misspelt_variables_are_one_line_too(tmp_path, how, variable, value, words):
    script = tmp_path / "fastloss"
    script.write_text(SCRIPT)
    started = {"script": [script], "module": ["-m", "fastloss"], "short": ["-mfastloss"]}[how]
    for argv in (["info"], ["eval", "mse_loss", DIABETES], []):
        done = subprocess.run(
            [sys.executable, *started, *argv], env={**os.environ, variable: value}, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (2, ""), done
        assert done.stderr.startswith("fastloss: ") and done.stderr.count("\n") == 1 and words in done.stderr


def test_misspelt_variables_raise_in_a_program(tmp_path):
    """Whatever its words are."""
    for arguments in (["-c", "import fastloss", "fastloss"], ["-m", "importer", "fastloss"]):
        (tmp_path / "importer.py").write_text("import fastloss")
        environment = {**os.environ, "FASTLOSS_BACKEND": "natve"}
        environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
        assert done.returncode == 1 and "ValueError: FASTLOSS_BACKEND must be" in done.stderr


def test_reader_of_the_output_that_left():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as stdout:
        done = process("eval", "mse_loss", DIABETES, stdout=stdout)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_behind_stdout():
    with open("/dev/full", "wb") as stdout:
        done = process("eval", "mse_loss", DIABETES, stdout=stdout)
    assert done.returncode == 2
    assert done.stderr.startswith("fastloss: cannot write the output") and done.stderr.count("\n") == 1


def test_closed_stdout_is_no_crash():
    code = "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, '-m', 'fastloss', *sys.argv[1:]])"
    argv = [sys.executable, "-c", code, "eval", "mse_loss", DIABETES]
    done = subprocess.run(argv, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")

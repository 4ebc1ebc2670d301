# SPDX-License-Identifier: BSD-3-Clause
"""Settings that all tests share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# Tests are imported by path (see pyproject.toml), so that the checkout stays off sys.path; this folder alone is put on
# it, for the modules that tests share.
sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("case", "cases", "exact")

# The same examples in every run: a failure in CI is a failure here. HYPOTHESIS_PROFILE=deep searches on.
settings.register_profile(
    "suite", derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

# A shell that starts the suite in the background has it ignore Ctrl-C, and its children with it, some of which are
# tested for just that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def away_from_the_checkout():
    """Children started with -c or -m look for fastloss in the working folder first: not where its bare source lies."""
    before = os.getcwd()
    os.chdir(Path(__file__).parent)
    yield
    os.chdir(before)


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(20240229)


@pytest.fixture
def run_python():
    """Run a Python program (a string, or a file of this folder) in a fresh interpreter with some environment."""

    def run(program: str, **environment: str) -> subprocess.CompletedProcess:
        here = Path(__file__).parent
        arguments = [str(here / program)] if program.endswith(".py") else ["-c", program]
        return subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here), *filter(None, sys.path)]), **environment},
            capture_output=True,
            text=True,
            timeout=7200 if os.environ.get("FASTLOSS_DEEP") == "1" else 500,  # less than the suite's own
            check=False,
        )

    return run


@pytest.fixture
def same_on_fused_isas(run_python):
    """Run a program that prints a digest on every ISA of this machine; those that fuse multiply-add print the same."""
    from fastloss import isas

    def check(program: str) -> None:
        printed = {}
        for isa, state in isas().items():
            if state["compiled"] and state["supported"]:
                result = run_python(program, FASTLOSS_ISA=isa)
                assert result.returncode == 0, result.stderr
                printed[isa] = result.stdout.strip()
        assert all(printed.values())
        assert len({digest for isa, digest in printed.items() if isa != "baseline"}) <= 1, printed

    return check


@pytest.fixture
def run(capsys):
    """Run the command in this process: (exit status, stdout, stderr)."""
    from fastloss import cli

    def run(*argv):
        status = cli.main([str(word) for word in argv])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def report(run):
    """The JSON of an evaluation that must succeed without a word on stderr."""

    def report(*argv):
        status, out, err = run("eval", *argv, "--json")
        assert (status, err) == (0, "")
        assert out.count("\n") == 1
        return json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))

    return report


@pytest.fixture
def refused(run):
    """The message of a command that must fail with one line, status 2 and nothing on stdout."""

    def refused(*argv):
        status, out, err = run(*argv)
        assert (status, out) == (2, "")
        assert err.startswith("fastloss: ") and err.count("\n") == 1 and err.endswith("\n")
        return err

    return refused


@pytest.fixture
def npz(tmp_path):
    """Write a .npz file and give its path."""

    def npz(name="file.npz", **arrays):
        path = tmp_path / name
        np.savez(path, **arrays)
        return str(path)

    return npz


@pytest.fixture
def npy(tmp_path):
    def npy(name, array):
        path = tmp_path / name
        np.save(path, array)
        return str(path)

    return npy


def process(*argv, **keywords):
    """Run the command as a process of its own."""
    keywords = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": 120} | keywords
    return subprocess.run([sys.executable, "-m", "fastloss", *argv], **keywords)

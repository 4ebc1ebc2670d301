# SPDX-License-Identifier: BSD-3-Clause
"""tools/instructions.py: what it compares, and the record that stands in the tree. .ci/run counts."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"
pytestmark = pytest.mark.skipif(not TOOLS.exists(), reason="tools are in the checkout and the sdist")


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(TOOLS / "instructions.py"))


def test_differences_beyond_the_tolerance_are_named(tool):
    stored = {"avx2": {"mse": 1.0, "huber": 2.0, "gone": 3.0}}
    counted = {"avx2": {"mse": 1.029, "huber": 2.1, "new": 1.0}}
    assert tool["compared"](counted, stored) == [
        "avx2: gone: not counted any more",
        "avx2: huber: 2.1 instructions per element, recorded 2 (+5.0%)",
        "avx2: new: not in the record",
    ]
    assert tool["compared"]({"avx2": {"mse": 0.971}}, {"avx2": {"mse": 1.0}}) == []


def test_the_record_holds_what_is_counted(tool):
    names = set(tool["counted_calls"]())
    for compiler, isas in json.loads((TOOLS / "instructions.json").read_text()).items():
        assert compiler.split()[0] in ("gcc", "clang") and set(isas) == set(tool["ISAS"])
        for counts in isas.values():
            assert set(counts) == names and all(count > 0 for count in counts.values())


def test_every_counted_call_runs(tool):
    for name, (_, make) in tool["counted_calls"]().items():
        assert make(2)() is not None, name


def test_the_compiler_is_found_in_the_extension(tool):
    import fastloss as fl

    if fl.get_backend() != "native":
        pytest.skip("no extension")
    assert tool["compiler_of_extension"]().split()[0] in ("gcc", "clang")


def test_without_valgrind_a_line_says_so(tool, monkeypatch, capsys):
    monkeypatch.setitem(tool["main"].__globals__, "compiler_of_extension", lambda: "gcc 0.0.0")
    monkeypatch.setattr("sys.argv", ["instructions.py", "--check"])
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert tool["main"]() is None
    assert capsys.readouterr().out == "LEFT OUT: instruction counts: valgrind is not installed\n"
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/" + name)
    assert tool["main"]() is None
    assert "LEFT OUT: instruction counts: no record of gcc 0.0.0" in capsys.readouterr().out


def test_import_time_is_printed():
    done = subprocess.run(
        [sys.executable, str(TOOLS / "import_time.py"), "1"], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"import fastloss: \d+ ms; numpy alone \d+ ms: .* times, goal at most 1.3.*\n", done.stdout)

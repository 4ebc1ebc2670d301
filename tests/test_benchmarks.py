# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark runs to its end and reports what it measured; how fast is no test's business."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[1] / "benchmarks" / "run.py"


@pytest.mark.skipif(not RUN.exists(), reason="benchmarks are in the checkout and the sdist")
def test_a_quick_run_reports_its_cell(tmp_path):
    target = tmp_path / "run.json"
    words = [sys.executable, str(RUN), "--quick", "--threads", "1", "--cells", "mse 100", "--peers", "numpy"]
    done = subprocess.run([*words, "--json", str(target), "--markdown"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(target.read_text())["runs"]
    cells = {cell["name"]: cell["modes"] for cell in run["cells"]}
    assert "mse 100" in cells and run["threads"] == 1
    assert cells["mse 100"]["gradient"]["numpy"]["ratio"]["median"] > 0
    assert "| mse 100 |" in done.stdout and run["floors"]
    refused = subprocess.run([*words[:-4], "--cells", "no such cell"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "no cell matches 'no such cell'" in refused.stderr

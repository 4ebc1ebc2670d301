# SPDX-License-Identifier: BSD-3-Clause
"""benchmarks/compare.py and benchmarks/scaling.py, on the smallest cells: that they work, not how fast anything is."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

import fastloss as fl

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks").exists(), reason="benchmarks are in the checkout and the sdist"
)


@pytest.fixture(scope="module")
def compare():
    return runpy.run_path(str(ROOT / "benchmarks" / "compare.py"))


@pytest.fixture(scope="module")
def scaling():
    # A module of its own name, which its dataclass looks up.
    import importlib.util
    import sys

    spec = importlib.util.spec_from_file_location("scaling", ROOT / "benchmarks" / "scaling.py")
    module = sys.modules["scaling"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["scaling"]


def test_two_processes_are_timed_in_turns(compare):
    folder = Path(fl.__file__).resolve().parents[1]
    with compare["server"](folder, 1) as base, compare["server"](folder, 1) as head:
        found = compare["compare"](base, head, "mse 100", 3)
        assert compare["compare"](base, head, "no such cell", 3).startswith("KeyError")
    assert set(found) == {"forward", "gradient", "grad_out"}
    for one in found.values():
        assert one["ratio"]["rounds"] == 3 and one["ratio"]["low"] > 0
    assert [row[0] for row in compare["rows_of"]("mse 100", found)] == [f"mse 100, {mode}" for mode in found]


def test_a_difference_is_one_beyond_the_spread(compare):
    verdict = compare["verdict"]
    assert verdict({"median": 0.9, "low": 0.85, "high": 0.95}) == "**slower**"
    assert verdict({"median": 0.9, "low": 0.85, "high": 1.01}) == ""
    assert verdict({"median": 1.2, "low": 1.1, "high": 1.3}) == "faster"
    assert verdict({"median": 1.03, "low": 1.02, "high": 1.04}) == ""


def test_this_tree_and_a_revision_are_unpacked(compare, tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("no repository")
    for name, revision in (("head", "HEAD"), ("tree", None)):
        compare["unpack"](revision, tmp_path / name)
        assert (tmp_path / name / "csrc" / "kernels.c").exists()
        assert not list((tmp_path / name).rglob("*.so"))


def test_paper(scaling):
    parts = scaling.Parts(call=500.0, element=0.1, region=4000.0, bytes=8, stream=10.0)
    assert parts.time(0, 1, 300.0) == 500
    assert parts.limit(1, 1, 300.0) == "the call" and parts.limit(1, 64, 300.0) == "waking threads"
    assert parts.limit(1e9, 64, 300.0) == "memory"
    assert parts.best(1000, 64, 300.0) == (1.0, 1)  # one thread is best
    speed, cores = parts.best(1e9, 64, 80.0)
    assert 7 < speed < 8 and cores == 8  # memory: 80 over 10 GB/s
    assert parts.best(1e9, 64, 300.0)[0] > speed


def test_page(scaling):
    times = {1: {1: 500.0, 2: 510.0}, 100_000: {1: 12_000.0, 2: 10_000.0}}
    parts = scaling.parts_of(times, 8, 10.0)
    assert parts.call == 500 and parts.element == pytest.approx(0.115) and parts.region == 7500
    text = scaling.page({"mse_loss": times}, {1: 10.0, 2: 18.0})
    assert "| 100,000 | 0.12 | 0.1 | 1.2 |" in text and "what stops it" in text
    (alone,) = scaling.measured("mse_loss", [1], (10,), 2).values()
    assert alone[1] > 0

# SPDX-License-Identifier: BSD-3-Clause
"""`fastloss bench` runs to its end and reports what it measured; how fast is no test's business."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fastloss as fl
from fastloss.bench import cells, limits, operands, peers, peers_numpy, report, runner

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / "benchmarks" / "run.py"
SMALLEST = ("--cells", "mse 100", "--quick", "--threads", "1", "--quiet")
QUARTILES = ("median", "low", "high", "best")


def bench(*words, **options):
    """The command in a process of its own: done."""
    command = [sys.executable, "-m", "fastloss", "bench", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **options)


def test_a_run_reports_its_cell_in_every_mode():
    done = bench(*SMALLEST, "--peers", "numpy", "--json")
    assert done.returncode == 0 and done.stderr == ""
    (run,) = json.loads(done.stdout)["runs"]
    (cell,) = run["cells"]
    assert cell["name"] == "mse 100" and run["threads"] == 1 and run["peers"] == ["numpy"]
    assert set(cell["modes"]) == {"forward", "gradient", "grad_out", "forward cold", "gradient cold"}
    for mode in ("forward", "gradient", "forward cold", "gradient cold"):
        assert all(cell["modes"][mode]["numpy"]["ratio"][q] > 0 for q in QUARTILES)
    assert run["geometric_means"]["small"]["forward"]["numpy"] > 0
    assert any(floor["cell"] == "mse 100" for floor in run["floors"])


def test_tables_picture_and_file(tmp_path):
    pytest.importorskip("matplotlib")
    target, picture = tmp_path / "run.json", tmp_path / "run.svg"
    words = ("--cells", "mse 100", "mse 1M", "logsumexp 1024x1000", "--quick", "--threads", 1, "--peers", "numpy")
    done = bench(*words, "--no-cold", "--json", target, "--plot", picture)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert picture.read_text().lstrip().startswith("<?xml")
    (run,) = json.loads(target.read_text())["runs"]
    assert "forward cold" not in run["cells"][0]["modes"]
    text = report.markdown([run])
    assert "| mse 100 |" in text and "### Cold caches" not in text
    forward = run["cells"][1]["modes"]["forward"]
    if run["exp_ns_limit"] is not None:  # a compiler is here
        assert forward["read_us"] > 0 and "GB/s" in text and "ns of one core per exp" in text


def test_reads_from_memory_and_their_floors():
    """Of arrays that were flushed; a floor asks for that share where there is one, else for that of hot caches."""
    machine = limits.Limits(1, None)
    arrays = [np.ones(1 << 20, np.float32), np.ones(1 << 20, np.float32)]
    if machine.flush(arrays):  # a compiler and an x86 processor are here
        read, call = machine.best_from_memory(arrays, lambda: fl.mse_loss(*arrays))
        assert read > 0 and call > 0 and fl.mse_loss(*arrays) == 0
    else:
        assert machine.best_from_memory(arrays, list) is None

    def cell(**shares):
        return {
            "name": "mse 16M",
            "group": "beyond-cache",
            "modes": {"forward": {"fastloss": {"us": {"median": 1.0}}, **shares}},
        }

    def asked(**shares):
        (floor,) = report.floors([cell(**shares)])
        return floor["asked"], floor["measured"], floor["passed"]

    assert asked(share_of_read=0.5) == (">= 90% of C read", 0.5, False)
    assert asked(share_of_read=0.5, share_of_memory=0.95) == (">= 90% of C read, both from memory", 0.95, True)


def test_the_entry_of_the_checkout():
    words = [sys.executable, str(RUN), *SMALLEST, "--peers", "numpy", "--no-cold"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "| mse 100 |" in done.stdout, done.stderr


def test_portions_are_put_together():
    """Of a cell that two of them hold, what was measured last counts."""
    spec = importlib.util.spec_from_file_location("benchmarks_run", RUN)
    entry = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(entry)

    def portion(threads, **ratios):
        def mode(ratio):
            quartiles = dict.fromkeys(QUARTILES, ratio)
            return {"fastloss": {"us": quartiles}, "numpy": {"us": quartiles, "ratio": quartiles}}

        measured = [{"name": name, "group": "small", "modes": {"forward": mode(r)}} for name, r in ratios.items()]
        return {"threads": threads, "cells": measured, "peers": ["numpy"], "versions": {}, "notes": ["a"], "load": 0}

    two, one = entry.together([portion(2, l1=0.5, mse=2.0), portion(1, l1=3.0), portion(2, l1=8.0, huber=0.5)])
    assert [cell["name"] for cell in two["cells"]] == ["mse", "l1", "huber"] and two["notes"] == ["a"]
    assert two["geometric_means"]["small"]["forward"]["numpy"] == pytest.approx(2.0)
    assert [lost["cell"] for lost in two["losses"]] == ["huber"]
    assert one["threads"] == 1 and one["geometric_means"]["small"]["forward"]["numpy"] == pytest.approx(3.0)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--cells", "no such cell"], "no cell matches 'no such cell'; groups are small,"),
        (["--peers", "torhc"], "--peers: unknown 'torhc'; did you mean torch?"),
        (["--threads", "0"], "argument --threads: expected an integer of at least 1, got '0'"),
        (["--plot", "out.gif"], "expected a name that ends in .png"),
        (["--json", "/no/such/folder/out.json"], "/no/such/folder/out.json cannot be written"),
    ],
)
def test_refusals_come_before_any_work(run, words, message):
    status, out, err = run("bench", *words)
    assert (status, out) == (2, "") and message in err and err.count("\n") == 1


def test_every_cell_has_operands_and_a_group():
    names = [cell.name for cell in cells.CELLS]
    assert len(set(names)) == len(names)
    assert {cell.group for cell in cells.CELLS} == set(cells.GROUPS)
    assert set(cells.QUICK) <= set(names) and {cell.group for cell in cells.quick()} >= {
        "small",
        "in-cache",
        "beyond-cache",
        "ctc-log-probs",
        "ctc-logits",
    }
    for cell in cells.CELLS:
        elsewhere = cell.is_ctc or cell.is_tokens or cell.is_vision or cell.is_network or cell.is_vectors
        if not (elsewhere or cell.loss == "multilabel_margin"):
            assert cell.loss in operands.DRAWS and cell.loss in peers_numpy.NUMPY, cell.name


@pytest.mark.parametrize("peer", runner.PEERS)
def test_peers_agree_on_the_smallest_cells(peer):
    """Every formula of every peer, on one small shape per loss."""
    if importlib.util.find_spec(peers.PEERS[peer].module) is None:
        pytest.skip(f"{peer}, only a peer to compare with and so in no extra, is not installed")
    if peer == "numba" and os.environ.get("FASTLOSS_DEEP") != "1":
        pytest.skip("numba takes a minute to compile every loss; FASTLOSS_DEEP=1 (make deep) runs it")
    with np.errstate(all="ignore"):
        ours, (theirs,) = peers.Fastloss(1), peers.installed([peer], 1)[0]
        seen = 0
        for cell in smallest():
            drawn = cell.operands()
            calls = ours.calls(cell, drawn)
            for call in calls.values():
                call()
            for mode, call in theirs.calls(cell, drawn).items():
                expected = ours.compared(cell, drawn, peer, mode, calls[mode])
                peers.check_agreement(f"{peer} ({mode})", cell, call(), expected())
                seen += 1
    assert seen > 5


def smallest():
    """The smallest cell of each loss and dtype, tokens and CTC at most of a few thousand elements."""
    chosen = {}
    for cell in sorted(cells.CELLS, key=lambda cell: cell.elements):
        chosen.setdefault((cell.loss, cell.dtype), cell)
    return [cell for cell in chosen.values() if cell.elements <= 1_100_000]


def test_losses_stand_at_the_top():
    quartiles = {"median": 0.9, "low": 0.8, "high": 0.95, "best": 0.7, "rounds": 5}
    ahead = {**quartiles, "median": 2.0, "high": 3.0}
    even = {**quartiles, "high": 1.01}  # within the spread
    found = {
        name: {"name": name, "group": "small", "modes": {"forward": {"torch": {"ratio": ratio}}}}
        for name, ratio in (("behind", quartiles), ("ahead", ahead), ("even", even))
    }
    lost = report.losses(list(found.values()), ["torch"])
    assert [(one["cell"], one["mode"]) for one in lost] == [("behind", "forward")]
    run = {"losses": lost, "threads": 2}
    assert report.lost_lines([run]).splitlines()[2] == "- behind, forward, 2 threads: 0.9x of torch (0.8–0.95)"
    means = report.geometric_means(list(found.values()), ["torch"])
    assert means == {"small": {"forward": {"torch": pytest.approx((0.9 * 2.0 * 0.9) ** (1 / 3))}}}


def test_a_peer_that_disagrees_is_left_out_and_named():
    from fastloss.bench import cell as one_cell

    class Wrong:
        name = "wrong"

        def calls(self, cell, operands):
            return {"forward": lambda: np.float64(17)}

    refused: list[str] = []
    (cell,) = cells.select(["mse 100"])
    found = one_cell.contestants_of(cell, cell.operands(), peers.Fastloss(1), [Wrong()], refused)
    assert {name for _, name in found} == {"fastloss"}
    assert "wrong on mse 100: AssertionError" in refused[0]


def test_cells_after_the_end_are_named(monkeypatch):
    settings = runner.Settings(1, ("mse 100",), ("numpy",), True, False, True, time.time() - 1)
    run = runner.run_here(settings)
    assert run["cells"] == [] and any("Time was up before these cells: mse 100." in note for note in run["notes"])


def test_threads_and_isa_of_the_others_are_limited(monkeypatch):
    monkeypatch.setenv("FASTLOSS_ISA", "avx2")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    found = runner.environment(1)
    assert found["OMP_NUM_THREADS"] == "1" and found["ATEN_CPU_CAPABILITY"] == "avx2"
    assert found["XLA_FLAGS"] == "--xla_cpu_max_isa=AVX2 --xla_cpu_multi_thread_eigen=false"
    monkeypatch.setenv("FASTLOSS_ISA", "")
    assert "ATEN_CPU_CAPABILITY" not in runner.environment(2)


def test_import_brings_nothing_of_it(run_python):
    program = (
        "import sys, fastloss; print([m for m in sys.modules if m.startswith(('fastloss.bench', 'fastloss.cli'))])"
    )
    assert run_python(program).stdout == "[]\n"

# SPDX-License-Identifier: BSD-3-Clause
"""The command on several files, what it writes, and its progress bar."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import numpy as np
import pytest

import fastloss as fl
from fastloss import cli


@pytest.fixture
def parts(tmp_path, rng):
    """Three ragged files of one data set, with texts in two of them, and their arrays joined."""
    paths, arrays = [], []
    for k, n in enumerate((40, 0, 7)):
        held = {"input": rng.normal(size=(n, 5)), "target": rng.integers(0, 5, n)}
        text = {"text": np.array([f"{k}.{i}" for i in range(n)], "U9")} if k != 1 else {}
        np.savez(tmp_path / f"{k}.npz", **held, **text)
        paths.append(str(tmp_path / f"{k}.npz"))
        arrays.append(held)
    return paths, {name: np.concatenate([a[name] for a in arrays]) for name in arrays[0]}


def test_several_files_are_one_data_set(parts, capsys):
    paths, whole = parts
    assert cli.main(["eval", "cross_entropy", *paths, "--json", "--top", "60"]) == 0
    report = json.loads(capsys.readouterr().out)
    losses = fl.cross_entropy(**whole, reduction="none")
    assert report["value"] == pytest.approx(losses.mean(), rel=1e-14) and report["n"] == 47
    order = np.argsort(-losses, kind="stable")
    assert [w["index"] for w in report["worst"]] == order.tolist()
    names = [f"0.{i}" for i in range(40)] + [f"2.{i}" for i in range(7)]
    assert [w["text"] for w in report["worst"]] == [names[i] for i in order]


def test_a_fault_names_its_file(parts, tmp_path, capsys):
    paths, _ = parts
    np.savez(tmp_path / "bad.npz", input=np.zeros((3, 5)), target=np.array([0, 1, 5]))
    assert cli.main(["eval", "cross_entropy", *paths, str(tmp_path / "bad.npz")]) == 2
    assert "bad.npz: cross_entropy: target[2] = 5 is out of range" in capsys.readouterr().err
    np.savez(tmp_path / "sum.npz", input=np.zeros((3, 5)), target=np.zeros(3, int), reduction="sum")
    assert cli.main(["eval", "cross_entropy", *paths, str(tmp_path / "sum.npz")]) == 2
    assert "different reductions (mean, sum)" in capsys.readouterr().err


def test_per_sample_file(parts, tmp_path, capsys):
    paths, whole = parts
    out = tmp_path / "losses.npy"
    whole["target"][3] = 2
    assert cli.main(["eval", "cross_entropy", *paths, "--ignore-index", "2", "--per-sample", str(out)]) == 0
    losses = np.load(out)
    kept = np.load(paths[0])["target"] != 2
    assert losses.shape == (47,) and losses.dtype == np.float64 and (np.isnan(losses[:40]) == ~kept).all()
    assert sorted(os.listdir(tmp_path)) == ["0.npz", "1.npz", "2.npz", "losses.npy"]
    assert cli.main(["eval", "cross_entropy", *paths, "--per-sample", str(tmp_path / "no" / "x.npy")]) == 2
    assert "x.npy cannot be written: No such file" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
@pytest.mark.parametrize("quiet", [False, True])
def test_progress_bar_on_a_terminal_only(parts, quiet):
    paths, _ = parts
    words = [sys.executable, "-m", "fastloss", "eval", "cross_entropy", paths[0], "--json", *["--quiet"] * quiet]
    main, other = pty.openpty()
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=other, env={**os.environ, "TERM": "xterm"}, check=True)
    os.close(other)
    shown = b""
    try:
        while piece := os.read(main, 65536):
            shown += piece
    except OSError:  # the other end is closed
        pass
    os.close(main)
    assert json.loads(done.stdout)["n"] == 40
    assert (b"40 samples" in shown) is not quiet
    plain = subprocess.run(words, capture_output=True, check=True)
    assert plain.stderr == b""

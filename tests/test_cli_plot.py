# SPDX-License-Identifier: BSD-3-Clause
"""--plot: whole files or none, whatever the losses and texts are, and one clear line where matplotlib is missing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastloss import cli

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
OCR = str(EXAMPLES / "ocr_lines.npz")
drawn = pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib")


@drawn
@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml"), ("a.pdf", b"%PDF")])
def test_formats(name, start, tmp_path, capsys):
    assert cli.main(["eval", "ctc_loss", OCR, "--plot", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith(start) and os.listdir(tmp_path) == [name]
    assert capsys.readouterr().err == ""


@drawn
def test_panels_show_what_the_report_says(capsys):
    """What is drawn: all samples in the histogram, the steps of the curve, the worst samples in their order."""
    from matplotlib.figure import Figure

    from fastloss.cli import plot

    losses = np.array([0.5, 1.0, 1.5, 400.0, np.nan, 2.5])
    worst = [{"index": 4, "loss": np.nan, "text": None}, {"index": 3, "loss": 400.0, "text": "$x$ \n"}]
    quantiles = {"0.5": 1.5, "0.95": np.nan}
    report = {"loss": "mse_loss", "n": 6, "value": 81.1, "reduction": "mean", "worst": worst}
    figure = Figure()
    plot.fill(figure, {**report, "per_sample": {"quantiles": quantiles}}, {"first": lambda: [losses[:2], losses[2:]]})
    above, below, beside = figure.axes
    assert sum(bar.get_height() for bar in above.patches) == 5 and "1 infinite or nan" in above.get_title(loc="left")
    assert above.get_xscale() == below.get_xscale() == "log"
    x, y = below.lines[0].get_data()
    assert x.tolist() == [0.5, 0.5, 1.0, 1.5, 2.5, 400.0] and y * 6 == pytest.approx([0, 1, 2, 3, 4, 5])
    assert [bar.get_width() for bar in beside.patches] == [0.0, 400.0]
    assert [tick.get_text() for tick in beside.get_yticklabels()] == ["#4", "$x$ \\n  #3"]


@drawn
@pytest.mark.parametrize(
    "losses",
    [[], [3.0], [0.0, 0.0], [np.nan, np.nan], [np.inf, 1.0], [-5.0, 2.0], [1e-300, 1e300], [5e-324], [1e308, -1e308]],
)
def test_any_losses(losses, tmp_path, capsys):
    """Negative ones come from l1 losses times negative weights."""
    x = np.array(losses)
    text = np.array([f"$\\frac{i} \u4e2d\u6587 \x1b[31m" for i in range(len(x))], "U40")
    weight = np.where(np.signbit(x), -1.0, 1.0)
    np.savez(tmp_path / "x.npz", input=x, target=np.zeros(len(x)), weight=weight, text=text)
    words = ["--plot", str(tmp_path / "x.png"), "--compare", str(tmp_path / "x.npz")]
    assert cli.main(["eval", "l1_loss", str(tmp_path / "x.npz"), "--reduction", "sum", *words]) == 0
    assert (tmp_path / "x.png").stat().st_size > 5000 and capsys.readouterr().err == ""


def test_refusals_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli, "evaluate", lambda *_: pytest.fail("it has begun"))
    for name, words in (("a.jpg", "ends in .png, .svg, .pdf"), ("png", "ends in .png")):
        assert cli.main(["eval", "ctc_loss", OCR, "--plot", str(tmp_path / name)]) == 2
        assert words in capsys.readouterr().err
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.npy").mkdir()
    options = [("--per-sample", "no/x.npy", "No such file"), ("--per-sample", "folder.npy", "directory")]
    if importlib.util.find_spec("matplotlib") is not None:
        options += [("--plot", "no/x.png", "No such file"), ("--plot", "folder.png", "directory")]
    for option, name, words in options:
        assert cli.main(["eval", "ctc_loss", OCR, option, str(tmp_path / name)]) == 2
        err = capsys.readouterr().err
        assert f"{name} cannot be written" in err and words in err and err.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["folder.npy", "folder.png"]


def test_without_matplotlib(tmp_path):
    """One line that names the extra, and nothing written; every other path never imports it."""
    program = """
import sys
sys.modules["matplotlib"] = None
from fastloss import cli
sys.exit(cli.main(sys.argv[1:]))
"""
    words = [sys.executable, "-c", program, "eval", "ctc_loss", OCR, "--per-sample", "x.npy"]
    done = subprocess.run([*words, "--plot", "x.png"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, os.listdir(tmp_path)) == (2, "", [])
    assert done.stderr == "fastloss: --plot needs matplotlib: pip install 'fastloss[plot]'\n"
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr, os.listdir(tmp_path)) == (0, "", ["x.npy"])

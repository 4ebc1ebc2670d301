# SPDX-License-Identifier: BSD-3-Clause
"""The command `fastloss`: the functions' own values, the report's shape, its tables."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import process

import fastloss as fl
from fastloss import cli

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
DIGITS, DIABETES = str(EXAMPLES / "digits.npz"), str(EXAMPLES / "diabetes.npz")


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["cross_entropy", DIGITS], 0.57413256),
        (["mse_loss", DIABETES], 3420.357711638813),
        (["huber_loss", DIABETES, "--delta", "10"], 441.38982654060254),
        (["huber_loss", "--delta=10", DIABETES], 441.38982654060254),
    ],
)
def test_published_values(report, argv, expected):
    assert report(*argv)["value"] == pytest.approx(expected, rel=1e-7 if DIGITS in argv else 1e-12)


def test_report_has_exactly_the_documented_shape(report):
    x, y = (np.load(DIABETES)[key] for key in ("input", "target"))
    got = report("mse_loss", DIABETES, "--top", "3")
    assert list(got) == ["loss", "n", "reduction", "value", "per_sample", "worst"]
    assert (got["loss"], got["n"], got["reduction"]) == ("mse_loss", 442, "mean")
    assert got["value"] == float(fl.mse_loss(x, y))  # to the bit
    losses = fl.mse_loss(x, y, reduction="none")
    stats = got["per_sample"]
    assert list(stats) == ["mean", "std", "quantiles"]
    assert stats["mean"] == pytest.approx(losses.mean(), rel=1e-12)
    assert stats["std"] == pytest.approx(losses.std(), rel=1e-12)
    assert {"0.05", "0.25", "0.5", "0.75", "0.95"} <= set(stats["quantiles"])
    for q, value in stats["quantiles"].items():
        assert value == pytest.approx(np.quantile(losses, float(q)), rel=1e-12)
    order = np.argsort(-losses)[:3]
    assert got["worst"] == [{"index": int(i), "loss": float(losses[i]), "text": None} for i in order]


def test_value_is_the_functions_for_every_reduction_and_option(report):
    x, y = (np.load(DIABETES)[key] for key in ("input", "target"))
    for reduction in ("mean", "sum"):
        got = report("huber_loss", DIABETES, "--reduction", reduction, "--delta", "2.5", "--weight", "0.5")
        assert got["reduction"] == reduction
        assert got["value"] == float(fl.huber_loss(x, y, 0.5, delta=2.5, reduction=reduction))


def test_arrays_on_the_command_line_and_their_precedence(report, npy):
    x, y = (np.load(DIABETES)[key] for key in ("input", "target"))
    files = ["--input", npy("x.npy", x + 1), "--target", npy("y.npy", y)]
    alone = report("l1_loss", *files)
    assert alone["value"] == float(fl.l1_loss(x + 1, y))
    assert report("l1_loss", DIABETES, *files[:2]) == alone
    weight = np.arange(1.0, 443)
    got = report("l1_loss", DIABETES, "--weight", npy("w.npy", weight), "--target", "100.5")
    assert got["value"] == float(fl.l1_loss(x, 100.5, weight))


def test_scalar_and_array_var_full_and_eps(report, npz, npy):
    rng = np.random.default_rng(1)
    x, y, var = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.random((5, 3))
    file = npz(input=x, target=y)
    got = report("gaussian_nll_loss", file, "--var", "0.5", "--full", "--eps", "1e-3")
    assert got["value"] == float(fl.gaussian_nll_loss(x, y, 0.5, full=True, eps=1e-3))
    got = report("gaussian_nll_loss", file, "--var", npy("var.npy", var), "--no-full")
    assert got["value"] == float(fl.gaussian_nll_loss(x, y, var))
    assert got["n"] == 5


def test_options_that_stand_in_the_file_are_0d_members(report, refused, npz):
    x, y = np.arange(4.0), np.zeros(4)
    file = npz(input=x, target=y, delta=np.float64(0.5), reduction="sum")
    assert report("huber_loss", file)["value"] == float(fl.huber_loss(x, y, delta=0.5, reduction="sum"))
    assert report("huber_loss", file, "--delta", "2")["value"] == float(fl.huber_loss(x, y, delta=2, reduction="sum"))
    assert "0-d" in refused("eval", "huber_loss", npz(input=x, target=y, delta=[1.0, 2.0]))


def test_several_quantiles_stand_in_the_file(report, refused, npz, rng):
    x, y = rng.normal(size=(6, 3)), rng.normal(size=6)
    for q in ([0.1, 0.5, 0.9], np.float32([0.1, 0.5, 0.9])):
        got = report("quantile_loss", npz(input=x, target=y, q=q))
        losses = fl.quantile_loss(x, y, q=q, reduction="none").mean(axis=1)
        assert got["value"] == float(fl.quantile_loss(x, y, q=q)) and got["n"] == 6
        assert got["worst"][0]["loss"] == pytest.approx(losses.max(), rel=1e-12)
    assert "q[1] must be in [0, 1]" in refused("eval", "quantile_loss", npz(input=x, target=y, q=[0.1, 2.0, 0.9]))
    assert "(..., 2)" in refused("eval", "quantile_loss", npz(input=x, target=y, q=[0.1, 0.9]))


def test_sample_is_an_index_of_the_batch_axis(report, npz):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(6, 2, 3)).astype(np.float32), np.float32(0)
    got = report("mse_loss", npz(input=x, target=y), "--top", "6")
    losses = fl.mse_loss(x, y, reduction="none").mean(axis=(1, 2), dtype=np.float64)
    assert got["n"] == 6
    assert [w["index"] for w in got["worst"]] == np.argsort(-losses).tolist()
    assert [w["loss"] for w in got["worst"]] == pytest.approx(np.sort(losses)[::-1], rel=1e-12)


def test_zero_dimensional_loss_is_one_sample(report, npz):
    got = report("mse_loss", npz(input=np.float64(3), target=np.float64(1)))
    assert (got["n"], got["value"]) == (1, 4.0)
    assert got["worst"] == [{"index": 0, "loss": 4.0, "text": None}]
    assert report("cross_entropy", npz(input=np.zeros(4), target=np.int64(2)))["n"] == 1


def test_class_axis_and_negative_ignore_index(report, npz):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(4, 3, 5)), rng.integers(0, 5, (4, 3))
    y[1, 2] = -1
    got = report("cross_entropy", npz(input=x, target=y), "--class-axis", "-1", "--ignore-index", "-1")
    assert got["value"] == float(fl.cross_entropy(x, y, class_axis=-1, ignore_index=-1))


@pytest.mark.parametrize("by", ["ignore_index", "mask", "both"])
def test_positions_left_out_are_no_part_of_a_samples_mean(report, npz, by):
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(5, 7, 3)), rng.integers(0, 7, (5, 3))
    keep = np.ones((5, 3), bool)
    keep[0, 1:] = False  # one position left
    keep[2] = False  # nothing left
    ignored, masked = ~keep & (by != "mask"), ~keep & (by != "ignore_index")
    if by == "both":
        ignored[0, 1], masked[0, 2], ignored[2, 0], masked[2, 1:] = False, False, False, False
    got = report("cross_entropy", npz(input=x, target=np.where(ignored, -100, y), mask=~masked), "--top", "9")
    rows = {i: float(fl.cross_entropy(x[i : i + 1], y[i : i + 1], mask=keep[i : i + 1])) for i in (0, 1, 3, 4)}
    assert got["n"] == 4
    assert {w["index"]: w["loss"] for w in got["worst"]} == pytest.approx(rows, rel=1e-12)
    assert got["per_sample"]["mean"] == pytest.approx(np.mean(list(rows.values())), rel=1e-12)


def test_nothing_counts_and_empty_arrays(report, npz):
    for got in (
        report("cross_entropy", npz(input=np.zeros((3, 4)), target=np.full(3, -100))),
        report("mse_loss", npz(input=np.zeros(0), target=np.zeros(0))),
        report("mse_loss", npz(input=np.zeros((2, 0)), target=np.zeros((2, 0)))),
    ):
        assert (got["n"], got["value"], got["worst"]) == (0, "nan", [])
        assert got["per_sample"]["mean"] == got["per_sample"]["quantiles"]["0.5"] == "nan"


def test_nan_and_infinity_stay_json_and_nan_is_worst(report, npz):
    x = np.array([1.0, np.inf, 3.0, np.nan, 2.0])
    got = report("l1_loss", npz(input=x, target=np.zeros(5)), "--top", "3")
    assert got["value"] == "nan"
    assert [(w["index"], w["loss"]) for w in got["worst"]] == [(3, "nan"), (1, "inf"), (2, 3.0)]
    got = report("l1_loss", npz(input=[1.0, np.inf, np.inf], target=np.zeros(3)))
    assert (got["value"], got["per_sample"]["mean"]) == ("inf", "inf")
    assert [got["per_sample"]["quantiles"][q] for q in ("0.25", "0.5", "0.95")] == ["inf"] * 3


@pytest.mark.parametrize("key", ["transcripts", "text", "texts", "names"])
def test_text_of_the_worst_samples(report, npz, key):
    arrays = {"input": np.array([1.0, 5.0, 2.0]), "target": np.zeros(3)}
    worst = report("mse_loss", npz(**arrays, **{key: ["a", "h\u00e9 \u2603", "c"]}), "--top", "2")["worst"]
    assert [w["text"] for w in worst] == ["h\u00e9 \u2603", "c"]
    worst = report("mse_loss", npz(**arrays, **{key: np.array([b"a", b"b", b"\xff"])}), "--top", "2")["worst"]
    assert [w["text"] for w in worst] == ["b", "\ufffd"]
    assert report("mse_loss", npz(**arrays, **{key: [1, 2, 3]}))["worst"][0]["text"] is None


def test_text_that_does_not_fit_is_noted_and_left_out(run, npz):
    arrays = {"input": np.array([1.0, 5.0]), "target": np.zeros(2)}
    for text in (["a", "b", "c"], np.array(["a", None], dtype=object)):
        status, out, err = run("eval", "mse_loss", npz(**arrays, text=text), "--json")
        assert (status, json.loads(out)["worst"][0]["text"]) == (0, None)
        assert err.startswith("fastloss: note: ") and err.count("\n") == 1


def test_ignored_member_that_looks_like_an_argument_is_noted(run, report, npz):
    arrays = {"input": np.array([1.0, 5.0]), "target": np.zeros(2)}
    status, _, err = run("eval", "mse_loss", npz(**arrays, weights=[1.0, 2.0]))
    assert status == 0 and "'weights'" in err and "'weight'" in err
    report("mse_loss", npz(**arrays, weights=[1.0, 2.0]), "--weight", "1")  # the argument is there: no note
    report("cross_entropy", DIGITS)  # `embedding` is ignored silently


def test_plain_table(run, npz):
    text = ["plain", "line\nbreak \x1b[31m", "x" * 500]
    status, out, err = run("eval", "mse_loss", npz(input=[1.0, 3.0, 2.0], target=np.zeros(3), text=text))
    assert (status, err) == (0, "")
    assert "4.666666666666667" in out and "50% quantile" in out and "\x1b" not in out
    lines = out.splitlines()
    assert lines[-3].split()[:3] == ["1", "9", "line\\nbreak"] and lines[-1].split() == ["0", "1", "plain"]
    assert max(map(len, lines)) < 100
    assert lines[3] == "  loss per sample" and lines[4].split() == ["mean", "4.66667"]
    for words, noted in (("l1_loss --weight 2", True), ("l1_loss --weight 1", False), ("huber_loss --weight 2", False)):
        _, out, _ = run("eval", *words.split(), DIABETES)
        assert ("times its weight" in out) is noted, words


def test_table_says_how_many_samples_are_left_out_and_may_list_none(run, npz):
    status, out, _ = run("eval", "cross_entropy", npz(input=np.zeros((3, 4)), target=[1, -100, 2]), "--top", "0")
    assert status == 0 and "2 (1 left out" in out and "worst" not in out


class Terminal(io.StringIO):
    """A stdout that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


def test_rich_table_on_a_terminal(monkeypatch, npz):
    pytest.importorskip("rich")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert cli.main(["eval", "mse_loss", npz(input=[1.0, 3.0], target=[0.0, 0.0], text=["[red]a", ":smile:"])]) == 0
    assert all(word in sys.stdout.getvalue() for word in ("[red]a", ":smile:", "\u2502"))


def test_terminal_without_rich_gets_the_plain_table(monkeypatch, run):
    _, plain, _ = run("eval", "mse_loss", DIABETES)
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert cli.main(["eval", "mse_loss", DIABETES]) == 0
    assert sys.stdout.getvalue() == plain


def test_output_encoding_without_the_texts_letters(npz):
    file = npz(input=[1.0], target=[0.0], text=["\u2603"])
    done = process("eval", "mse_loss", file, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0 and "\\u2603" in done.stdout and done.stderr == ""

# SPDX-License-Identifier: BSD-3-Clause
"""The command `fastloss`: the functions' own values, the report's shape, one clear line for whatever is wrong."""

import inspect
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import fastloss as fl
from fastloss import cli
from fastloss.cli import loading, losses, parsing

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
DIGITS, DIABETES = str(EXAMPLES / "digits.npz"), str(EXAMPLES / "diabetes.npz")
LOSSES = sorted(losses.find_losses())
FIRST_SIX = "binary_cross_entropy_with_logits cross_entropy gaussian_nll_loss huber_loss l1_loss mse_loss".split()


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
    keywords = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": 120} | keywords
    return subprocess.run([sys.executable, "-m", "fastloss", *argv], **keywords)


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


def test_losses_are_discovered():
    assert set(LOSSES) >= set(FIRST_SIX)
    functions = {n: getattr(fl, n) for n in fl.__all__ if not inspect.isclass(getattr(fl, n))}
    expected = {n for n, f in functions.items() if callable(f) and "reduction" in inspect.signature(f).parameters}
    assert set(LOSSES) == expected


def test_help_lists_every_loss(run):
    for argv in (["--help"], ["eval", "--help"], ["eval", "-h"]):
        status, out, err = run(*argv)
        assert (status, err) == (0, "")
        assert all(name in out for name in LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_help_of_each_loss_shows_its_options_and_an_example(run, name):
    status, out, err = run("eval", name, "--help")
    assert (status, err) == (0, "")
    for parameter in inspect.signature(getattr(fl, name)).parameters:
        assert ("--" + parameter.replace("_", "-") in out) is (parameter not in losses.NOT_OPTIONS)
    first = next(iter(inspect.signature(getattr(fl, name)).parameters))
    assert f"fastloss eval {name} FILE.npz" in out and f"--{first.replace('_', '-')} {first}.npy" in out
    assert not any(word in out for word in ("prediction operand", '"none"', ":math:"))
    assert "gradient" not in out or "gradient" in name


def test_flags_follow_from_the_signature():
    def later_loss(input, /, labels=None, *, p=1, margin=0.5, swap=True, how="cosine", size=(3, 3), reduction="none"):
        """A loss of a later day.

        Parameters
        ----------
        input, labels : array_like
            100% of the data. And more.
        """

    taken = dict(inspect.signature(later_loss).parameters)
    loss = losses.Loss("later_loss", later_loss, taken)
    assert loss.notes() == {"input": "100% of the data", "labels": "100% of the data"}
    parser = parsing.loss_parser(loss)
    assert "100% of the data" in parser.format_help()
    words = "f.npz --labels l.npy --p 2 --margin 1 --no-swap --how l2 --reduction sum --input 3"
    options = vars(parser.parse_strictly(words.split()))
    expected = {"labels": "l.npy", "p": 2, "margin": 1.0, "swap": False, "how": "l2", "reduction": "sum", "input": 3}
    assert {key: options[key] for key in expected} == expected and "size" not in options
    assert loading.chosen_reduction(None, "none") == "mean"


def test_version_and_info(run):
    assert run("--version") == (0, f"fastloss {fl.__version__}\n", "")
    status, out, err = run("info")
    assert (status, err) == (0, "") and out.strip()


def test_import_is_light():
    code = "import fastloss.cli, sys; print(sorted({'rich', 'matplotlib', 'torch', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], ["which command?"]),
        (["evla"], ["'evla'", "did you mean eval?"]),
        (["--verbose"], ["--verbose"]),
        (["info", "all"], ["'all'"]),
        (["info", "--josn"], ["--josn"]),
        (["eval"], ["which loss?"]),
        (["eval", "--jsn"], ["--jsn"]),
        (["eval", "mse"], ["'mse'", "did you mean mse_loss"]),
        (["eval", "MSELoss"], ["'MSELoss'", "mse_loss"]),
        (["eval", "crossentropy"], ["cross_entropy"]),
        (["eval", "zzzz"], ["'zzzz'", "--help"]),
        (["eval", "show_config"], ["unknown loss"]),
        (["eval", "huber_loss", "--detla", "10", DIABETES], ["--detla", "did you mean --delta?"]),
        (["eval", "huber_loss", "--delt=10", DIABETES], ["unknown option --delt;"]),
        (["eval", "huber_loss", DIABETES, "--delta"], ["--delta"]),
        (["eval", "huber_loss", DIABETES, "--delta", "ten"], ["--delta", "expected a number", "'ten'"]),
        (["eval", "huber_loss", DIABETES, "--delta", "-1"], ["huber_loss", "delta", "-1"]),
        (["eval", "mse_loss", DIABETES, "--delta", "1"], ["unknown option --delta"]),
        (["eval", "mse_loss", DIABETES, "--return-grad"], ["--return-grad"]),
        (["eval", "mse_loss", DIABETES, "--top", "-1"], ["--top", "'-1'"]),
        (["eval", "mse_loss", DIABETES, "--top", "x"], ["--top", "'x'"]),
        (["eval", "mse_loss", DIABETES, "--reduction", "none"], ["'none'", "'mean' or 'sum'"]),
        (["eval", "mse_loss", DIABETES, "--reduction", "avg"], ["reduction", "avg"]),
        (["eval", "mse_loss", DIABETES, DIGITS], ["digits.npz: mse_loss: target has shape (1797,)"]),
        (["eval", "mse_loss"], ["input, target", "--input input.npy"]),
        (["eval", "mse_loss", "--input", "1"], ["needs target"]),
        (["eval", "cross_entropy", DIGITS, "--class-axis", "7"], ["class_axis"]),
        (["eval", "cross_entropy", DIGITS, "--class-axis", "0.5"], ["class_axis"]),
    ],
)
def test_bad_usage(refused, argv, words):
    message = refused(*argv)
    for word in words:
        assert word in message


def test_missing_member_names_what_is_there(refused, npz):
    message = refused("eval", "mse_loss", npz(input=[1.0], targets=[1.0], other=[2.0]))
    assert "no 'target'" in message and "input, other, targets" in message and "--target target.npy" in message
    assert "it holds nothing" in refused("eval", "mse_loss", npz())


@pytest.mark.parametrize(
    ("loss", "arrays", "words"),
    [
        ("mse_loss", {"input": np.zeros(3), "target": np.zeros(4)}, ["(3,)", "(4,)"]),
        ("mse_loss", {"input": np.zeros((4, 1)), "target": np.zeros(4)}, ["(4, 1)", "(4,)"]),
        ("mse_loss", {"input": np.zeros(3, complex), "target": np.zeros(3)}, ["input", "complex128"]),
        ("mse_loss", {"input": np.array(["a", "b"]), "target": np.zeros(2)}, ["input"]),
        ("mse_loss", {"input": np.zeros(2, "f8,i4"), "target": np.zeros(2)}, ["input"]),
        ("cross_entropy", {"input": np.zeros((3, 10)), "target": np.array([0, 10, 1])}, ["target[1]", "10"]),
        ("cross_entropy", {"input": np.zeros((3, 10)), "target": np.zeros(3)}, ["target"]),
        ("cross_entropy", {"input": np.zeros((3, 10)), "target": np.zeros((3, 2), int)}, ["target", "(3, 2)"]),
        ("gaussian_nll_loss", {"input": np.zeros(2), "target": np.zeros(2), "var": np.array([-1.0, 1])}, ["var[0]"]),
    ],
)
def test_bad_arrays(refused, npz, loss, arrays, words):
    message = refused("eval", loss, npz(**arrays))
    for word in [loss, *words]:
        assert word in message


def test_object_arrays_are_refused_and_never_unpickled(refused, npz, npy, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "went_off",))

    objects = np.array([Bomb(), 1], dtype=object)
    assert "'input'" in refused("eval", "mse_loss", npz(input=objects, target=[1.0, 2.0]))
    assert "x.npy" in refused("eval", "mse_loss", DIABETES, "--input", npy("x.npy", objects))
    pickled = tmp_path / "p.npz"
    pickled.write_bytes(objects.dumps())
    assert "is not a .npz file" in refused("eval", "mse_loss", pickled)
    assert not (tmp_path / "went_off").exists()


def test_files_that_are_no_arrays(refused, npy, tmp_path):
    text = tmp_path / "text.npz"
    text.write_text("1,2\n3,4\n")
    empty = tmp_path / "empty.npz"
    empty.touch()
    for path in (text, empty):
        assert f"{path} is not a .npz file" in refused("eval", "mse_loss", path)
        assert f"{path} is not a .npy file" in refused("eval", "mse_loss", DIABETES, "--input", path)
    assert "No such file" in refused("eval", "mse_loss", tmp_path / "absent.npz")
    assert "No such file" in refused("eval", "mse_loss", DIABETES, "--input", tmp_path / "absent.npy")
    assert "directory" in refused("eval", "mse_loss", tmp_path)
    assert "directory" in refused("eval", "mse_loss", DIABETES, "--input", tmp_path)
    assert "but a .npy file" in refused("eval", "mse_loss", npy("a.npy", np.zeros(3)))
    assert "but a .npz file" in refused("eval", "mse_loss", "--input", DIABETES)
    refused("eval", "mse_loss", "a\0b.npz")
    refused("eval", "mse_loss", tmp_path / "two\nlines.npz")
    refused("eval", "mse_loss", "")


def test_truncated_and_damaged_npz(run, refused, tmp_path):
    """Cut anywhere, or with a byte changed: a refusal, or (where the byte was not needed) the right value."""
    whole = Path(DIABETES).read_bytes()
    path = tmp_path / "cut.npz"
    for length in [2, 10, 100, len(whole) // 2, len(whole) - 30, len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused("eval", "mse_loss", path)
    for position in range(0, len(whole), 97):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        status, out, err = run("eval", "mse_loss", path, "--json")
        if status == 0:
            assert json.loads(out)["value"] == pytest.approx(3420.357711638813, rel=1e-12)
        else:
            assert (status, out, err.count("\n"), err[:10]) == (2, "", 1, "fastloss: ")


def npy_bytes(header, body=b"\0" * 64):
    header = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (9,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-8,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999999,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': 'abc'}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4)}",
        "{'descr': '<q99', 'fortran_order': False, 'shape': (8,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (8,)}",
        "{'descr': '<f8', 'shape': (8,)}",
        "[1, 2",
        "__import__('os').getcwd()",
        "",
        "(" * 5000,
    ],
)
def test_headers_that_lie(refused, npy, tmp_path, header):
    content = npy_bytes(header)
    path = tmp_path / "liar.npy"
    path.write_bytes(content)
    assert "liar.npy" in refused("eval", "mse_loss", "--input", path, "--target", "0")
    archive = tmp_path / "liar.npz"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("input.npy", content)
    assert "'input'" in refused("eval", "mse_loss", archive, "--target", "0")


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="needs /dev/fd")
def test_pipes_are_refused(refused):
    read, write = os.pipe()
    with os.fdopen(read), os.fdopen(write, "wb") as end:
        end.write(b"PK\3\4" * 9)
        end.close()
        assert "is a pipe" in refused("eval", "mse_loss", f"/dev/fd/{read}")


def test_member_that_is_no_array(refused, tmp_path):
    path = tmp_path / "odd.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("input", "hello")
        file.writestr("target.npy", "hello")
    assert "is not an array" in refused("eval", "mse_loss", path)


def test_npy_is_mapped_and_not_read(npy):
    array = loading.load_npy(npy("x.npy", np.zeros((3, 0, 2))), "input")
    assert array.shape == (3, 0, 2)
    array = loading.load_npy(npy("y.npy", np.asfortranarray(np.ones((3, 4)))), "input")
    assert isinstance(array, np.memmap) and not array.flags.writeable
    assert loading.load_npy(npy("z.npy", np.float64(2)), "input") == 2


def test_interrupt_and_memory(monkeypatch, run):
    def raising(error):
        def function(*_, **__):
            raise error

        return function

    monkeypatch.setattr(cli, "load_inputs", raising(KeyboardInterrupt()))
    assert run("eval", "mse_loss", DIABETES) == (130, "", "")
    monkeypatch.undo()
    monkeypatch.setattr(fl, "evaluate", raising(MemoryError()))
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

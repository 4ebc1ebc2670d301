# SPDX-License-Identifier: BSD-3-Clause
"""The command's words: losses and options that follow from the functions, help, one clear line for bad usage."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastloss as fl
from fastloss.cli import loading, losses, parsing

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
DIGITS, DIABETES = str(EXAMPLES / "digits.npz"), str(EXAMPLES / "diabetes.npz")
LOSSES = sorted(losses.find_losses())
FIRST_SIX = "binary_cross_entropy_with_logits cross_entropy gaussian_nll_loss huber_loss l1_loss mse_loss".split()


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

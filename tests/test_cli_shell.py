# SPDX-License-Identifier: BSD-3-Clause
"""What surrounds the command: examples of the help that run, completion in real shells, the picture in docs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import CASES

import fastloss as fl
from fastloss import accumulate, axes, streaming
from fastloss.cli import losses, parsing
from fastloss.cli.completion import COMMANDS, completion_script

ROOT = Path(__file__).resolve().parent.parent
LOSSES = losses.find_losses()
# Operands of the losses that fit no case of the list.
OTHERS = {
    **{
        f"{kind}_loss": {"input": np.array([[0.0, 0, 2, 2]] * 3), "target": np.array([[1.0, 0, 3, 2]] * 3)}
        for kind in ("iou", "giou", "diou", "ciou")
    },
    **{
        f"{name}_loss": {"input": np.ones((2, 3, 4)), "target": np.array([[0, 1, 2, 1]] * 2)}
        for name in ("dice", "jaccard", "tversky", "focal_tversky", "generalized_dice", "lovasz_softmax")
    },
    "lovasz_hinge_loss": {"input": np.ones((2, 4)), "target": np.array([[0, 1, 1, 0]] * 2)},
    "linear_cross_entropy": {
        "input": np.ones((4, 3)), "linear_weight": np.eye(5, 3), "target": np.array([0, 1, 2, 4]),
    },
    "triplet_margin_loss": {"anchor": np.eye(4), "positive": np.ones((4, 4)), "negative": np.eye(4)[::-1].copy()},
    "cosine_embedding_loss": {"input1": np.eye(4), "input2": np.ones((4, 4)), "target": np.array([1, -1, 1, -1])},
    "contrastive_loss": {"input1": np.eye(4), "input2": np.ones((4, 4)), "target": np.array([1, 0, 1, 0])},
    "triplet_margin_with_distance_loss": {"anchor": np.eye(4), "positive": np.ones((4, 4)), "negative": np.eye(4) + 1},
    "batch_hard_triplet_loss": {"embeddings": np.arange(12.0).reshape(6, 2), "labels": np.array([0, 0, 1, 1, 2, 2])},
    "batch_all_triplet_loss": {"embeddings": np.arange(12.0).reshape(6, 2), "labels": np.array([0, 0, 1, 1, 2, 2])},
    "info_nce_loss": {"query": np.eye(4), "key": np.eye(4) + 1},
    "nt_xent_loss": {"input1": np.eye(4), "input2": np.eye(4) + 1},
    "multiple_negatives_ranking_loss": {"anchor": np.eye(4), "positive": np.eye(4) + 1},
    "dqn_loss": {
        "q_values": np.eye(4, 3), "actions": np.array([0, 1, 2, 0]), "reward": np.ones(4),
        "next_q_values": np.eye(4, 3),
    },
    "elbo_loss": {
        "input": np.eye(4, 3), "target": np.eye(4, 3), "mu": np.ones((4, 2)), "log_var": np.zeros((4, 2)),
    },
    "gan_discriminator_loss": {"real": np.arange(5.0), "fake": -np.arange(5.0)},
    "gradient_penalty": {"gradients": np.eye(4, 3)},
    "policy_gradient_loss": {
        "input": np.eye(4, 3), "actions": np.array([0, 1, 2, 0]), "advantages": np.arange(4.0),
    },
    "rmse_loss": {"input": np.arange(5.0), "target": np.zeros(5)},
    "quantile_loss": {"input": np.arange(5.0), "target": np.zeros(5)},
    "ctc_loss": {
        "log_probs": np.full((6, 2, 4), np.log(0.25)), "targets": np.array([[1, 2], [3, 3]]),
        "input_lengths": np.array([6, 5]), "target_lengths": np.array([2, 1]),
    },
    **{
        f"{kind}_loss": {"input": np.array([[0.0, 0, 2, 2]] * 4), "target": np.array([[0.0, 1, 2, 3]] * 4)}
        for kind in ("iou", "giou", "diou", "ciou")
    },
}  # fmt: skip


def operands_of(name):
    """Arrays for a loss, from the suite's list of cases, and options that they need."""
    if name in OTHERS:
        return OTHERS[name]
    case = min((c for c in CASES if c.function == name), key=lambda c: len(c.options))
    found = case.operands((6, 5))
    return {k: v for k, v in found.items() if k in LOSSES[name].required}


def examples(run, name):
    _, out, _ = run("eval", name, "--help")
    found = [line.strip() for line in out.partition("examples:\n")[2].splitlines() if line.startswith("  fastloss ")]
    assert found == LOSSES[name].examples and len(found) >= 2
    return [shlex.split(line)[1:] for line in found]


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_example_of_the_help_runs(run, name, tmp_path, monkeypatch):
    """Those of the checkout as they stand; the others where the files that they name lie."""
    operands = operands_of(name)
    np.savez(tmp_path / "FILE.npz", **operands)
    for key, array in operands.items():
        np.save(tmp_path / f"{key}.npy", array)
    expected = float(getattr(fl, name)(*(operands[key] for key in LOSSES[name].required)))
    for words in examples(run, name):
        shipped = any(word.startswith("examples/") for word in words)
        monkeypatch.chdir(ROOT if shipped else tmp_path)
        status, out, err = run(*words, *["--json"] * ("--json" not in words))
        note = "the arrays were read whole" if LOSSES[name].whole_batch else ""
        assert status == 0 and note in err and bool(err) == bool(note), words
        if not shipped:
            assert f'"value": {expected!r}' in out


def test_predictions_are_those_that_the_docstrings_name():
    assert LOSSES["margin_ranking_loss"].predictions == ["input1", "input2"]
    assert LOSSES["gaussian_nll_loss"].predictions == ["input", "var"]
    assert LOSSES["linear_cross_entropy"].predictions == ["input", "linear_weight", "linear_bias"]
    assert all(loss.predictions and loss.predictions[0] == loss.required[0] for loss in LOSSES.values())


def completions(shell, line, folder):
    """What the shell offers at the end of a line."""
    script = folder / f"completion.{shell}"
    script.write_text(completion_script(shell))
    words = line.split(" ")
    quoted = " ".join(map(shlex.quote, words))
    if shell == "bash":
        program = (
            f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _fastloss; echo ${{COMPREPLY[*]}}"
        )
    elif shell == "fish":
        program = f"source {script}; complete -C{shlex.quote(line)}"
    else:  # zsh: the completion functions want a line editor; what they say to compadd is what counts
        program = (
            "compdef() { : }; _files() { print FILES }; compadd() { [[ $1 == -- ]] && shift; print -rl -- $@ }\n"
            f"source {script}; words=({quoted}); CURRENT={len(words)}; _fastloss"
        )
    done = subprocess.run([shell, "-c", program], capture_output=True, text=True, timeout=60, cwd=folder, check=False)
    assert done.stderr == "", done.stderr
    offered = [part.split("\t")[0] for part in done.stdout.splitlines()]
    found = " ".join(offered).split()
    return [w for w in found if w.startswith(words[-1])] if shell == "zsh" else found


@pytest.mark.parametrize("shell", parsing.SHELLS)
def test_completion_in_a_shell(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell}, whose completion this tests, is not installed")
    assert {*completions(shell, "fastloss ", tmp_path)} >= set(COMMANDS)
    assert completions(shell, "fastloss ev", tmp_path) == ["eval"]
    assert {*completions(shell, "fastloss eval ", tmp_path)} >= set(LOSSES)
    assert completions(shell, "fastloss eval hub", tmp_path) == ["huber_loss"]
    assert {*completions(shell, "fastloss completion ", tmp_path)} >= set(parsing.SHELLS)
    assert completions(shell, "fastloss eval huber_loss --del", tmp_path) == ["--delta"]
    assert completions(shell, "fastloss eval mse_loss --del", tmp_path) == []
    offered = {*completions(shell, "fastloss eval mse_loss x.npz --", tmp_path)}
    assert offered >= {"--json", "--top", "--group-by", "--compare", "--plot", "--weight", "--input"}
    assert {*completions(shell, "fastloss eval mse_loss --reduction ", tmp_path)} == {"mean", "sum"}


def test_bash_offers_files_elsewhere(tmp_path):
    if shutil.which("bash") is None:
        pytest.skip("bash, whose completion this tests, is not installed")
    assert completions("bash", "fastloss eval mse_loss ", tmp_path) == []  # and so the default, file names
    assert "-o default" in completion_script("bash")


def test_completion_command(run):
    for shell in parsing.SHELLS:
        assert run("completion", shell) == (0, completion_script(shell), "")
    for words in (["completion"], ["completion", "tcsh"]):
        status, out, err = run(*words)
        assert (status, out, err.count("\n")) == (2, "", 1)


def test_what_completion_knows_is_what_exists(run):
    assert {*COMMANDS} == {*re.findall(r"^  (\w+) ", run("--help")[1].partition("losses:")[0], re.M)}
    for command in COMMANDS:
        assert run(command, "--help")[0] == 0


def test_picture_in_docs_is_what_the_command_shows():
    pytest.importorskip("rich")
    tool = [sys.executable, str(ROOT / "tools" / "terminal_view.py"), "--check"]
    done = subprocess.run(tool, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    text = (ROOT / "docs" / "terminal.svg").read_text()
    assert text.index("100.875") < text.index("KEEP") < text.index("2.58488")  # the mislabelled line on top


def test_commands_of_the_guide_run(run, monkeypatch, tmp_path):
    """Every line of docs/command.md that begins with `$ fastloss`, in a copy of the examples."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^\$ (fastloss .*)$", (ROOT / "docs" / "command.md").read_text(), re.M)
    assert len(lines) > 8
    for line in lines:
        if "--plot" in line:
            pytest.importorskip("matplotlib")
        status, _, err = run(*shlex.split(line, comments=True)[1:])
        assert (status, err) == (0, ""), line


@pytest.fixture
def whole_batch(monkeypatch):
    """mse_loss as if its samples depended on each other."""
    for module in (accumulate, axes, streaming, losses):
        monkeypatch.setattr(module, "WHOLE_BATCH", frozenset({"mse_loss"}))


def test_losses_that_need_the_whole_batch_say_so(whole_batch, run, tmp_path):
    x = np.arange(6.0)
    calls = []
    total = fl.evaluate(fl.mse_loss, input=x, target=x * 0, chunk_size=2, progress=lambda *done: calls.append(done))
    assert len(calls) == 1 and total.compute() == fl.mse_loss(x, x * 0)
    with pytest.raises(ValueError, match="mse_loss needs the whole batch in one call: its parts do not add up"):
        total.update(x, x)
    with pytest.raises(ValueError, match="needs the whole batch"):
        total.merge(total)
    with pytest.raises(ValueError, match="needs the whole batch"):
        fl.evaluate(fl.mse_loss, [(x, x), (x, x)])
    total = fl.Accumulator(fl.mse_loss)
    total.update(x, x * 0)
    total.reset()
    total.update(x, x * 0)
    files = [str(tmp_path / f"{k}.npz") for k in (1, 2)]
    for file in files:
        np.savez(file, input=x, target=x * 0)
    status, _, err = run("eval", "mse_loss", files[0])
    assert (
        status == 0 and err == "fastloss: note: mse_loss compares samples with each other: the arrays were read whole\n"
    )
    status, _, err = run("eval", "mse_loss", *files)
    assert status == 2 and "needs the whole batch in one call" in err
    assert "compares samples with each other" in run("eval", "mse_loss", "--help")[1]
    assert fl.Accumulator(fl.l1_loss).update(x, x) is None  # the others are as before

# SPDX-License-Identifier: BSD-3-Clause
"""--group-by and --compare: against NumPy written out, over one file and several, with nan and left-out samples."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastloss as fl
from fastloss import cli
from fastloss.cli import groups
from fastloss.cli.compare import bootstrap_interval


@pytest.fixture
def refused(run):
    def refused(*argv):
        status, out, err = run("eval", *argv)
        assert (status, out, err.count("\n"), err[:10]) == (2, "", 1, "fastloss: ")
        return err

    return refused


def expected_groups(losses, keys, counted):
    """By the definition: worst mean first, nan before all, equal ones by key, groups of nothing last."""
    found = []
    for key in sorted(set(keys)):
        chosen = [x for x, k, c in zip(losses, keys, counted, strict=True) if k == key and c]
        mean = math.fsum(chosen) / len(chosen) if chosen else math.nan
        left_out = sum(k == key and not c for k, c in zip(keys, counted, strict=True))
        found.append({"group": key, "n": len(chosen), "mean": mean, "left_out": left_out})
    return sorted(
        found, key=lambda g: (not g["n"], not math.isnan(g["mean"]), -g["mean"] if g["mean"] == g["mean"] else 0)
    )


def same_groups(found, expected):
    assert [(g["group"], g["n"], g["left_out"]) for g in found] == [
        (g["group"], g["n"], g["left_out"]) for g in expected
    ]
    for one, other in zip(found, expected, strict=True):
        mean = math.nan if one["mean"] == "nan" else one["mean"]
        assert mean == pytest.approx(other["mean"], rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("kind", ["int16", "bool", "U", "S"])
def test_groups_of_one_file(report, npz, rng, kind):
    n = 200_000 if kind == "int16" else 90  # several chunks of keys
    x = rng.normal(size=n)
    keys = rng.integers(-3, 4, n)
    key_array = (keys > 0) if kind == "bool" else keys.astype(kind)
    expected = [int(k > 0) if kind == "bool" else str(k) if kind in "US" else int(k) for k in keys]
    x[expected.index(expected[5])] = np.nan
    found = report("mse_loss", npz("x.npz", input=x, target=np.zeros(n), speaker=key_array), "--group-by", "speaker")
    same_groups(found["groups"], expected_groups(x * x, expected, np.ones(n, bool)))
    assert math.isnan(float(found["groups"][0]["mean"])) and found["groups"][0]["n"] > 1


def test_groups_over_files_with_left_out_samples(report, run, npz, tmp_path, rng):
    paths, xs, ys, keys = [], [], [], []
    for k, n in enumerate((30, 0, 17)):
        x, y, key = rng.normal(size=(n, 4)), rng.integers(0, 4, n), rng.integers(0, 5, n)
        y[key == 3] = -100
        y[::7] = -100
        paths.append(npz(f"{k}.npz", input=x, target=y, key=key))
        xs, ys, keys = [*xs, x], [*ys, y], [*keys, key]
    x, y, key = np.concatenate(xs), np.concatenate(ys), np.concatenate(keys)
    losses = fl.cross_entropy(x, y, reduction="none")
    expected = expected_groups(losses.tolist(), key.tolist(), (y != -100).tolist())
    assert expected[-1]["group"] == 3 and math.isnan(expected[-1]["mean"])
    same_groups(report("cross_entropy", *paths, "--group-by", "key")["groups"], expected)
    np.save(tmp_path / "key.npy", key)  # one for the whole data set
    same_groups(report("cross_entropy", *paths, "--group-by", tmp_path / "key.npy")["groups"], expected)
    _, out, _ = run("eval", "cross_entropy", *paths, "--group-by", "key", "--groups", "2", "--top", "0")
    lines = out.splitlines()
    assert (
        lines[-4:-2] == ["groups, worst mean first (2 of 5)", lines[-3]]
        and lines[-3].split() == "n mean left out group".split()
    )
    assert [line.split()[-1] for line in lines[-2:]] == [str(g["group"]) for g in expected[:2]]


def test_keys_that_cannot_be_used(refused, npz, tmp_path, monkeypatch):
    arrays = {"input": np.ones(6), "target": np.zeros(6)}
    file = npz("x.npz", **arrays, short=np.arange(5), real=np.ones(6), wide=np.ones((6, 2), int))
    assert "x.npz has no 'speaker' to group by (it holds input, real, " in refused(
        "mse_loss", file, "--group-by", "speaker"
    )
    assert "5 keys for 6 samples" in refused("mse_loss", file, "--group-by", "short")
    assert "integers or text to group by, got float64" in refused("mse_loss", file, "--group-by", "real")
    assert "one key per sample to group by, got shape (6, 2)" in refused("mse_loss", file, "--group-by", "wide")
    objects = npz("o.npz", **arrays, key=np.array([None] * 6))
    assert "never unpickled" in refused("mse_loss", objects, "--group-by", "key")
    assert "No such file" in refused("mse_loss", file, "--group-by", tmp_path / "absent.npy")
    np.save(tmp_path / "i.npy", np.ones(6))
    flags = ["--input", tmp_path / "i.npy", "--target", "0"]
    assert "expected a .npy file, or a FILE.npz" in refused("mse_loss", *flags, "--group-by", "key")
    monkeypatch.setattr(groups, "LARGEST_NUMBER", 4)
    np.save(tmp_path / "k.npy", np.arange(6))
    assert "more than 4 different keys" in refused("mse_loss", file, "--group-by", tmp_path / "k.npy")


@pytest.fixture
def models(npz, rng):
    """Two models' logits for the same labels, with texts; the path of each and the losses of their samples."""
    y = rng.integers(0, 5, 300)
    y[7] = -100
    a, b = rng.normal(size=(300, 5)), rng.normal(size=(300, 5))
    b[::3] = a[::3]  # a third is equal
    text = np.array([f"t{i}" for i in range(300)])
    losses = [fl.cross_entropy(x, y, reduction="none") for x in (a, b)]
    return npz("a.npz", input=a, target=y, text=text), npz("b.npz", input=b), losses, y


def test_comparison_by_its_definition(report, models):
    a, b, (ours, theirs), y = models
    found = report("cross_entropy", a, "--compare", b, "--top", "400", "--resamples", "400", "--resample-seed", "3")[
        "compare"
    ]
    difference = (theirs - ours)[y != -100]
    assert (found["files"], found["n"]) == ([b], 299)
    assert found["value"] == pytest.approx(theirs[y != -100].mean(), rel=1e-13)
    assert found["difference"] == pytest.approx(difference.mean(), rel=1e-11)
    shares = [(difference < 0).mean(), (difference > 0).mean(), (difference == 0).mean()]
    assert [found["better"], found["worse"], found["equal"]] == pytest.approx(shares, rel=1e-14) and shares[2] > 0.3
    order = [i for i in np.lexsort((np.arange(300), -np.abs(theirs - ours))) if theirs[i] != ours[i]]
    assert [w["index"] for w in found["largest"]] == order
    for w in found["largest"][:9]:
        i = w["index"]
        assert (w["loss"], w["other"], w["text"]) == (ours[i], theirs[i], f"t{i}")
        assert w["difference"] == theirs[i] - ours[i]
    drawn = np.random.default_rng(3).integers(0, 299, (400, 299))  # the pairs of one resample in a row
    low, high = np.quantile(difference[drawn].mean(axis=1), [0.025, 0.975])
    interval = found["interval"]
    assert [interval["low"], interval["high"]] == pytest.approx([low, high], rel=1e-11)
    words = [interval[key] for key in ("level", "method", "resamples", "seed")]
    assert words == [0.95, "paired percentile bootstrap", 400, 3]


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng, hits = np.random.default_rng(1), 0
    for seed in range(200):
        low, high = bootstrap_interval(rng.normal(0.3, 1, 80), 300, seed, lambda _: None)
        hits += low < 0.3 < high
    assert 0.88 <= hits / 200 <= 0.99


def test_comparison_is_deterministic_and_shown(run, report, models):
    a, b, _, _ = models
    once = report("cross_entropy", a, "--compare", b)
    assert report("cross_entropy", a, "--compare", b) == once
    assert report("cross_entropy", a, "--compare", b, "--resample-seed", "1") != once
    none = report("cross_entropy", a, "--compare", b, "--resamples", "0")["compare"]["interval"]
    assert (none["low"], none["high"], none["resamples"]) == ("nan", "nan", 0)
    status, out, _ = run("eval", "cross_entropy", a, "--compare", b)
    assert status == 0 and f"compared with {b}" in out and "1000 resamples, seed 0" in out
    assert "samples that differ most" in out and "below 0 it is better" in out
    same = report("cross_entropy", a, "--compare", a)["compare"]
    assert (same["difference"], same["equal"], same["largest"]) == (0.0, 1.0, [])


def test_nan_and_infinity_in_a_comparison(report, npz):
    a = npz("a.npz", input=[1.0, np.inf, np.nan, 2.0], target=np.zeros(4))
    found = report("l1_loss", a, "--compare", npz("b.npz", input=[0.5, np.inf, 1.0, np.inf]))["compare"]
    assert [w["index"] for w in found["largest"]] == [1, 2, 3, 0]
    assert [w["difference"] for w in found["largest"]] == ["nan", "nan", "inf", -0.5]
    assert (found["difference"], found["interval"]["low"]) == ("nan", "nan")
    assert (found["better"], found["worse"], found["equal"]) == (0.25, 0.25, 0.0)


def test_comparison_over_files_and_arrays(report, refused, models, npz, tmp_path, rng):
    x, y = rng.normal(size=50), rng.normal(size=50)
    z = x + rng.normal(size=50)
    whole = report("mse_loss", npz("w.npz", input=x, target=y), "--compare", npz("v.npz", input=z, target=y))["compare"]
    parts = [npz("1.npz", input=x[:20], target=y[:20]), npz("2.npz", input=x[20:], target=y[20:])]
    others = [npz("3.npz", input=z[:20]), npz("4.npz", input=z[20:])]
    both = report("mse_loss", *parts, "--compare", others[0], "--compare", others[1])["compare"]
    assert both["files"] == others and {**both, "files": 0, "value": 0} == {**whole, "files": 0, "value": 0}
    assert both["value"] == pytest.approx(whole["value"], rel=1e-14)
    for name, array in (("x", x), ("y", y), ("z", z)):
        np.save(tmp_path / f"{name}.npy", array)
    flags = [f"--input={tmp_path}/x.npy", f"--target={tmp_path}/y.npy", "--compare", tmp_path / "z.npy"]
    assert {**report("mse_loss", *flags)["compare"], "files": 0} == {**whole, "files": 0}
    assert "one other file per FILE, got 1 for 2" in refused("mse_loss", *parts, "--compare", others[0])


def test_other_operands_come_from_the_other_file(report, npz, rng):
    x, y, v = rng.normal(size=30), rng.normal(size=30), rng.random(30) + 0.1
    a = npz("a.npz", input=x, target=y, var=v)
    found = report("gaussian_nll_loss", a, "--compare", npz("b.npz", var=2 * v))["compare"]
    assert found["value"] == float(fl.gaussian_nll_loss(x, y, 2 * v))


def test_what_is_not_the_same_data_is_refused(refused, npz, tmp_path, rng):
    x, y = rng.normal(size=(9, 3)), rng.integers(0, 3, 9)
    a = npz("a.npz", input=x, target=y, label_smoothing=np.float64(0.1))
    other = y.copy()
    other[4] = (y[4] + 1) % 3
    words = f"b.npz: target[4] = {other[4]}, in the first file {y[4]}: not the same data"
    assert words in refused("cross_entropy", a, "--compare", npz("b.npz", input=x, target=other))
    message = refused("cross_entropy", a, "--compare", npz("b.npz", input=x, target=y[:8]))
    assert "target has shape (8,), the first file's (9,)" in message
    message = refused("cross_entropy", a, "--compare", npz("b.npz", input=x, label_smoothing=np.float64(0.2)))
    assert "label_smoothing = 0.2, in the first file 0.1" in message
    message = refused("cross_entropy", a, "--compare", npz("b.npz", input=x, mask=np.ones(9, bool)))
    assert "mask has shape (9,)" in message
    message = refused("cross_entropy", a, "--compare", npz("b.npz", inputs=x))
    assert "b.npz has no 'input' to compare (it holds inputs)" in message
    assert "cross_entropy: target" in refused("cross_entropy", a, "--compare", npz("b.npz", input=x[:8]))
    assert "No such file" in refused("cross_entropy", a, "--compare", tmp_path / "absent.npz")
    b = npz("a2.npz", input=x.astype(np.float32), target=y.astype(np.uint8), label_smoothing=np.float64(0.1))
    assert cli.main(["eval", "cross_entropy", a, "--compare", b, "--json"]) == 0  # other types, equal numbers

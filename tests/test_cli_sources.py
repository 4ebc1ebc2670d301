# SPDX-License-Identifier: BSD-3-Clause
"""The command over tables, patterns, standard input and Dask together with its other options: the same reports as over
.npz files, which NumPy judges elsewhere."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pytest

import fastloss as fl
from fastloss import accumulate, axes, cli, streaming
from fastloss.cli import loading

N = 300
CUT = 120  # the first file's samples


@pytest.fixture
def report(capsys):
    def report(*argv):
        status = cli.main(["eval", *map(str, argv), "--json"])
        out, err = capsys.readouterr()
        assert (status, err) == (0, "")
        return json.loads(out)

    return report


@pytest.fixture
def refused(capsys):
    def refused(*argv):
        assert cli.main(["eval", *map(str, argv)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1
        return err

    return refused


@pytest.fixture
def arrays(rng):
    target = rng.integers(0, 4, N)
    target[5] = -100  # left out
    word = np.array(["page", "receipt", "sign"])[rng.integers(0, 3, N)]
    return {"input": rng.normal(size=(N, 4)), "target": target, "site": rng.integers(0, 5, N), "word": word}


def cuts(arrays):
    return [{k: v[:CUT] for k, v in arrays.items()}, {k: v[CUT:] for k, v in arrays.items()}]


def write(path, arrays):
    """A file of the kind that its name says."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return path
    pa = pytest.importorskip("pyarrow")
    feather, parquet = (pytest.importorskip(f"pyarrow.{name}") for name in ("feather", "parquet"))
    table = pa.table({k: list(v) if v.ndim > 1 else v.tolist() for k, v in arrays.items()})
    if path.suffix == ".arrows":
        with pa.ipc.new_stream(path, table.schema) as out:
            out.write_table(table, 50)
    elif path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=50)
    else:
        feather.write_feather(table, path, chunksize=50)
    return path


@pytest.fixture
def models(arrays, rng, tmp_path):
    """Files of two models, in two parts: name of the model and suffix -> pattern."""
    other = {**arrays, "input": arrays["input"] + rng.normal(size=(N, 4))}

    def models(model, suffix, drop=()):
        for k, part in enumerate(cuts({"a": arrays, "b": other}[model])):
            write(tmp_path / f"{model}{k}.{suffix}", {n: v for n, v in part.items() if n not in drop})
        return tmp_path / f"{model}?.{suffix}"

    return models


def same(found, expected):
    """Reports but for the names of files; the sums of values may be rounded otherwise."""
    assert found.keys() == expected.keys()
    for key, one in found.items():
        if isinstance(one, dict):
            same(one, expected[key])
        elif key == "groups":
            for ours, theirs in zip(one, expected[key], strict=True):
                same(ours, theirs)
        elif isinstance(one, float):
            assert one == pytest.approx(expected[key], rel=1e-12), key
        elif key != "files":
            assert one == expected[key], key


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
@pytest.mark.parametrize("key", ["site", "word"])
def test_columns_group_as_members_do(models, report, suffix, key):
    expected = report("cross_entropy", models("a", "npz"), "--group-by", key)
    assert sum(g["left_out"] for g in expected["groups"]) == 1 and len(expected["groups"]) in (3, 5)
    same(report("cross_entropy", models("a", suffix), "--group-by", key), expected)


@pytest.mark.parametrize(
    "first, second", [("parquet", "parquet"), ("npz", "feather"), ("parquet", "npz"), ("npz", "npz")]
)
@pytest.mark.parametrize("drop", [(), ("target",)])
def test_tables_and_patterns_compare_as_archives_do(models, report, first, second, drop):
    a, b = models("a", "npz"), models("b", "npz")
    paths = [str(b).replace("?", k) for k in "01"]
    expected = report("cross_entropy", a, "--compare", paths[0], "--compare", paths[1])
    assert expected["compare"]["n"] == N - 1
    same(report("cross_entropy", models("a", first), "--compare", models("b", second, drop)), expected)


def test_tables_of_other_targets_are_refused(models, arrays, refused, tmp_path):
    a = models("a", "parquet")
    arrays["target"][200] = (arrays["target"][200] + 1) % 4
    message = refused("cross_entropy", a, "--compare", models("b", "parquet"))
    assert f"target[{200 - CUT}]" in message and "not the same data" in message
    stream = write(tmp_path / "s.arrows", cuts(arrays)[0])
    first = str(a).replace("?", "0")
    assert "is an Arrow stream, which is read once" in refused("cross_entropy", first, "--compare", stream)
    assert "is an Arrow stream, which is read once" in refused("cross_entropy", stream, "--compare", first)
    assert "is an Arrow stream, which is read once" in refused("cross_entropy", stream, "--group-by", "site")
    assert "has no 'sites' to group by" in refused("cross_entropy", first, "--group-by", "sites")
    assert "expected integers or text to group by, got list" in refused("cross_entropy", first, "--group-by", "input")
    assert "no file has a name like" in refused("cross_entropy", first, "--compare", tmp_path / "c?.parquet")


# ---- standard input --------------------------------------------------------------------------------------------------


def npy(a):
    stream = io.BytesIO()
    np.save(stream, a)
    return stream.getvalue()


def test_an_array_from_standard_input(arrays, tmp_path):
    np.save(tmp_path / "y.npy", arrays["target"])
    words = [sys.executable, "-m", "fastloss", "eval", "cross_entropy", f"--target={tmp_path}/y.npy", "--input", "-"]
    done = subprocess.run([*words, "--json"], input=npy(arrays["input"]), capture_output=True, check=True)
    expected = fl.cross_entropy(arrays["input"], arrays["target"])
    assert json.loads(done.stdout)["value"] == pytest.approx(expected, rel=1e-12)
    damaged = subprocess.run(words, input=npy(arrays["input"])[:-1], capture_output=True)
    assert damaged.returncode == 2 and damaged.stderr.startswith(b"fastloss: standard input cannot be read")


def test_members_of_standard_input_group(arrays, tmp_path, monkeypatch, report):
    with open(write(tmp_path / "a.npz", arrays), "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(file)))
        found = report("cross_entropy", "-", "--group-by", "word")
    same(found, report("cross_entropy", tmp_path / "a.npz", "--group-by", "word"))


def test_a_pipe_without_end_is_refused(arrays, monkeypatch, refused):
    data = npy(arrays["input"])
    monkeypatch.setattr(loading, "PIPE_LIMIT", len(data) - 1)
    for argument in (["--input", "-"], ["-"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
        assert "standard input holds more than" in refused("cross_entropy", *argument)
    monkeypatch.setattr(loading, "PIPE_LIMIT", len(data))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
    assert "cross_entropy needs target" in refused("cross_entropy", "--input", "-")


# ---- losses of samples as they come ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_samples_come_file_by_file(models, arrays, suffix, tmp_path, report):
    pattern, seen = models("a", suffix), []
    expected = np.where(
        arrays["target"] < 0, np.nan, fl.cross_entropy(arrays["input"], arrays["target"], reduction="none")
    )
    total = fl.evaluate("cross_entropy", pattern, per_sample=True, chunk_size=64, on_samples=lambda a: seen.append(a))
    assert max(map(len, seen)) <= 64 and total.samples() == N
    np.testing.assert_array_equal(np.concatenate(seen), expected)
    report("cross_entropy", pattern, "--per-sample", tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)


def test_batches_of_tables(arrays):
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"input": list(arrays["input"]), "target": arrays["target"]})
    seen = []
    fl.evaluate("cross_entropy", iter(table.to_batches(70)), per_sample=True, on_samples=lambda a: seen.append(a))
    np.testing.assert_array_equal(
        np.nan_to_num(np.concatenate(seen)), fl.cross_entropy(arrays["input"], arrays["target"], reduction="none")
    )


def test_dask_compares_and_writes(arrays, rng, tmp_path, report):
    pytest.importorskip("dask.array")
    np.save(tmp_path / "x.npy", arrays["input"])
    np.save(tmp_path / "y.npy", arrays["target"])
    np.save(tmp_path / "z.npy", arrays["input"] + rng.normal(size=(N, 4)))
    words = [
        "cross_entropy",
        f"--input={tmp_path}/x.npy",
        f"--target={tmp_path}/y.npy",
        "--compare",
        tmp_path / "z.npy",
    ]
    expected = report(*words, "--per-sample", tmp_path / "expected.npy")
    same(report(*words, "--dask", "local", "--per-sample", tmp_path / "found.npy"), expected)
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), np.load(tmp_path / "expected.npy"))


def test_a_loss_of_the_whole_batch_is_one_call(arrays, models, monkeypatch):
    for module in (accumulate, axes, streaming):
        monkeypatch.setattr(module, "WHOLE_BATCH", frozenset({"cross_entropy"}))
    expected = fl.cross_entropy(arrays["input"], arrays["target"])
    one, two = (str(models("a", "parquet")).replace("?", k) for k in "01")
    first = fl.cross_entropy(arrays["input"][:CUT], arrays["target"][:CUT])
    assert fl.evaluate("cross_entropy", one, chunk_size=10).compute() == pytest.approx(first, rel=1e-12)
    with pytest.raises(ValueError, match="needs the whole batch in one call"):
        fl.evaluate("cross_entropy", [one, two])
    da = pytest.importorskip("dask.array")
    lazy = {k: da.from_array(arrays[k], 100) for k in ("input", "target")}
    assert fl.evaluate("cross_entropy", **lazy).compute() == pytest.approx(expected, rel=1e-12)


def test_parts_of_the_samples():
    total = fl.Accumulator("l1_loss", per_sample=True)
    assert len(total.latest()) == total.samples() == 0
    total.update(np.arange(5.0), 0.0)
    total.update(np.array([7.0, np.nan, 9.0]), 0.0, mask=[True, True, False])
    np.testing.assert_array_equal(total.latest(), [7.0, np.nan, np.nan])
    big = np.arange(300_000.0)  # over several segments
    total.update(big, 0.0)
    np.testing.assert_array_equal(total.latest(), big)
    whole, counted = total.losses(), total.counted()
    for first, last in ((0, 9), (4, 8), (131_000, 270_000), (131_072, 262_144), (299_999, 400_000), (9, 9)):
        np.testing.assert_array_equal(total.losses(first, last), whole[first:last])
        np.testing.assert_array_equal(total.counted(first, last), counted[first:last])
    other = fl.Accumulator("l1_loss", per_sample=True)
    other.update(np.ones(2), 0.0)
    total.merge(other)
    np.testing.assert_array_equal(total.latest(), [1.0, 1.0])
    total.update(np.empty(0), 0.0)
    assert len(total.latest()) == 0 and total.samples() == 300_010

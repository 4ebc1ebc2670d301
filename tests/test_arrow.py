# SPDX-License-Identifier: BSD-3-Clause
"""Parquet, Feather, Arrow streams and tables: chunks give the value of one call; what cannot be used is named."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import fastloss as fl
from fastloss import cli

pa = pytest.importorskip("pyarrow")
feather, parquet = pytest.importorskip("pyarrow.feather"), pytest.importorskip("pyarrow.parquet")
N = 301


@pytest.fixture
def arrays(rng):
    return {"input": rng.normal(size=(N, 5)).astype(np.float32), "target": rng.integers(0, 5, N)}


def lists(a, kind="list"):
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(a.ravel(), a.shape[1])
    return pa.array(a.tolist(), pa.list_(pa.from_numpy_dtype(a.dtype)))


def table_of(arrays, kind="list", **names):
    names = {"input": "input", "target": "target"} | names
    return pa.table(
        {names["input"]: lists(arrays["input"], kind), names["target"]: arrays["target"], "other": ["x"] * N}
    )


def written(table, path):
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=100)
    elif path.suffix == ".feather":
        feather.write_feather(table, str(path), compression="lz4", chunksize=70)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table, max_chunksize=64)
    return path


@pytest.mark.parametrize("kind", ["list", "fixed"])
@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrows"])
def test_files_are_one_call(arrays, tmp_path, suffix, kind):
    path = written(table_of(arrays, kind), tmp_path / f"data{suffix}")
    expected = fl.cross_entropy(**arrays, reduction="none")
    for chunk_size in (None, 1, 33, 1000):
        seen = []
        found = fl.evaluate(
            "cross_entropy", path, per_sample=True, chunk_size=chunk_size, progress=lambda *a, to=seen: to.append(a)
        )
        assert found.compute() == pytest.approx(expected.mean(dtype=float), rel=1e-12)
        np.testing.assert_array_equal(found.losses(), expected)
        assert seen[-1][0] == N and seen[-1][1] == (0 if suffix == ".arrows" else N)
    mask = np.arange(N) % 3 > 0
    if suffix != ".arrows":  # whose rows are not known beforehand
        found = fl.evaluate("cross_entropy", path, mask=mask, chunk_size=40)
        assert found.compute() == pytest.approx(fl.cross_entropy(**arrays, mask=mask), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, bool])
def test_types_of_numbers(rng, dtype):
    x, y = (rng.normal(size=50) * 3).astype(dtype), rng.normal(size=50)
    table = pa.table({"x": x, "y": pa.array(y).dictionary_encode()})
    found = fl.evaluate("mse_loss", table, columns={"input": "x", "target": "y"}, chunk_size=7)
    assert found.compute() == pytest.approx(fl.mse_loss(x, y), rel=1e-13)


def test_objects_and_batches(arrays):
    table, expected = table_of(arrays), fl.cross_entropy(**arrays)
    batches = table.to_batches(max_chunksize=50)
    sources = [table, table.combine_chunks().to_batches()[0], pa.RecordBatchReader.from_batches(table.schema, batches)]
    for source in [*sources, iter(batches), batches]:
        assert fl.evaluate("cross_entropy", source).compute() == pytest.approx(expected, rel=1e-12)
    assert np.isnan(fl.evaluate("cross_entropy", table.slice(0, 0)).compute())
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(arrays["input"].reshape(N, 5, 1)))
    found = fl.evaluate("mse_loss", pa.table({"input": tensors}), target=0.0)
    assert found.compute() == pytest.approx(np.square(arrays["input"], dtype=float).mean(), rel=1e-7)


def test_frames_of_ctc(rng):
    n = 9
    log_probs = rng.normal(size=(20, n, 6))
    rest = {"targets": rng.integers(1, 6, (n, 4)), "input_lengths": np.full(n, 20), "target_lengths": np.full(n, 4)}
    rows = pa.array([log_probs[:, k].tolist() for k in range(n)])
    table = pa.table({"log_probs": rows, "targets": rest["targets"].tolist(), **{k: rest[k] for k in list(rest)[1:]}})
    found = fl.evaluate("ctc_loss", table, chunk_size=4)
    assert found.compute() == pytest.approx(fl.ctc_loss(log_probs, **rest), rel=1e-13)


def test_files_are_one_data_set(arrays, tmp_path):
    table = table_of(arrays)
    written(table.slice(0, 100), tmp_path / "a.parquet")
    written(table.slice(100), tmp_path / "b.parquet")
    expected = fl.cross_entropy(**arrays)
    for source in (str(tmp_path / "*.parquet"), [tmp_path / "a.parquet", tmp_path / "b.parquet"]):
        seen = []
        found = fl.evaluate("cross_entropy", source, per_sample=True, progress=lambda *a, to=seen: to.append(a))
        assert found.compute() == pytest.approx(expected, rel=1e-12) and len(found.losses()) == N
        assert seen[-1][0] == N
    with pytest.raises(FileNotFoundError, match=r"no file has a name like .*x\*"):
        fl.evaluate("cross_entropy", str(tmp_path / "x*"))
    np.savez(tmp_path / "c.npz", input=arrays["input"], target=np.full(N, 9))
    with pytest.raises(ValueError, match=r"c\.npz: target\[0\] = 9"):
        fl.evaluate("cross_entropy", [tmp_path / "a.parquet", tmp_path / "c.npz"])


def test_refusals_name_the_place(arrays, tmp_path):
    def refused(match, table, loss="cross_entropy", **options):
        with pytest.raises(ValueError, match=match):
            fl.evaluate(loss, table, chunk_size=2, **options)

    x = pa.array([[1.0, 2.0]] * 5)
    refused(r"^target\[3\] is null$", pa.table({"input": x, "target": [0, 1, 0, None, 1]}))
    refused(r"^input\[3\] is null$", pa.table({"input": [[1.0, 2.0]] * 3 + [None], "target": [0] * 4}))
    refused(r"^input\[3, 1\] is null$", pa.table({"input": [[1.0, 2.0]] * 3 + [[1.0, None]], "target": [0] * 4}))
    refused(
        r"input\[3\] has 1 values, input\[2\] has 2", pa.table({"input": [[1.0, 2.0]] * 3 + [[1.0]], "target": [0] * 4})
    )
    refused("target has the Arrow type string", pa.table({"input": x, "target": ["a"] * 5}))
    refused(r"target\[4\] = 7 is out of range", pa.table({"input": x, "target": [0, 1, 0, 1, 7]}))
    refused(r"no column 'y' \(its columns: input\)", pa.table({"input": x}), columns={"target": "y"})
    refused("columns names 'targets'", pa.table({"input": x}), columns={"targets": "input"})
    weighted = pa.table({"input": x, "target": [0] * 5, "weight": [1.0] * 5})
    refused(r"a row of weight has shape \(\), which cross_entropy", weighted)
    assert fl.evaluate("cross_entropy", weighted, weight=None).compute() > 0
    # As one call would not take it, though a chunk of two rows broadcasts.
    refused(r"a row of target has shape \(\)", pa.table({"input": x, "target": [0.0] * 5}), loss="mse_loss")
    for k, content in enumerate((b"PAR1", b"ARROW1\0\0garbage", b"\xff\xff\xff\xff\x00\x00\x00\x7f", b"FEA1")):
        (tmp_path / str(k)).write_bytes(content)
        refused(rf"{k} cannot be read: ", tmp_path / str(k))


def test_without_pyarrow(arrays, tmp_path):
    path = written(table_of(arrays), tmp_path / "a.parquet")
    code = "import sys; sys.modules['pyarrow'] = None\nfrom fastloss.cli import main\nsys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "eval", "cross_entropy", str(path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "pip install 'fastloss[arrow]'" in done.stderr


def test_nothing_is_imported_before_it_is_needed():
    code = "import sys, fastloss; print([m for m in ('pyarrow', 'dask', 'pandas', 'rich') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_command_reads_tables(arrays, tmp_path, capsys):
    table = table_of(arrays, input="logits").append_column("text", [[f"line {i}" for i in range(N)]])
    written(table.slice(0, 100), tmp_path / "a.parquet")
    written(table.slice(100), tmp_path / "b.feather")
    losses = fl.cross_entropy(**arrays, reduction="none")
    pattern = str(tmp_path / "?.[pf]*")
    assert cli.main(["eval", "cross_entropy", pattern, "--column", "input=logits", "--json", "--top", "4"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["value"] == pytest.approx(losses.mean(dtype=float), rel=1e-12) and report["n"] == N
    worst = np.argsort(-losses, kind="stable")[:4]
    assert [(w["index"], w["text"]) for w in report["worst"]] == [(i, f"line {i}") for i in worst]
    assert cli.main(["eval", "cross_entropy", pattern, "--column", "logits"]) == 2
    assert "expected ARGUMENT=COLUMN, got 'logits'" in capsys.readouterr().err
    assert cli.main(["eval", "cross_entropy", pattern]) == 2
    assert "has no 'input', which cross_entropy needs" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".arrows", ".parquet", ".npz"])
def test_the_command_reads_standard_input(arrays, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    np.savez(path, **arrays) if suffix == ".npz" else written(table_of(arrays), path)
    words = [sys.executable, "-m", "fastloss", "eval", "cross_entropy", "-", "--json"]
    done = subprocess.run(words, input=path.read_bytes(), capture_output=True, check=True)
    assert json.loads(done.stdout)["value"] == pytest.approx(fl.cross_entropy(**arrays), rel=1e-12)
    with open(path, "rb") as file:
        assert subprocess.run(words, stdin=file, capture_output=True, check=True).stdout == done.stdout
    refused = subprocess.run(words, input=b"nothing of the kind", capture_output=True, text=False)
    assert refused.returncode == 2 and refused.stderr.count(b"\n") == 1 and b"standard input" in refused.stderr

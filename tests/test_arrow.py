# SPDX-License-Identifier: BSD-3-Clause
"""Parquet, Feather, Arrow streams and tables: chunks give the value of one call; what cannot be used is named."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import fastloss as fl
from fastloss import cli
from fastloss.arrow import even_rows, numbers

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


@pytest.fixture
def lines(rng):
    """Frames and targets of different lengths, as lists."""
    frames, labels = rng.integers(9, 40, 60), rng.integers(0, 5, 60)
    frames[7] = 300
    return {
        "log_probs": [rng.normal(size=(t, 6)) for t in frames],
        "targets": [rng.integers(1, 6, n) for n in labels],
        "input_lengths": frames,
        "target_lengths": labels,
    }


def ragged_table(lines, **other):
    held = {**lines, "log_probs": [x.tolist() for x in lines["log_probs"]], **other}
    return pa.table({k: v for k, v in held.items() if v is not None})


@pytest.mark.parametrize("drop", [(), ("target_lengths",), ("input_lengths", "target_lengths")])
@pytest.mark.parametrize("suffix", [None, ".parquet", ".feather"])
def test_lists_of_different_lengths_are_padded_for_ctc(lines, tmp_path, suffix, drop):
    """The loss takes lengths; where there is no column of them, they are those of the lists."""
    table = ragged_table(lines, **dict.fromkeys(drop))
    source = table if suffix is None else written(table, tmp_path / f"a{suffix}")
    expected = [
        fl.ctc_loss(x[:, None], y[None], [len(x)], [len(y)], reduction="none")[0]
        for x, y in zip(lines["log_probs"], lines["targets"], strict=True)
    ]
    for chunk_size in (None, 1, 7):
        found = fl.evaluate("ctc_loss", source, chunk_size=chunk_size, per_sample=True)
        np.testing.assert_allclose(found.losses(), expected, rtol=1e-12)
    beside = {"target_lengths": np.minimum(lines["target_lengths"], 2)}
    found = fl.evaluate("ctc_loss", table, **beside, per_sample=True)
    short = [
        fl.ctc_loss(x[:, None], y[None, :2], [len(x)], [len(y[:2])], reduction="none")[0]
        for x, y in zip(lines["log_probs"], lines["targets"], strict=True)
    ]
    np.testing.assert_allclose(found.losses(), short, rtol=1e-12)


def test_lengths_that_are_too_much_for_their_lists(lines):
    for name, words in (("input_lengths", "log_probs[9] has"), ("target_lengths", "targets[9] has")):
        lengths = lines[name].copy()
        lengths[9] += 1
        with pytest.raises(ValueError, match=rf"{name}\[9\] = {lengths[9]} is too much: {re.escape(words)}"):
            fl.evaluate("ctc_loss", ragged_table(lines, **{name: lengths}), chunk_size=4)
        with pytest.raises(ValueError, match=rf"{name}\[9\] = {lengths[9]} is too much"):
            fl.evaluate("ctc_loss", ragged_table(lines, **{name: None}), **{name: lengths}, chunk_size=4)
    targets = [list(map(int, t)) for t in lines["targets"]]
    targets[3] = [1, None]
    with pytest.raises(ValueError, match=r"^targets\[3, 1\] is null$"):
        fl.evaluate("ctc_loss", ragged_table(lines, targets=targets))
    targets[3] = None
    with pytest.raises(ValueError, match=r"^targets\[3\] is null$"):
        fl.evaluate("ctc_loss", ragged_table(lines, targets=targets, target_lengths=None))
    with pytest.raises(ValueError, match="ctc_loss"):
        fl.evaluate("ctc_loss", ragged_table(lines, targets=lines["target_lengths"], target_lengths=None))


def test_one_long_row_among_short_ones_takes_no_memory_for_all(rng):
    """Chunks end before padding would be many times what is there."""
    n = 40_000
    lengths = np.full(n, 3)
    lengths[n // 2] = 60_000
    values = pa.array(np.ones(lengths.sum(), np.int64))
    column = pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32()), values)
    pieces, start = [], 0
    while start < n:
        pieces.append(even_rows(column.slice(start, 20_000)))
        assert pieces[-1] * lengths[start : start + pieces[-1]].max() < 4e6
        start += pieces[-1]
    assert len(pieces) < 1000


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


def test_nor_is_pandas_for_tables(arrays, tmp_path):
    path = written(
        table_of(arrays).append_column("mask", pa.array([True, False, True] * 100 + [True])), tmp_path / "a.parquet"
    )
    code = (
        "import sys, pyarrow.parquet, fastloss as fl, fastloss.cli\n"
        "fl.evaluate('cross_entropy', sys.argv[1])\n"
        "fastloss.cli.main(['eval', 'cross_entropy', sys.argv[1], '--group-by', 'other', '--quiet', '--json'])\n"
        "assert 'pandas' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint16, np.int64, bool])
def test_numbers_of_slices(rng, dtype):
    a = (rng.normal(size=100) * 5).astype(dtype)
    for first, n in ((0, 100), (0, 0), (3, 9), (13, 87), (8, 16), (99, 1)):
        found = numbers(pa.array(a).slice(first, n), "x", 0)
        np.testing.assert_array_equal(found, a[first : first + n])
        assert found.dtype == a.dtype


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

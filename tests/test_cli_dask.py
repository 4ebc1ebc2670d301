# SPDX-License-Identifier: BSD-3-Clause
"""--dask over every kind of file: the report of the same command without it, from tasks that open the files."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastloss as fl
from fastloss import cli, spans
from fastloss.columns import Archive, Member

dask = pytest.importorskip("dask")
pytest.importorskip("dask.array")
# What Dask and its event loop warn of at their end is theirs.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
N = 5000


@pytest.fixture(autouse=True)
def small_spans(monkeypatch):
    """Several tasks, of several row groups or of a few chunks each."""
    monkeypatch.setattr(spans, "SPAN_SAMPLES", 300)
    monkeypatch.setattr(spans, "SPAN_CHUNKS", 2)
    monkeypatch.setattr(spans, "GROUP_ROWS", 500)


@pytest.fixture
def arrays(rng):
    target = rng.integers(0, 4, N)
    target[5] = -100
    return {"input": rng.normal(size=(N, 4)).astype(np.float32), "target": target, "site": rng.integers(0, 5, N)}


@pytest.fixture
def tasks(monkeypatch):
    """The spans of all tasks that ran here."""
    seen, evaluated = [], spans.evaluated_span

    def watched(function, packed, span, per_sample):
        seen.append(span)
        assert fl.get_num_threads() >= 1
        return evaluated(function, packed, span, per_sample)

    monkeypatch.setattr(spans, "evaluated_span", watched)
    return seen


def write(path, arrays):
    if path.suffix == ".npz":
        (np.savez_compressed if "packed" in path.name else np.savez)(path, **arrays)
        return
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    feather = pytest.importorskip("pyarrow.feather")
    table = pa.table({k: list(v) if v.ndim > 1 else v for k, v in arrays.items()})
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=180)
    elif path.suffix == ".feather":
        feather.write_feather(table, str(path), chunksize=170)
    else:
        with pa.ipc.new_stream(path, table.schema) as out:
            out.write_table(table, 500)


def run(capsys, *words):
    assert cli.main(["eval", "cross_entropy", *map(str, words), "--json"]) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err


KINDS = {
    "stored.npz": (17, ""),
    "packed.npz": (1, "is one task: input is compressed, and cannot be read from the middle"),
    "a.parquet": (14, ""),
    "a.feather": (15, ""),
    "a.arrows": (1, "is one task: an Arrow stream has no place to begin in the middle"),
}


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_file(arrays, tasks, tmp_path, capsys, name):
    write(tmp_path / name, arrays)
    words = [tmp_path / name, "--per-sample", tmp_path / "out.npy"]
    if name != "a.arrows":
        words += ["--group-by", "site"]
    expected, _ = run(capsys, *words)
    losses = np.load(tmp_path / "out.npy")
    found, err = run(capsys, *words, "--dask", "local")
    number, note = KINDS[name]
    assert found["value"] == pytest.approx(expected.pop("value"), rel=1e-12) and len(tasks) == number
    assert {k: v for k, v in found.items() if k != "value"} == expected
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), losses)
    assert note in err and err.count("\n") == bool(note)


def test_several_files_and_patterns(arrays, tasks, tmp_path, capsys):
    """Of all kinds, as one data set; the other model's too."""
    cuts = [0, 700, 1900, 2000, 3500, N]
    for k, name in enumerate(["0.npz", "1.parquet", "2packed.npz", "3.feather", "4.arrows"]):
        part = {a: v[cuts[k] : cuts[k + 1]] for a, v in arrays.items() if a != "site"}
        write(tmp_path / name, part)
    words = [tmp_path / "[0-9]*.*", "--top", "3"]
    expected, _ = run(capsys, *words)
    found, err = run(capsys, *words, "--dask", "local")
    assert err.count("is one task") == 2 and len(tasks) > 10
    assert found.pop("value") == pytest.approx(expected.pop("value"), rel=1e-12) and found == expected
    write(tmp_path / "other.npz", {"input": arrays["input"] * 2})
    write(tmp_path / "first.npz", arrays)
    words = [tmp_path / "first.npz", "--compare", tmp_path / "other.npz", "--resamples", "50"]
    expected, _ = run(capsys, *words)
    found, _ = run(capsys, *words, "--dask", "local")
    assert found["compare"].pop("value") == pytest.approx(expected["compare"].pop("value"), rel=1e-12)
    assert found["compare"] == expected["compare"]


def test_arrays_beside_a_table_and_other_layouts(arrays, tasks, tmp_path, capsys, rng):
    write(tmp_path / "a.parquet", {"input": arrays["input"]})
    np.save(tmp_path / "y.npy", arrays["target"])
    weight = rng.uniform(size=4)
    np.save(tmp_path / "w.npy", weight)
    words = [tmp_path / "a.parquet", "--target", tmp_path / "y.npy", "--weight", tmp_path / "w.npy"]
    found, _ = run(capsys, *words, "--dask", "local")
    assert found["value"] == pytest.approx(fl.cross_entropy(arrays["input"], arrays["target"], weight), rel=1e-12)
    assert len(tasks) == 14
    np.savez(tmp_path / "f.npz", input=np.asfortranarray(arrays["input"]), target=arrays["target"])
    found, _ = run(capsys, tmp_path / "f.npz", "--dask", "local")
    assert found["value"] == pytest.approx(fl.cross_entropy(arrays["input"], arrays["target"]), rel=1e-12)
    assert len(tasks) == 14 + 17
    np.savez(tmp_path / "t.npz", input=arrays["input"].T, target=arrays["target"])
    found, _ = run(capsys, tmp_path / "t.npz", "--class-axis", "0", "--dask", "local")
    assert found["value"] == pytest.approx(fl.cross_entropy(arrays["input"], arrays["target"]), rel=1e-12)


def test_files_that_are_one_task_each_run_at_once(arrays, tmp_path, capsys, monkeypatch):
    """Two of them meet: neither goes on before the other has begun."""
    together = threading.Barrier(2, timeout=60)
    evaluated = spans.evaluated_span

    def meeting(*given):
        together.wait()
        return evaluated(*given)

    monkeypatch.setattr(spans, "evaluated_span", meeting)
    for k in range(4):
        write(tmp_path / f"{k}packed.npz", {a: v[1000 * k : 1000 * k + 1000] for a, v in arrays.items()})
    with dask.config.set(num_workers=2):
        found, _ = run(capsys, tmp_path / "*packed.npz", "--dask", "local")
    expected = fl.cross_entropy(arrays["input"][:4000], arrays["target"][:4000])
    assert found["value"] == pytest.approx(expected, rel=1e-12) and found["n"] == 3999


def test_refusals(arrays, tmp_path, capsys):
    arrays["target"][4321] = 9
    for name in ("a.npz", "a.parquet"):
        write(tmp_path / name, arrays)
        assert cli.main(["eval", "cross_entropy", str(tmp_path / name), "--dask", "local"]) == 2
        err = capsys.readouterr().err
        assert "target[4321] = 9 is out of range" in err and err.count("\n") == 1
    assert (
        cli.main(["eval", "cross_entropy", *(str(tmp_path / f"a.{x}") for x in ("parquet", "npz")), "--dask=local"])
        == 2
    )
    assert "a.parquet: cross_entropy: target[4321] = 9 is out of range" in capsys.readouterr().err


def test_empty_data(tmp_path, capsys, arrays):
    for name in ("a.npz", "a.parquet", "a.feather"):
        write(tmp_path / name, {"input": np.zeros((0, 3)), "target": np.zeros(0, int)} if "npz" in name else arrays)
    found, _ = run(capsys, tmp_path / "a.npz", "--dask", "local")
    assert (found["n"], found["value"]) == (0, "nan")
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(tmp_path / "a.parquet").slice(0, 0)
    parquet.write_table(table, tmp_path / "a.parquet")
    found, _ = run(capsys, tmp_path / "a.parquet", "--dask", "local")
    assert (found["n"], found["value"]) == (0, "nan") and pa


def test_a_stream_from_a_pipe_is_evaluated_here(arrays, tmp_path):
    write(tmp_path / "a.arrows", arrays)
    words = [sys.executable, "-m", "fastloss", "eval", "cross_entropy", "-", "--json", "--dask", "local"]
    done = subprocess.run(words, input=(tmp_path / "a.arrows").read_bytes(), capture_output=True, check=True)
    assert b"standard input is evaluated without Dask" in done.stderr and done.stderr.count(b"\n") == 1
    expected = fl.cross_entropy(arrays["input"], arrays["target"])
    assert json.loads(done.stdout)["value"] == pytest.approx(expected, rel=1e-12)


def test_a_cluster(arrays, tmp_path, capsys):
    distributed = pytest.importorskip("distributed")
    write(tmp_path / "a.parquet", arrays)
    write(tmp_path / "b.npz", arrays)
    expected, _ = run(capsys, tmp_path / "a.parquet", tmp_path / "b.npz")
    with (
        dask.config.set({"distributed.logging.distributed": "critical", "distributed.worker.daemon": True}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
        ) as cluster,
    ):
        address = cluster.scheduler_address
        found, _ = run(capsys, tmp_path / "a.parquet", tmp_path / "b.npz", "--dask", address)
        assert found.pop("value") == pytest.approx(expected.pop("value"), rel=1e-12) and found == expected
        gone = tmp_path / "gone.npz"
        assert cli.main(["eval", "cross_entropy", str(gone), "--dask", address]) == 2
        assert "gone.npz" in capsys.readouterr().err


def test_a_stored_member_is_mapped_where_it_lies(tmp_path, rng):
    x, y = rng.normal(size=(50, 3)), np.asfortranarray(rng.integers(0, 9, (7, 5), dtype=np.int16))
    np.savez(tmp_path / "a.npz", x=x, y=y)
    archive = Archive(str(tmp_path / "a.npz"))
    for key, array in (("x", x), ("y", y)):
        found = Member(archive, key).mapped()
        np.testing.assert_array_equal(found, array)
        assert isinstance(found, np.memmap) and found.dtype == array.dtype

# SPDX-License-Identifier: BSD-3-Clause
"""Memory of the command: 8 bytes per sample and 64 MB, beyond what its libraries take once they are imported."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
N = 8_000_000
LIMIT = 64 << 20
# Imports what the first word names, then runs the command with the others, and tells of memory before and at its peak.
CHILD = """
import importlib, re, resource, sys
def field(name): return int(re.search(name + r":\\s*(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
import fastloss.cli, fastloss.spans
for name in filter(None, sys.argv[1].split(",")): importlib.import_module(name)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
before = field("VmRSS")
assert fastloss.cli.main(["eval", *sys.argv[2:], "--json"]) == 0
print(field("VmHWM") - before)
"""
LIBRARIES = {
    "--plot": "matplotlib.figure,matplotlib.backends.backend_agg",
    "--dask": "dask.array,dask.threaded",
    "parquet": "pyarrow.parquet,pyarrow.compute",
}


def run(cwd, *words, libraries=""):
    """The command's JSON, and its peak."""
    for name in filter(None, libraries.split(",")):
        pytest.importorskip(name)
    done = subprocess.run([sys.executable, "-c", CHILD, libraries, *words], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report, peak = done.stdout.splitlines()
    return json.loads(report), int(peak)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Arrays of 8 million samples: predictions of nothing, in a file without blocks, and those of another model."""
    folder, rng = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (N,)).flush()
    np.save(folder / "y.npy", rng.standard_normal(N, np.float32))
    np.save(folder / "z.npy", rng.standard_normal(N, np.float32))
    np.save(folder / "key.npy", rng.integers(0, 50, N))
    return folder


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--group-by", "key.npy"],
        ["--per-sample", "out.npy"],
        ["--plot", "out.png"],
        ["--compare", "z.npy", "--resamples", "2"],
        ["--compare", "z.npy", "--resamples", "2", "--plot", "out.svg", "--group-by", "key.npy"],
        ["--dask", "local"],
        ["--dask", "local", "--compare", "z.npy", "--resamples", "0", "--per-sample", "out.npy"],
    ],
    ids=lambda words: " ".join(w for w in words if w.startswith("-")) or "plain",
)
def test_each_option(folder, words):
    libraries = ",".join(LIBRARIES[w] for w in words if w in LIBRARIES)
    report, peak = run(folder, "mse_loss", "--input", "x.npy", "--target", "y.npy", *words, libraries=libraries)
    assert report["n"] == N and 0.9 < report["value"] < 1.1
    assert peak < 8 * N + LIMIT, f"{peak >> 20} MB"
    assert peak > 8 * N  # else it measures nothing


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_two_hundred_files(tmp_path, kind, rng):
    """With 64 open files at most."""
    n = 20_000
    word = rng.choice(np.array(["page", "receipt", "sign"]), n)
    for k in range(200):
        arrays = {"input": np.full(n, k, np.float32), "target": np.zeros(n, np.float32), "word": word, "text": word}
        if kind == "npz":
            np.savez(tmp_path / f"{k:03}.npz", **arrays)
        else:
            pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
            parquet.write_table(pa.table(arrays), tmp_path / f"{k:03}.parquet")
    libraries = LIBRARIES.get(kind, "")
    report, peak = run(tmp_path, "l1_loss", f"*.{kind}", "--group-by", "word", "--top", "3", libraries=libraries)
    assert report["value"] == pytest.approx(99.5) and [w["text"] for w in report["worst"]] == word[:3].tolist()
    assert [w["index"] for w in report["worst"]] == [199 * n, 199 * n + 1, 199 * n + 2]
    assert peak < 8 * 200 * n + LIMIT, f"{peak >> 20} MB"


def test_texts_and_keys_of_a_large_file(tmp_path):
    """120 bytes of text per sample, and keys of as many, are not held."""
    n = 1_500_000
    text = np.full(n, "some thirty letters of a line.", "U30")
    np.savez(tmp_path / "a.npz", input=np.arange(n, dtype=np.float32), target=np.zeros(1), text=text, key=text)
    report, peak = run(tmp_path, "l1_loss", "a.npz", "--target", "0", "--group-by", "key")
    assert report["worst"][0]["text"] == text[0] and report["groups"][0]["n"] == n
    assert peak < 8 * n + LIMIT, f"{peak >> 20} MB"


def test_frames_of_a_stored_archive(tmp_path):
    """Samples on axis 1 of 160 MB: the member is mapped, as a .npy file is."""
    frames, samples, classes = 20, 4000, 500
    arrays = {
        "log_probs": np.zeros((frames, samples, classes), np.float32),
        "targets": np.ones((samples, 3), int),
        "input_lengths": np.full(samples, frames),
        "target_lengths": np.full(samples, 3),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    report, peak = run(tmp_path, "ctc_loss", "a.npz")
    assert report["n"] == samples and peak < LIMIT, f"{peak >> 20} MB"
    whole = bytearray((tmp_path / "a.npz").read_bytes())
    whole[len(whole) // 3] ^= 1
    (tmp_path / "b.npz").write_bytes(whole)
    done = subprocess.run(
        [sys.executable, "-m", "fastloss", "eval", "ctc_loss", "b.npz"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2 and "Bad CRC-32" in done.stderr and done.stderr.count("\n") == 1

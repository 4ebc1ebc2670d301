# SPDX-License-Identifier: BSD-3-Clause
"""evaluate: chunks of arrays, maps, archives and batches give the value of one call."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest
from cases import CASES

import fastloss as fl
from fastloss.columns import Archive, Member, column_of

SHAPES = {False: (301, 3), True: (301, 7)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_chunks_are_one_call(case, dtype, tmp_path):
    operands = {**case.operands(SHAPES[case.rows], dtype), **case.options}
    function = getattr(fl, case.function)
    expected = function(**operands)
    np.savez(tmp_path / "stored.npz", **operands, other=np.arange(3))
    np.savez_compressed(tmp_path / "packed.npz", **operands)
    some = (7, None)
    for source, sizes in (
        (operands, (1, 100, 301, 1000, *some)),
        (tmp_path / "stored.npz", some),
        (str(tmp_path / "packed.npz"), some),
    ):
        for chunk_size in sizes:
            found = fl.evaluate(function, source, chunk_size=chunk_size, per_sample=True)
            assert found.compute() == pytest.approx(expected, rel=1e-13)
            assert len(found.losses()) == 301
    if not case.rows and case.function != "rmse_loss":
        expected_losses = function(**operands, reduction="none").reshape(301, -1).mean(axis=1, dtype=float)
        np.testing.assert_allclose(found.losses(), expected_losses, rtol=1e-12)
    batches = [
        {k: v[f : f + 50] if np.shape(v)[:1] == (301,) else v for k, v in operands.items()} for f in range(0, 301, 50)
    ]
    assert fl.evaluate(function, iter(batches)).compute() == pytest.approx(expected, rel=1e-13)


def test_layouts_that_are_not_axis_0(rng):
    x, target = rng.normal(size=(6, 40)), rng.integers(0, 6, 40)
    expected = fl.cross_entropy(x, target, class_axis=0)
    found = fl.evaluate(fl.cross_entropy, input=x, target=target, class_axis=0, chunk_size=7)
    assert found.compute() == pytest.approx(expected, rel=1e-14)
    maps, labels = rng.normal(size=(5, 3, 4, 2)), rng.integers(0, 3, (5, 4, 2))
    found = fl.evaluate(fl.cross_entropy, input=maps, target=labels, mask=labels > 0, chunk_size=2)
    assert found.compute() == pytest.approx(fl.cross_entropy(maps, labels, mask=labels > 0), rel=1e-14)
    row = fl.evaluate(fl.cross_entropy, input=x[:, 0], target=2)
    assert row.compute() == fl.cross_entropy(x[:, 0], 2)


def test_square_arrays_with_one_weight_per_column(rng):
    """(C,) weights belong to columns even where there are as many rows."""
    x, y, w = rng.normal(size=(4, 4)), rng.normal(size=(4, 4)), rng.uniform(size=4)
    found = fl.evaluate(fl.mse_loss, input=x, target=y, weight=w, chunk_size=1)
    assert found.compute() == pytest.approx(fl.mse_loss(x, y, w), rel=1e-14)
    labels = rng.integers(0, 4, 4)
    found = fl.evaluate(fl.cross_entropy, input=x, target=labels, weight=w, chunk_size=1)
    assert found.compute() == pytest.approx(fl.cross_entropy(x, labels, w), rel=1e-14)


def test_one_number_per_column_or_row_is_what_the_loss_makes_of_it(rng):
    x, y = rng.normal(size=(4, 4)), rng.normal(size=4)
    found = fl.evaluate(fl.l1_loss, input=x, target=y, chunk_size=1)
    assert found.compute() == pytest.approx(fl.l1_loss(x, y), rel=1e-14)
    var = rng.uniform(1, 2, size=4)
    found = fl.evaluate(fl.gaussian_nll_loss, input=x, target=x[0], var=var, chunk_size=3)
    assert found.compute() == pytest.approx(fl.gaussian_nll_loss(x, x[0], var), rel=1e-14)
    q = [0.1, 0.5, 0.7, 0.9]
    found = fl.evaluate(fl.quantile_loss, input=x, target=y, q=q, chunk_size=3)
    assert found.compute() == pytest.approx(fl.quantile_loss(x, y, q=q), rel=1e-14)
    hidden, labels = rng.normal(size=(6, 3)), rng.integers(0, 5, 6)
    words = rng.normal(size=(5, 3))
    found = fl.evaluate("linear_cross_entropy", input=hidden, linear_weight=words, target=labels, chunk_size=4)
    assert found.compute() == pytest.approx(fl.linear_cross_entropy(hidden, words, labels), rel=1e-13)


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 7, None])
def test_a_chunk_accepts_no_shape_that_the_whole_would_not(chunk_size):
    """(k, C) against (k,) would broadcast in a chunk of k = C rows."""
    for target in (np.zeros(30), np.zeros(2), np.zeros((30, 2))):
        with pytest.raises(ValueError, match=rf"target has shape {re.escape(str(target.shape))}.* \(30, 3\) of input"):
            fl.evaluate(fl.l1_loss, input=np.zeros((30, 3)), target=target, chunk_size=chunk_size)
    with pytest.raises(ValueError, match="of input"):
        fl.evaluate(fl.quantile_loss, input=np.zeros((30, 3)), target=np.zeros(30), chunk_size=chunk_size)


def test_positions_are_those_of_the_whole_data():
    x, target = np.zeros((100, 3)), np.zeros(100, int)
    target[57] = 5
    with pytest.raises(ValueError, match=r"^target\[57\] = 5 is out of range for 3 classes$"):
        fl.evaluate(fl.cross_entropy, input=x, target=target, chunk_size=10)
    var = np.ones((100, 3))
    var[83, 1] = -1
    with pytest.raises(ValueError, match=r"^var\[83, 1\] = -1.0"):
        fl.evaluate(fl.gaussian_nll_loss, input=x, target=x, var=var, chunk_size=10)


def test_shapes_that_do_not_fit_are_reported_whole():
    for chunk_size in (2, None):
        with pytest.raises(ValueError, match=r"target has shape \(4,\)"):
            fl.evaluate(fl.mse_loss, input=np.zeros(3), target=np.zeros(4), chunk_size=chunk_size)
        with pytest.raises(ValueError, match=r"target has shape \(4,\), expected \(3,\)"):
            fl.evaluate(fl.cross_entropy, input=np.zeros((3, 2)), target=np.zeros(4, int), chunk_size=chunk_size)


@pytest.mark.parametrize("per_sample", [False, True])
def test_threads_change_no_bit(per_sample, rng, tmp_path):
    """Chunks at once, in memory and mapped: the same sums, samples, progress and first error, in the data's order."""
    x, y = rng.normal(size=(5000, 7)).astype(np.float32), rng.integers(0, 7, 5000)
    np.save(tmp_path / "x.npy", x)
    found = []
    for threads in (1, 2, 3, 16):
        for given in (x, np.load(tmp_path / "x.npy", mmap_mode="r")):
            calls = []
            with fl.num_threads(threads):
                total = fl.evaluate(
                    "cross_entropy", input=given, target=y, per_sample=per_sample, chunk_size=90,
                    progress=lambda *a, to=calls: to.append(a),
                )  # fmt: skip
            losses = total.losses().tobytes() if per_sample else b""
            found.append((total.compute().tobytes(), losses, calls))
            bad = y.copy()
            bad[[1234, 2345]] = 7
            with fl.num_threads(threads), pytest.raises(ValueError, match=r"^target\[1234\] = 7 is out of range"):
                fl.evaluate("cross_entropy", input=given, target=bad, chunk_size=90)
    assert all(one == found[0] for one in found) and len(found[0][2]) == 56


def test_chunks_at_once_know_their_context(rng, monkeypatch):
    """The backend, and threads for all of them together."""
    seen, part_of = [], fl.Accumulator.part_of

    def watched(self, *operands, **call):
        seen.append((threading.get_ident(), fl.get_num_threads(), fl.get_backend()))
        return part_of(self, *operands, **call)

    monkeypatch.setattr(fl.Accumulator, "part_of", watched)
    x = rng.normal(size=(400, 3))
    for threads, each in ((1, 1), (2, 1), (8, 2)):
        seen.clear()
        with fl.backend("reference"), fl.num_threads(threads):
            fl.evaluate("mse_loss", input=x, target=0.0, chunk_size=50)
        assert {one[1:] for one in seen} == {(each, "reference")} and len(seen) == 8
        assert (threading.get_ident() in {one[0] for one in seen}) is (threads == 1)


def test_an_interrupt_ends_chunks_at_once(rng):
    def interrupted(*_):
        raise KeyboardInterrupt

    x, before = rng.normal(size=4000), set(threading.enumerate())
    with fl.num_threads(2), pytest.raises(KeyboardInterrupt):
        fl.evaluate("mse_loss", input=x, target=0.0, chunk_size=2, progress=interrupted)
    assert set(threading.enumerate()) <= before


def test_progress_and_empty_data():
    calls = []
    fl.evaluate(fl.mse_loss, input=np.ones(10), target=np.ones(10), chunk_size=4, progress=lambda *a: calls.append(a))
    assert calls == [(4, 10, 64), (8, 10, 128), (10, 10, 160)]
    assert np.isnan(fl.evaluate(fl.mse_loss, input=np.ones((0, 3)), target=np.ones((0, 3))).compute())
    assert np.isnan(fl.evaluate(fl.mse_loss, iter([])).compute())
    tuples = [(np.ones(2), np.zeros(2)), (np.ones(1), np.zeros(1))]
    assert fl.evaluate("mse_loss", tuples, reduction="sum").compute() == 3.0


def test_fortran_order_and_other_axes_of_members(tmp_path, rng):
    x = np.asfortranarray(rng.normal(size=(30, 4)))
    np.savez(tmp_path / "f.npz", input=x, target=x.T.copy().T * 2)
    assert fl.evaluate("mse_loss", tmp_path / "f.npz", chunk_size=7).compute() == pytest.approx(np.mean(x * x))
    column = column_of(Member(Archive(tmp_path / "f.npz"), "input"), 1)
    np.testing.assert_array_equal(column.read(1, 3), x[:, 1:3])


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_memory_stays_bounded(tmp_path):
    """Half a gigabyte of packed zeros is read in pieces of megabytes."""
    path = tmp_path / "zeros.npz"
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    header += b"{'descr': '<f8', 'fortran_order': False, 'shape': (67108864,)}".ljust(117) + b"\n"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("input.npy", "w", force_zip64=True) as member,
    ):
        member.write(header)
        for _ in range(64):
            member.write(bytes(8 << 20))
    code = (
        "import re, sys, fastloss as fl\n"
        "fl.evaluate('mse_loss', sys.argv[1], target=1.0).compute()\n"
        "print(re.search(r'VmHWM:\\s*(\\d+) kB', open('/proc/self/status').read())[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 256 << 20


def test_refusals(tmp_path):
    with pytest.raises(TypeError, match="source must be a path"):
        fl.evaluate("mse_loss", 3)
    with pytest.raises(ValueError, match="chunk_size = 0"):
        fl.evaluate("mse_loss", {}, chunk_size=0)
    with pytest.raises(TypeError, match="'target'"):
        fl.evaluate("mse_loss", {"input": np.zeros(3)})
    (tmp_path / "no.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"cannot be read as a \.npz file"):
        fl.evaluate("mse_loss", tmp_path / "no.npz")
    with pytest.raises(FileNotFoundError):
        fl.evaluate("mse_loss", tmp_path / "absent.npz")
    np.savez(tmp_path / "o.npz", input=np.array([{}, 1], object))
    with pytest.raises(ValueError, match=r"'input' cannot be read: .*Object|never unpickled"):
        fl.evaluate("mse_loss", tmp_path / "o.npz", target=0.0)


def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path):
    """A pipe without a writer would make us wait."""
    os.mkfifo(tmp_path / "pipe.npz")
    np.savez(tmp_path / "a.npz", input=np.zeros(3), target=np.zeros(3))
    for source in (tmp_path / "pipe.npz", [tmp_path / "a.npz", tmp_path / "pipe.npz"], str(tmp_path / "*.npz")):
        with pytest.raises(ValueError, match=r"pipe\.npz is a pipe: expected a file, which can be read in any order"):
            fl.evaluate("mse_loss", source)
    with pytest.raises(ValueError, match="is a device or socket"):
        fl.evaluate("mse_loss", "/dev/zero")
    with pytest.raises(OSError, match="directory"):
        fl.evaluate("mse_loss", tmp_path)


def test_losses_of_samples_that_are_not_kept(tmp_path, rng):
    x = rng.normal(size=300)
    for k in range(3):
        np.savez(tmp_path / f"{k}.npz", input=x[100 * k : 100 * k + 100], target=0.0)
    for source, given in ((str(tmp_path / "*.npz"), {}), (None, {"input": x, "target": 0.0})):
        seen = []
        total = fl.evaluate("mse_loss", source, on_samples=lambda a, to=seen: to.append(a), chunk_size=30, **given)
        np.testing.assert_array_equal(np.concatenate(seen), x * x)
        assert max(map(len, seen)) == 30 and total.compute() == pytest.approx(np.mean(x * x))
        assert not total.per_sample
        with pytest.raises(ValueError, match="keeps no losses"):
            total.losses()


def test_chunks_of_ctc(rng):
    """Samples lie on axis 1 of log_probs; targets that are joined in one array cannot be cut, and are not."""
    lengths, labels = np.full(7, 30), np.array([3, 0, 5, 2, 4, 1, 5])
    operands = {
        "log_probs": rng.normal(size=(30, 7, 6)),
        "targets": rng.integers(1, 6, (7, 5)),
        "input_lengths": lengths,
        "target_lengths": labels,
    }
    expected = fl.ctc_loss(**operands)
    joined = np.concatenate([row[:n] for row, n in zip(operands["targets"], labels, strict=True)])
    for targets in (operands["targets"], joined):
        for chunk_size in (1, 3, None):
            found = fl.evaluate("ctc_loss", {**operands, "targets": targets}, chunk_size=chunk_size, per_sample=True)
            assert found.compute() == pytest.approx(expected, rel=1e-14)
            np.testing.assert_array_equal(found.losses(), fl.ctc_loss(**operands, reduction="none"))
    single = fl.evaluate("ctc_loss", log_probs=np.zeros((4, 3)), targets=[1], input_lengths=4, target_lengths=1)
    assert single.compute() == fl.ctc_loss(np.zeros((4, 3)), [1], 4, 1)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
@pytest.mark.parametrize("axis", [0, 1])
def test_a_memory_map_leaves_memory_behind_the_chunks(tmp_path, axis):
    """Of 400 MB a few stay resident, though mapped pages count; along either axis of the samples."""
    shape = (50_000_000,) if axis == 0 else (2, 25_000_000)
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float64, shape).flush()  # sparse
    code = (
        "import re, sys, numpy as np, fastloss as fl\n"
        "def peak(): return int(re.search(r'VmHWM:\\s*(\\d+) kB', open('/proc/self/status').read())[1])\n"
        "x, before = np.load(sys.argv[1], mmap_mode='r'), peak()\n"
        "labels = np.broadcast_to(np.zeros((), int), x.shape[1:])\n"
        "options = {'target': 1.0} if x.ndim == 1 else {'target': labels, 'class_axis': 0}\n"
        "loss = 'mse_loss' if x.ndim == 1 else 'cross_entropy'\n"
        "print(peak() - before, float(fl.evaluate(loss, input=x, **options).compute()), peak() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.npy")], capture_output=True, text=True, check=True
    )
    _, value, grown = map(float, done.stdout.split())
    assert value == pytest.approx(1.0 if axis == 0 else np.log(2)) and grown * 1024 < 48 << 20


def test_changes_of_a_private_map_stay(tmp_path, rng):
    x = rng.normal(size=3_000_000)
    np.save(tmp_path / "x.npy", x)
    private = np.load(tmp_path / "x.npy", mmap_mode="c")
    private[::2] = 0.0
    x[::2] = 0.0
    for _ in range(2):
        assert fl.evaluate("mse_loss", input=private, target=0.0).compute() == pytest.approx(np.square(x).mean())


def test_float32_in_chunks_is_one_call(rng):
    """In default chunks, of several."""
    x, y = rng.normal(size=(800_003, 3)).astype(np.float32), rng.normal(size=(800_003, 3)).astype(np.float32)
    found = fl.evaluate("mse_loss", input=x, target=y)
    assert found.compute() == pytest.approx(fl.mse_loss(x, y), rel=1e-14)


def test_none_leaves_out_what_the_source_has(tmp_path, rng):
    x, w = rng.normal(size=(9, 2)), rng.uniform(size=(9, 2))
    source = {"input": x, "target": x * 2, "weight": w}
    np.savez(tmp_path / "w.npz", **source)
    for given in (source, tmp_path / "w.npz"):
        assert fl.evaluate("mse_loss", given, weight=None).compute() == pytest.approx(fl.mse_loss(x, x * 2))
        assert fl.evaluate("mse_loss", given).compute() == pytest.approx(fl.mse_loss(x, x * 2, w))

# SPDX-License-Identifier: BSD-3-Clause
"""Dask arrays, on local schedulers and on a cluster of two processes: equal to one call."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest

import fastloss as fl
from fastloss import cli

da = pytest.importorskip("dask.array")
dask = pytest.importorskip("dask")
# What Dask and its event loop warn of at their end is theirs.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
RAGGED = (1, 40, 0, 7, 100, 152, 1, 12, 30, 2, 9)  # more than one level of the tree
N = sum(RAGGED)


@pytest.fixture
def arrays(rng):
    return {"input": rng.normal(size=(N, 6)), "target": rng.integers(0, 6, N)}


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with (
        dask.config.set({"distributed.logging.distributed": "critical", "distributed.worker.daemon": True}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
        ) as found,
    ):
        yield found


def chunked(arrays, chunks=RAGGED):
    return {k: da.from_array(v, (chunks, *v.shape[1:])) for k, v in arrays.items()}


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_ragged_chunks_are_one_call(arrays, scheduler):
    losses = fl.cross_entropy(**arrays, reduction="none")
    weight = np.arange(1.0, 7)
    seen = []
    with dask.config.set(scheduler=scheduler):
        found = fl.evaluate("cross_entropy", **chunked(arrays), per_sample=True, progress=lambda *a: seen.append(a))
        weighted = fl.evaluate("cross_entropy", **chunked(arrays), weight=da.from_array(weight, 2))
        got = []
        fl.evaluate("cross_entropy", **chunked(arrays), on_samples=got.append)
    assert len(got) == 1
    np.testing.assert_array_equal(got[0], losses)
    assert found.compute() == pytest.approx(losses.mean(), rel=1e-12)
    np.testing.assert_array_equal(found.losses(), losses)
    assert sorted(seen) == seen and seen[-1][:2] == (N, N) and len(seen) == len(RAGGED)
    assert weighted.compute() == pytest.approx(fl.cross_entropy(**arrays, weight=weight), rel=1e-12)


def test_other_losses_and_arrays_beside(rng):
    x, w = rng.normal(size=(N, 3)), rng.uniform(size=(N, 3))
    found = fl.evaluate("mse_loss", input=da.from_array(x, (RAGGED, 3)), target=0.0, weight=w)
    assert found.compute() == pytest.approx(fl.mse_loss(x, 0.0, w), rel=1e-12)
    ctc = {
        "log_probs": rng.normal(size=(9, 11, 4)),
        "targets": rng.integers(1, 4, (11, 3)),
        "input_lengths": np.full(11, 9),
        "target_lengths": np.full(11, 3),
    }
    lazy = {**ctc, "log_probs": da.from_array(ctc["log_probs"], (9, (5, 6), 4))}
    assert fl.evaluate("ctc_loss", **lazy).compute() == pytest.approx(fl.ctc_loss(**ctc), rel=1e-12)


def test_other_chunks_are_rechunked_with_a_warning(arrays):
    lazy = chunked(arrays)
    odd = {"input": lazy["input"].rechunk((100, 2)), "target": lazy["target"].rechunk(50)}
    with pytest.warns(UserWarning, match="is chunked as .* and rechunked to") as caught:
        found = fl.evaluate("cross_entropy", **odd)
    assert [str(w.message).split()[0] for w in caught] == ["input", "target"]
    assert found.compute() == pytest.approx(fl.cross_entropy(**arrays), rel=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fl.evaluate("cross_entropy", **lazy)


def test_refusals(arrays):
    arrays["target"][300] = 6
    with pytest.raises(ValueError, match=r"target\[300\] = 6 is out of range"):
        fl.evaluate("cross_entropy", **chunked(arrays))
    lazy = chunked(arrays)
    with pytest.raises(ValueError, match="input has chunks of unknown sizes"):
        fl.evaluate("cross_entropy", input=lazy["input"][lazy["target"] > 2], target=arrays["target"])
    with pytest.raises(ValueError, match="target has shape"):
        fl.evaluate("mse_loss", input=lazy["input"], target=lazy["target"])


def test_a_task_runs_on_one_thread(arrays, monkeypatch):
    seen, update = [], fl.Accumulator.update

    def watched(self, *operands, **call):
        seen.append(fl.get_num_threads())
        return update(self, *operands, **call)

    monkeypatch.setattr(fl.Accumulator, "update", watched)
    with fl.num_threads(3), dask.config.set(scheduler="threads"):
        fl.evaluate("cross_entropy", **chunked(arrays))
    assert seen == [1] * len(RAGGED)


def test_two_processes(cluster, arrays):
    from distributed import Client

    with Client(cluster):
        found = fl.evaluate("cross_entropy", **chunked(arrays), per_sample=True)
    losses = fl.cross_entropy(**arrays, reduction="none")
    assert found.compute() == pytest.approx(losses.mean(), rel=1e-12)
    np.testing.assert_array_equal(found.losses(), losses)


def test_a_worker_dies_in_the_middle(cluster, arrays, tmp_path):
    from distributed import Client

    def slowly(block, folder):  # inside a function, so that it travels by value: no worker can import this file
        open(os.path.join(folder, f"{os.getpid()}"), "w").close()  # a mark with its process
        time.sleep(0.1)
        return block

    lazy = chunked(arrays)
    lazy["input"] = lazy["input"].map_blocks(slowly, str(tmp_path), dtype=float, meta=np.empty((0, 0)))
    killed = []

    with Client(cluster) as client:
        assert client.submit(int, 1).result() == 1

        def kill():
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and not killed:
                for mark in os.listdir(tmp_path):
                    os.kill(int(mark), signal.SIGKILL)
                    killed.append(mark)
                    break
                time.sleep(0.02)

        thread = threading.Thread(target=kill)
        thread.start()
        found = fl.evaluate("cross_entropy", **lazy)
        thread.join()
    assert killed and int(killed[0]) != os.getpid()
    assert found.compute() == pytest.approx(fl.cross_entropy(**arrays), rel=1e-12)


def test_the_command(cluster, arrays, tmp_path, capsys):
    words = ["eval", "cross_entropy", "--json", "--quiet"]
    for name, a in arrays.items():
        np.save(tmp_path / f"{name}.npy", a)
        words += [f"--{name}", str(tmp_path / f"{name}.npy")]
    for where in ("local", cluster.scheduler_address):
        assert cli.main([*words, "--dask", where]) == 0
        assert json.loads(capsys.readouterr().out)["value"] == pytest.approx(fl.cross_entropy(**arrays), rel=1e-12)
    assert cli.main([*words, "--dask", "nowhere"]) == 2
    assert "--dask: dask must be 'local' or the address" in capsys.readouterr().err

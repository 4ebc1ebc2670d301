# SPDX-License-Identifier: BSD-3-Clause
"""Inputs for CTC: every distribution on which its accuracy is promised, and random small batches.

`python ctc_cases.py` prints a digest of every distribution's results, by which runs under different environments are
compared bit for bit.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctc_oracle
import numpy as np

import fastloss as fl
from fastloss import _call_ctc

OCR = Path(__file__).resolve().parent.parent / "examples" / "ocr_lines.npz"
Generator = np.random.Generator


@dataclass(frozen=True)
class Batch:
    """Logits (T, N, C) in float64, one target per sample, lengths; `is_log_probs`: they are log-probabilities as is."""

    x: np.ndarray
    targets: list[np.ndarray]
    input_lengths: np.ndarray
    blank: int = 0
    is_log_probs: bool = False

    @property
    def target_lengths(self) -> np.ndarray:
        return np.array([len(labels) for labels in self.targets])

    @property
    def concatenated(self) -> np.ndarray:
        return np.concatenate([*self.targets, np.zeros(0, np.int64)])

    def padded(self, width: int | None = None, fill: int = -7, dtype: Any = np.int64) -> np.ndarray:
        """(N, S) targets, with something that is no label behind each."""
        longest = int(self.target_lengths.max(initial=0))
        rows = np.full((len(self.targets), longest if width is None else width), fill, dtype)
        for row, labels in zip(rows, self.targets, strict=True):
            row[: len(labels)] = labels
        return rows

    def inputs(self, dtype: Any, from_logits: bool) -> np.ndarray:
        """What is passed as log_probs, rounded to `dtype`: the logits, or their log-softmax."""
        taken = self.x if from_logits or self.is_log_probs else ctc_oracle.log_softmax(self.x)
        return taken.astype(dtype, copy=not self.is_log_probs)

    def prepared(self, dtype: Any, from_logits: bool) -> Batch:
        """The same batch with its inputs made once and for all, for calls with these options."""
        return Batch(self.inputs(dtype, from_logits), self.targets, self.input_lengths, self.blank, True)

    def one(self, n: int) -> Batch:
        """A batch of one of the samples, with its own frames only."""
        x = np.ascontiguousarray(self.x[: self.input_lengths[n], n : n + 1])
        return Batch(x, [self.targets[n]], self.input_lengths[n : n + 1], self.blank, self.is_log_probs)


def call(batch: Batch, dtype: Any = np.float64, from_logits: bool = False, exact: bool = False, **options: Any) -> Any:
    """`ctc_loss` of a batch; `exact` forces the path that all others fall back to."""
    args = (batch.inputs(dtype, from_logits), batch.concatenated, batch.input_lengths, batch.target_lengths)
    if not exact:
        return fl.ctc_loss(*args, blank=batch.blank, from_logits=from_logits, **options)
    given = {"reduction": "mean", "zero_infinity": False, "return_grad": False, "grad_output": None, "out": None}
    given = {**given, "grad_out": None, **options}
    return _call_ctc.general_ctc(*args, blank=batch.blank, from_logits=from_logits, exact=True, **given)


# ---- one distribution each -------------------------------------------------------------------------------------------


def draw_labels(rng: Generator, length: int, classes: int, blank: int = 0, repeats: float = 0.15) -> np.ndarray:
    """Labels other than the blank, some of them equal to the one before."""
    labels = rng.integers(0, classes - 1, length) if length else np.zeros(0, np.int64)
    labels += labels >= blank
    kept = np.where(rng.random(length) < repeats, 0, np.arange(length))  # the last label that is one of its own
    return labels[np.maximum.accumulate(kept)]


def needed(labels: np.ndarray) -> int:
    """Frames without which there is no alignment: one per label, and a blank between equal ones."""
    return len(labels) + int(np.sum(labels[1:] == labels[:-1]))


def normal(scale: float, frames: int = 120, classes: int = 40, lengths: tuple[int, ...] = (30, 45, 8)) -> Callable:
    def draw(rng: Generator) -> Batch:
        x = rng.normal(0, scale, (frames, len(lengths), classes))
        targets = [draw_labels(rng, n, classes) for n in lengths]
        return Batch(x, targets, frames - np.arange(len(lengths)) * (frames // 8))

    return draw


def all_blank(rng: Generator) -> Batch:
    """Early training: the blank takes all, the labels look alike."""
    x = rng.normal(0, 0.1, (420, 2, 64))
    x[:, :, 0] += 11
    x = ctc_oracle.log_softmax(x).astype(np.float32).astype(np.float64)
    return Batch(x, [draw_labels(rng, n, 64) for n in (300, 40)], np.array([420, 200]), 0, True)


def peaky(rng: Generator) -> Batch:
    """Trained: a spike per label at its place, blanks between them, and a few frames of doubt."""
    frames, lengths = 300, (60, 25)
    x = rng.normal(0, 1, (frames, len(lengths), 50))
    targets = [draw_labels(rng, n, 50) for n in lengths]
    for n, labels in enumerate(targets):
        spikes = np.sort(rng.choice(frames // 2, len(labels), replace=False)) * 2
        x[:, n, 0] += 14
        x[spikes, n, 0] -= 14
        x[spikes, n, labels] += 14
    x[::37] *= 0.3
    return Batch(x, targets, np.full(len(lengths), frames))


def dead_label(rng: Generator) -> Batch:
    """One label of the target is at -1e4 in every frame."""
    batch = normal(2.0)(rng)
    for n, labels in enumerate(batch.targets):
        batch.x[:, n, labels[len(labels) // 2]] = -1e4
    return batch


def burst(rng: Generator) -> Batch:
    """Some frames in a row are scaled by 300."""
    batch = normal(3.0)(rng)
    batch.x[40:60] *= 300
    return batch


def tight(rng: Generator) -> Batch:
    """Not a frame more than the target needs."""
    targets = [draw_labels(rng, n, 30, repeats=0.4) for n in (40, 1, 17, 2)]
    lengths = np.array([needed(labels) for labels in targets])
    return Batch(rng.normal(0, 3, (int(lengths.max()), len(targets), 30)), targets, lengths)


def one_frame(rng: Generator) -> Batch:
    targets = [draw_labels(rng, n, 7) for n in (1, 0, 1)]
    return Batch(rng.normal(0, 3, (1, 3, 7)), targets, np.ones(3, np.int64))


def no_labels(rng: Generator) -> Batch:
    return Batch(rng.normal(0, 3, (90, 2, 11)), [np.zeros(0, np.int64)] * 2, np.array([90, 17]))


def long(rng: Generator) -> Batch:
    """20 000 frames of log-probabilities that float32 holds."""
    x = ctc_oracle.log_softmax(rng.normal(0, 2, (20_000, 1, 12))).astype(np.float32)
    return Batch(x.astype(np.float64), [draw_labels(rng, 24, 12)], np.array([20_000]), 0, True)


def segments(rng: Generator) -> Batch:
    """A gradient that is worked on in several stretches of frames, as many labels need it."""
    x = ctc_oracle.log_softmax(rng.normal(0, 2, (620, 1, 30))).astype(np.float32)
    return Batch(x.astype(np.float64), [draw_labels(rng, 500, 30, 0, 0.05)], np.array([610]), 0, True)


def drifting(rng: Generator) -> Batch:
    """Sure and wrong about half the frames: all alignments are improbable, and mass moves by thousands of bits."""
    x = rng.normal(0, 1, (400, 2, 30))
    for n in range(2):
        x[np.arange(400), n, rng.integers(0, 30, 400)] += np.repeat(rng.choice([0.0, 60.0], 40), 10)
    return Batch(x, [draw_labels(rng, n, 30) for n in (90, 140)], np.array([400, 390]))


def jumping(rng: Generator) -> Batch:
    """Runs of frames that favour one class by 1 to 200; see `jump`."""
    targets = [draw_labels(rng, n, 5) for n in (2, 4, 9, 20, 40, 60)]
    batch = Batch(np.zeros((200, 6, 5)), targets, np.array([200, 199, 180, 200, 150, 200]))
    for n in range(6):
        jump(rng, batch.x[:, n])
    return batch


def masked(rng: Generator) -> Batch:
    """Three entries of ten are -inf, never a blank, nor the labels of one alignment."""
    batch = normal(3.0, 90, 25, (20, 9, 30))(rng)
    hidden = rng.random(batch.x.shape) < 0.3
    hidden[:, :, 0] = False
    for n, labels in enumerate(batch.targets):
        hidden[2 * np.arange(len(labels)), n, labels] = False
    batch.x[hidden] = -np.inf
    return batch


def closed_vocabulary(rng: Generator) -> Batch:
    """All but the blank and the target's labels are -inf, and in every third frame the blank too."""
    batch = normal(1.0, 80, 60, (12, 5))(rng)
    for n, labels in enumerate(batch.targets):
        batch.x[:, n, ~np.isin(np.arange(60), [0, *labels])] = -np.inf
    batch.x[2::3, :, 0] = -np.inf
    return batch


def ocr(rng: Generator) -> Batch:
    """Real posteriors, stored as float16."""
    with np.load(OCR) as data:
        labels = zip(data["targets"], data["target_lengths"], strict=True)
        targets = [row[:length].astype(np.int64) for row, length in labels]
        return Batch(data["log_probs"].astype(np.float64), targets, data["input_lengths"], 0, True)


DISTRIBUTIONS: dict[str, Callable[[Generator], Batch]] = {
    "uniform": normal(0.0),
    "sigma 0.5": normal(0.5),
    "sigma 3": normal(3.0),
    "sigma 10": normal(10.0),
    "sigma 40": normal(40.0),
    "all blank": all_blank,
    "peaky": peaky,
    "dead label": dead_label,
    "burst": burst,
    "tight": tight,
    "one frame": one_frame,
    "no labels": no_labels,
    "drifting": drifting,
    "jumping": jumping,
    "masked": masked,
    "closed vocabulary": closed_vocabulary,
    "ocr": ocr,
    "segments": segments,
    "long": long,
}


@functools.cache
def batch_of(name: str) -> Batch:
    """The seeded batch of a distribution."""
    return DISTRIBUTIONS[name](np.random.default_rng([5, len(name), ord(name[0])]))


@functools.cache
def expected(name: str, dtype: str, from_logits: bool) -> tuple[np.ndarray, np.ndarray]:
    """The oracle's loss and gradient for the inputs as rounded to `dtype`."""
    batch = batch_of(name)
    x = batch.inputs(dtype, from_logits)
    if dtype == "float64" and np.array_equal(x, x.astype(np.float32)):  # nothing was rounded, no second answer
        return expected(name, "float32", from_logits)
    return ctc_oracle.exact(x, batch.targets, batch.input_lengths, batch.blank, from_logits)


# ---- four and five small samples -------------------------------------------------------------------------------------

LENGTHS = ([5, 3, 0, 2], [20, 17, 9, 20])  # of the targets, of the inputs


def drawn(blank: int = 0, classes: int = 9, seed: int = 0) -> Batch:
    """Four samples of different lengths, one of them with an empty target."""
    rng = np.random.default_rng(seed)
    targets = [draw_labels(rng, n, classes, blank, 0.3) for n in LENGTHS[0]]
    return Batch(rng.normal(0, 2, (20, 4, classes)), targets, np.array(LENGTHS[1]), blank)


def arguments(batch: Batch, dtype="float64", from_logits=False):
    """The four operands, with padded targets."""
    return batch.inputs(dtype, from_logits), batch.padded(), batch.input_lengths, batch.target_lengths


def infeasible() -> Batch:
    """Too few frames by one, for a repeat, for many; exactly enough; and plenty."""
    targets = [np.array(t) for t in ([1, 2, 3, 4], [2, 2], [5, 5, 5], [1, 1, 2], [3])]
    rng = np.random.default_rng(1)
    return Batch(rng.normal(size=(8, 5, 6)), targets, np.array([3, 2, 1, 4, 8]))


# ---- random small batches --------------------------------------------------------------------------------------------

SCALES = (0.1, 1.0, 3.0, 10.0, 40.0, 150.0)


def jump(rng: Generator, sample: np.ndarray) -> None:
    """Runs of frames that favour one class, by as much each: mass lost in one run is what counts in the next."""
    runs = rng.integers(0, sample.shape[1], len(sample)).repeat(rng.integers(1, 40, len(sample)))
    sample[...] = rng.normal(0, 0.1, sample.shape) - 10 ** rng.uniform(0, 2.3)
    sample[range(len(sample)), runs[: len(sample)]] = 0


def random_batch(rng: Generator, samples: int) -> Batch:
    """Samples of every kind side by side: short and long, feasible and not, masked, with dead labels and bursts."""
    frames, classes = int(rng.integers(1, 70)), int(rng.integers(2, 14))
    blank = int(rng.integers(0, classes))
    x = rng.normal(0, 1, (frames, samples, classes)) * rng.choice(SCALES, samples)[:, np.newaxis]
    lengths = rng.integers(0, frames + 1, samples)
    lengths[rng.random(samples) < 0.5] = frames
    targets = []
    for n in range(samples):
        most = lengths[n] + 2 if rng.random() < 0.2 else max(1, lengths[n] // 2)
        targets.append(draw_labels(rng, int(rng.integers(0, most + 1)), classes, blank, rng.choice([0.0, 0.15, 0.8])))
        sample, kind = x[:, n], rng.integers(0, 9)
        if kind == 0:
            sample[rng.random(frames) < rng.random()] *= 300
        elif kind == 1:
            sample[rng.random(sample.shape) < rng.choice([0.05, 0.3])] = -np.inf
        elif kind == 2:
            sample[:, rng.integers(0, classes)] = rng.choice([-1e4, -np.inf, -700.0])
        elif kind == 3:
            sample[:, blank] += rng.choice([-50.0, 12.0, 50.0, 700.0])
        elif kind == 4:
            sample[...] = np.sort(sample, axis=0)[:: rng.choice([-1, 1])]
        elif kind == 5:
            jump(rng, sample)
    empty = np.isneginf(x).all(axis=-1)  # no softmax
    x[empty, blank] = 0
    return Batch(x, targets, lengths, blank)


def random_batches(cases: int, seed: int, samples: int = 200) -> Iterator[Batch]:
    rng = np.random.default_rng(seed)
    for _ in range(cases // samples):
        yield random_batch(rng, samples)


def every_way(batch: Batch) -> Iterator[bytes]:
    """The bytes of values and gradients in both types, of logits and log-probabilities, on both paths."""
    for dtype in ("float32", "float64"):
        for from_logits in (False, True):
            prepared = batch.prepared(dtype, from_logits)
            for forced in (False, True):
                loss, grad = call(prepared, dtype, from_logits, forced, reduction="none", return_grad=True)
                yield loss.tobytes() + grad.tobytes()
                yield np.float64(call(prepared, dtype, from_logits, forced)).tobytes()


def digests(names: Iterable[str] = DISTRIBUTIONS) -> dict[str, str]:
    """A digest per distribution, and of a batch of many samples."""
    batches = {name: batch_of(name) for name in names}
    batches["many"] = random_batch(np.random.default_rng(11), 300)
    return {name: hashlib.sha256(b"".join(every_way(batch))).hexdigest() for name, batch in batches.items()}


if __name__ == "__main__":
    print(json.dumps(digests()))

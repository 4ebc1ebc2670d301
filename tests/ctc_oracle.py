# SPDX-License-Identifier: BSD-3-Clause
"""What CTC must give: in long double, and for tiny cases by the sum over all paths. It shares no code with fastloss.

`exact` runs forward only. Its gradient walks back through the recursion: the probability of a state at a frame is
handed to the states before it in proportion to what they brought in, so that no backward variable, total or quotient of
small numbers is needed. `all_paths` enumerates every one of the C^T paths and merges each by the rule itself.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

Labels = list[np.ndarray]
WIDE = np.longdouble


def log_softmax(x: Any) -> np.ndarray:
    """In the type of x; rows of -inf alone, and rows with inf, are nan."""
    with np.errstate(all="ignore"):
        shifted = x - x.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _ways(alpha: np.ndarray, skip: np.ndarray) -> np.ndarray:
    """(3, S): what comes into each state of a frame from itself, from one state back, from two back."""
    edge = np.full(2, -np.inf, WIDE)
    padded = np.concatenate([edge, alpha])
    return np.stack([padded[2:], padded[1:-1], np.where(skip, padded[:-2], -np.inf)])


def _sum(ways: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log of the sum over the first axis, and each part's share in it (0 where nothing came in)."""
    top = ways.max(axis=0)
    top = np.where(np.isneginf(top), 0, top)
    parts = np.exp(ways - top)
    total = parts.sum(axis=0)
    return top + np.log(total), parts / np.where(total == 0, 1, total)


def _one(log_probs: np.ndarray, labels: np.ndarray, blank: int) -> tuple[Any, np.ndarray]:
    """Loss and occupancy of one sequence of at least one frame."""
    lattice = np.full(2 * labels.size + 1, blank)
    lattice[1::2] = labels
    skip = np.array([s > 1 and lattice[s] not in (blank, lattice[s - 2]) for s in range(lattice.size)])
    frames = len(log_probs)

    emissions = log_probs[:, lattice]
    alpha = np.full(lattice.size, -np.inf, WIDE)
    alpha[:2] = emissions[0, :2]
    shares = np.zeros((frames, 3, lattice.size + 2), WIDE)  # two more states, from which nothing goes back
    for t in range(1, frames):
        into, shares[t, :, :-2] = _sum(_ways(alpha, skip))
        alpha = into + emissions[t]
    total, share = _sum(alpha[-2:, np.newaxis])

    occupancy = np.zeros(log_probs.shape, WIDE)
    if np.isneginf(total[0]):
        return WIDE(np.inf), occupancy
    here = np.zeros(lattice.size + 2, WIDE)
    here[: lattice.size][-2:] = share[:, 0]
    for t in range(frames - 1, -1, -1):
        np.add.at(occupancy[t], lattice, here[:-2])
        back = here * shares[t]
        here[:-2] = back[0, :-2] + back[1, 1:-1] + back[2, 2:]
    return -total[0], occupancy


@np.errstate(all="ignore")
def exact(x: Any, targets: Labels, input_lengths: Any, blank: int, from_logits: bool) -> tuple[np.ndarray, np.ndarray]:
    """Loss (N,) and gradient (T, N, C) of each sample's own loss, in long double, of finite or -inf inputs."""
    x = np.asarray(x).astype(WIDE)
    loss, grad = np.zeros(len(targets), WIDE), np.zeros(x.shape, WIDE)
    for n, (labels, length) in enumerate(zip(targets, input_lengths, strict=True)):
        frames = log_softmax(x[:length, n]) if from_logits else x[:length, n]
        if length == 0:
            loss[n] = np.inf if labels.size else 0
            continue
        loss[n], occupancy = _one(frames, np.asarray(labels), blank)
        if np.isfinite(loss[n]):
            grad[:length, n] = (np.exp(frames) if from_logits else 0) - occupancy
    return loss, grad


# ---- the sum over all paths ------------------------------------------------------------------------------------------


def _code(labels: Any, classes: int) -> int:
    """A number for a label sequence, another one for every other sequence."""
    return functools.reduce(lambda code, label: code * (classes + 1) + int(label) + 1, labels, 0)


@functools.cache
def _paths(frames: int, classes: int, blank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All paths (P, T), the code of what each merges to (P,), and (P, T * C) a 1 at each path's label of each frame."""
    paths = np.indices((classes,) * frames).reshape(frames, -1).T
    counts = paths != blank
    counts[:, 1:] &= paths[:, 1:] != paths[:, :-1]
    codes = np.zeros(len(paths), np.int64)
    for t in range(frames):
        codes = np.where(counts[:, t], codes * (classes + 1) + paths[:, t] + 1, codes)
    visits = (paths[:, :, np.newaxis] == np.arange(classes)).reshape(len(paths), -1)
    return paths, codes, visits.astype(np.float64)


@np.errstate(all="ignore")
def all_paths(x: np.ndarray, targets: Labels, blank: int, from_logits: bool) -> tuple[np.ndarray, np.ndarray]:
    """Loss (N,) and gradient (N, T, C) of tiny samples (N, T, C) of equal length, in float64."""
    samples, frames, classes = x.shape
    paths, codes, visits = _paths(frames, classes, blank)
    log_probs = log_softmax(x) if from_logits else x
    total = np.zeros((samples, len(paths)))
    for t in range(frames):
        total += log_probs[:, t, paths[:, t]]
    wanted = np.array([_code(labels, classes) for labels in targets])
    total = np.where(codes == wanted[:, np.newaxis], total, -np.inf)
    top = total.max(axis=1, keepdims=True)
    possible = ~np.isneginf(top)
    weights = np.where(possible, np.exp(total - np.where(possible, top, 0)), 0)
    mass = weights.sum(axis=1, keepdims=True)
    occupancy = (weights / np.where(possible, mass, 1) @ visits).reshape(x.shape)
    grad = np.where(possible[:, :, np.newaxis], (np.exp(log_probs) if from_logits else 0) - occupancy, 0)
    return np.where(possible, -(top + np.log(mass)), np.inf)[:, 0], grad

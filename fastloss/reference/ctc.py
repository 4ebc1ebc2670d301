# SPDX-License-Identifier: BSD-3-Clause
"""Connectionist temporal classification by definition, in log space, one sequence after the other.

An alignment gives every frame a label or the blank; merging repeats and then dropping blanks must leave the target. So
it walks through 2 L + 1 states, blank l1 blank l2 ... lL blank: from one frame to the next it stays, goes one state on,
or passes over the blank between two labels that differ. It starts in the first two states and ends in the last two. Its
log-probability is the sum of those of its frames, and the loss is minus the log of the sum over all alignments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def _may_skip(labels: Labels) -> NDArray[np.bool_]:
    """(2 L + 1,): whether a state can be entered past the blank before it, as a label unlike the one before can."""
    skip = np.zeros(2 * labels.size + 1, bool)
    skip[3::2] = labels[1:] != labels[:-1]
    return skip


def _plus(into: Array, frame: Array) -> Array:
    """Reach a state, then emit its label; what is not reached stays so, be its log-probability inf or nan."""
    return np.where(np.isneginf(into), -np.inf, into + frame)


def _ways_in(emissions: Array, skip: NDArray[np.bool_]) -> Array:
    """(T, S): log of the summed probability of all ways into a state at a frame, up to the frame before."""
    into = np.full(emissions.shape, -np.inf)
    into[0, :2] = 0.0
    for t in range(1, len(emissions)):
        before = _plus(into[t - 1], emissions[t - 1])
        into[t] = before
        into[t, 1:] = np.logaddexp(into[t, 1:], before[:-1])
        into[t, 2:] = np.where(skip[2:], np.logaddexp(into[t, 2:], before[:-2]), into[t, 2:])
    return into


def _sequence(log_probs: Array, labels: Labels, blank: int) -> tuple[float, Array]:
    """Loss of (T, C) frames and one target, and (T, C) how probable each label is at each frame, given the target."""
    occupancy = np.zeros_like(log_probs)
    if len(log_probs) == 0:
        return (np.inf if labels.size else 0.0), occupancy
    states = np.full(2 * labels.size + 1, blank)
    states[1::2] = labels
    emissions = log_probs[:, states]

    # Forward, and backward: the ways out of a state are the ways into it of everything reversed.
    alpha = _plus(_ways_in(emissions, _may_skip(labels)), emissions)
    beta = _ways_in(emissions[::-1, ::-1], _may_skip(labels[::-1]))[::-1, ::-1]
    total = np.logaddexp.reduce(alpha[-1, -2:])
    if np.isneginf(total):
        return np.inf, occupancy
    visited = ~(np.isneginf(alpha) | np.isneginf(beta))
    share = np.where(visited, np.exp(alpha + beta - total), 0.0)
    for s, label in enumerate(states):
        occupancy[:, label] += share[:, s]
    return -float(total), occupancy


def _log_softmax(x: Array) -> Array:
    shifted = x - np.max(x, axis=-1, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


@np.errstate(all="ignore")
def ctc(
    log_probs: Array, targets: list[Labels], input_lengths: NDArray[Any], blank: int, from_logits: bool
) -> tuple[Array, Array]:
    """Loss of each of N sequences, and its gradient in `log_probs`.

    Labels and lengths are in range and no label is the blank: the caller saw to it. Frames beyond a sequence's length
    are not looked at.

    Returns
    -------
    loss : (N,), inf where there is no alignment
    grad : (T, N, C), minus the probability of each label at each frame, given the target; with logits the softmax is
        added. 0 beyond a sequence's length, and all of it where there is no alignment.
    """
    loss, grad = np.zeros(len(targets)), np.zeros(log_probs.shape)
    for n, labels in enumerate(targets):
        frames = log_probs[: input_lengths[n], n]
        if from_logits:
            frames = _log_softmax(frames)
        loss[n], occupancy = _sequence(frames, labels, blank)
        if loss[n] != np.inf:
            grad[: input_lengths[n], n] = (np.exp(frames) if from_logits else 0.0) - occupancy
    return loss, grad

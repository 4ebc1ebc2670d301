# SPDX-License-Identifier: BSD-3-Clause
"""The path of a call for losses on a matrix product: operands and checks for both backends, then the tiles.

The product input @ linear_weight.T is never whole. Tiles of it (`csrc/product.h`) come in one buffer, and while they
are in cache a kernel folds them into the state of their rows (`csrc/linear.h`). All of a row must be known before its
first gradient is, so tiles of a block of rows are kept until then: three products in all. Where too few rows could be
kept for fast products, tiles are computed once more instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import _config, _reference
from ._arrays import Array, as_array, as_optional, where, working_dtype
from ._call import (
    check_options,
    integer,
    outputs,
    reduced,
    result,
    scale_of,
    share,
    split_grad_output,
)
from ._call_rows import as_class_weight, bad_label
from ._record import Record

ROWS = 2048  # of a block: enough for a product to be as fast as the whole one
KEPT_ROWS = 128  # of a block whose logits are kept, at least: each block adds to all of the matrix's gradient
KEPT_BYTES = 128 * 2**20
TILE_BYTES = 16 * 2**20
PANEL = 32  # features of a matrix are packed by 32 (`csrc/panels.h`) or by fewer
PIECE_BYTES = 4096  # FL_TILE_BYTES: of a row that is folded at a time
LANES = 16
LEFT_OUT = -2


class LinearJob(Record):
    """One checked call. The loss of K dimensions is K = d1 * d2 * ... losses that share their input: `linear_weight`
    has the shape (V, K, D), and targets are (N, K)."""

    real: np.dtype[Any]
    input: Array  # (N, D)
    linear_weight: Array  # (V, K, D)
    linear_bias: Array | None  # (V, K)
    labels: Array | None  # (N, K), int64, LEFT_OUT where a position does not count
    probabilities: Array | None  # (N, V, K), in place of labels
    weight: Array | None  # (V,), float64
    smoothing: float
    scale: float = 1.0
    grad_output: Array | None = None  # (N, K)
    excluded: Array | None = None  # (N,): a class of each row that is left out
    grads: tuple[Array, ...] | None = None  # (N, D), (V, K, D) and, with a bias, (V, K): written

    def label_weights(self) -> Array:
        """Class weight of each label, (N, K); 0 where the position is left out."""
        assert self.labels is not None
        counted = self.labels >= 0
        if self.weight is None or self.weight.size == 0:
            return counted.astype(np.float64)
        return np.where(counted, self.weight[np.where(counted, self.labels, 0)], 0.0)

    def factors(self) -> Array:
        """Factor of each position's gradient, (N, K)."""
        n, k = self.input.shape[0], self.linear_weight.shape[1]
        given = 1.0 if self.grad_output is None else self.grad_output.astype(np.float64)
        return np.broadcast_to(self.scale * given, (n, k))


# ---- checks ----------------------------------------------------------------------------------------------------------


def check_shapes(x: Array, w: Array, bias: Array | None) -> None:
    if x.ndim not in (1, 2):
        raise ValueError(f"input has shape {x.shape}, expected (D,) or (N, D)")
    if w.ndim < 2:
        raise ValueError(f"linear_weight has shape {w.shape}, expected (V, D) or (V, d1, ..., D)")
    if x.shape[-1] != w.shape[-1]:
        raise ValueError(
            f"input has shape {x.shape} and linear_weight {w.shape}: their last axes, the features, must be equal"
        )
    if bias is not None and bias.shape != w.shape[:-1]:
        raise ValueError(
            f"linear_bias has shape {bias.shape}, expected {w.shape[:-1]}: linear_weight's without features"
        )
    if x.ndim == 1 and w.ndim > 2:
        raise ValueError(f"linear_weight has shape {w.shape}, which needs an input of shape (N, D), got {x.shape}")


def own_labels(target: Array, shape: tuple[int, ...], ignore_index: Any, classes: int) -> Array:
    """The labels in an array of our own, which nobody changes while we run; LEFT_OUT in place of the ignored ones."""
    if target.dtype.kind not in "iu":
        raise TypeError(f"target has dtype {target.dtype}, expected integer class indices")
    if target.shape != shape:
        raise ValueError(f"target has shape {target.shape}, expected {shape} or, as probabilities, that of the logits")
    ignored = -100 if ignore_index is None else integer(ignore_index, "ignore_index")
    own = target.copy()
    if own.size and own.min() >= 0 and own.max() < classes and not 0 <= ignored < classes:
        return own.astype(np.int64, copy=False)
    left_out = own == ignored
    bad = ~left_out & ((own < 0) | (own >= classes))
    if bad.any():
        raise bad_label(own, where(int(np.argmax(bad.ravel())), own.shape), classes)
    return np.where(left_out, LEFT_OUT, own.astype(np.int64))


def check_probabilities(target: Array, ignore_index: Any) -> None:
    if target.dtype.kind in "biu":
        raise TypeError(f"target has dtype {target.dtype} and the shape of the logits, expected floating probabilities")
    if ignore_index is not None:
        raise ValueError("ignore_index is given, but target contains probabilities")


def linear_cross_entropy(
    input: Any, linear_weight: Any, target: Any, linear_bias: Any, weight: Any, reduction: Any, ignore_index: Any,
    label_smoothing: Any, options: Any, return_grad: Any, grad_output: Any, out: Any, grad_out: Any,
) -> Any:  # fmt: skip
    check_options(reduction, return_grad, grad_output, out, grad_out)
    if options is not None:
        raise ValueError(f"options must be None, got {type(options).__name__}: there is nothing to set here")
    x, w, t = as_array(input, "input"), as_array(linear_weight, "linear_weight"), as_array(target, "target")
    bias = as_optional(linear_bias, "linear_bias")
    check_shapes(x, w, bias)
    classes, positions = w.shape[0], x.shape[:-1] + w.shape[1:-1]
    weights, smoothing = as_class_weight(weight, classes), share(label_smoothing, "label_smoothing")
    probable = t.shape == x.shape[:-1] + w.shape[:-1]
    labels = None
    if probable:
        check_probabilities(t, ignore_index)
    else:
        labels = own_labels(t, positions, ignore_index, classes)
    factor, grad_output_array = split_grad_output(grad_output, positions)
    pairs = [(input, x), (linear_weight, w), (linear_bias, bias), (weight, weights)]
    real = working_dtype(*pairs, *([(target, t)] if probable else []))
    inputs = [a for a in (x, w, t, bias, weights, grad_output_array) if a is not None]
    predictions = [x, w] if bias is None else [x, w, bias]
    value, grads = outputs(
        out, grad_out, positions, [a.shape for a in predictions], real, inputs, reduction, return_grad
    )

    n, k = math.prod(x.shape[:-1]), math.prod(w.shape[1:-1])
    job = LinearJob(
        real, x.reshape(n, x.shape[-1]), w.reshape(classes, k, w.shape[-1]),
        None if bias is None else bias.reshape(classes, k),
        None if labels is None else labels.reshape(n, k), t.reshape(n, classes, k) if probable else None,
        None if weights is None else weights.astype(np.float64), smoothing,
    )  # fmt: skip
    denominator = float(n * k) if probable else float(job.label_weights().sum())
    job.scale = scale_of(reduction, denominator) * factor
    if grad_output_array is not None:
        job.grad_output = np.broadcast_to(grad_output_array, positions).reshape(n, k)
    if grads is not None:
        job.grads = tuple(
            g.reshape(s) for g, s in zip(grads, [(n, x.shape[-1]), job.linear_weight.shape, (classes, k)], strict=False)
        )
    native = _config.get_backend() == "native"
    engine: Callable[[LinearJob], Array] = tiled if native else _reference.linear_cross_entropy
    with np.errstate(all="ignore"):
        unreduced = engine(job)
        if value is not None:
            np.copyto(value, unreduced.reshape(positions), casting="unsafe")
        return result(reduced(float(unreduced.sum()), reduction, denominator, value), grads)


# ---- tiles -----------------------------------------------------------------------------------------------------------


def whole_lanes(n: int) -> int:
    return -(-n // LANES) * LANES


def is_ready(a: Array, real: np.dtype[Any]) -> bool:
    """Whether this matrix is multiplied as it is; others are copied, a tile at a time."""
    return a.dtype == real and a.dtype.isnative and a.flags.aligned and real.itemsize in a.strides


def blocks_of(job: LinearJob) -> tuple[int, bool]:
    """Rows of a block, and whether the logits of one are kept between value and gradient. Where rows are cut in blocks,
    and classes in tiles, the sums of `csrc/product.h` and `csrc/linear.h` are in parts anyway: the same bits."""
    n, row_bytes = max(job.input.shape[0], 1), whole_lanes(job.linear_weight.shape[0]) * job.real.itemsize
    fit = min(KEPT_BYTES // max(row_bytes, 1), ROWS)
    if job.grads is None or fit < min(n, KEPT_ROWS):
        return min(n, ROWS), False
    return min(n, max(1, fit // KEPT_ROWS) * KEPT_ROWS), True


class Tiles:
    """The tiles of a block of rows of one of the K losses: buffers, and what every tile needs."""

    def __init__(self, job: LinearJob, rows: int, keeps: bool) -> None:
        assert _config.native is not None
        classes, _, features = job.linear_weight.shape
        fit = TILE_BYTES // (max(rows, -(-features // PANEL) * PANEL) * job.real.itemsize)
        self.job, self.keeps = job, keeps
        # Whole pieces of a row, where one fits, so that no bit depends on where tiles end.
        part = min(PIECE_BYTES // job.real.itemsize, max(LANES, fit))
        self.width = max(LANES, min(whole_lanes(classes), fit // part * part // LANES * LANES))
        columns = whole_lanes(classes) if keeps else self.width
        self.logits = _config.native.lines(rows * columns, job.real).reshape(rows, columns)
        self.dense = np.zeros((rows, self.width), job.real) if job.probabilities is not None else None
        ready = is_ready(job.linear_weight[:, 0], job.real)
        self.weight = None if ready else np.empty((min(self.width, classes), features), job.real)

    def matrix(self, k: int, first: int, last: int) -> Array:
        """Rows [first, last) of the k-th matrix in the working type."""
        part = self.job.linear_weight[first:last, k]
        if self.weight is None:
            return part
        own = self.weight[: last - first]
        np.copyto(own, part, casting="unsafe")
        return own

    def exclude(self, logits: Array, rows: slice, first: int) -> None:
        """Nothing is left of a class at -inf."""
        if self.job.excluded is not None:
            place = self.job.excluded[rows] - first
            inside = (place >= 0) & (place < logits.shape[1])
            logits[np.flatnonzero(inside), place[inside]] = -np.inf

    def padded(self, vector: Array | None, first: int, last: int) -> Array | None:
        """Part of one number per class, with zeros up to whole lanes."""
        if vector is None:
            return None
        own = np.zeros(whole_lanes(last - first), self.job.real)
        np.copyto(own[: last - first], vector[first:last], casting="unsafe")
        return own

    def factors(self, k: int, rows: slice, first: int, last: int) -> Array | None:
        """What -log p of each class is multiplied by, apart from the label's: weighted probabilities, or weights."""
        job = self.job
        if job.probabilities is None:
            ones = np.ones(job.linear_weight.shape[0]) if job.weight is None else job.weight
            return self.padded(ones, first, last) if job.smoothing else None
        assert self.dense is not None
        q = job.probabilities[rows, first:last, k].astype(np.float64)
        q = q * (1.0 - job.smoothing) + job.smoothing / job.linear_weight.shape[0]
        dense = self.dense[: q.shape[0]]
        np.copyto(dense[:, : last - first], q if job.weight is None else q * job.weight[first:last], casting="unsafe")
        dense[:, last - first :] = 0
        return dense

    def __call__(
        self, x: Array, k: int, rows: slice, again: bool = False
    ) -> Iterator[tuple[int, int, Array, Array, tuple[Any, ...]]]:
        """Each tile: its classes [first, last), its part of the matrix, the buffer with its logits, and what the kernel
        takes besides. Kept tiles still stand there when they are asked for again, their bias added."""
        assert _config.native is not None
        classes = self.job.linear_weight.shape[0]
        kept = again and self.keeps
        bias = None if self.job.linear_bias is None or kept else self.job.linear_bias[:, k]
        for first in range(0, classes, self.width):
            last = min(classes, first + self.width)
            matrix = self.matrix(k, first, last)
            logits = self.logits[: x.shape[0], first if self.keeps else 0 :]
            if not kept:
                _config.native.product(x, matrix.T, logits[:, : last - first])
                self.exclude(logits[:, : last - first], rows, first)
            further = (self.padded(bias, first, last), self.factors(k, rows, first, last))
            yield first, last, matrix, logits, further


class RowState:
    """What is known of a block of rows: the kernel's state, and the loss that it amounts to."""

    def __init__(self, job: LinearJob, k: int, rows: slice, weights: Array | None) -> None:
        n = len(range(*rows.indices(job.input.shape[0])))
        self.label = np.full(n, -1, np.int64) if job.labels is None else np.ascontiguousarray(job.labels[rows, k])
        self.state = np.zeros((6, n))  # max, rest, ones, target_logit, distance, mass
        self.state[0] = -float(np.finfo(job.real).max)
        self.picked = np.zeros(n) if weights is None else weights[rows, k] * (1.0 - job.smoothing)
        self.share = np.ones(n) if weights is None else np.zeros(n)
        if job.labels is not None and job.smoothing:
            self.share[self.label != LEFT_OUT] = job.smoothing / max(job.linear_weight.shape[0], 1)

    def value(self) -> Array:
        """picked * -log p[label] + share * sum of q * -log p."""
        assert _config.native is not None
        return _config.native.linear_values(self.label, self.state, self.picked, self.share)

    def gradient(self, factor: Array) -> Array:
        """Rows of factors of the logits' gradient: of exp(x - max); all of it at the label; of q."""
        assert _config.native is not None
        return _config.native.linear_factors(self.label, self.state, self.picked, self.share, factor)


def add_gradients(job: LinearJob, tiles: Tiles, x: Array, k: int, rows: slice, state: RowState) -> None:
    """Gradients of one block of rows: logits again, made gradients, times what they were a product of."""
    assert job.grads is not None and _config.native is not None
    to_input, to_weight = job.grads[:2]
    to_bias = job.grads[2] if len(job.grads) > 2 else None
    factors = state.gradient(np.ascontiguousarray(job.factors()[rows, k]))
    for first, last, matrix, logits, (bias, dense) in tiles(x, k, rows, again=True):
        _config.native.run_tile(logits, last - first, first, bias, state.label, dense, state.state, factors)
        g = logits[:, : last - first]
        _config.native.product(g, matrix, to_input[rows], add=first > 0 or k > 0)
        _config.native.product(g.T, x, to_weight[first:last, k], add=rows.start > 0)
        if to_bias is not None:
            to_bias[first:last, k] += g.sum(axis=0, dtype=np.float64)


def tiled(job: LinearJob) -> Array:
    """The unreduced loss (N, K) in float64; gradients are written."""
    assert _config.native is not None
    n, k_all = job.input.shape[0], job.linear_weight.shape[1]
    step, keeps = blocks_of(job)
    tiles = Tiles(job, step, keeps) if job.linear_weight.shape[0] and n * k_all else None
    value = np.zeros((n, k_all))
    weights = None if job.labels is None else job.label_weights()
    for g in (job.grads or ())[0 if tiles is None else 2 :]:  # the others are written by their first tile
        g[...] = 0
    for start in range(0, n, step):
        rows = slice(start, min(n, start + step))
        x = np.ascontiguousarray(job.input[rows], job.real)
        x = x if x.flags.aligned else x.copy()
        for k in range(k_all):
            state = RowState(job, k, rows, weights)
            if tiles is not None:
                for first, last, _, logits, (bias, dense) in tiles(x, k, rows):
                    _config.native.run_tile(logits, last - first, first, bias, state.label, dense, state.state, None)
            value[rows, k] = state.value()
            if job.grads is not None and tiles is not None:
                add_gradients(job, tiles, x, k, rows, state)
    return value

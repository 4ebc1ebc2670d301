# SPDX-License-Identifier: BSD-3-Clause
"""Losses that rank a query's own key before all others: cross entropy of similarities, which are a matrix product that
is never whole (`_call_linear`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _config, _reference
from ._arrays import Array, as_mask, working_dtype
from ._call import boolean, check_options, outputs, reduced, result, scale_of, split_grad_output
from ._call_batch import anchors_counted, embeddings_of
from ._call_linear import LEFT_OUT, LinearJob, tiled

LEAST_NORM = 1e-12  # as torch.nn.functional.normalize has it


class Directions:
    """Vectors over their lengths, and what that makes of a gradient."""

    def __init__(self, given: Array, real: np.dtype[Any], normalize: bool, factor: float) -> None:
        x = given.astype(np.float64)
        self.normalize, self.factor = normalize, factor
        with np.errstate(all="ignore"):
            largest = np.abs(x).max(axis=1, keepdims=True, initial=0.0)
            safe = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)  # squares neither overflow nor vanish
            norm = np.sqrt(((x / safe) ** 2).sum(axis=1, keepdims=True)) * safe
            self.clamped = norm < LEAST_NORM
            self.norm = np.where(self.clamped, LEAST_NORM, norm)
            self.unit = x / self.norm if normalize else x
            self.vectors = np.ascontiguousarray(self.unit * factor, real)

    def gradient(self, g: Array) -> Array:
        """By the vectors as they were given, from that by `vectors`."""
        g = g.astype(np.float64) * self.factor
        if not self.normalize:
            return g
        along = np.where(self.clamped, 0.0, (g * self.unit).sum(axis=1, keepdims=True))
        return (g - along * self.unit) / self.norm


def ranked(
    queries: tuple[Any, ...], keys: tuple[Any, ...], names: tuple[str, ...], factor: float, normalize: Any,
    target: Array, own: Array | None, reduction: Any, mask: Any, return_grad: Any, grad_output: Any, out: Any,
    grad_out: Any,
) -> Any:  # fmt: skip
    """Cross entropy of factor * similarity of every query with every key. queries, keys: arrays, each a part of all;
    where there are no keys the queries are the keys too. names: of both, in order. target: each query's key; own: the
    key that is left out for each query, or None."""
    check_options(reduction, return_grad, grad_output, out, grad_out)
    unit = boolean(normalize, "normalize")
    arrays = [embeddings_of(x, name) for x, name in zip((*queries, *keys), names, strict=True)]
    n, mask_array = target.size, as_mask(mask)
    factor_out, grad_output_array = split_grad_output(grad_output, (n,))
    counted = anchors_counted(mask_array, n, "query")
    real = working_dtype(*zip((*queries, *keys), arrays, strict=True))
    inputs = [*arrays, *(a for a in (mask_array, grad_output_array) if a is not None)]
    value, grads = outputs(out, grad_out, (n,), [a.shape for a in arrays], real, inputs, reduction, return_grad)

    count = len(queries)
    q = [Directions(a, real, unit, factor) for a in arrays[:count]]
    k = [Directions(a, real, unit, 1.0) for a in (arrays[count:] or arrays)]
    x, w = (np.concatenate([d.vectors for d in part]) for part in (q, k))
    job = LinearJob(
        real, x, w[:, np.newaxis], None, np.where(counted, target, LEFT_OUT)[:, np.newaxis], None, None, 0.0
    )
    job.excluded = own
    denominator = float(np.count_nonzero(counted)) if reduction == "mean" else 1.0
    job.scale = scale_of(reduction, denominator) * factor_out
    if grad_output_array is not None:
        job.grad_output = np.broadcast_to(grad_output_array, (n,))[:, np.newaxis]
    if grads is not None:
        job.grads = np.empty_like(x), np.empty_like(job.linear_weight)
    engine = tiled if _config.get_backend() == "native" else _reference.linear_cross_entropy
    with np.errstate(all="ignore"):
        unreduced = engine(job)[:, 0]
        if value is not None:
            np.copyto(value, unreduced, casting="same_kind")
        if grads is not None and job.grads is not None:
            by_query, by_key = _split(job.grads[0], q), _split(job.grads[1][:, 0], k)
            parts = [*by_query, *by_key] if keys else [a + b for a, b in zip(by_query, by_key, strict=True)]
            for to, g in zip(grads, parts, strict=True):
                np.copyto(to, g, casting="same_kind")
        return result(reduced(float(unreduced.sum()), reduction, denominator, value), grads)


def _split(g: Array, parts: list[Directions]) -> list[Array]:
    """The gradient of the concatenated vectors as those of the parts, as they were given."""
    ends = np.cumsum([len(p.vectors) for p in parts])[:-1]
    return [p.gradient(piece) for p, piece in zip(parts, np.split(g, ends), strict=True)]


def check_alike(arrays: list[Array], names: tuple[str, ...], rows: bool = True) -> None:
    """Refuse embeddings that do not belong together: all rows alike, or only the features."""
    first = arrays[0]
    for a, name in zip(arrays[1:], names[1:], strict=True):
        if a.shape[1] != first.shape[1] or (rows and a.shape != first.shape):
            expected = f"{first.shape}: that of {names[0]}" if rows else f"(M, {first.shape[1]})"
            raise ValueError(f"{name} has shape {a.shape}, expected {expected}")

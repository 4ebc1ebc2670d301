# SPDX-License-Identifier: BSD-3-Clause
"""Losses that rank a query's own key before all others: cross entropy of similarities, which are a matrix product that
is never whole (`_call_linear`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _config, _reference, reference
from ._arrays import Array, as_mask, working_dtype
from ._call import boolean, check_options, outputs, reduced, result, scale_of, split_grad_output
from ._call_batch import anchors_counted, embeddings_of, padded_lanes
from ._call_linear import LANES, LEFT_OUT, LinearJob, tiled

LEAST_NORM = 1e-12  # as torch.nn.functional.normalize has it


class Directions:
    """Vectors over their lengths, times a factor, and what that makes of a gradient."""

    def __init__(self, given: Array, real: np.dtype[Any], normalize: bool, factor: float) -> None:
        self.given, self.real, self.normalize, self.factor = given, real, normalize, factor
        self.native = normalize and _config.get_backend() == "native"
        if self.native:
            assert _config.native is not None
            features = given.shape[1]
            with np.errstate(all="ignore"):
                whole = np.require(given, real, ["C", "A"]) if features % LANES == 0 else padded_lanes(given, 0, real)
            self.given, self.vectors = whole, np.empty_like(whole)
            _config.native.directions(whole, factor, LEAST_NORM, None, self.vectors)
        else:
            with np.errstate(all="ignore"):
                x = given.astype(np.float64)
                unit = reference.ranking.directions(x, LEAST_NORM)[0] if normalize else x
                self.vectors = np.ascontiguousarray(unit * factor, real)

    def gradient(self, g: Array) -> Array:
        """By the vectors as they were given, padding and all, from that by `vectors`."""
        if self.native:
            assert _config.native is not None
            own = np.empty_like(self.given)
            _config.native.directions(self.given, self.factor, LEAST_NORM, np.require(g, self.real, ["C", "A"]), own)
            return own
        g = g.astype(np.float64) * self.factor
        if not self.normalize:
            return g
        return reference.ranking.directions_gradient(self.given.astype(np.float64), g, LEAST_NORM)


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
    x, w = (_joined([d.vectors for d in part]) for part in (q, k))
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
                np.copyto(to, g[:, : to.shape[1]], casting="same_kind")
        return result(reduced(float(unreduced.sum()), reduction, denominator, value), grads)


def _joined(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


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

# SPDX-License-Identifier: BSD-3-Clause
"""Along which axes the samples of a loss lie, and how many make a chunk."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .accumulate import NOT_ACCUMULATED, WHOLE_BATCH

CHUNK_BYTES = 4 << 20  # of all columns together: stays in cache between the passes over it
CHUNK_SAMPLES = 1 << 17  # at most, if the losses of samples are wanted: each takes some 30 bytes on its way
ANY_NUMBER = 1 << 60  # of rows, where it is not known: no other axis is as long

# Arguments that never run along the samples, whatever their shape.
SHARED = frozenset({"pos_weight", "linear_weight", "linear_bias"})
# Arguments that may have one entry per row of the first argument, instead of its shape; any other argument with fewer
# axes is broadcast along the last ones.
PER_ROW = {
    "gaussian_nll_loss": frozenset({"var"}),
    "linear_cross_entropy": frozenset({"target"}),
    "quantile_loss": frozenset({"target"}),  # several quantiles; of one, the target has the input's shape
}
# Losses whose samples do not lie on axis 0 of every argument: argument -> axis.
OWN_AXES: dict[str, dict[str, int]] = {
    "ctc_loss": {"log_probs": 1, "targets": 0, "input_lengths": 0, "target_lengths": 0},
}
# Losses that say themselves how long each sample is: arguments that are padded -> that of their lengths.
RAGGED: dict[str, dict[str, str]] = {
    "ctc_loss": {"log_probs": "input_lengths", "targets": "target_lengths"},
}


def array_arguments(function: Callable[..., Any]) -> list[str]:
    """Parameters that take arrays: those without a default, or with None."""
    empty = inspect.Parameter.empty
    every = inspect.signature(function).parameters.items()
    return [n for n, p in every if n not in NOT_ACCUMULATED and p.default in (empty, None)]


def sample_axes(
    function: Callable[..., Any], shapes: dict[str, tuple[int, ...]], options: Mapping[str, Any]
) -> tuple[int, dict[str, int]]:
    """Number of samples, and the axis along which each argument that has one entry per sample is cut.

    No axes: the data cannot be cut, or the shapes do not fit, and one call on all of it shall say so.
    """
    if function.__name__ in WHOLE_BATCH:
        return 1, {}
    parameters = inspect.signature(function).parameters
    lead = shapes.get(next(iter(parameters)), ())
    if function.__name__ in OWN_AXES:
        return _own_axes(OWN_AXES[function.__name__], shapes)
    rows = "class_axis" in parameters
    if len(lead) < 1 + rows:
        return 1, {}
    lead_axis = 1 if rows and options.get("class_axis", 1) % len(lead) == 0 else 0
    n, axes = lead[lead_axis], {}
    one_quantile = function.__name__ == "quantile_loss" and np.ndim(options.get("q", 0.5)) == 0
    per_row = frozenset() if one_quantile else PER_ROW.get(function.__name__, frozenset())
    for name, shape in shapes.items():
        if shape == lead:
            axes[name] = lead_axis
        elif name in SHARED or not shape or (rows and name == "weight"):
            continue
        elif name in per_row and shape[0] == n:
            axes[name] = 0
        elif (rows and not (len(shape) == len(lead) - 1 and shape[0] in (1, n))) or (
            not rows and not _broadcasts(shape, lead)
        ):
            return n, {}
        elif len(shape) == len(lead) - rows and shape[0] == n:
            axes[name] = 0
    return n, axes


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    """Whether NumPy would broadcast the one to the other, without enlarging that."""
    return len(shape) <= len(to) and all(n in (1, m) for n, m in zip(shape[::-1], to[::-1], strict=False))


def _own_axes(own: dict[str, int], shapes: dict[str, tuple[int, ...]]) -> tuple[int, dict[str, int]]:
    axes = {name: axis for name, axis in own.items() if name in shapes and len(shapes[name]) > axis}
    sizes = {shapes[name][axis] for name, axis in axes.items()}
    whole = axes.keys() != own.keys() or len(sizes) != 1 or len(shapes["targets"]) < 2
    return (1, {}) if whole else (sizes.pop(), axes)


def row_axes(
    function: Callable[..., Any], arrays: Mapping[str, Any], rows: int | None, beside: Mapping[str, Any],
    options: Mapping[str, Any],
) -> dict[str, int]:  # fmt: skip
    """The axis of the samples of each array that has one; each column must."""
    own, n = OWN_AXES.get(function.__name__, {}), ANY_NUMBER if rows is None else rows
    shapes = {k: a.shape for k, a in beside.items()}
    for k, a in arrays.items():
        axis = own.get(k, 0)
        shapes[k] = (*a.shape[:axis], n, *a.shape[axis + 1 :])
    _, axes = sample_axes(function, shapes, options)
    lead = next(iter(inspect.signature(function).parameters))
    for k in [k for k in arrays if axes.get(k) != own.get(k, 0) and (k != lead or len(arrays) == 1)]:
        row = tuple(m for i, m in enumerate(arrays[k].shape) if i != own.get(k, 0))
        raise ValueError(
            f"a row of {k} has shape {row}, which {function.__name__} does not take beside {lead} of shape "
            f"{shapes.get(lead)} (None for {k} leaves the column out)"
        )
    return axes


def default_step(sample_bytes: float, most: int = ANY_NUMBER) -> int:
    """Samples of some CHUNK_BYTES, at least one, at most `most`."""
    return max(1, min(most, int(CHUNK_BYTES // max(1.0, sample_bytes))))


@contextlib.contextmanager
def whole_positions(axes: dict[str, int], first: int) -> Iterator[None]:
    """`target[3] = 10 is out of range` in the chunk that starts at 100 is said of target[103]."""

    def moved(match: re.Match[str]) -> str:
        name, position = match[1], [int(i) for i in match[2].split(", ")]
        if name not in axes or axes[name] >= len(position):
            return match[0]
        position[axes[name]] += first
        return f"{name}[{', '.join(map(str, position))}]"

    try:
        yield
    except (ValueError, IndexError) as error:
        text = re.sub(r"\b(\w+)\[(\d+(?:, \d+)*)\]", moved, str(error))
        raise type(error)(text) from None

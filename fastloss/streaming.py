# SPDX-License-Identifier: BSD-3-Clause
"""A loss over data larger than memory, chunk by chunk along the samples."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ._arrays import Array, as_array
from ._call import integer
from .accumulate import WHOLE_BATCH, Accumulator, find_loss
from .columns import Member, column_of, is_array_like, keys_of

__all__ = ["evaluate"]

CHUNK_BYTES = 4 << 20  # of all columns together: stays in cache between the passes over it
Progress = Callable[[int, int, int], None]  # samples done, samples in all, bytes done
OnSamples = Callable[[Array], None]  # (samples of the chunk,) losses

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


def evaluate(
    loss: Any, source: Any = None, *, per_sample: bool = False, chunk_size: int | None = None,
    progress: Progress | None = None, on_samples: OnSamples | None = None, **arguments: Any,
) -> Accumulator:  # fmt: skip
    """A loss over data that need not fit into memory, chunk by chunk.

    Parameters
    ----------
    loss : callable or str
        A loss function of this package, or its name.
    source : path of a .npz file, mapping of arrays, or iterable of batches, optional
        Members and keys are named as the loss's arguments; those of other names are passed over. A batch is a tuple of
        operands or a mapping. Without a source the arrays are given by keyword.
    per_sample : bool
        Also keep the loss of every sample (see `Accumulator`).
    chunk_size : int, optional
        Samples per chunk; by default some 4 MB.
    progress : callable, optional
        Called after each chunk with the samples done, the samples in all (0: unknown) and the bytes done.
    on_samples : callable, optional
        With `per_sample`: called after each chunk with the losses of its samples, nan where nothing in a sample counts.
    **arguments
        Arrays and options of the loss; they go before those of the source. Memory maps are read as they are cut.

    Returns
    -------
    Accumulator
        ``compute()`` gives the value, ``statistics()`` the distribution over samples if `per_sample`.

    Raises
    ------
    ValueError, TypeError
        What the loss raises, with positions in the whole data; a .npz file that cannot be read, or lacks an argument.

    Notes
    -----
    Chunks run along axis 0 of the unreduced loss: axis 0 of the operands that have one entry per sample (axis 1 of
    `ctc_loss`'s `log_probs`). Any chunking gives the value of one call to within 1e-13. A loss whose samples depend on
    each other is one call on all of the data.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> x = np.arange(6.0).reshape(3, 2)
    >>> float(fl.evaluate(fl.mse_loss, input=x, target=np.zeros_like(x), chunk_size=2).compute())
    9.166666666666666
    """
    function = find_loss(loss)
    if on_samples is not None and not per_sample:
        raise ValueError("on_samples needs per_sample=True")
    if chunk_size is not None and integer(chunk_size, "chunk_size") < 1:
        raise ValueError(f"chunk_size = {chunk_size} must be at least 1")
    with open_source(source, function) as found:
        if isinstance(found, Mapping):
            return _chunks({**found, **arguments}, function, per_sample, chunk_size, progress, on_samples)
        return _batches(found, function, per_sample, progress, on_samples, arguments)


@contextlib.contextmanager
def open_source(source: Any, function: Callable[..., Any]) -> Iterator[Any]:
    """A mapping of the loss's arguments, or an iterable of batches."""
    known = inspect.signature(function).parameters
    if source is None:
        yield {}
    elif isinstance(source, Mapping):
        yield {k: v for k, v in source.items() if k in known}
    elif isinstance(source, (str, os.PathLike)):
        try:
            with zipfile.ZipFile(source) as archive:
                yield {k: _member(archive, k) for k in keys_of(archive) if k in known}
        except (zipfile.BadZipFile, NotImplementedError) as error:  # the latter: unknown packing
            raise ValueError(f"{source} cannot be read as a .npz file: {error}") from None
    elif isinstance(source, Iterable):
        yield source
    else:
        raise TypeError(f"source must be a path, a mapping or an iterable of batches, got {type(source).__name__}")


def _member(archive: zipfile.ZipFile, key: str) -> Any:
    """A member; a 0-d one is an option or a number."""
    member = Member(archive, key)
    return member if member.shape else member.whole().item()


def _batches(
    source: Iterable[Any], function: Callable[..., Any], per_sample: bool, progress: Progress | None,
    on_samples: OnSamples | None, options: dict[str, Any],
) -> Accumulator:  # fmt: skip
    total = Accumulator(function, per_sample=per_sample, **options)
    samples = size = 0
    for batch in source:
        operands, named = ((), dict(batch)) if isinstance(batch, Mapping) else (tuple(batch), {})
        total.update(*operands, **named)
        if on_samples is not None:
            on_samples(total.latest())
        arrays = [np.asarray(a) for a in (*operands, *named.values())]
        samples += arrays[0].shape[0] if arrays and arrays[0].ndim else 1
        size += sum(a.nbytes for a in arrays)
        if progress is not None:
            progress(samples, 0, size)
    return total


def _chunks(
    arguments: dict[str, Any], function: Callable[..., Any], per_sample: bool, chunk_size: int | None,
    progress: Progress | None, on_samples: OnSamples | None,
) -> Accumulator:  # fmt: skip
    arguments = {
        k: v if isinstance(v, Member) or not is_array_like(v) else as_array(v, k) for k, v in arguments.items()
    }
    shapes = {k: v.shape for k, v in arguments.items() if is_array_like(v)}
    samples, axes = sample_axes(function, shapes, arguments)
    columns = {k: column_of(arguments[k], axis) for k, axis in axes.items()}
    rest = {k: v.whole() if isinstance(v, Member) else v for k, v in arguments.items() if k not in columns}
    total = Accumulator(function, per_sample=per_sample, **rest)
    sample_bytes = sum(c.sample_bytes for c in columns.values())
    step = chunk_size or max(1, int(CHUNK_BYTES // max(1.0, sample_bytes)))
    step = step if axes else max(samples, 1)
    try:
        for first in range(0, max(samples, 1), step):
            last = min(samples, first + step)
            with _whole_positions(axes, first):
                total.update(**{name: column.read(first, last) for name, column in columns.items()})
            if on_samples is not None:
                on_samples(total.latest())
            if progress is not None:
                progress(last, samples, int(last * sample_bytes))
    finally:
        for column in columns.values():
            column.close()
    return total


@contextlib.contextmanager
def _whole_positions(axes: dict[str, int], first: int) -> Iterator[None]:
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

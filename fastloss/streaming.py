# SPDX-License-Identifier: BSD-3-Clause
"""A loss over data larger than memory, chunk by chunk along the samples."""

from __future__ import annotations

import contextlib
import glob
import inspect
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ._arrays import Array, as_array
from ._call import integer
from .accumulate import NOT_ACCUMULATED, WHOLE_BATCH, Accumulator, find_loss
from .arrow import Field, Table, fields_of, is_arrow, is_table, table_of, whole_columns
from .columns import Member, column_of, is_array_like, keys_of
from .tree import dask_arrays, evaluate_by_dask

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
    progress: Progress | None = None, on_samples: OnSamples | None = None, columns: Mapping[str, str] | None = None,
    **arguments: Any,
) -> Accumulator:  # fmt: skip
    """A loss over data that need not fit into memory, chunk by chunk.

    Parameters
    ----------
    loss : callable or str
        A loss function of this package, or its name.
    source : path or paths, mapping of arrays, table, or iterable of batches, optional
        A path names a .npz, Parquet or Feather file or an Arrow stream, or is a pattern such as ``"run/*.parquet"``;
        several are one data set in that order, a pattern's by name. A table is anything with Arrow record batches (of
        pyarrow, polars, pandas ...), or an open Arrow stream. Members, keys and columns are named as the loss's
        arguments; those of other names are passed over. A batch is a tuple of operands, a mapping or a record batch.
        Without a source the arrays are given by keyword.
    per_sample : bool
        Also keep the loss of every sample (see `Accumulator`).
    chunk_size : int, optional
        Samples per chunk; by default some 4 MB.
    progress : callable, optional
        Called after each chunk with the samples done, the samples in all (0: unknown) and the bytes done.
    on_samples : callable, optional
        With `per_sample`: called after each chunk with the losses of its samples, nan where nothing in a sample counts;
        by Dask once, at the end.
    columns : mapping, optional
        Of tables: the columns of arguments that they do not bear the name of, ``{"input": "logits"}``.
    **arguments
        Arrays and options of the loss; they go before those of the source. Memory maps are read as they are cut, and
        leave the process's memory behind the cut. Dask arrays are evaluated by Dask, each chunk along the samples by a
        task on one thread; chunked otherwise they are rechunked, with a warning. None leaves out an argument of that
        name in the source.

    Returns
    -------
    Accumulator
        ``compute()`` gives the value, ``statistics()`` the distribution over samples if `per_sample`.

    Raises
    ------
    ValueError, TypeError
        What the loss raises, with positions in the whole data (of several files: in the file named); a file that cannot
        be read, or lacks an argument; a null in a column; lists of different lengths.
    ModuleNotFoundError
        Parquet, Feather or Arrow data without pyarrow (``pip install 'fastloss[arrow]'``).

    Notes
    -----
    Chunks run along axis 0 of the unreduced loss: axis 0 of the operands that have one entry per sample (axis 1 of
    `ctc_loss`'s `log_probs`; a row of a table holds one sample's frames). Any chunking gives the value of one call to
    within 1e-13; the kernels of elementwise losses add float32 numbers in pairs first, so that with a `chunk_size` of
    one's own, or in ragged batches, these agree to about 1e-8. A loss whose samples depend on each other is one call on
    all of the data.

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
    paths = paths_of(source)
    if len(paths) > 1:
        return _files(paths, function, per_sample, chunk_size, progress, on_samples, columns, arguments)
    with open_source(paths[0] if paths else source, function, columns, arguments) as found:
        if isinstance(found, Mapping):
            return _evaluated({**found, **arguments}, function, per_sample, chunk_size, progress, on_samples)
        return _batches(found, function, per_sample, progress, on_samples, columns, arguments)


def paths_of(source: Any) -> list[str]:
    """The files of a source that is given by paths, or by a pattern that names no file itself."""
    if isinstance(source, (list, tuple)) and source and all(isinstance(p, (str, os.PathLike)) for p in source):
        return [path for given in source for path in paths_of(given)]
    if not isinstance(source, (str, os.PathLike)):
        return []
    path = os.fspath(source)
    if not glob.has_magic(path) or os.path.lexists(path):
        return [path]
    found = sorted(glob.glob(path, recursive=True))
    if not found:
        raise FileNotFoundError(f"no file has a name like {path}")
    return found


def _files(
    paths: list[str], function: Callable[..., Any], per_sample: bool, chunk_size: int | None,
    progress: Progress | None, on_samples: OnSamples | None, columns: Mapping[str, str] | None,
    arguments: dict[str, Any],
) -> Accumulator:  # fmt: skip
    """Several files as one data set."""
    total: Accumulator | None = None
    samples = size = 0
    done = (0, 0)

    def shown(n: int, _: int, read: int) -> None:
        nonlocal done
        done = n, read
        if progress is not None:
            progress(samples + n, 0, size + read)

    for path in paths:
        try:
            found = evaluate(
                function,
                path,
                per_sample=per_sample,
                chunk_size=chunk_size,
                progress=shown,
                on_samples=on_samples,
                columns=columns,
                **arguments,
            )
        except (ValueError, IndexError, TypeError) as error:
            raise type(error)(f"{path}: {str(error).removeprefix(path).lstrip(': ')}") from None
        samples, size = samples + done[0], size + done[1]
        if total is None:
            total = found
        else:
            total.merge(found)
        del found  # its samples stand in the total, and need not stand beside the next file's
    assert total is not None  # there is one path at least
    return total


def array_arguments(function: Callable[..., Any]) -> list[str]:
    """Parameters that take arrays: those without a default, or with None."""
    empty = inspect.Parameter.empty
    every = inspect.signature(function).parameters.items()
    return [n for n, p in every if n not in NOT_ACCUMULATED and p.default in (empty, None)]


@contextlib.contextmanager
def open_source(
    source: Any, function: Callable[..., Any], columns: Mapping[str, str] | None = None, given: Mapping[str, Any] = {}
) -> Iterator[Any]:
    """A mapping of the loss's arguments, or an iterable of batches."""
    known = inspect.signature(function).parameters
    if source is None:
        yield {}
    elif isinstance(source, Mapping):
        yield {k: v for k, v in source.items() if k in known}
    elif isinstance(source, Table) or is_table(source) or hasattr(source, "read"):
        table = source if isinstance(source, Table) else Table(source)
        yield fields_of(table, array_arguments(function), columns or {}, given)
    elif isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            start = file.read(6)
        if is_arrow(start):
            yield fields_of(Table(os.fspath(source)), array_arguments(function), columns or {}, given)
            return
        try:
            with zipfile.ZipFile(source) as archive:
                yield {k: _member(archive, k) for k in keys_of(archive) if k in known and k not in given}
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
    on_samples: OnSamples | None, columns: Mapping[str, str] | None, options: dict[str, Any],
) -> Accumulator:  # fmt: skip
    total = Accumulator(function, per_sample=per_sample, **{k: v for k, v in options.items() if v is not None})
    samples = size = 0
    for batch in source:
        if is_table(batch):
            fields: dict[str, Any] = dict(fields_of(Table(batch), array_arguments(function), columns or {}, options))
            with _whole_positions(dict.fromkeys(fields, 0), samples):
                n, read = _rows({**fields, **options}, total, function, None, None, on_samples)
        else:
            operands, named = ((), dict(batch)) if isinstance(batch, Mapping) else (tuple(batch), {})
            total.update(*operands, **named)
            if on_samples is not None:
                on_samples(total.latest())
            arrays = [np.asarray(a) for a in (*operands, *named.values())]
            n = arrays[0].shape[0] if arrays and arrays[0].ndim else 1
            read = sum(a.nbytes for a in arrays)
        samples, size = samples + n, size + read
        if progress is not None:
            progress(samples, 0, size)
    return total


def _evaluated(
    arguments: dict[str, Any], function: Callable[..., Any], per_sample: bool, chunk_size: int | None,
    progress: Progress | None, on_samples: OnSamples | None,
) -> Accumulator:  # fmt: skip
    """All of the data, which is given by name: in the way that its kind asks for."""
    arguments = {k: v for k, v in arguments.items() if v is not None}
    if dask_arrays(arguments):
        total = evaluate_by_dask(arguments, function, per_sample, progress)
        if on_samples is not None:
            on_samples(total.losses())
        return total
    if function.__name__ in WHOLE_BATCH:
        fields = {k: v for k, v in arguments.items() if isinstance(v, Field)}
        arguments = {**arguments, **whole_columns(fields)}
    if any(isinstance(v, Field) for v in arguments.values()):
        options = {k: v for k, v in arguments.items() if not isinstance(v, Field) and not is_array_like(v)}
        total = Accumulator(function, per_sample=per_sample, **options)
        _rows(arguments, total, function, chunk_size, progress, on_samples)
        return total
    return _chunks(arguments, function, per_sample, chunk_size, progress, on_samples)


ANY_NUMBER = 1 << 60  # of rows, where it is not known: no other axis is as long


def _rows(
    arguments: dict[str, Any], total: Accumulator, function: Callable[..., Any], chunk_size: int | None,
    progress: Progress | None, on_samples: OnSamples | None,
) -> tuple[int, int]:  # fmt: skip
    """Add the rows of a table, and of arrays beside it. Returns how many there were, and their bytes."""
    fields = {k: v for k, v in arguments.items() if isinstance(v, Field)}
    table = table_of(fields)
    beside = {k: v if isinstance(v, Member) else as_array(v, k) for k, v in arguments.items() if is_array_like(v)}
    axis_of = OWN_AXES.get(function.__name__, {})
    cut: dict[str, Any] | None = None
    rows, size = 0, 0
    for first, columns in table.chunks({k: f.column for k, f in fields.items()}, chunk_size):
        n = len(next(iter(columns.values())))
        arrays = {k: np.moveaxis(a, 0, axis_of.get(k, 0)) for k, a in columns.items()}
        if cut is None:
            axes = _row_axes(function, arrays, table.rows, beside, arguments)
            cut = {k: column_of(a, axes[k]) for k, a in beside.items() if k in axes}
            shared = {k: a.whole() if isinstance(a, Member) else a for k, a in beside.items() if k not in axes}
        with _whole_positions(axes, first):
            total.update(**arrays, **shared, **{k: c.read(first, first + n) for k, c in cut.items()})
        if on_samples is not None:
            on_samples(total.latest())
        rows, size = first + n, size + sum(a.nbytes for a in arrays.values())
        if progress is not None:
            progress(rows, table.rows or 0, size)
    for column in (cut or {}).values():
        column.close()
    return rows, size


def _row_axes(
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
    step = chunk_size or default_step(sample_bytes)
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


def default_step(sample_bytes: float) -> int:
    """Samples of some CHUNK_BYTES."""
    return max(1, int(CHUNK_BYTES // max(1.0, sample_bytes)))


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

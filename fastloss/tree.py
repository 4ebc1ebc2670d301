# SPDX-License-Identifier: BSD-3-Clause
"""Losses of Dask arrays: each chunk along the samples becomes an accumulator, and these are added up in a tree."""

from __future__ import annotations

import contextlib
import itertools
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ._threads import num_threads
from .accumulate import Accumulator

BRANCHES = 8  # accumulators that are added up by one task
Progress = Callable[[int, int, int], None]


def dask_arrays(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those arguments that are Dask arrays: there are none where nobody has imported it."""
    module = sys.modules.get("dask.array")
    return {} if module is None else {k: v for k, v in arguments.items() if isinstance(v, module.Array)}


def evaluate_by_dask(
    arguments: dict[str, Any], function: Callable[..., Any], per_sample: bool, progress: Progress | None
) -> Accumulator:
    """On whatever scheduler Dask is set to use; arrays of NumPy beside those of Dask are cut as these are."""
    import dask

    from .columns import is_array_like
    from .streaming import sample_axes

    lazy = dask_arrays(arguments)
    for name, a in lazy.items():
        if any(n != n for n in a.shape):
            raise ValueError(f"{name} has chunks of unknown sizes: call its compute_chunk_sizes() first")
    shapes = {k: v.shape if k in lazy else np.shape(v) for k, v in arguments.items() if k in lazy or is_array_like(v)}
    samples, axes = sample_axes(function, shapes, arguments)
    options = {k: v for k, v in arguments.items() if k not in shapes}
    bounds = _bounds(lazy, axes, samples)
    cut = {k: _blocks(k, arguments[k], axes[k], bounds, k in lazy) for k in axes}
    shared = {
        k: v.rechunk(-1).to_delayed().item() if k in lazy else v
        for k, v in arguments.items()
        if k in shapes and k not in axes
    }
    part = dask.delayed(_part, pure=False)
    empty = Accumulator(function, per_sample=per_sample, **options)
    parts = [
        part(empty, axes, first, shared, {k: blocks[i] for k, blocks in cut.items()})
        for i, first in enumerate(bounds[:-1] if axes else [0])
    ]
    return _computed(_tree(parts), parts, bounds, progress)


def _bounds(lazy: Mapping[str, Any], axes: Mapping[str, int], samples: int) -> list[int]:
    """Where the samples are cut: as the first Dask array that has them is chunked."""
    lead = next((k for k in axes if k in lazy), None)
    if lead is None:
        return [0, samples]
    return [0, *np.cumsum(lazy[lead].chunks[axes[lead]]).tolist()]


def _blocks(name: str, a: Any, axis: int, bounds: list[int], lazy: bool) -> list[Any]:
    """The parts of an argument that belong to the cuts."""
    if not lazy:
        return [a[(slice(None),) * axis + (slice(i, j),)] for i, j in itertools.pairwise(bounds)]
    sizes = tuple(np.diff(bounds).tolist())
    wanted = tuple(sizes if k == axis else (n,) for k, n in enumerate(a.shape))
    if a.chunks != wanted:
        warnings.warn(
            f"{name} is chunked as {a.chunks}, and rechunked to {wanted}: along the samples, as the first array is",
            UserWarning,
            stacklevel=5,
        )
        a = a.rechunk(wanted)
    return list(a.to_delayed().ravel())


def _part(
    empty: Accumulator, axes: dict[str, int], first: int, shared: dict[str, Any], arrays: dict[str, Any]
) -> Accumulator:
    """A task: one chunk, on one thread, since there are as many tasks as cores."""
    from .streaming import _whole_positions

    total = empty + empty  # a fresh one
    with num_threads(1), _whole_positions(axes, first):
        total.update(**shared, **arrays)
    return total


def _added(parts: list[Accumulator]) -> Accumulator:
    """A task: the sum, in order."""
    total = parts[0] + parts[1]
    for other in parts[2:]:
        total.merge(other)
    return total


def _tree(parts: list[Any]) -> Any:
    import dask

    added = dask.delayed(_added, pure=False)
    while len(parts) > 1:
        groups = [parts[k : k + BRANCHES] for k in range(0, len(parts), BRANCHES)]
        parts = [added(group) if len(group) > 1 else group[0] for group in groups]
    return parts[0]


def _computed(root: Any, parts: list[Any], bounds: list[int], progress: Progress | None) -> Accumulator:
    """The tree's result; progress is told of each chunk that is done where Dask tells us: on local schedulers."""
    if progress is None:
        return root.compute()
    from dask.callbacks import Callback

    sizes = {p.key: n for p, n in zip(parts, np.diff(bounds).tolist(), strict=False)}
    done = 0

    def after(key: Any, *_: Any) -> None:
        nonlocal done
        if key in sizes:
            done += sizes[key]
            progress(done, bounds[-1], 0)

    with Callback(posttask=after):
        total = root.compute(optimize_graph=False)
    if done < bounds[-1]:  # a cluster
        progress(bounds[-1], bounds[-1], 0)
    return total


@contextlib.contextmanager
def scheduler(where: str) -> Iterator[None]:
    """Dask by a word: "local", threads of this process, or the address of a cluster's scheduler."""
    try:
        import dask
        import dask.array

        if where != "local":
            import distributed
    except ImportError:
        raise ModuleNotFoundError("Dask is not installed: pip install 'fastloss[dask]'") from None
    if where == "local":
        with dask.config.set(scheduler="threads"):
            yield
        return
    if "://" not in where:
        raise ValueError(f"dask must be 'local' or the address of a scheduler such as tcp://host:8786, got {where!r}")
    try:
        client = distributed.Client(where, timeout=10)
    except (OSError, ValueError, TimeoutError) as error:
        raise ValueError(f"no Dask scheduler answers at {where}: {error}") from None
    with client:
        yield


def chunked(arguments: Mapping[str, Any], function: Callable[..., Any]) -> dict[str, Any]:
    """The same arguments with memory maps as Dask arrays, which each task maps for itself: every machine must see the
    files by the same names."""
    import dask
    import dask.array

    from .streaming import default_step, sample_axes

    maps = {k: v for k, v in arguments.items() if isinstance(v, np.memmap)}
    shapes = {k: np.shape(v) for k, v in arguments.items() if hasattr(v, "shape")}
    samples, axes = sample_axes(function, shapes, arguments)
    size = sum(v.nbytes for k, v in maps.items() if k in axes) / max(1, samples)
    step = 16 * default_step(size)
    found = dict(arguments)
    for k, v in maps.items():
        if k not in axes:
            continue
        cuts = [(i, min(samples, i + step)) for i in range(0, samples, step)]
        piece = dask.delayed(_mapped, pure=False)
        blocks = [
            dask.array.from_delayed(
                piece(str(v.filename), v.offset, v.dtype, v.shape, _order(v), axes[k], i, j),
                (*v.shape[: axes[k]], j - i, *v.shape[axes[k] + 1 :]),
                v.dtype,
            )
            for i, j in cuts
        ]
        if blocks:
            found[k] = dask.array.concatenate(blocks, axis=axes[k])
    return found


def _order(a: np.ndarray) -> str:
    return "C" if a.flags.c_contiguous else "F"


def _mapped(path: str, offset: int, dtype: Any, shape: Any, order: Any, axis: int, first: int, last: int) -> Any:
    """A task: samples [first, last) of a file, mapped where it runs."""
    whole = np.memmap(path, dtype, "r", offset, shape, order)
    return np.asarray(whole[(slice(None),) * axis + (slice(first, last),)])

# SPDX-License-Identifier: BSD-3-Clause
"""How many threads a large call may use, and who decided that.

The first of these that applies:

1. a child of ``fork`` uses one: the OpenMP library would hang there;
2. ``num_threads(n)`` around the call;
3. ``set_num_threads(n)``;
4. the environment variable ``FASTLOSS_NUM_THREADS``, at most the usable CPUs;
5. a ``multiprocessing`` worker of any start method uses one: N workers times all CPUs is the usual accident;
6. what OpenMP would use at this moment (``OMP_NUM_THREADS``, threadpoolctl), at most the usable CPUs.

2 and 3 are honoured as given, even above the number of CPUs. Results never depend on any of this.
"""

from __future__ import annotations

import functools
import operator
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, SupportsIndex

__all__ = ["describe", "get_num_threads", "num_threads", "set_num_threads", "thread_limit"]

_VARIABLE = "FASTLOSS_NUM_THREADS"

# Set by num_threads(): of the running context, so that two Python threads or asyncio tasks do not disturb each other.
_in_context: ContextVar[int | None] = ContextVar("fastloss_num_threads", default=None)

# Set by set_num_threads(): of the whole process. Reading and binding a name are atomic, so no lock is needed.
_in_process: int | None = None


def _from_environment() -> int | None:
    """Read ``FASTLOSS_NUM_THREADS`` once, at import; a value that is no count is warned about and ignored."""
    text = os.environ.get(_VARIABLE, "").strip()
    if not text:
        return None
    count = int(text) if text.isdecimal() and len(text) < 20 else 0  # Python refuses to read thousands of digits
    if count >= 1:
        return count
    # The warning belongs to whoever imports the package, not to a line of ours.
    warnings.warn(f"{_VARIABLE} must be an integer >= 1, got {text!r}; ignored", RuntimeWarning, stacklevel=2)
    return None


_in_environment = _from_environment()


@functools.cache
def _native() -> Any:
    """Return the compiled extension, or None if this installation has none."""
    try:
        from . import _native as native
    except ImportError:
        return None
    return native


def _is_worker() -> bool:
    """Tell whether this process was started by ``multiprocessing`` (or by joblib's loky, which builds on it).

    Asked at each large call without importing anything: a worker has the module loaded.
    """
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _count(n: SupportsIndex) -> int:
    """Return `n` as an int, or raise if it is no number of threads."""
    try:
        if isinstance(n, bool):  # an int to operator.index, but surely a slip
            raise TypeError
        count = operator.index(n)
    except TypeError:
        raise TypeError(f"n must be an integer >= 1, got {n!r} of type {type(n).__name__}") from None
    if count < 1:
        raise ValueError(f"n must be an integer >= 1, got {count}")
    return count


def describe() -> tuple[int, str]:
    """Tell how many threads a large call would use now, and where that number comes from.

    Returns
    -------
    tuple of (int, str)
        The number, and one of "forked child", "num_threads", "set_num_threads", "FASTLOSS_NUM_THREADS",
        "multiprocessing worker", "OpenMP default", "affinity/cgroup"; or, where there is nothing to choose,
        "serial build" or "no native extension".
    """
    native = _native()
    if native is None:
        return 1, "no native extension"
    backend = native.parallel_backend()
    if backend == "serial":
        return 1, "serial build"
    if native.is_forked_child():
        return 1, "forked child"
    explicit = _in_context.get()
    if explicit is not None:
        return explicit, "num_threads"
    if _in_process is not None:
        return _in_process, "set_num_threads"
    usable: int = native.usable_cpus()
    if _in_environment is not None:
        return min(_in_environment, usable), _VARIABLE
    if _is_worker():
        return 1, "multiprocessing worker"
    runtime: int = native.runtime_max_threads()
    if usable < runtime:
        return usable, "affinity/cgroup"
    return runtime, "OpenMP default" if backend == "openmp" else f"{backend} default"


def thread_limit() -> int:
    """Return how many threads the running call may use; asked by the native path for large calls only."""
    threads, _ = describe()
    return threads if threads < 1024 else 1024  # parallel.c starts no more, and C holds no larger int


def get_num_threads() -> int:
    """Return the number of threads that a large call would use now.

    Small calls use one, and a call never uses more than its size is worth.

    Returns
    -------
    int
        At least 1. ``show_config()`` also tells where the number comes from.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.get_num_threads() >= 1
    True
    """
    return describe()[0]


def set_num_threads(n: SupportsIndex | None) -> None:
    """Set the number of threads that large calls use, for the whole process.

    Parameters
    ----------
    n : int or None
        At least 1; honoured as given, even above the number of CPUs (beyond 1024 no more are started). None returns
        to the default: ``FASTLOSS_NUM_THREADS``, else one in a ``multiprocessing`` worker, else what OpenMP would use,
        at most the CPUs that affinity and cgroup quota leave to this process.

    Raises
    ------
    TypeError
        If `n` is neither an integer nor None.
    ValueError
        If `n` is below 1.

    Notes
    -----
    A child of ``fork`` uses one thread whatever is set. Results do not depend on the number of threads. OpenMP's own
    setting, and with it that of other libraries, is left alone.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.set_num_threads(1)
    >>> fl.get_num_threads()
    1
    >>> fl.set_num_threads(None)
    """
    global _in_process
    _in_process = None if n is None else _count(n)


def num_threads(n: SupportsIndex) -> AbstractContextManager[None]:
    """Set the number of threads that large calls use within a ``with`` block.

    It holds for the running context (``contextvars``): the block does not reach into other Python threads or asyncio
    tasks, so that each of them can have its own number, and a thread that is started within the block does not
    inherit it (before Python 3.14). Use ``set_num_threads`` for the whole process; this one wins over it.

    Parameters
    ----------
    n : int
        At least 1; honoured as given, even above the number of CPUs (beyond 1024 no more are started).

    Returns
    -------
    context manager
        On leaving the block the former number is back, also after an exception. Blocks nest.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is below 1.

    Examples
    --------
    >>> import fastloss as fl
    >>> with fl.num_threads(1):
    ...     fl.get_num_threads()
    1
    """
    return _threads_within(_count(n))


@contextmanager
def _threads_within(count: int) -> Iterator[None]:
    token = _in_context.set(count)
    try:
        yield
    finally:
        _in_context.reset(token)

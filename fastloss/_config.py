# SPDX-License-Identifier: BSD-3-Clause
"""Which backend answers, and what this installation consists of."""

from __future__ import annotations

import os
import platform
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Literal, NoReturn

import numpy as np

from . import _threads
from ._version import __version__

__all__ = ["backend", "config", "get_backend", "isas", "show_config"]

Backend = Literal["native", "reference"]
BACKENDS = ("native", "reference")


def _is_command() -> bool:
    """Whether this process is the command `fastloss`: its script, or ``python -m fastloss`` (its name comes later)."""
    words = getattr(sys, "argv", None) or [""]
    if words[0] == "-m":
        return sys.orig_argv[-len(words)].removeprefix("-m") == "fastloss"
    return os.path.basename(words[0]) == "fastloss"


def _refuse(error: Exception) -> NoReturn:
    """The environment asks for what is not here. The package is imported before the command's own code runs, so the one
    line that its user sees has to come from here."""
    if not _is_command():
        raise error
    print("fastloss:", *str(error).split(), file=sys.stderr)
    raise SystemExit(2)


try:
    from . import _native

    native: ModuleType | None = _native
except ImportError as error:
    if os.environ.get("FASTLOSS_ISA") and "FASTLOSS_ISA" in str(error):
        _refuse(error)
    native = None
    warnings.warn(
        f"fastloss: the compiled extension cannot be imported ({error}); the slow reference answers",
        RuntimeWarning,
        stacklevel=3,
    )


def _check_backend(name: str, what: str) -> str:
    if name not in BACKENDS:
        raise ValueError(f"{what} must be 'native' or 'reference', got {name!r}")
    if name == "native" and native is None:
        raise ValueError(f"{what} is 'native', but the compiled extension cannot be imported")
    return name


def _backend_of_environment() -> str:
    name = os.environ.get("FASTLOSS_BACKEND", "").strip().lower()
    try:
        return _check_backend(name, "FASTLOSS_BACKEND") if name else ("native" if native else "reference")
    except ValueError as error:
        _refuse(error)


_default = _backend_of_environment()

#: Who answers in the running context; the fast path of `_native` asks it too.
chosen: ContextVar[str] = ContextVar("fastloss_backend", default=_default)


def get_backend() -> str:
    """Name of the backend that answers in this context: "native" or "reference"."""
    return chosen.get()


@contextmanager
def backend(name: Backend) -> Iterator[None]:
    """Choose who answers inside the `with` block, in this thread or task only.

    Parameters
    ----------
    name : {"native", "reference"}
        The C kernels, or the same functions by their definition in float64 NumPy: slow, and simple enough to read.

    Examples
    --------
    >>> import fastloss as fl
    >>> with fl.backend("reference"):
    ...     print(fl.mse_loss([1.0, 2.0], [0.0, 0.0]))
    2.5
    """
    token = chosen.set(_check_backend(name, "name"))
    try:
        yield
    finally:
        chosen.reset(token)


def isas() -> dict[str, dict[str, bool]]:
    """Instruction sets, the plainest first: whether each is compiled into this build and supported by this machine."""
    return native.isas() if native else {}


def config() -> dict[str, Any]:
    """What this installation consists of, as a dict: versions, backend, instruction sets, threads."""
    threads, source = _threads.describe()
    return {
        "fastloss": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "backend": get_backend(),
        "isas": isas(),
        "isa": native.chosen_isa() if native else None,
        "isa_from": "FASTLOSS_ISA" if os.environ.get("FASTLOSS_ISA", "").strip() else "this processor",
        "parallel": native.parallel_backend() if native else "none",
        "usable_cpus": native.usable_cpus() if native else None,
        "threads": threads,
        "threads_from": source,
    }


def show_config() -> None:
    """Print versions, instruction sets (compiled, supported, chosen), OpenMP or not, threads and who decided them."""
    c = config()
    print(f"fastloss   {c['fastloss']} (Python {c['python']}, NumPy {c['numpy']}, {c['machine']})")
    print(f"backend    {c['backend']}")
    for name, state in c["isas"].items():
        words = ["compiled" if state["compiled"] else "not compiled"]
        words.append("supported" if state["supported"] else "not supported")
        if name == c["isa"]:
            words.append(f"chosen by {c['isa_from']}")
        print(f"{'isa':<10} {name}: {', '.join(words)}")
    print(f"parallel   {c['parallel']}")
    print(f"threads    {c['threads']} ({c['threads_from']}; usable CPUs {c['usable_cpus']})")

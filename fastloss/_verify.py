# SPDX-License-Identifier: BSD-3-Clause
"""`verify`: a loss by the kernels against the same loss by its definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import _config
from ._arrays import Array

__all__ = ["Difference", "verify"]


class Difference(NamedTuple):
    """Largest differences of one result: absolute, relative to the reference, and where the absolute one stands."""

    name: str
    absolute: float
    relative: float
    position: tuple[int, ...]


def _compare(name: str, kernel: Any, reference: Any) -> Difference:
    k, r = np.asarray(kernel, np.float64), np.asarray(reference, np.float64)
    with np.errstate(all="ignore"):
        same = (k == r) | (np.isnan(k) & np.isnan(r))
        absolute: Array = np.where(same, 0.0, np.abs(k - r))
        absolute = np.where(np.isnan(absolute), np.inf, absolute)  # nan on one side only
        relative = np.where(same, 0.0, absolute / np.abs(r))
    if k.size == 0:
        return Difference(name, 0.0, 0.0, ())
    worst = np.unravel_index(np.argmax(absolute), absolute.shape)
    return Difference(name, float(absolute.max()), float(relative.max()), tuple(int(i) for i in worst))


def verify(function: Callable[..., Any], *operands: Any, **options: Any) -> list[Difference]:
    """Compare the kernels with the reference on the caller's own data.

    Parameters
    ----------
    function : one of the losses of this package
    *operands, **options
        As that loss takes them, without `return_grad`, `out`, `grad_out` and `hess_out`.

    Returns
    -------
    list of Difference
        One entry for the value, one per gradient, and with `return_hess` one for the second derivative.

    Examples
    --------
    >>> import fastloss as fl
    >>> [d.name for d in fl.verify(fl.huber_loss, [1.0, 5.0], [0.0, 0.0], delta=2.0)]
    ['value', 'grad[0]']
    """
    refused = {"return_grad", "return_parts", "out", "grad_out", "hess_out"} & set(options)
    if refused:
        raise TypeError(f"verify sets {', '.join(sorted(refused))} itself")
    results = []
    for name in _config.BACKENDS:
        with _config.backend(name):  # type: ignore[arg-type]
            value, grads, *hess = function(*operands, return_grad=True, **options)
            results.append([value, *(grads if isinstance(grads, tuple) else (grads,)), *hess])
    names = ["value", *(f"grad[{k}]" for k in range(len(results[0]) - 1 - len(hess))), *(["hess"] if hess else [])]
    return [_compare(name, kernel, reference) for name, kernel, reference in zip(names, *results, strict=True)]

# SPDX-License-Identifier: BSD-3-Clause
"""The Wasserstein distance of two samples on a line by definition: the area between their distribution functions, and
as gradients the mass that each sample sends to either side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@np.errstate(all="ignore")
def distance(x: Array, y: Array, x_mass: Array | None, y_mass: Array | None, want_grad: bool) -> tuple[float, Any]:
    """(value, gradients) of samples with masses that sum to 1."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    a = np.full(x.size, 1.0 / x.size) if x_mass is None else x_mass
    b = np.full(y.size, 1.0 / y.size) if y_mass is None else y_mass
    if np.isnan(x).any() or np.isnan(y).any():
        return float("nan"), (np.full(x.size, np.nan), np.full(y.size, np.nan))
    places = np.sort(np.concatenate([x, y]))
    difference = np.array([a[x <= at].sum() - b[y <= at].sum() for at in places[:-1]])
    gaps = np.diff(places)
    value = float(np.sum(np.where(gaps == 0.0, 0.0, np.abs(difference) * gaps)))
    return value, _moves(x, y, a, b) if want_grad else ()


def _moves(x: Array, y: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Walk along both sorted samples and send mass from the one to the other."""
    g_x, g_y = np.zeros(x.size), np.zeros(y.size)
    x_order, y_order = np.argsort(x), np.argsort(y)
    i = j = 0
    left_x, left_y = a[x_order[0]], b[y_order[0]]
    while i < x.size and j < y.size:
        sent = min(left_x, left_y)
        sign = np.sign(x[x_order[i]] - y[y_order[j]])
        g_x[x_order[i]] += sent * sign
        g_y[y_order[j]] -= sent * sign
        left_x, left_y = left_x - sent, left_y - sent
        if left_x <= left_y:
            i += 1
            left_x = a[x_order[i]] if i < x.size else 0.0
        else:
            j += 1
            left_y = b[y_order[j]] if j < y.size else 0.0
    return g_x, g_y

# SPDX-License-Identifier: BSD-3-Clause
"""Losses as functions of a row's sum s, and their derivatives by it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def renyi(s: Array, order: float) -> tuple[Array, Array]:
    """log(s) / (order - 1)."""
    return np.log(s) / (order - 1), 1 / (s * (order - 1))


def penalty(half_squares: Array, wanted: float) -> tuple[Array, Array]:
    """(norm - wanted)^2 of a row whose squares sum to twice `half_squares`."""
    norm = np.sqrt(2 * half_squares)
    return (norm - wanted) ** 2, 2 * (norm - wanted) / norm


def penalty_above(half_squares: Array, wanted: float) -> tuple[Array, Array]:
    """The same of norms above `wanted` only."""
    norm = np.sqrt(2 * half_squares)
    beyond = np.maximum(norm - wanted, 0.0)
    return beyond**2, 2 * beyond / norm

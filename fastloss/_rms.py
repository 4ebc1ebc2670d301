# SPDX-License-Identifier: BSD-3-Clause
"""Means of squares whose squares may leave the working type: taken once more of differences times a power of two."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._arrays import Array, as_array, as_optional, working_dtype
from ._call import Elementwise, elementwise

RMSE = Elementwise("rmse", weighted_mean=True)
# Squares of differences times 2^k neither overflow nor vanish, in float32 and float64: k for large ones and for small
# ones, and the mean of squares below which they are small.
SCALES = {4: (-80, 100, 2.0**-100), 8: (-600, 700, 2.0**-900)}


def squares(exponent: int, reduction: str, input: Any, target: Any, weight: Any, mask: Any) -> Any:
    """Squares of differences times 2^exponent, reduced."""
    return elementwise(RMSE, (input, target), (2.0**exponent,), reduction, False, weight, mask, None, None, None)


def scales_of(input: Any, target: Any, weight: Any) -> tuple[int, int, float]:
    """The row of SCALES for the working type of these operands."""
    pairs = ((input, as_array(input, "input")), (target, as_array(target, "target")))
    return SCALES[working_dtype(*pairs, (weight, as_optional(weight, "weight"))).itemsize]


def exponent_for(square: float, input: Any, target: Any, weight: Any) -> int:
    """Of a second pass, where the mean of squares left the working type; 0 where it did not."""
    if square != math.inf and not square < 2.0**-100:
        return 0
    large, small, least = scales_of(input, target, weight)
    if square == math.inf:
        return large
    return 0 if square >= least else small


def root(square: Any, exponent: int) -> float:
    """Of a mean of squares of differences times 2^exponent; nan of what is negative."""
    return math.sqrt(square) / 2.0**exponent if square >= 0 else math.nan


def root_mean_square(input: Any, target: Any, weight: Any, mask: Any) -> float:
    """The value's pass, and a second one where squares leave the working type."""
    square = float(squares(0, "mean", input, target, weight, mask))
    exponent = exponent_for(square, input, target, weight)
    if exponent:
        square = float(squares(exponent, "mean", input, target, weight, mask))
    return root(square, exponent)


def roots(means: Array, exponent: int) -> Array:
    """Of several, (n,) float64."""
    with np.errstate(invalid="ignore"):
        return np.sqrt(means) / 2.0**exponent

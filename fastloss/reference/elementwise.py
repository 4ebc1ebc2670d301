# SPDX-License-Identifier: BSD-3-Clause
"""Elementwise losses by definition, by the names of their rows in `csrc/elementwise.def`.

Each function takes its operands as float64 arrays of one shape, then its parameters, and returns
`(value, gradients, hess)`: the unreduced loss, one derivative per prediction operand, and the second derivative in the
first prediction.
"""

from __future__ import annotations

from . import binary, likelihood, regression
from .binary import *  # noqa: F403
from .likelihood import *  # noqa: F403
from .regression import *  # noqa: F403

__all__ = [*binary.__all__, *likelihood.__all__, *regression.__all__]

# SPDX-License-Identifier: BSD-3-Clause
"""Elementwise losses by definition, by the names of their rows in `csrc/elementwise.def`.

Each function takes its operands as float64 arrays of one shape, then its parameters, and returns
`(value, gradients, hess)`: the unreduced loss, one derivative per prediction operand, and the second derivative in the
first prediction.
"""

from __future__ import annotations

from . import adversarial, binary, likelihood, regression, reinforcement, variational
from .adversarial import *  # noqa: F403
from .binary import *  # noqa: F403
from .likelihood import *  # noqa: F403
from .regression import *  # noqa: F403
from .reinforcement import *  # noqa: F403
from .variational import *  # noqa: F403

__all__ = [
    *adversarial.__all__,
    *binary.__all__,
    *likelihood.__all__,
    *regression.__all__,
    *reinforcement.__all__,
    *variational.__all__,
]

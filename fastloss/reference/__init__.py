# SPDX-License-Identifier: BSD-3-Clause
"""The same losses by their direct definition in float64 NumPy: what the kernels are checked against.

These modules hold maths only. Operands arrive validated, broadcast and as float64; weights, masks, reductions and the
working type are the business of `fastloss._call`, which is shared by both backends.
"""

from . import ctc, distance, elementwise, linear, margin, ranking, reinforcement, softmax, tokens, triplet, wasserstein

__all__ = [
    "ctc",
    "distance",
    "elementwise",
    "linear",
    "margin",
    "ranking",
    "reinforcement",
    "softmax",
    "tokens",
    "triplet",
    "wasserstein",
]

# SPDX-License-Identifier: BSD-3-Clause
"""Cases of binary.py."""

from __future__ import annotations

import numpy as np
from case import Case, Operands, Shape


def _logits(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"input": rng.normal(0, 4, shape), "target": rng.uniform(0, 1, shape)}


def _logits_weighted(rng: np.random.Generator, shape: Shape) -> Operands:
    return {**_logits(rng, shape), "weight": rng.uniform(0, 2, shape)}


def _logits_pos_weight(rng: np.random.Generator, shape: Shape) -> Operands:
    """One weight of the positive answers per last axis, as for several labels per sample."""
    return {**_logits(rng, shape), "pos_weight": rng.uniform(0.5, 3, shape[-1:])}


CASES = [
    Case("bce", "binary_cross_entropy_with_logits", "BCEWithLogitsLoss", "bce_logits", _logits),
    Case("bce-weight", "binary_cross_entropy_with_logits", "BCEWithLogitsLoss", "bce_logits", _logits_weighted),
    Case("bce-pos", "binary_cross_entropy_with_logits", "BCEWithLogitsLoss", "bce_logits_pos", _logits_pos_weight),
]

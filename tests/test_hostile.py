# SPDX-License-Identifier: BSD-3-Clause
"""Hostile labels, weights and lengths: refused by ValueError, TypeError or IndexError, or answered; never a crash.

`attack(n)` makes n seeded calls; the suite runs it once per ISA in a process of its own, so that a crash is one failing
test whose message holds the last call. FASTLOSS_HOSTILE is the number of calls (default 20000).
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastloss as fl

ISAS = [name for name, state in fl.isas().items() if state["compiled"] and state["supported"]]
CALLS = int(os.environ.get("FASTLOSS_HOSTILE", "20000"))
REFUSED = (ValueError, TypeError, IndexError)

EXTREMES = [
    *(-1, -2, -100, -101, -128, -129, 127, 128, 255, 256, -(2**15), 2**15, 2**16 - 1),
    *(2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32 - 1, 2**32, 2**40, -(2**40)),
    *(2**62, 2**63 - 1, -(2**63), -(2**63) + 1, 2**63, 2**64 - 1),
]
TYPES = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i2", ">i4", ">i8", ">u8", "f2", "f4", "f8", "?", "c8", "O", "m8"]
SHAPES = [(), (1,), (2,), (5,), (16,), (17,), (64,), (65,), (300,), (3, 4), (2, 3, 5), (0,), (2, 0)]
CLASSES = [0, 1, 2, 3, 10, 31, 32, 33, 64, 65, 66, 127, 128, 1000, 1025]


def labels(rng: np.random.Generator, shape: tuple[int, ...], classes: int) -> Any:
    """Mostly good labels with something hostile about them."""
    kind = rng.choice(TYPES)
    values = rng.integers(0, max(classes, 1), shape).astype(object)
    flat = values.reshape(-1)
    for _ in range(rng.integers(0, 3) if flat.size else 0):
        near = [classes, classes + 1, classes - 1, -classes, 2 * classes]
        flat[rng.integers(flat.size)] = int(rng.choice([*EXTREMES, *near, *near], p=None) if False else pick(rng, near))
    dtype = np.dtype(kind)
    if dtype.kind in "iu":  # wrap around, as a careless cast would
        bits = 8 * dtype.itemsize
        wrapped = [int(v) % 2**bits for v in flat]
        signed = [w - 2**bits if dtype.kind == "i" and w >= 2 ** (bits - 1) else w for w in wrapped]
        return np.array(signed, dtype.newbyteorder("=")).astype(dtype).reshape(shape)
    if dtype.kind == "f":
        special = np.array([float(v) for v in flat], np.float64)
        special[rng.random(special.size) < 0.1] = rng.choice([np.nan, np.inf, -np.inf, 0.5, -0.0])
        with np.errstate(all="ignore"):
            return special.astype(dtype).reshape(shape)
    return values if dtype == object else values.astype(bool if dtype.kind == "b" else np.int64).astype(dtype)

# SPDX-License-Identifier: BSD-3-Clause
"""Half-precision operands for peers that do not compute well with them."""

from __future__ import annotations

from typing import Any

import numpy as np


def widened(args: list[Any]) -> list[Any]:
    """float16 arrays as float32, the others as they are; torch and jax arrays too."""
    return [_single(a) if str(a.dtype).endswith("float16") else a for a in args]


def _single(array: Any) -> Any:
    return array.float() if hasattr(array, "float") else array.astype(np.float32)

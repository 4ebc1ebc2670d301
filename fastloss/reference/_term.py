# SPDX-License-Identifier: BSD-3-Clause
"""What a definition of an elementwise loss gives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# value, one gradient per prediction operand, second derivative in the first prediction
Term = tuple[Array, tuple[Array, ...], Array | None]

# SPDX-License-Identifier: BSD-3-Clause
"""Our times of losses on vectors, by pytest-benchmark."""

from fastloss.bench import cells

CELLS = [c for c in cells.CELLS if c.is_vectors]


def test_speed(timed):
    timed()

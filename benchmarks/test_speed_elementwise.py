# SPDX-License-Identifier: BSD-3-Clause
"""Our times of losses element by element, by pytest-benchmark."""

from fastloss.bench import cells

CELLS = [c for c in cells.CELLS if len(c.shape) == 1 and not (c.is_vision or c.is_network or c.is_vectors)]


def test_speed(timed):
    timed()

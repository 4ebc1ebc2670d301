# SPDX-License-Identifier: BSD-3-Clause
"""Our times of losses of boxes and masks, by pytest-benchmark."""

from fastloss.bench import cells

CELLS = [c for c in cells.CELLS if c.is_vision]


def test_speed(timed):
    timed()

# SPDX-License-Identifier: BSD-3-Clause
"""Our times of losses on rows of classes, by pytest-benchmark."""

from fastloss.bench import cells

CELLS = [c for c in cells.CELLS if len(c.shape) > 1 and c.group in ("small", "in-cache", "beyond-cache")]


def test_speed(timed):
    timed()

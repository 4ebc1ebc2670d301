# SPDX-License-Identifier: BSD-3-Clause
"""Our times of losses of tokens and of linear layers, by pytest-benchmark."""

from fastloss.bench import cells

CELLS = [c for c in cells.CELLS if c.is_tokens]


def test_speed(timed):
    timed()

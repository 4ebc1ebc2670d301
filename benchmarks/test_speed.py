# SPDX-License-Identifier: BSD-3-Clause
"""The cells under pytest-benchmark, for development: `pytest benchmarks/test_speed.py --benchmark-compare`.

No part of the test suite (testpaths is tests/): a benchmark reports times and asserts none.
"""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pytest_benchmark", reason="pytest-benchmark is not installed")

import fastloss as fl
from fastloss.bench import cells, peers

MODES = ("forward", "gradient", "grad_out")


@pytest.fixture(scope="module", params=cells.CELLS, ids=lambda cell: cell.name.replace(" ", "-"))
def calls(request: Any) -> Any:
    """The cell and our calls on its operands; drawn once for the three modes."""
    ours = peers.Fastloss(fl.get_num_threads())
    yield request.param, ours.calls(request.param, request.param.operands())
    fl.set_num_threads(None)


@pytest.mark.parametrize("mode", MODES)
def test_speed(benchmark: Any, calls: Any, mode: str) -> None:
    cell, by_mode = calls
    if mode not in by_mode:
        pytest.skip("a value function has no gradient")
    benchmark.group = f"{cell.group}, {mode}"
    benchmark.extra_info.update(elements=cell.elements, dtype=cell.dtype, threads=fl.get_num_threads())
    benchmark(by_mode[mode])

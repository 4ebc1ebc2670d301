# SPDX-License-Identifier: BSD-3-Clause
"""What the files of topics, test_speed_*.py, share: each of their CELLS in three modes under pytest-benchmark.

No part of the test suite (testpaths is tests/): a benchmark reports times and asserts none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("pytest_benchmark", reason="pytest-benchmark is not installed")

import fastloss as fl
from fastloss.bench import peers

MODES = ("forward", "gradient", "grad_out")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cells = metafunc.module.CELLS
    metafunc.parametrize("calls", cells, ids=[c.name.replace(" ", "-") for c in cells], indirect=True, scope="module")
    metafunc.parametrize("mode", MODES)


@pytest.fixture(scope="module")
def calls(request: Any) -> Any:
    """The cell and our calls on its operands; drawn once for the three modes."""
    ours = peers.Fastloss(fl.get_num_threads())
    yield request.param, ours.calls(request.param, request.param.operands())
    fl.set_num_threads(None)


@pytest.fixture
def timed(benchmark: Any, calls: Any, mode: str) -> Callable[[], Any]:
    """Measure the cell in this mode."""
    cell, by_mode = calls
    if mode not in by_mode:
        pytest.skip("a value function has no gradient")
    benchmark.group = f"{cell.group}, {mode}"
    benchmark.extra_info.update(elements=cell.elements, dtype=cell.dtype, threads=fl.get_num_threads())
    return lambda: benchmark(by_mode[mode])

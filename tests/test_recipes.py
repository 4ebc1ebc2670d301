# SPDX-License-Identifier: BSD-3-Clause
"""The recipes of docs/recipes.md run where the packages they import are installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parent.parent / "docs" / "recipes.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?```python\n(.*?)```", TEXT, re.M | re.S)


def test_all_are_found():
    assert len(RECIPES) == TEXT.count("```python") == 6


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("title", "code"), RECIPES, ids=[title for title, _ in RECIPES])
def test_recipe(title, code, tmp_path, monkeypatch):
    for package in re.findall(r"^import (pyarrow|polars|pandas|dask)\b", code, re.M):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, title, "exec"), {})

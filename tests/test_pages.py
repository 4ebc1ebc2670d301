# SPDX-License-Identifier: BSD-3-Clause
"""Every block of docs/guide.md and docs/formulas.md runs, in order, each page in one namespace."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fastloss as fl

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = ("guide", "formulas")
LOSSES = (
    "L1Loss MSELoss CrossEntropyLoss NLLLoss PoissonNLLLoss GaussianNLLLoss KLDivLoss BCELoss BCEWithLogitsLoss "
    "HingeEmbeddingLoss MarginRankingLoss MultiLabelMarginLoss MultiMarginLoss MultiLabelSoftMarginLoss HuberLoss "
    "SmoothL1Loss SoftMarginLoss CosineEmbeddingLoss TripletMarginLoss TripletMarginWithDistanceLoss CTCLoss"
).split()


def text_of(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs(page):
    text = text_of(page)
    blocks = [(text[: m.start()].count("\n") + 2, m[1]) for m in re.finditer(r"```python\n(.*?)```", text, re.S)]
    assert len(blocks) == text.count("```python") > 15
    names: dict[str, object] = {}
    for line, code in blocks:
        exec(compile("\n" * (line - 1) + code, f"{page}.md", "exec"), names)


def test_the_page_of_formulas_has_every_loss_of_torch():
    headings = " ".join(re.findall(r"^## (.+)$", text_of("formulas"), re.M))
    for name in LOSSES:
        if name != "TripletMarginWithDistanceLoss":  # stands with TripletMarginLoss
            assert re.search(rf"\b{name}\b", headings), name
        assert name in text_of("formulas"), name


@pytest.mark.parametrize("page", PAGES)
def test_what_the_pages_name_exists(page):
    """Functions in the tables and the text too."""
    for name in re.findall(r"`(?:fl\.)?(\w+_(?:loss|divergence))\b", text_of(page)):
        assert hasattr(fl, name), name

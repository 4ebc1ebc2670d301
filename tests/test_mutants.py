# SPDX-License-Identifier: BSD-3-Clause
"""docs/mutants.json speaks of csrc/ as it stands, and says of each mutant what became of it.

A test that fails here after a change of csrc/ asks for ``python tools/mutate.py --json docs/mutants.json``, which drops
the rows whose line is gone and draws others of the same files; reasons in tools/equivalent.py go with their line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "mutants.json"

sys.path.insert(0, str(ROOT / "tools"))
mutate = pytest.importorskip("mutate", reason="the tools are not beside the tests")
if not (PAGE.exists() and (ROOT / "csrc").exists()):
    pytest.skip("the C sources are not beside the tests", allow_module_level=True)

ROWS = json.loads(PAGE.read_text())


def quoted(row):
    return f"{row['file']}: {row['text']}: {row['what']}"


def test_every_line_that_is_quoted_stands_in_its_file():
    kept, _ = mutate.still_there(ROWS)
    assert {quoted(row) for row in ROWS} == {quoted(row) for row in kept}
    assert [row["reason"] for row in ROWS] == [row["reason"] for row in kept]
    reasons = [
        {"file": file, "line": 1, "text": text, "what": what, "killer": ""} for file, text, what in mutate.EQUIVALENT
    ]
    assert mutate.still_there(reasons)[1] == []


def test_every_mutation_can_still_be_made():
    possible = {mutate.named(mutate.row_of(m)) for places in mutate.all_mutations().values() for m in places}
    assert {mutate.named(row) for row in ROWS} <= possible


def test_a_line_that_is_gone_is_seen():
    row = {**ROWS[0], "text": "no_such_line();", "killer": "a test"}
    assert mutate.still_there([row]) == ([], [row["file"]])
    assert mutate.still_there([{**ROWS[0], "file": "no_such_file.h", "killer": ""}]) == ([], ["no_such_file.h"])
    assert mutate.still_there([{**row, "killer": None}]) == ([], [])  # nothing is owed for what was nothing


def test_every_mutant_was_killed_or_is_explained():
    assert [quoted(row) for row in ROWS if mutate.is_open(row)] == []
    assert mutate.is_open({**ROWS[0], "text": "x", "killer": "", "reason": ""})


def test_a_hundred_mutants_and_95_percent_of_them_killed():
    judged = mutate.judged(ROWS)
    killed = sum(bool(row["killer"]) for row in judged)
    harmless = sum(bool(row["reason"]) and not row["killer"] for row in judged)
    assert len(judged) >= 100 and killed >= 0.95 * (len(judged) - harmless)
    assert harmless <= 0.15 * len(judged)  # reasons are the exception

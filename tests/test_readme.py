# SPDX-License-Identifier: BSD-3-Clause
"""README's and the docstrings' examples run as they stand, and README's list of losses is whole."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path

import pytest

import fastloss as fl

# Every loss: whatever function has a reduction.
FUNCTIONS = [
    name
    for name, thing in vars(fl).items()
    if inspect.isfunction(thing) and name in fl.__all__ and "reduction" in inspect.signature(thing).parameters
]
README = Path(__file__).resolve().parent.parent / "README.md"


def snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.S)


def test_readme_snippets(capsys, monkeypatch):
    monkeypatch.chdir(README.parent)
    names: dict[str, object] = {}
    for text in snippets():
        if text.startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(text, names, "README", str(README), 0)
            assert doctest.DocTestRunner().run(test).failed == 0, capsys.readouterr().out
        else:
            exec(compile(text, str(README), "exec"), names)
    fl.set_num_threads(None)
    assert len(names) > 5


def test_readme_lists_every_loss():
    text = README.read_text()
    for name in (*fl.criteria.__all__, *FUNCTIONS):
        assert f"`{name}" in text, name


@pytest.mark.parametrize("name", sorted(n for n in fl.__all__ if inspect.isfunction(getattr(fl, n))))
def test_docstring_examples(name, capsys):
    thing = getattr(fl, name)
    module = inspect.getmodule(thing)
    for test in doctest.DocTestFinder(recurse=False).find(thing, name, module=module, globs={}):
        assert doctest.DocTestRunner().run(test).failed == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_docstrings_are_complete(name):
    doc = inspect.getdoc(getattr(fl, name))
    for section in ("Parameters", "Returns", "Raises", "Notes", "Examples"):
        assert f"{section}\n{'-' * len(section)}" in doc, section
    assert ":math:" in doc and "Source:" in doc and "prediction operand" in doc
    for parameter in inspect.signature(getattr(fl, name)).parameters:
        assert re.search(rf"\b{parameter}\b", doc), parameter

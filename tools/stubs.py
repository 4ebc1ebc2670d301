# SPDX-License-Identifier: BSD-3-Clause
"""Write the stubs of the public functions from their signatures: losses with overloads on `reduction` and
`return_grad`, functions without gradients as they are.

``python tools/stubs.py`` writes fastloss/<module>.pyi for the modules below; ``--check`` only tells, by exit status 1,
that they are stale. Parameters are read from the source files, so nothing has to be built or installed.
"""

import argparse
import ast
import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "fastloss"
MODULES = ["elementwise", "linear", "softmax", "tokens"]

HEADER = """# SPDX-License-Identifier: BSD-3-Clause
# Written by tools/stubs.py from {module}.py; not to be edited.
from typing import {typing}

import numpy as np
from numpy.typing import ArrayLike, NDArray

# An array of the working type, a NumPy scalar where the input is 0-d: "or Any" spares callers the distinction.
_Array: TypeAlias = NDArray[np.floating[Any]] | Any

__all__ = {names}

"""
# reduction, return_grad -> value; the last one takes what is not known before the call.
OVERLOADS = [
    ('Literal["mean", "sum"]', "Literal[False]", "np.float64"),
    ('Literal["none"]', "Literal[False]", "_Array"),
    ('Literal["mean", "sum"]', "Literal[True]", "tuple[np.float64, {grad}]"),
    ('Literal["none"]', "Literal[True]", "tuple[_Array, {grad}]"),
    ("str", "bool", "Any"),
]


def gradients(function):
    """Type of the gradients: one for each operand of which the docstring says "the/a prediction operand"; any number if
    it says "a prediction operand where given"."""
    doc = re.sub(r"\s+", " ", ast.get_docstring(function) or "")
    found = re.findall(r"\b(?:the|a) prediction operand\b( where given)?", doc, re.IGNORECASE)
    if any(found):
        return "tuple[_Array, ...]"
    return "_Array" if len(found) <= 1 else f"tuple[{', '.join(['_Array'] * len(found))}]"


def parameter(argument, default, grad, narrowed):
    """One parameter; where the source says Any, it is an array, given or, with the default None, optional."""
    annotation = narrowed or ast.unparse(argument.annotation)
    if argument.arg in ("out", "grad_out"):
        annotation = ("NDArray[Any] | None", f"{grad.replace('_Array', 'NDArray[Any]')} | None")[argument.arg != "out"]
    elif annotation == "Any":
        annotation = "ArrayLike" if default is None else "ArrayLike | None"
    text = f"{argument.arg}: {annotation}"
    return text if default is None else f"{text} = {ast.unparse(default)}"


def signature(function, reduction, return_grad, grad):
    """The parameter list with the two options that decide the result narrowed, and required where not the default."""
    narrowed = {"reduction": reduction, "return_grad": return_grad}  # "" where there is no such option
    required = {"reduction": "none" in reduction, "return_grad": "True" in return_grad}
    args = function.args
    defaults = [None] * (len(args.args) - len(args.defaults)) + args.defaults
    positional = [parameter(a, d, grad, None) for a, d in zip(args.args, defaults, strict=True)]
    keyword = [
        parameter(a, None if required.get(a.arg) else d, grad, narrowed.get(a.arg))
        for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True)
    ]
    return ",\n    ".join([*positional, "*", *keyword])


def public_names(tree):
    """The module's __all__ as text."""
    assigned = [n for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"]
    return ast.unparse(assigned[0].value)


def definitions(function):
    """The overloads of a loss; of a function without gradients its one definition."""
    if "return_grad" not in [a.arg for a in function.args.kwonlyargs]:
        result = ast.unparse(function.returns).replace("Any", "_Array")
        return [f"def {function.name}(\n    {signature(function, '', '', '')},\n) -> {result}: ...\n"]
    grad, found = gradients(function), []
    for reduction, return_grad, result in OVERLOADS:
        parameters = signature(function, reduction, return_grad, grad)
        found.append(f"@overload\ndef {function.name}(\n    {parameters},\n) -> {result.format(grad=grad)}: ...\n")
    return found


def stub(module):
    """The text of a module's stub."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
    text = "".join(part for function in functions for part in definitions(function))
    typing = "Any, Literal, TypeAlias, overload" if "@overload" in text else "Any, TypeAlias"
    return (HEADER.format(module=module, typing=typing, names=public_names(tree)) + text).replace("'", '"')


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a stub is stale")
    arguments = parser.parse_args()
    stale = []
    for module in MODULES:
        path, text = PACKAGE / f"{module}.pyi", stub(module)
        if not path.exists() or path.read_text() != text:
            stale.append(path.name)
            if not arguments.check:
                path.write_text(text)
    if stale:
        print(f"stubs: {', '.join(stale)} {'stale: run tools/stubs.py' if arguments.check else 'written'}")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())

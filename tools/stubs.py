# SPDX-License-Identifier: BSD-3-Clause
"""Write the stubs of the loss functions from their signatures, with overloads on `reduction`,
`return_grad` and, where there is one, `return_hess`.

``python tools/stubs.py`` writes the .pyi beside each module of MODULES; ``--check`` only tells, by exit
status 1, that they are stale. Parameters are read from the source files, so nothing has to be built or installed.
"""

import argparse
import ast
import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "fastloss"
# The modules of losses: those that the package takes everything from, less the classes.
MODULES = [
    m for m in re.findall(r"^from \.(\w+) import \*", (PACKAGE / "__init__.py").read_text(), re.M) if m != "criteria"
]

HEADER = """# SPDX-License-Identifier: BSD-3-Clause
# Written by tools/stubs.py from {module}.py; not to be edited.
from typing import {typing}

import numpy as np
from numpy.typing import ArrayLike, NDArray

# An array of the working type, a NumPy scalar where the input is 0-d: "or Any" spares callers the distinction.
_Array: TypeAlias = NDArray[np.floating[Any]] | Any

__all__ = {names}

"""
# reduction, return_grad, return_hess -> value; the last one takes what is not known before the call.
OVERLOADS = [
    ('Literal["mean", "sum"]', "Literal[False]", "Literal[False]", "np.float64"),
    ('Literal["none"]', "Literal[False]", "Literal[False]", "_Array"),
    ('Literal["mean", "sum"]', "Literal[True]", "Literal[False]", "tuple[np.float64, {grad}]"),
    ('Literal["none"]', "Literal[True]", "Literal[False]", "tuple[_Array, {grad}]"),
    ('Literal["mean", "sum"]', "Literal[True]", "Literal[True]", "tuple[np.float64, {grad}, _Array]"),
    ('Literal["none"]', "Literal[True]", "Literal[True]", "tuple[_Array, {grad}, _Array]"),
    ("str", "bool", "bool", "Any"),
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
    if argument.arg in ("out", "grad_out", "hess_out"):
        annotation = f"{grad if argument.arg == 'grad_out' else '_Array'} | None".replace("_Array", "NDArray[Any]")
    elif annotation == "Any":
        optional = default is not None and ast.unparse(default) == "None"
        annotation = "ArrayLike | None" if optional else "ArrayLike"
    text = f"{argument.arg}: {annotation}"
    return text if default is None else f"{text} = {ast.unparse(default)}"


def signature(function, narrowed, grad):
    """The parameter list with the options that decide the result narrowed, and required where not the default."""
    required = {name: "none" in literal or "True" in literal for name, literal in narrowed.items()}
    args = function.args
    defaults = [None] * (len(args.args) - len(args.defaults)) + args.defaults
    positional = [parameter(a, d, grad, None) for a, d in zip(args.args, defaults, strict=True)]
    keyword = [
        parameter(a, None if required.get(a.arg) else d, grad, narrowed.get(a.arg))
        for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True)
    ]
    return ",\n    ".join([*positional, *["*"] * bool(keyword), *keyword])


def reduces(function):
    """Whether it is a loss, whose result depends on the options of OVERLOADS."""
    return any(a.arg == "reduction" for a in function.args.kwonlyargs)


def public_names(tree):
    """The module's __all__."""
    assigned = [n for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"]
    return ast.literal_eval(assigned[0].value)


def named_tuple(node):
    """A NamedTuple without its comments and defaults."""
    fields = [
        f"    {ast.unparse(n.target)}: {ast.unparse(n.annotation)}\n" for n in node.body if isinstance(n, ast.AnnAssign)
    ]
    return f"class {node.name}(NamedTuple):\n{''.join(fields)}\n"


def listed(names):
    """A list as the formatter writes it."""
    line = f"[{', '.join(map(repr, names))}]"
    return line if len(line) <= 110 else "[\n" + "".join(f"    {name!r},\n" for name in names) + "]"


def stub(module):
    """The text of a module's stub."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    names = public_names(tree)
    parts = []
    for function in tree.body:
        if isinstance(function, ast.ClassDef) and function.name in names:
            parts.append(("\n" if parts else "") + named_tuple(function))
        elif isinstance(function, ast.FunctionDef) and function.name in names and not reduces(function):
            result = re.sub(r"\bAny\b", "_Array", ast.unparse(function.returns))
            parts.append(f"def {function.name}(\n    {signature(function, {}, '_Array')},\n) -> {result}: ...\n")
        elif isinstance(function, ast.FunctionDef) and function.name in names:
            grad = gradients(function)
            has_hess = any(a.arg == "return_hess" for a in function.args.kwonlyargs)
            for reduction, return_grad, return_hess, result in OVERLOADS:
                if "True" in return_hess and not has_hess:
                    continue
                narrowed = {"reduction": reduction, "return_grad": return_grad, "return_hess": return_hess}
                narrowed["return_parts"] = "bool" if result == "Any" else "Literal[False]"
                parameters = signature(function, narrowed, grad)
                result = result.format(grad=grad)
                parts.append(f"@overload\ndef {function.name}(\n    {parameters},\n) -> {result}: ...\n")
    body = "".join(parts)
    typing = ", ".join(
        name
        for name in ("Any", "Literal", "NamedTuple", "TypeAlias", "overload")
        if name == "TypeAlias" or name in body
    )
    return (HEADER.format(module=module, names=listed(names), typing=typing) + body).replace("'", '"')


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a stub is stale")
    parser.add_argument("--list", action="store_true", help="only print the names of the modules")
    arguments = parser.parse_args()
    if arguments.list:
        print(*MODULES)
        return 0
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

# SPDX-License-Identifier: BSD-3-Clause
"""The command line: parsers whose flags come from the losses' signatures."""

from __future__ import annotations

import argparse
import contextlib
import difflib
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import fastloss as fl

from .losses import Loss, find_losses, flag
from .refusal import Refusal

# Instead of the docstrings' words, which speak of gradients and unreduced results.
OWN_NOTES = {"mask": "bools; False leaves a position out of everything", "reduction": 'of the value: "mean" or "sum"'}
EVAL_USAGE = "fastloss eval LOSS [FILE.npz ...] [options]"
STATUS = "exit status: 0; 2 for bad usage or data; 1 for a failure of fastloss itself; 130 after Ctrl-C."
SHELLS = ("bash", "zsh", "fish")


class Parser(argparse.ArgumentParser):
    """argparse, but an error is a `Refusal` and abbreviated options are refused."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **keywords)

    def error(self, message: str) -> NoReturn:
        raise Refusal(f"{message} (see {self.prog} --help)")

    def parse_strictly(self, argv: Sequence[str]) -> argparse.Namespace:
        options, unknown = self.parse_known_args(argv)
        if unknown:
            # An unknown flag's value may have been taken for FILE, so the flag is what to name, not what is left over.
            word = next((word for word in unknown if word.startswith("-")), unknown[0])
            if not word.startswith("-"):
                raise Refusal(f"unexpected argument {word!r} (see {self.prog} --help)")
            name = word.partition("=")[0]
            hint = did_you_mean(name, self._option_string_actions)
            raise Refusal(f"unknown option {name}{hint} (see {self.prog} --help)")
        return options


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"; did you mean ...?"`` or nothing. Case, dashes and underscores do not count."""

    def plain(text: str) -> str:
        return "".join(c for c in text.lower() if c.isalnum())

    names = {plain(name): name for name in known}
    close = difflib.get_close_matches(plain(word), names, n=2, cutoff=0.6)
    close = close or [name for name in names if plain(word) and plain(word) in name][:2]
    return f"; did you mean {' or '.join(names[name] for name in close)}?" if close else ""


def number(text: str) -> int | float:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    raise argparse.ArgumentTypeError(f"expected a number, got {text!r}")


def number_or_path(text: str) -> int | float | str:
    """A number if it reads as one; write ``./10`` for a file of that name."""
    with contextlib.suppress(argparse.ArgumentTypeError):
        return number(text)
    return text


def count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected an integer of at least 0, got {text!r}")
    return int(text)


def add_flag(group: argparse._ActionsContainer, loss: Loss, name: str, note: str) -> None:
    """The flag of one parameter; its type is that of its default. Flags not given leave no trace in the namespace."""
    default = loss.parameters[name].default
    keywords: dict[str, Any] = {"metavar": "NAME"}
    if loss.is_array(name):
        keywords = {"type": number_or_path, "metavar": "FILE.npy"}
    elif isinstance(default, bool):
        keywords = {"action": argparse.BooleanOptionalAction}
    elif isinstance(default, (int, float)):
        keywords = {"type": number, "metavar": "NUMBER"}
    if not loss.is_array(name):
        note = f"{note} (default {default})".strip()
    group.add_argument(flag(name), dest=name, default=argparse.SUPPRESS, help=note.replace("%", "%%"), **keywords)


def loss_parser(loss: Loss) -> Parser:
    """Parser of what follows ``fastloss eval LOSS``. The namespace has what `add_options` adds, and the loss's own."""
    prog = f"fastloss eval {loss.name}"
    whole = " It compares samples with each other: the arrays are read whole, in one call." if loss.whole_batch else ""
    parser = Parser(
        prog=prog,
        usage=f"{prog} [FILE.npz ...] [options]",
        description=f"{loss.title}.{whole}",
        epilog="\n".join(["examples:", *(f"  {line}" for line in loss.examples)])
        + f"\n\nFILE.npz holds {', '.join(loss.required)} by these names. "
        "An array is a .npy file, or a number where the loss takes one, and goes before FILE's member of that name.\n\n"
        + STATUS,
    )
    add_options(parser)
    group = parser.add_argument_group(f"arguments of {loss.name}")
    notes = loss.notes() | OWN_NOTES
    for name in loss.parameters:
        add_flag(group, loss, name, notes.get(name, ""))
    return parser


def add_options(parser: Parser) -> None:
    """What every loss's evaluation takes."""
    add = parser.add_argument

    def add_count(name: str, default: int, metavar: str, note: str) -> None:
        add(name, type=count, default=default, metavar=metavar, help=f"{note} (default {default})")

    files = (
        "arrays whose keys are the argument names, or a Parquet, Feather or Arrow file with columns; several, or "
        "a quoted pattern: one data set; -: standard input"
    )
    add("files", nargs="*", metavar="FILE.npz", help=files)
    add("--json", dest="as_json", action="store_true", help="one JSON object instead of tables")
    add_count("--top", 5, "K", "how many of the worst samples")
    add("--quiet", action="store_true", help="no progress bar (it shows on a terminal only)")
    add("--per-sample", dest="per_sample", metavar="OUT.npy", help="write the loss of every sample")
    add(
        "--column",
        dest="columns",
        action="append",
        default=[],
        metavar="ARGUMENT=COLUMN",
        help="of Parquet, Feather and Arrow files: the column of an argument, if it bears another name",
    )
    add("--dask", metavar="WHERE", help='evaluate by Dask: "local", or a scheduler\'s address such as tcp://host:8786')
    add(
        "--group-by",
        dest="group_by",
        metavar="KEY",
        help="mean per group: a member or column of FILE, or a .npy file, of integers or text",
    )
    add_count("--groups", 20, "N", "how many groups the table shows, where JSON has all")
    add("--plot", metavar="OUT.png", help="draw the distribution and the worst samples (.png, .svg or .pdf)")
    add(
        "--compare",
        action="append",
        metavar="OTHER",
        help="another model's predictions: a file as FILE, or .npy of the first argument; once per FILE, or a pattern",
    )
    add_count("--resamples", 1000, "R", "of the bootstrap interval of --compare")
    add_count("--resample-seed", 0, "S", "its seed")


def top_parser() -> Parser:
    parser = Parser(
        prog="fastloss",
        usage="fastloss [--version] COMMAND ...",
        description="Loss functions on NumPy arrays.\n\ncommands:\n"
        f"  eval LOSS   evaluate a loss on arrays in files: {EVAL_USAGE}\n"
        "  bench       time fastloss and what is installed beside it: fastloss bench --quick\n"
        "  info        instruction sets, threads and versions of this installation\n"
        f"  completion  completion for a shell: fastloss completion {'|'.join(SHELLS)}",
        epilog=f"{loss_list()}\n\n{STATUS}",
    )
    parser.add_argument("--version", action="version", version=f"fastloss {fl.__version__}")
    return parser


def eval_parser() -> Parser:
    what = "Evaluate a loss on arrays in files: its value, its distribution over samples, the worst samples."
    return Parser(prog="fastloss eval", usage=EVAL_USAGE, description=what, epilog=loss_list())


def loss_list() -> str:
    losses = find_losses().values()
    width = max((len(loss.name) for loss in losses), default=0)
    lines = [f"  {loss.name:{width}}  {loss.title}".rstrip() for loss in losses]
    return "\n".join(["losses:", *lines, "", "fastloss eval LOSS --help shows a loss's options."])

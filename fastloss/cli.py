# SPDX-License-Identifier: BSD-3-Clause
"""The command ``fastloss``: evaluate a loss on arrays in files, or show how the package was built.

    fastloss eval cross_entropy examples/digits.npz
    fastloss eval huber_loss --input predictions.npy --target y.npy --delta 10 --json
    fastloss info

The losses are the package's functions that have a ``reduction``; flags come from their signatures, so a new loss needs
no line here. An evaluation has four steps: `load_inputs`, `evaluate`, `summarise`, and `to_json` or `print_table`.

A sample is an index of the batch axis, axis 0 of the unreduced loss (a 0-d loss is one sample). Its loss is the mean
over its other axes of the positions that count: those that `mask` or `ignore_index` leave out are left out of the mean,
and a sample with no position that counts is no part of ``n``, of the distribution, or of the worst samples. NaN counts
as the worst loss. In JSON the numbers that JSON lacks are the strings "nan", "inf" and "-inf".

Exit status: 0; 2 for bad usage or data (one line on stderr); 130 after Ctrl-C; 141 if the reader of the output left.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import inspect
import json
import math
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

import fastloss as fl

# Arguments of loss functions that mean nothing here: an evaluation wants values, and makes its own outputs.
NOT_OPTIONS = frozenset({"return_grad", "return_hess", "grad_output", "out", "grad_out", "hess_out"})
TEXT_KEYS = ("transcripts", "text", "texts", "names")
# Instead of the docstrings' words, which speak of gradients and unreduced results.
OWN_NOTES = {"mask": "bools; False leaves a position out of everything", "reduction": 'of the value: "mean" or "sum"'}
QUANTILES = ("0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99")
NPY_MAGIC, NPZ_MAGIC = b"\x93NUMPY", b"PK"
TEXT_WIDTH = 60  # of a sample's text in the table; JSON has it whole
EXIT_REFUSED, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 2, 130, 141

Rows = Sequence[tuple[str, ...]]  # of a table
EVAL_USAGE = "fastloss eval LOSS [FILE.npz] [options]"


class Refusal(Exception):
    """What the user gave cannot be used; the message is the one line that they see."""


# The losses and their options ------------------------------------------------------------------------


@dataclass(frozen=True)
class Loss:
    """A public loss function, and the parameters that a file or a flag may fill."""

    name: str
    function: Callable[..., Any]
    parameters: dict[str, inspect.Parameter]

    @property
    def required(self) -> list[str]:
        return [n for n, p in self.parameters.items() if p.default is inspect.Parameter.empty]

    def is_array(self, parameter: str) -> bool:
        """Arrays have no default, or None; the other parameters are plain options."""
        return self.parameters[parameter].default in (inspect.Parameter.empty, None)

    @property
    def title(self) -> str:
        """The first line of the docstring, without its formula, which is unreadable in a terminal."""
        line = first_sentence((inspect.getdoc(self.function) or "").partition("\n\n")[0])
        return line.partition(":math:")[0].rstrip(" ,:")

    def notes(self) -> dict[str, str]:
        """First sentence of each parameter's entry (``name, name : type``) in the NumPy style docstring."""
        notes: dict[str, str] = {}
        names: list[str] = []
        for line in (inspect.getdoc(self.function) or "").splitlines():
            head, colon, _ = line.partition(" : ")
            if colon and not line[0].isspace():
                names = [name.strip(" *") for name in head.split(",")]
            elif line[:1].isspace():
                notes |= {name: f"{notes.get(name, '')} {line}" for name in names}
            else:
                names = []
        return {name: first_sentence(note) for name, note in notes.items()}


def first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".")


def find_losses() -> dict[str, Loss]:
    """The losses by name: whatever function the package exports that has a ``reduction``."""
    found = {}
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for name in sorted(fl.__all__):
        function = getattr(fl, name)
        if not callable(function) or inspect.isclass(function):
            continue
        every = inspect.signature(function).parameters.items()
        if "reduction" in dict(every):
            taken = {n: p for n, p in every if n not in NOT_OPTIONS and p.kind not in variadic}
            found[name] = Loss(name, function, taken)
    return found


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


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
    """Parser of what follows ``fastloss eval LOSS``. The namespace has `file`, `as_json`, `top` and the loss's own."""
    prog = f"fastloss eval {loss.name}"
    arrays = " ".join(f"{flag(n)} {n}.npy" for n in loss.required)
    parser = Parser(
        prog=prog,
        usage=f"{prog} [FILE.npz] [options]",
        description=loss.title,
        epilog=f"examples:\n  {prog} FILE.npz        (its members are named {', '.join(loss.required)})\n"
        f"  {prog} {arrays} --json\n\n"
        "An array is a .npy file, or a number where the loss takes one, and goes before FILE's member of that name.",
    )
    parser.add_argument("file", nargs="?", metavar="FILE.npz", help="arrays whose keys are the argument names")
    parser.add_argument("--json", dest="as_json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--top", type=count, default=5, metavar="K", help="how many of the worst samples (default 5)")
    group = parser.add_argument_group(f"arguments of {loss.name}")
    notes = loss.notes() | OWN_NOTES
    for name in loss.parameters:
        add_flag(group, loss, name, notes.get(name, ""))
    return parser


def top_parser() -> Parser:
    parser = Parser(
        prog="fastloss",
        usage="fastloss [--version] COMMAND ...",
        description="Loss functions on NumPy arrays.\n\ncommands:\n"
        f"  eval LOSS   evaluate a loss on arrays in files: {EVAL_USAGE}\n"
        "  info        instruction sets, threads and versions of this installation",
        epilog=loss_list(),
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


# 1. Loading ------------------------------------------------------------------------------------------


@dataclass
class Inputs:
    """What one evaluation works on."""

    arguments: dict[str, Any]  # of the loss, `reduction` aside
    reduction: str = "mean"
    text: np.ndarray | None = None  # of each sample, if the file has it
    notes: list[str] = field(default_factory=list)  # for stderr


def check_magic(path: str, magic: bytes, otherwise: str) -> None:
    """Refuse what is not a .npy or .npz file by its first bytes: NumPy's own message would be about pickles."""
    try:
        with open(path, "rb") as file:
            start, pipe = file.read(6), not file.seekable()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise Refusal(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if pipe:
        raise Refusal(f"{path} is a pipe: expected a file, which can be read in any order")
    if not start.startswith(magic):
        hint = otherwise if start.startswith((NPY_MAGIC, NPZ_MAGIC)) else ""
        raise Refusal(f"{path} is not a {'.npy' if magic == NPY_MAGIC else '.npz'} file{hint}")


def load_npy(path: str, name: str) -> np.ndarray:
    """A .npy file, mapped and not read, so that arrays beyond memory work."""
    check_magic(path, NPY_MAGIC, f" but a .npz file; give it without {flag(name)}")
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return array
    except Exception as error:  # a hostile header can make NumPy raise nearly anything
        raise Refusal(f"{path} cannot be read as an array: {reason(error)}") from None


def read_member(npz: Any, path: str, key: str) -> np.ndarray:
    try:
        member = npz[key]
    except Exception as error:  # zlib, zipfile, NumPy and the codec each have their own
        raise Refusal(f"{path}: member {key!r} cannot be read: {reason(error)}") from None
    if not isinstance(member, np.ndarray):
        raise Refusal(f"{path}: member {key!r} is not an array")
    return member


@contextlib.contextmanager
def open_npz(path: str) -> Iterator[Any]:
    check_magic(path, NPZ_MAGIC, " but a .npy file; give it as --input or another array")
    with contextlib.ExitStack() as stack:
        try:
            # NumPy leaves a file open that it opened itself and found damaged.
            npz = stack.enter_context(np.load(stack.enter_context(open(path, "rb")), allow_pickle=False))
        except Exception as error:
            raise Refusal(f"{path} cannot be read: {reason(error)}") from None
        yield npz


def load_inputs(loss: Loss, options: argparse.Namespace) -> Inputs:
    """Arrays and options of a loss from the command line and, where that is silent, from the .npz file."""
    given = {n: v for n, v in vars(options).items() if n in loss.parameters}
    arguments = {n: load_npy(v, n) if loss.is_array(n) and isinstance(v, str) else v for n, v in given.items()}
    inputs = Inputs(arguments)
    keys: list[str] = []
    if options.file is not None:
        with open_npz(options.file) as npz:
            keys = list(npz.files)
            for key in keys:
                if key in loss.parameters and key not in arguments:
                    member = read_member(npz, options.file, key)
                    arguments[key] = member if loss.is_array(key) else plain_option(options.file, key, member)
            inputs.text = read_text(npz, options.file, set(keys) - set(loss.parameters), inputs.notes)
    inputs.notes += likely_typos(loss, options.file, keys, arguments)
    check_complete(loss, options.file, keys, arguments)
    inputs.reduction = chosen_reduction(arguments.pop("reduction", None), loss.parameters["reduction"].default)
    return inputs


def plain_option(path: str, key: str, member: np.ndarray) -> Any:
    """An option (say `delta`) that stands in the file: a 0-d array."""
    if member.ndim != 0:
        raise Refusal(f"{path}: member {key!r}: expected a 0-d array for this option, got shape {member.shape}")
    return member.item()


def read_text(npz: Any, path: str, keys: Collection[str], notes: list[str]) -> np.ndarray | None:
    """The first 1-D array of strings under a key for texts. One that cannot be read is no reason to refuse the rest."""
    for key in TEXT_KEYS:
        try:
            member = read_member(npz, path, key) if key in keys else None
        except Refusal as refusal:
            notes.append(f"note: {refusal}; the samples have no text")
            continue
        if member is not None and member.dtype.kind in "US" and member.ndim == 1:
            return member
    return None


def likely_typos(loss: Loss, path: str | None, keys: Iterable[str], arguments: Collection[str]) -> list[str]:
    """Notes on members that are ignored but look like an argument that was not given: `weights`, `masks`."""
    absent = [n for n in loss.parameters if n not in arguments]
    pairs = {k: difflib.get_close_matches(k, absent, n=1, cutoff=0.8) for k in keys if k not in loss.parameters}
    ignored = f"is not an argument of {loss.name} and is ignored"
    return [f"note: {path}: {key!r} {ignored}; did you mean {close[0]!r}?" for key, close in pairs.items() if close]


def check_complete(loss: Loss, path: str | None, keys: Collection[str], arguments: Collection[str]) -> None:
    missing = [n for n in loss.required if n not in arguments]
    if not missing:
        return
    flags = " ".join(f"{flag(n)} {n}.npy" for n in missing)
    if path is None:
        raise Refusal(f"{loss.name} needs {', '.join(missing)}: give a FILE.npz that holds them, or {flags}")
    names, held = " and no ".join(map(repr, missing)), ", ".join(sorted(keys)) or "nothing"
    raise Refusal(f"{path} has no {names}, which {loss.name} needs (it holds {held}); or give {flags}")


def chosen_reduction(given: Any, default: str) -> str:
    """The function judges the name later; but "none" has no value to report, and is what the samples show anyway."""
    if given == "none":
        raise Refusal("reduction 'none' has no single value: expected 'mean' or 'sum'")
    chosen = default if given is None else str(given)
    return "mean" if chosen == "none" else chosen


# 2. Evaluating ---------------------------------------------------------------------------------------


@dataclass
class Evaluation:
    """The value of the whole file, and the loss of each sample that counts."""

    value: float
    losses: np.ndarray  # (n,) float64
    index: np.ndarray  # (n,) of each in the batch axis
    left_out: int  # samples with no position that counts


def evaluate(loss: Loss, inputs: Inputs) -> Evaluation:
    """Two calls of the loss: the value as the function itself reduces it, and the unreduced losses."""
    try:
        value = float(loss.function(**inputs.arguments, reduction=inputs.reduction))
        positions = np.asarray(loss.function(**inputs.arguments, reduction="none"))
        counted = counted_positions(loss, inputs.arguments, positions.shape)
    except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
        raise Refusal(f"{loss.name}: {reason(error)}") from None
    losses, counts = sample_means(positions, counted)
    index = np.flatnonzero(counts)
    return Evaluation(value, losses[index], index, len(losses) - len(index))


def counted_positions(loss: Loss, arguments: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray | None:
    """Which positions of the unreduced loss `mask` and `ignore_index` leave in; None for all."""
    counted = None
    if arguments.get("mask") is not None:
        counted = np.broadcast_to(np.asarray(arguments["mask"]).astype(bool), shape)
    target = np.asarray(arguments.get("target"))
    if "ignore_index" in loss.parameters and target.shape == shape and target.dtype.kind in "iu":
        labelled = target != arguments.get("ignore_index", loss.parameters["ignore_index"].default)
        counted = labelled if counted is None else counted & labelled
    return counted


def sample_means(positions: np.ndarray, counted: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss (float64) and number of counted positions of each sample; positions that do not count are 0."""
    samples = positions.shape[0] if positions.ndim else 1
    width = math.prod(positions.shape[1:])
    sums = positions.reshape(samples, width).sum(axis=1, dtype=np.float64)
    counts = np.full(samples, width) if counted is None else counted.reshape(samples, width).sum(axis=1)
    return sums / np.maximum(counts, 1), counts


# 3. Summary ------------------------------------------------------------------------------------------


def summarise(loss: Loss, inputs: Inputs, evaluation: Evaluation, top: int) -> dict[str, Any]:
    """The report, in the shape of the JSON output."""
    losses, index = evaluation.losses, evaluation.index
    samples = len(losses) + evaluation.left_out
    text = inputs.text
    if text is not None and len(text) != samples:
        inputs.notes.append(f"note: {len(text)} texts for {samples} samples; the samples have no text")
        text = None
    # nan first, then from the largest down; equal losses in the file's order
    order = np.lexsort((-losses, ~np.isnan(losses)))[:top]
    if text is not None and text.dtype.kind == "S":
        text = np.char.decode(text, "utf-8", "replace")
    texts = [None if text is None else str(text[i]) for i in index[order]]
    worst = zip(index[order].tolist(), losses[order].tolist(), texts, strict=True)
    return {
        "loss": loss.name,
        "n": len(losses),
        "reduction": inputs.reduction,
        "value": evaluation.value,
        "per_sample": distribution(losses),
        "worst": [{"index": i, "loss": value, "text": t} for i, value, t in worst],
    }


def distribution(losses: np.ndarray) -> dict[str, Any]:
    """Mean, standard deviation (of the population) and quantiles; nan for no samples, and where a sample is nan."""
    if not len(losses):
        return {"mean": math.nan, "std": math.nan, "quantiles": dict.fromkeys(QUANTILES, math.nan)}
    at = [float(q) for q in QUANTILES]
    with np.errstate(invalid="ignore", over="ignore"):
        mean, std, values = losses.mean(), losses.std(), np.quantile(losses, at)
        # between two infinities, or next to one, interpolation says inf - inf
        values = np.where(np.isnan(values), np.quantile(losses, at, method="higher"), values)
    return {"mean": float(mean), "std": float(std), "quantiles": dict(zip(QUANTILES, values.tolist(), strict=True))}


# 4. Printing -----------------------------------------------------------------------------------------


def to_json(report: dict[str, Any]) -> str:
    """One line of strict JSON."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: finite(item) for key, item in value.items()}
        if isinstance(value, list):
            return [finite(item) for item in value]
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(finite(report), allow_nan=False)


def summary_rows(report: dict[str, Any], left_out: int, weighted: bool) -> Rows:
    stats, value = report["per_sample"], report["value"]
    differs = weighted and report["reduction"] == "mean" and abs(stats["mean"] - value) > 1e-9 * abs(value)
    return [
        (f"value ({report['reduction']})", repr(value)),
        ("samples", f"{report['n']}" + (f" ({left_out} left out: nothing in them counts)" if left_out else "")),
        ("loss per sample", "times its weight, not over the sum of weights as the value may be" if differs else ""),
        ("  mean", f"{stats['mean']:.6g}"),
        ("  std", f"{stats['std']:.6g}"),
        *((f"  {float(q):.0%} quantile", f"{at:.6g}") for q, at in stats["quantiles"].items()),
    ]


def worst_rows(report: dict[str, Any]) -> Rows:
    """A header and a row per sample; no third column where no sample has a text."""
    rows: list[tuple[str, ...]] = [("index", "loss", "text")]
    rows += [(str(w["index"]), f"{w['loss']:.6g}", printable(w["text"] or "", TEXT_WIDTH)) for w in report["worst"]]
    columns = 3 if any(w["text"] is not None for w in report["worst"]) else 2
    return [row[:columns] for row in rows] if len(rows) > 1 else []


def printable(text: str, width: int | None = None) -> str:
    """Escapes for whatever could move the cursor or break the line: texts and file names are not ours."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return text if width is None or len(text) <= width else text[: width - 3] + "..."


def print_table(report: dict[str, Any], left_out: int, weighted: bool) -> None:
    summary, worst = summary_rows(report, left_out, weighted), worst_rows(report)
    if sys.stdout is not None and sys.stdout.isatty() and sys.stdout.encoding.lower().startswith("utf"):
        with contextlib.suppress(ImportError):
            return print_rich(report["loss"], summary, worst)
    say(plain_table(report["loss"], summary, worst))


def plain_table(heading: str, summary: Rows, worst: Rows) -> str:
    width = max(len(label) for label, _ in summary)
    lines = [heading, *(f"  {label:{width}}  {value}" for label, value in summary)]
    if worst:
        widths = [max(len(row[i]) for row in worst) for i in (0, 1)]
        rows = ("  ".join(["", row[0].rjust(widths[0]), row[1].rjust(widths[1]), *row[2:]]) for row in worst)
        lines += ["worst samples", *rows]
    return "\n".join(line.rstrip() for line in lines)


def print_rich(heading: str, summary: Rows, worst: Rows) -> None:
    from rich.console import Console
    from rich.table import Table

    # Texts of samples are not markup, and not emoji codes either.
    console = Console(file=sys.stdout, markup=False, emoji=False, highlight=False)
    table = Table(title=heading, title_justify="left", show_header=False)
    for row in summary:
        table.add_row(*row)
    console.print(table)
    if worst:
        table = Table(title="worst samples", title_justify="left")
        for header in worst[0]:
            table.add_column(header, justify="left" if header == "text" else "right")
        for row in worst[1:]:
            table.add_row(*row)
        console.print(table)


def say(text: str) -> None:
    """Print, with escapes for characters that the output's encoding lacks."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def reason(error: BaseException) -> str:
    """An exception's message on one line, or its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def complain(message: str) -> None:
    print("fastloss: " + printable(" ".join(message.split())), file=sys.stderr)


# The command -----------------------------------------------------------------------------------------


def run_eval(argv: Sequence[str]) -> None:
    losses = find_losses()
    if not argv or argv[0].startswith("-"):
        eval_parser().parse_strictly(argv)
        raise Refusal(f"which loss? {EVAL_USAGE} (fastloss eval --help lists the losses)")
    if argv[0] not in losses:
        hint = did_you_mean(argv[0], losses)
        raise Refusal(f"unknown loss {argv[0]!r}{hint} (fastloss eval --help lists the losses)")
    loss = losses[argv[0]]
    options = loss_parser(loss).parse_strictly(argv[1:])
    inputs = load_inputs(loss, options)
    evaluation = evaluate(loss, inputs)
    report = summarise(loss, inputs, evaluation, options.top)
    for note in inputs.notes:
        complain(note)
    if options.as_json:
        return say(to_json(report))
    print_table(report, evaluation.left_out, inputs.arguments.get("weight") is not None)


def run_info(argv: Sequence[str]) -> None:
    Parser(prog="fastloss info", description="How fastloss was built, and what it uses here.").parse_strictly(argv)
    fl.show_config()


def run(argv: Sequence[str]) -> None:
    commands = {"eval": run_eval, "info": run_info}
    if not argv or argv[0].startswith("-"):
        top_parser().parse_strictly(argv)
        raise Refusal("which command? fastloss eval LOSS FILE.npz, or fastloss info (see fastloss --help)")
    if argv[0] not in commands:
        raise Refusal(f"unknown command {argv[0]!r}{did_you_mean(argv[0], commands)} (see fastloss --help)")
    commands[argv[0]](argv[1:])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these words, or those of the process; returns the exit status."""
    try:
        with contextlib.suppress(SystemExit):  # argparse after --help and --version; its errors are refusals
            run(sys.argv[1:] if argv is None else list(argv))
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a closed pipe can still be caught
    except Refusal as refusal:
        complain(str(refusal))
        return EXIT_REFUSED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:  # of stdout: its reader has left, or the disk is full
        # The interpreter flushes stdout once more at exit: let that go nowhere, where stdout is a real file.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return EXIT_BROKEN_PIPE
        complain(f"cannot write the output: {error.strerror or error}")
        return EXIT_REFUSED
    return 0

# SPDX-License-Identifier: BSD-3-Clause
"""The command ``fastloss``: evaluate a loss on arrays in files, compare speeds, or show how the package was built.

    fastloss eval cross_entropy examples/digits.npz
    fastloss eval huber_loss --input predictions.npy --target y.npy --delta 10 --json
    fastloss bench --quick
    fastloss info
    fastloss completion bash

The losses are the package's functions that have a ``reduction``; flags come from their signatures, so a new loss needs
no line here. An evaluation has four steps: `load_inputs`, `evaluate`,
`summarise` (and `group`, `compare`, `draw` where they are asked for), and `to_json` or `print_sections`.

A sample is an index of the batch axis, axis 0 of the unreduced loss (a 0-d loss is one sample). Its loss is the mean
over its other axes of the positions that count: those that `mask` or `ignore_index` leave out are left out of the mean,
and a sample with no position that counts is no part of ``n``, of the distribution, or of the worst samples. NaN counts
as the worst loss. In JSON the numbers that JSON lacks are the strings "nan", "inf" and "-inf".

Exit status: 0; 2 for bad usage or data (one line on stderr); 1 for a failure of the command itself (one line too, with
FASTLOSS_DEBUG set a traceback); 130 after Ctrl-C, 143 and 129 after SIGTERM and SIGHUP, without a partial file; 141 if
the reader of the output left.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import fastloss as fl

from ..accumulate import Accumulator
from ..samples import Pieces
from .loading import Inputs, load_inputs, use_dask
from .losses import Loss, find_losses
from .parsing import EVAL_USAGE, SHELLS, Parser, did_you_mean, eval_parser, loss_parser, top_parser
from .progress import Show, progress_bar
from .refusal import Refusal, reason
from .report import complain, print_sections, say, sections_of, to_json
from .summary import evaluate, summarise
from .writing import Spilled, losses_file, written_whole

EXIT_FAILED, EXIT_REFUSED, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 1, 2, 130, 141


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
    with contextlib.ExitStack() as stack:
        inputs = load_inputs(loss, options, stack)
        report, left_out = make_report(loss, options, inputs, stack)
    for note in inputs.notes:
        complain(note)
    if options.as_json:
        return say(to_json(report))
    print_sections(sections_of(report, left_out, "weight" in inputs.parts[0].arguments, options.groups))


def make_report(
    loss: Loss, options: argparse.Namespace, inputs: Inputs, stack: contextlib.ExitStack
) -> tuple[dict[str, Any], int]:
    """What is asked for, and the number of samples that are left out; the files of `options` appear when `stack` is
    left without an error. Whatever can be refused is, before the work begins."""
    picture = open_picture(options.plot, stack)
    if loss.whole_batch:
        inputs.notes.append(f"note: {loss.name} compares samples with each other: the arrays were read whole")
    keys = None
    if options.group_by is not None:
        from .groups import group, open_keys

        keys = open_keys(options.group_by, inputs, stack)
    other = None
    if options.compare:
        from .compare import load_other

        other = load_other(loss, options.compare, options, inputs, stack)
    if options.dask is not None:
        use_dask(options.dask, loss, [inputs] if other is None else [inputs, other], stack)
    out = stack.enter_context(losses_file(options.per_sample))
    show = stack.enter_context(progress_bar(options.quiet))
    total = evaluate(loss, inputs, show, out.append if out is not None else None)
    report = summarise(loss, inputs, total, options.top)
    left_out = total.samples() - report["n"]
    if keys is not None:
        report["groups"] = group(keys, inputs, total)
    series: dict[str, Pieces] = {"first": total.counting}
    if other is not None:
        series = compared(loss, options, inputs, other, total, report, show, stack)
    if picture is not None:
        from .plot import draw

        draw(*picture, report, series)
    return report, left_out


def open_picture(path: str | None, stack: contextlib.ExitStack) -> tuple[Any, str] | None:
    """The picture's file and format."""
    if path is None:
        return None
    from .plot import format_of

    kind = format_of(path)
    return stack.enter_context(written_whole(path)), kind


def compared(
    loss: Loss, options: argparse.Namespace, inputs: Inputs, other: Inputs, first: Accumulator, report: dict[str, Any],
    show: Show, stack: contextlib.ExitStack,
) -> dict[str, Pieces]:  # fmt: skip
    """Add the comparison to the report. The first model's losses give way to the differences: what a picture needs of
    them is put by, and returned."""
    from .compare import Differences, compare

    spilled = {name: Spilled(stack) for name in ("first", "other")} if options.plot is not None else {}
    if spilled:
        for piece in first.pieces():
            spilled["first"].append(piece)
    differences = Differences(first.give_losses(), options.top)

    def taken(losses: Any) -> None:
        differences.append(losses)
        if spilled:
            spilled["other"].append(losses)

    second = evaluate(loss, other, show, taken, title="the other", keep=False)
    in_all = differences.at * options.resamples

    def drawn(samples: int) -> None:
        show("bootstrap", samples, 8 * samples, 8 * in_all)

    report["compare"] = compare(
        inputs, other, differences, float(second.compute()), resamples=options.resamples, seed=options.resample_seed,
        show=drawn,
    )  # fmt: skip
    return {name: one.pieces for name, one in spilled.items()}


def run_completion(argv: Sequence[str]) -> None:
    parser = Parser(prog="fastloss completion", description="Print the completion script of a shell.")
    parser.add_argument("shell", choices=SHELLS)
    shell = parser.parse_strictly(argv).shell
    from .completion import completion_script

    print(completion_script(shell), end="")


def run_info(argv: Sequence[str]) -> None:
    Parser(prog="fastloss info", description="How fastloss was built, and what it uses here.").parse_strictly(argv)
    fl.show_config()


def run_bench(argv: Sequence[str]) -> None:
    from . import bench  # the benchmark is imported by who asks for it

    bench.run_bench(argv)


def run(argv: Sequence[str]) -> None:
    commands = {"eval": run_eval, "bench": run_bench, "info": run_info, "completion": run_completion}
    if not argv or argv[0].startswith("-"):
        top_parser().parse_strictly(argv)
        raise Refusal("which command? fastloss eval LOSS FILE.npz, or fastloss info (see fastloss --help)")
    if argv[0] not in commands:
        raise Refusal(f"unknown command {argv[0]!r}{did_you_mean(argv[0], commands)} (see fastloss --help)")
    commands[argv[0]](argv[1:])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these words, or those of the process; returns the exit status."""
    try:
        with (
            orderly_end(),
            contextlib.suppress(SystemExit),
        ):  # argparse after --help and --version; its errors are refusals
            run(sys.argv[1:] if argv is None else list(argv))
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a closed pipe can still be caught
    except Refusal as refusal:
        complain(str(refusal))
        return EXIT_REFUSED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Ended as ended:
        return 128 + ended.args[0]
    except OSError as error:  # of stdout: its reader has left, or the disk is full
        # The interpreter flushes stdout once more at exit: let that go nowhere, where stdout is a real file.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return EXIT_BROKEN_PIPE
        complain(f"cannot write the output: {error.strerror or error}")
        return EXIT_REFUSED
    except Exception as error:
        if os.environ.get("FASTLOSS_DEBUG"):
            raise
        complain(
            f"failed, which is a defect of fastloss: {type(error).__name__}: {reason(error)} (FASTLOSS_DEBUG=1: where)"
        )
        return EXIT_FAILED
    return 0


class Ended(BaseException):
    """A signal that ends the process; its number."""


@contextlib.contextmanager
def orderly_end() -> Iterator[None]:
    """SIGTERM and SIGHUP end the work as Ctrl-C does, through every clean-up, where nobody else handles them."""

    def end(number: int, _: object) -> None:
        raise Ended(number)

    signals = [signal.SIGTERM, signal.SIGHUP] if threading.current_thread() is threading.main_thread() else []
    taken = [number for number in signals if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)

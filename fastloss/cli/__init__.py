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

import contextlib
import os
import sys
from collections.abc import Sequence

import fastloss as fl

from .loading import load_inputs, use_dask
from .losses import find_losses
from .parsing import EVAL_USAGE, Parser, did_you_mean, eval_parser, loss_parser, top_parser
from .refusal import Refusal
from .report import complain, print_table, progress_bar, say, to_json, write_losses
from .summary import evaluate, summarise

EXIT_REFUSED, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 2, 130, 141


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
        if options.dask is not None:
            use_dask(options.dask, loss, inputs, stack)
        evaluation = evaluate(loss, inputs, stack.enter_context(progress_bar(loss.name, options.quiet)))
    report = summarise(loss, inputs, evaluation, options.top)
    for note in inputs.notes:
        complain(note)
    if options.per_sample is not None:
        write_losses(options.per_sample, evaluation.every)
    if options.as_json:
        return say(to_json(report))
    print_table(report, evaluation.left_out, "weight" in inputs.parts[0].arguments)


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

# SPDX-License-Identifier: BSD-3-Clause
"""``fastloss bench``: ratios to the libraries that are installed beside the package."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Sequence
from typing import Any

from .parsing import STATUS, Parser, did_you_mean
from .refusal import Refusal
from .report import say
from .writing import written_whole


def bench_parser() -> Parser:
    from ..bench.cells import GROUPS
    from ..bench.runner import PEERS

    parser = Parser(
        prog="fastloss bench",
        usage="fastloss bench [options]",
        description="Time fastloss and what else is installed on the same arrays, with as many threads, in\n"
        "interleaved calls, and print ratios: values, gradients, hot and cold caches. Every cell takes\n"
        "an hour, --quick two minutes.",
        epilog="examples:\n  fastloss bench --quick\n"
        "  fastloss bench --cells in-cache --peers torch,jax --threads 2 1\n"
        "  fastloss bench --quick --json out.json --plot out.png\n\n"
        f"classes of cells: {', '.join(GROUPS)}.\nFASTLOSS_ISA=avx2 measures other kernels; torch and jax follow.\n\n"
        + STATUS,
    )
    add = parser.add_argument
    several = "threads of everybody; several numbers are measured one after the other (default: all, and 1)"
    instead = "in place of the tables all that was measured, printed or into a file"
    add("--quick", action="store_true", help="few rounds, and of some cells only unless --cells names others")
    add("--threads", type=threads, nargs="+", metavar="N", help=several)
    add("--cells", nargs="+", default=[], metavar="WORD", help='a class, a loss, a dtype, part of a name, or "all"')
    add("--peers", type=names, default=(), metavar="A,B", help=f"of {', '.join(PEERS)} (default: what is installed)")
    add("--no-cold", dest="cold", action="store_false", help="hot caches only")
    add("--json", nargs="?", const="-", metavar="OUT.json", help=instead)
    add("--plot", metavar="OUT.png", help="draw ratios, time against size, and limits (.png, .svg or .pdf)")
    add("--quiet", action="store_true", help="no progress bar (it shows on a terminal only)")
    return parser


def threads(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)


def names(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def run_bench(argv: Sequence[str]) -> None:
    options = bench_parser().parse_strictly(argv)
    settings = settings_of(options)
    from ..bench import runner
    from . import open_picture

    with contextlib.ExitStack() as stack:
        picture, file = open_picture(options.plot, stack), None
        if options.json not in (None, "-"):
            file = stack.enter_context(written_whole(options.json))
        runs = runner.run_all(settings, list(dict.fromkeys(options.threads or default_threads())))
        if picture is not None:
            from ..bench.plot import draw

            draw(*picture, runs)
        if file is not None:
            file.write(dumped(runs).encode())
    if options.json is not None:
        return None if file else say(dumped(runs).rstrip("\n"))
    from ..bench.report import markdown

    return say(markdown(runs).rstrip("\n"))


def settings_of(options: argparse.Namespace) -> Any:
    """What is measured; refuses unknown words before anything is."""
    from ..bench.cells import select
    from ..bench.runner import PEERS, Settings

    for name in options.peers:
        if name not in PEERS:
            raise Refusal(f"--peers: unknown {name!r}{did_you_mean(name, PEERS)} (there are {', '.join(PEERS)})")
    try:
        select(options.cells)
    except ValueError as error:
        raise Refusal(f"--cells: {error}") from None
    return Settings(1, tuple(options.cells), options.peers, options.quick, options.cold, options.quiet)


def default_threads() -> list[int]:
    from .._config import config

    return [config()["usable_cpus"] or os.cpu_count() or 1, 1]


def dumped(runs: list[dict[str, Any]]) -> str:
    return json.dumps({"runs": runs}, indent=1) + "\n"

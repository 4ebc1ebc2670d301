# SPDX-License-Identifier: BSD-3-Clause
"""What a terminal shows while an evaluation runs: rich's bar, or a plain line now and then."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

# What is done, samples done, bytes done, bytes in all (0: unknown).
Show = Callable[[str, int, int, int], None]
SECONDS_BETWEEN_LINES = 2.0


@contextlib.contextmanager
def progress_bar(quiet: bool) -> Iterator[Show]:
    """Progress on stderr, where that is a terminal; it goes away at the end, also after an error or Ctrl-C."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield lambda *_: None
        return
    try:
        from rich.console import Console
    except ImportError:
        yield plain_lines(sys.stderr)
        return
    console = Console(file=sys.stderr, markup=False, emoji=False, highlight=False)
    if console.is_dumb_terminal:
        yield plain_lines(sys.stderr)
        return
    with contextlib.ExitStack() as stack:
        yield rich_bar(console, stack)


def rich_bar(console: Any, stack: contextlib.ExitStack) -> Show:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(bar_width=None), TaskProgressColumn(),
        TextColumn("{task.fields[rates]}", markup=False), TimeRemainingColumn(compact=True),
    )  # fmt: skip
    bar = stack.enter_context(Progress(*columns, console=console, transient=True, expand=True))
    current: dict[str, Any] = {}  # title -> task

    def show(title: str, samples: int, size: int, total: int) -> None:
        if title not in current:
            for task in current.values():
                bar.update(task, visible=False)
            current[title] = bar.add_task(title, total=None, rates="")
        task = current[title]
        bar.update(task, completed=size, total=total or None)
        speed = bar.tasks[task].speed or 0.0  # bytes per second of late
        bar.update(task, rates=rates(samples, speed * samples / size if size else 0.0, speed))

    return show


def plain_lines(stream: TextIO, clock: Callable[[], float] = time.monotonic) -> Show:
    """A line every other second; none for what is done before the first would come."""
    started: dict[str, float] = {}
    printed = clock()

    def show(title: str, samples: int, size: int, total: int) -> None:
        nonlocal printed
        now = clock()
        began = started.setdefault(title, now if started else printed)
        if now - printed < SECONDS_BETWEEN_LINES:
            return
        printed = now
        speed = size / (now - began) if now > began else 0.0
        words = [rates(samples, samples / (now - began) if now > began else 0.0, speed)]
        if total and speed:
            words = [f"{size / total:.0%}", *words, f"{max(0, total - size) / speed:.0f} s left"]
        print(f"{title}: {', '.join(words)}", file=stream, flush=True)

    return show


def rates(samples: int, samples_speed: float, bytes_speed: float) -> str:
    """``1.2M samples, 3.4M/s, 512 MB/s``."""
    if not bytes_speed:
        return f"{short(samples)} samples"
    return f"{short(samples)} samples, {short(samples_speed)}/s, {short(bytes_speed, ' ')}B/s"


def short(number: float, space: str = "") -> str:
    """Three digits and a prefix: 999, 1.23k, 45.6M."""
    for prefix in ("", "k", "M", "G"):
        if number < 999.5:
            return f"{number:.3g}{space}{prefix}"
        number /= 1000
    return f"{number:.3g}{space}T"

# SPDX-License-Identifier: BSD-3-Clause
"""What is printed: tables for people, one line of JSON for programs, complaints on stderr."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..streaming import Progress
from .refusal import Refusal

TEXT_WIDTH = 60  # of a sample's text in the table; JSON has it whole
Rows = Sequence[tuple[str, ...]]  # of a table


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


@contextlib.contextmanager
def progress_bar(title: str, quiet: bool) -> Iterator[Progress | None]:
    """A bar on stderr with rate and time left, where stderr is a terminal and rich is installed."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
        from rich.progress import Progress as Bar
    except ImportError:
        yield None
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[samples]} samples"), DownloadColumn(),
        TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Bar(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(title, total=None, samples=0)

        def show(done: int, samples: int, size: int) -> None:
            total = size / done * samples if done and samples else None
            bar.update(task, completed=size, total=total, samples=done)

        yield show


def write_losses(path: str, losses: np.ndarray) -> None:
    """A .npy file that appears whole or not at all."""
    partial = f"{path}.part"
    try:
        with open(partial, "wb") as file:
            np.save(file, losses)
        os.replace(partial, path)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        with contextlib.suppress(OSError, ValueError):
            os.remove(partial)
        raise Refusal(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None


def complain(message: str) -> None:
    print("fastloss: " + printable(" ".join(message.split())), file=sys.stderr)

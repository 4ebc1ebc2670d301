# SPDX-License-Identifier: BSD-3-Clause
"""What is printed: tables for people, one line of JSON for programs, complaints on stderr."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console

TEXT_WIDTH = 60  # of a sample's text in the table; JSON has it whole
TEXT_COLUMNS = ("text", "group")  # the last ones of a table; the others are numbers
Rows = Sequence[tuple[str, ...]]  # of a table


class Section(NamedTuple):
    """A table: labels and values where it has no header."""

    title: str
    header: tuple[str, ...] | None
    rows: Rows


def to_json(report: dict[str, Any]) -> str:
    """One line of strict JSON."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: finite(item) for key, item in value.items()}
        if isinstance(value, list):
            return [finite(item) for item in value]
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(finite(report), allow_nan=False)


def sections_of(report: dict[str, Any], left_out: int, weighted: bool, groups: int) -> list[Section]:
    """What the tables show, in order; `groups` of the groups at most."""
    found = [Section(report["loss"], None, summary_rows(report, left_out, weighted))]
    if "compare" in report:
        found.append(Section("compared with " + printable(other_name(report)), None, compare_rows(report["compare"])))
    if "groups" in report:
        found.append(group_section(report["groups"], groups))
    if report["worst"]:
        found.append(worst_section("worst samples", report["worst"], ("loss",)))
    if report.get("compare", {}).get("largest"):
        columns = ("difference", "loss", "other")
        found.append(worst_section("samples that differ most", report["compare"]["largest"], columns))
    return found


def other_name(report: dict[str, Any]) -> str:
    files = report["compare"]["files"]
    return files[0] if len(files) == 1 else f"{len(files)} files"


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


def compare_rows(compared: dict[str, Any]) -> Rows:
    interval = compared["interval"]
    method = f"{interval['method']}, {interval['resamples']} resamples, seed {interval['seed']}"
    between = (
        f"{interval['low']:.6g} to {interval['high']:.6g}  ({method})" if interval["resamples"] else "not asked for"
    )
    return [
        ("value", repr(compared["value"])),
        ("samples in both", str(compared["n"])),
        ("mean difference", f"{compared['difference']:.6g}  (its loss minus the first's: below 0 it is better)"),
        (f"  {interval['level']:.0%} interval", between),
        *((name, f"{compared[name]:.2%}") for name in ("better", "worse", "equal")),
    ]


def group_section(groups: list[dict[str, Any]], most: int) -> Section:
    shown = groups[:most]
    left_out = any(one["left_out"] for one in shown)
    rows = [
        (
            str(one["n"]),
            f"{one['mean']:.6g}",
            *[str(one["left_out"])] * left_out,
            printable(str(one["group"]), TEXT_WIDTH),
        )
        for one in shown
    ]
    title = "groups, worst mean first" + (f" ({most} of {len(groups)})" if len(groups) > most else "")
    return Section(title, ("n", "mean", *["left out"] * left_out, "group"), rows)


def worst_section(title: str, samples: Sequence[dict[str, Any]], columns: tuple[str, ...]) -> Section:
    """No column of texts where no sample has one."""
    texts = any(one["text"] is not None for one in samples)
    rows: list[tuple[str, ...]] = []
    for one in samples:
        text = [printable(one["text"] or "", TEXT_WIDTH)] * texts
        rows.append((str(one["index"]), *(f"{one[name]:.6g}" for name in columns), *text))
    return Section(title, ("index", *columns, *["text"] * texts), rows)


def printable(text: str, width: int | None = None) -> str:
    """Escapes for whatever could move the cursor or break the line: texts and file names are not ours."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return text if width is None or len(text) <= width else text[: width - 3] + "..."


def print_sections(sections: Sequence[Section]) -> None:
    if sys.stdout is not None and sys.stdout.isatty() and sys.stdout.encoding.lower().startswith("utf"):
        with contextlib.suppress(ImportError):
            from rich.console import Console

            # Texts of samples are not markup, and not emoji codes either.
            return print_rich(Console(file=sys.stdout, markup=False, emoji=False, highlight=False), sections)
    say("\n".join(plain_table(section) for section in sections))


def plain_table(section: Section) -> str:
    if section.header is None:
        width = max(len(row[0]) for row in section.rows)
        return "\n".join([section.title, *(f"  {label:{width}}  {value}".rstrip() for label, value in section.rows)])
    rows = [section.header, *section.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(section.header))]
    lines = ("  ".join(["", *map(aligned, section.header, row, widths)]).rstrip() for row in rows)
    return "\n".join([section.title, *lines])


def aligned(header: str, cell: str, width: int) -> str:
    return cell if header in TEXT_COLUMNS else cell.rjust(width)


def print_rich(console: Console, sections: Sequence[Section]) -> None:
    from rich import box
    from rich.table import Table

    for section in sections:
        headed = section.header is not None
        table = Table(
            title=section.title, title_justify="left", title_style="bold", show_header=headed, box=box.ROUNDED
        )
        for header in section.header or ("", ""):
            table.add_column(header, justify="left" if not headed or header in TEXT_COLUMNS else "right")
        for row in section.rows:
            table.add_row(*row)
        console.print(table)


def say(text: str) -> None:
    """Print, with escapes for characters that the output's encoding lacks."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def complain(message: str) -> None:
    print("fastloss: " + printable(" ".join(message.split())), file=sys.stderr)

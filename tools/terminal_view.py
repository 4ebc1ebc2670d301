# SPDX-License-Identifier: BSD-3-Clause
"""docs/terminal.svg: what the README's first command shows on a terminal, recorded by rich.

``python tools/terminal_view.py`` writes it; ``--check`` only tells, by exit status 1, that its text is stale (the
drawing around the text differs between versions of rich).
"""

import argparse
import html
import io
import os
import re
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "terminal.svg"
COMMAND = "fastloss eval ctc_loss examples/ocr_lines.npz"
WIDTH = 62


def record():
    """The command's tables as an SVG."""
    from rich.console import Console

    from fastloss import cli
    from fastloss.cli import report

    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, markup=False, highlight=False)
    console.print(f"$ {COMMAND}", style="bold")
    shown = report.print_sections
    cli.print_sections = lambda sections: report.print_rich(console, sections)
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        if status := cli.main(shlex.split(COMMAND)[1:]):
            sys.exit(f"{COMMAND}: exit status {status}")
    finally:
        cli.print_sections = shown
        os.chdir(before)
    return console.export_svg(title="fastloss", unique_id="terminal")


def text_of(svg):
    """The words of the picture, line by line as they come."""
    found = re.findall(r"<text[^>]*>(.*?)</text>", svg, re.S)
    return [line for text in found if (line := html.unescape(text).replace("\xa0", " ").strip())]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if the picture is stale")
    svg = record()
    if not parser.parse_args().check:
        # No typeface from the network: the picture shall look the same without it.
        PICTURE.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S))
    elif text_of(PICTURE.read_text()) != text_of(svg):
        sys.exit(f"{PICTURE.relative_to(ROOT)} is stale: python tools/terminal_view.py")


if __name__ == "__main__":
    main()

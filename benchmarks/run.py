# SPDX-License-Identifier: BSD-3-Clause
"""`fastloss bench` from a checkout, which can also write docs/performance.md and the README's table:

    python benchmarks/run.py --threads 2 1 --quick --write-readme

With --write-readme every cell is measured unless --cells says otherwise; --quick then means few rounds of each. That
takes an hour; it can be done in portions, each with --json, which are put together by

    python benchmarks/run.py --write-readme --from small.json large.json

--page names another page than docs/performance.md, of another machine; the README's table then stays as it is.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
import tempfile
from pathlib import Path

from fastloss.bench import report
from fastloss.cli import main as fastloss

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"


def main() -> int:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--write-readme", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--from", type=Path, nargs="+", dest="portions")
    parser.add_argument("--page", type=Path, default=PAGE)
    options, words = parser.parse_known_args()
    if not options.write_readme:
        return fastloss(["bench", *sys.argv[1:]])
    page = options.page.resolve()
    own = ["--write-readme"] if page == PAGE else ["--write-readme", "--page", str(options.page)]
    if options.portions:
        portions = [run for path in options.portions for run in json.loads(path.read_text())["runs"]]
        command = shlex.join(["python", "benchmarks/run.py", *own]) + " --from portions, see benchmarks/README.md"
        return write(together(portions), command, page)
    command = shlex.join(["python", "benchmarks/run.py", *words, *own])
    words += [] if "--cells" in words else ["--cells", "all"]
    with tempfile.TemporaryDirectory() as folder:
        target = options.json or Path(folder) / "runs.json"
        status = fastloss(["bench", *words, "--json", str(target)])
        return status or write(json.loads(target.read_text())["runs"], command, page)


def notes_of_both(notes: list, more: list) -> list:
    """Each note once; of those that say how busy the machine was, the worst."""

    def disturbed(note: str) -> int:
        return int(re.search(r"(\d+)% of", note)[1])

    busy = [note for note in [*notes, *more] if note.startswith(report.BUSY)]
    others = [note for note in [*notes, *more] if note not in busy]
    return [*sorted(busy, key=disturbed)[-1:], *dict.fromkeys(others)]


def together(portions: list) -> list:
    """One run per number of threads, of the cells of all; what was measured last of a cell counts."""
    runs: dict = {}
    for portion in portions:
        run = runs.setdefault(portion["threads"], {**portion, "cells": [], "notes": [], "peers": [], "versions": {}})
        again = {cell["name"] for cell in portion["cells"]}
        run["cells"] = [cell for cell in run["cells"] if cell["name"] not in again] + portion["cells"]
        run["notes"] = notes_of_both(run["notes"], portion["notes"])
        run["peers"] += [peer for peer in portion["peers"] if peer not in run["peers"]]
        run["versions"].update(portion["versions"])
        run["load"] = max(run["load"], portion["load"])
    for run in runs.values():
        run["geometric_means"] = report.geometric_means(run["cells"], run["peers"])
        run["losses"], run["floors"] = report.losses(run["cells"], run["peers"]), report.floors(run["cells"])
    return list(runs.values())


def write(runs: list, command: str, page: Path) -> int:
    page.write_text(report.PERFORMANCE_HEAD.format(command=command) + report.markdown(runs), encoding="utf-8")
    if page != PAGE or report.write_readme(ROOT / "README.md", report.readme_part(runs[0], "fastloss bench")):
        return 0
    print("README.md has no <!-- benchmark:start --> and <!-- benchmark:end -->: not changed", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

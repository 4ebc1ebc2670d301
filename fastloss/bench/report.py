# SPDX-License-Identifier: BSD-3-Clause
"""From measured cells to ratios, geometric means, floors and Markdown."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from .cells import FLOORS, GROUPS, NO_LOSS, Floor

MODES = ("forward", "gradient")
COLD = ("forward cold", "gradient cold")
MODE_TITLES = {
    "forward": "forward",
    "gradient": "with gradient",
    "forward cold": "forward, cold caches",
    "gradient cold": "with gradient, cold caches",
}
TITLES = {
    "small": "small",
    "in-cache": "in cache",
    "beyond-cache": "beyond cache",
    "ctc-log-probs": "CTC from log-probabilities",
    "ctc-logits": "CTC from logits",
    "tokens": "token quantities",
    "linear": "losses on a matrix product",
    "boxes": "boxes",
    "masks": "overlap of masks",
    "networks": "losses around networks",
    "vectors": "losses on vectors",
}
BUSY = "**The machine was busy**"  # how the note begins that belongs beside every table
README_PEERS = ("torch", "jax", "numpy")  # the others stand in docs/performance.md
README_CELLS = (
    "mse 100",
    "cross_entropy 32x10",
    "l1 1M",
    "mse 1M",
    "huber 1M",
    "bce_with_logits 1M",
    "gaussian_nll 1M",
    "cross_entropy 1024x1000",
    "mse 16M",
    "bce_with_logits 16M",
    "cross_entropy 512x50257",
    "cross_entropy 100000x10",
    "cross_entropy 8x21x128x128",
    "ctc T500 N32 C1000 L60",
    "ctc T1000 N32 C128 L200",
    "ctc_logits T500 N32 C1000 L60",
)


def ratio(cell: dict[str, Any], mode: str, peer: str) -> float | None:
    """Paired median of a peer's time over ours, or None if it was not measured."""
    found = cell["modes"].get(mode, {}).get(peer, {}).get("ratio")
    return None if found is None else float(found["median"])


def geometric_means(cells: list[dict[str, Any]], peers: list[str]) -> dict[str, Any]:
    """Of the paired medians, per class of cells and never over a mix of them."""
    means: dict[str, Any] = {}
    for group in GROUPS:
        for mode in MODE_TITLES:
            for peer in peers:
                found = [r for c in cells if c["group"] == group and (r := ratio(c, mode, peer)) is not None]
                if found:
                    mean = math.exp(sum(map(math.log, found)) / len(found))
                    means.setdefault(group, {}).setdefault(mode, {})[peer] = mean
    return means


def losses(cells: list[dict[str, Any]], peers: list[str]) -> list[dict[str, Any]]:
    """Cells in which a peer is ahead of us beyond the spread of the rounds."""
    lost = []
    for cell in cells:
        for mode in MODE_TITLES:
            for peer in peers:
                found = cell["modes"].get(mode, {}).get(peer, {}).get("ratio")
                if found and found["median"] < NO_LOSS and found["high"] < 1:
                    lost.append({"cell": cell["name"], "mode": mode, "peer": peer, "ratio": found})
    return lost


def _asked_and_measured(
    floor: Floor, cell: dict[str, Any] | None, cells: list[dict[str, Any]]
) -> tuple[str, float | None]:
    """A floor in words and what was measured of it; cell: None where the floor is a group's."""
    asked = f">= {floor.ratio:.3g}x {floor.peer}" if floor.ratio else ""
    if cell is None:
        return asked, geometric_means(cells, [floor.peer]).get(floor.cell, {}).get(floor.mode, {}).get(floor.peer)
    mode = cell["modes"][floor.mode]
    if floor.microseconds is not None:
        return f"<= {floor.microseconds} us", mode["fastloss"]["us"]["median"]
    if floor.share_of_read is None:
        return asked, ratio(cell, floor.mode, floor.peer)
    if "share_of_memory" in mode:
        return f">= {floor.share_of_read:.0%} of C read, both from memory", mode["share_of_memory"]
    return f">= {floor.share_of_read:.0%} of C read", mode.get("share_of_read")


def floors(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each floor asks for, what was measured, and whether that is enough."""
    by_name = {cell["name"]: cell for cell in cells}
    found = []
    for floor in FLOORS:
        cell = by_name.get(floor.cell)
        if cell is None and floor.cell not in GROUPS:
            continue
        asked, measured = _asked_and_measured(floor, cell, cells)
        if measured is None:
            continue
        if floor.microseconds is not None:
            passed = measured <= floor.microseconds
        else:
            passed = measured >= (floor.ratio or floor.share_of_read or 0)
        found.append({"cell": floor.cell, "mode": floor.mode, "asked": asked, "measured": measured, "passed": passed})
    return found


def disturbed_share(cells: list[dict[str, Any]]) -> float:
    """Part of all timings during which other processes took our processors, retries notwithstanding."""
    hot = [entries for c in cells for mode, entries in c["modes"].items() if mode not in COLD]
    entries = [e for mode in hot for e in mode.values() if isinstance(e, dict)]
    return sum(e["disturbed"] for e in entries) / max(1, sum(e["us"]["rounds"] for e in entries))


# ---- Markdown --------------------------------------------------------------------------------------------------------


def digits(x: float) -> str:
    """Three significant digits."""
    return f"{x:.3g}" if x < 100 else f"{x:.0f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def _ratio_text(cell: dict[str, Any], mode: str, peer: str, spread: bool) -> str:
    found = cell["modes"].get(mode, {}).get(peer, {}).get("ratio")
    if found is None:
        return ""
    text = f"{digits(found['median'])}x"
    return text + f" ({digits(found['low'])}–{digits(found['high'])})" if spread else text


def _us(cell: dict[str, Any], mode: str) -> float:
    return float(cell["modes"][mode]["fastloss"]["us"]["median"])


def conditions(run: dict[str, Any]) -> str:
    """Where, when and how a run was made."""
    m, versions = run["machine"], run["versions"]
    lines = [
        f"{m['processor']}, {m['cpus']} CPUs, instruction set {m['isa']}, {threads_of(run)}, {run['date']}. ",
        ", ".join(f"{name} {version}" for name, version in versions.items()) + ". ",
        f"Paired medians of interleaved rounds with hot caches ({run['rounds']} rounds at most) where nothing else is "
        "said; a ratio is the peer's time over ours, so above 1 we are ahead.",
    ]
    return "".join(lines)


def lost_lines(runs: list[dict[str, Any]]) -> str:
    """What stands at the top of every report, until it is mended."""
    lines = []
    for run in runs:
        for lost in run["losses"]:
            r = lost["ratio"]
            lines.append(
                f"- {lost['cell']}, {MODE_TITLES[lost['mode']]}, {threads_of(run)}: {digits(r['median'])}x of "
                f"{lost['peer']} ({digits(r['low'])}–{digits(r['high'])})"
            )
    title = "**Cells that we lose** (paired median below 0.97, quartiles below 1):\n\n"
    return title + "\n".join(lines) + "\n\n" if lines else ""


def threads_of(run: dict[str, Any]) -> str:
    return f"{run['threads']} thread{'s' * (run['threads'] > 1)}"


def _read_limits(cell: dict[str, Any]) -> list[str]:
    """What a read of the inputs alone takes, in CTC's own units: ns per (frame, state) and GB/s."""
    forward = cell["modes"]["forward"]
    if "read_us" not in forward:
        return ["", ""]
    return [digits(forward["read_us"] * 1e3 / cell["elements"]), digits(forward["read_gb_per_s"])]


def full_table(run: dict[str, Any]) -> str:
    """Every cell with quartiles of the ratios."""
    peers = run["peers"]
    text = ""
    for group in GROUPS:
        cells = [c for c in run["cells"] if c["group"] == group]
        if not cells:
            continue
        text += f"### {TITLES[group][0].upper() + TITLES[group][1:]}\n\n"
        is_ctc = group.startswith("ctc")
        per = "ns per (frame, state)" if is_ctc else "ns per element"
        limits = ["C read ns", "C read GB/s"] if is_ctc else []
        from_memory = any("share_of_memory" in c["modes"]["forward"] for c in cells)
        head = ["forward", "us", per, "GB/s", *limits, *peers, "of C read", *["both from memory"] * from_memory]
        rows = []
        for c in cells:
            shares = [c["modes"]["forward"].get(f"share_of_{what}") for what in ("read", "memory")[: 1 + from_memory]]
            us = _us(c, "forward")
            rows.append(
                [c["name"], digits(us), digits(us * 1e3 / c["elements"]), digits(c["bytes"] / us / 1e3)]
                + (_read_limits(c) if is_ctc else [])
                + [_ratio_text(c, "forward", p, True) for p in peers]
                + [f"{share:.0%}" if share else "" for share in shares]
            )
        text += table(head, rows) + "\n"
        head = ["with gradient", "us", per, *(["GB/s", *limits] if is_ctc else []), *peers, "us into grad_out"]
        rows = []
        for c in (c for c in cells if "gradient" in c["modes"]):
            us = _us(c, "gradient")
            rows.append(
                [c["name"], digits(us), digits(us * 1e3 / c["elements"])]
                + ([digits(2 * c["bytes"] / us / 1e3), *_read_limits(c)] if is_ctc else [])
                + [_ratio_text(c, "gradient", p, True) for p in peers]
                + [digits(_us(c, "grad_out"))]
            )
        text += table(head, rows) + "\n" if rows else ""
    return text


def means_table(run: dict[str, Any]) -> str:
    rows = []
    for group in GROUPS:
        for mode in MODE_TITLES:
            found = run["geometric_means"].get(group, {}).get(mode)
            if found:
                rows.append(
                    [f"{TITLES[group]}, {MODE_TITLES[mode]}"]
                    + [f"{digits(found[p])}x" if p in found else "" for p in run["peers"]]
                )
    return table(["geometric mean", *run["peers"]], rows) + "\n" if run["peers"] else ""


def floors_table(run: dict[str, Any]) -> str:
    rows = [
        [f"{f['cell']}, {f['mode']}", f["asked"], digits(f["measured"]), "yes" if f["passed"] else "**no**"]
        for f in run["floors"]
    ]
    return table(["floor", "asked", "measured", "met"], rows) + "\n" if rows else ""


def cold_table(run: dict[str, Any]) -> str:
    """Single calls on data that no cache holds."""
    cells = [c for c in run["cells"] if "forward cold" in c["modes"]]
    if not cells:
        return ""
    peers = run["peers"]
    head = ["cold caches, forward", "us", *peers, "with gradient us", *peers]
    rows = []
    for c in cells:
        row = [c["name"], digits(_us(c, "forward cold"))] + [_ratio_text(c, "forward cold", p, False) for p in peers]
        if "gradient cold" in c["modes"]:
            row += [digits(_us(c, "gradient cold"))]
        rows.append(row + [_ratio_text(c, "gradient cold", p, False) for p in peers])
        rows[-1] += [""] * (len(head) - len(rows[-1]))
    return "### Cold caches\n\n" + table(head, rows) + "\n"


def exp_table(run: dict[str, Any]) -> str:
    """What one exp takes where a loss is little else, beside the limit of its arithmetic."""
    limit = run.get("exp_ns_limit")
    rows = [
        [c["name"], digits(found), f"{limit / found:.0%}"]
        for c in run["cells"]
        if limit and (found := c["modes"]["forward"].get("ns_per_exp"))
    ]
    text = f"ns of one core per exp; its arithmetic alone would take {limit:.3g}" if limit else ""
    return table([text, "ns", "of that limit"], rows) + "\n" if rows else ""


def markdown(runs: list[dict[str, Any]]) -> str:
    """Everything that was measured: what we lose, then a section per number of threads."""
    text = lost_lines(runs)
    for run in runs:
        text += f"## {threads_of(run)[0].upper() + threads_of(run)[1:]}\n\n{conditions(run)}\n\n"
        text += "".join(f"- {note}\n" for note in run["notes"]) + "\n"
        text += means_table(run) + floors_table(run) + full_table(run) + cold_table(run) + exp_table(run)
    return text


PERFORMANCE_HEAD = """# Performance

Written by `{command}`; `fastloss bench` measures the same anywhere. The cells are frozen in `fastloss/bench/cells.py`,
their inputs drawn in `operands.py` beside it, what is called stands in `peers*.py`. *with gradient* allocates its
gradients in every call, as the peers do; *into grad_out* writes into arrays that exist. *GB/s* counts the
floating-point inputs once. *of C read* is the time of a C loop that only reads the same arrays, best of 20, over our
best; *both from memory* the same of large cells, in turn, each after all lines of the arrays were flushed from the
caches, since some processors' caches hold them. Quartiles of the paired ratios stand in brackets. CTC reads few classes
of log-probabilities, so that it may take less time than a read of all; *jax* is `optax.ctc_loss` there. *C read ns* and
*C read GB/s* are that loop in the units of the columns before, the limit that memory sets; the *GB/s* of CTC with
gradient count the input and the gradient.

"""


def small_table(run: dict[str, Any]) -> str:
    """A dozen rows for the README."""
    cells = {c["name"]: c for c in run["cells"]}
    peers = [peer for peer in README_PEERS if peer in run["peers"]]
    head = ["", "fastloss us", *(f"/ {p}" for p in peers), "with gradient us", *(f"/ {p}" for p in peers)]
    rows = []
    for name in README_CELLS:
        if name in cells:
            c = cells[name]
            row = [name.replace("_", " "), digits(_us(c, "forward"))]
            row += [_ratio_text(c, "forward", p, False) for p in peers]
            row += [digits(_us(c, "gradient"))] + [_ratio_text(c, "gradient", p, False) for p in peers]
            rows.append(row)
    return table(head, rows)


def readme_part(run: dict[str, Any], command: str) -> str:
    busy = "".join(f"{note}\n\n" for note in run["notes"] if note.startswith(BUSY))
    return (
        f"{conditions(run)}\n\n{busy}{lost_lines([run])}{small_table(run)}\n"
        f"Every cell, with quartiles: [docs/performance.md](docs/performance.md). Measure here: `{command}`.\n"
    )


def write_readme(path: Path, part: str) -> bool:
    """Replace what stands between the two markers; False if they are not there."""
    pattern = re.compile(r"(<!-- benchmark:start -->\n).*?(<!-- benchmark:end -->)", re.DOTALL)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    replaced, n = pattern.subn(lambda m: m[1] + part + m[2], text)
    if n:
        path.write_text(replaced, encoding="utf-8")
    return bool(n)

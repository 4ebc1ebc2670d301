# SPDX-License-Identifier: BSD-3-Clause
"""A picture of one run: ratios, time per element against size, and bytes per second beside those of a C read."""

from __future__ import annotations

import logging
import warnings
from typing import Any, BinaryIO

from ..cli.plot import BLUE, GREY, ORANGE, STYLE
from .report import GROUPS, TITLES, digits, ratio, threads_of

COLORS = (ORANGE, "#6b4f9e", "#3c8d5a", "#b8860b", "#c2456b", "#5b8db8", "#7a7a3a")  # of the peers
LOSSES = ("mse", "bce_with_logits")  # whose curves are drawn


def draw(file: BinaryIO, kind: str, runs: list[dict[str, Any]]) -> None:
    """Of the first run, that with most threads by default."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    run = runs[0]
    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.simplefilter("ignore")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = Figure(figsize=(13, 8), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(2, 2, width_ratios=(1.1, 1))
        machine = run["machine"]
        figure.suptitle(
            f"fastloss {run['versions']['fastloss']}: {machine['processor']}, {machine['isa']}, "
            f"{threads_of(run)}, {run['date']}",
            x=0.01, ha="left", fontsize=13, fontweight="bold",
        )  # fmt: skip
        ratios(figure.add_subplot(grid[:, 0]), run)
        sizes(figure.add_subplot(grid[0, 1]), run)
        roofline(figure.add_subplot(grid[1, 1]), run)
        figure.savefig(file, format=kind, dpi=120)


def ratios(axes: Any, run: dict[str, Any]) -> None:
    """Each cell's paired median is a dot, a class's geometric mean a bar with its number."""
    axes.set_title("time of others over ours; a mark is a class's geometric mean", loc="left")
    axes.set_xscale("log")
    rows = [
        (group, mode)
        for group in GROUPS
        for mode in ("forward", "gradient")
        if mode in run["geometric_means"].get(group, {})
    ]
    step = 0.8 / max(1, len(run["peers"]))
    for k, (peer, color) in enumerate(zip(run["peers"], COLORS, strict=False)):
        label: str | None = peer
        for row, (group, mode) in enumerate(rows):
            y = row - 0.4 + step * (k + 0.5)
            found = [r for c in run["cells"] if c["group"] == group and (r := ratio(c, mode, peer)) is not None]
            mean = run["geometric_means"][group][mode].get(peer)
            if mean is not None:
                axes.plot(found, [y] * len(found), ".", color=color, alpha=0.45, ms=5, label=label)
                axes.plot([mean], [y], "|", color=color, ms=11, mew=2.5)
                axes.annotate(
                    f"{digits(mean)}x", (mean, y), (5, 3), textcoords="offset points", fontsize=7, color=color
                )
                label = None
    axes.axvline(1, color=GREY, lw=1.2)
    axes.set_yticks(range(len(rows)), [f"{TITLES[g]}\n{'value' if m == 'forward' else 'gradient'}" for g, m in rows])
    axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    if rows:
        axes.legend(frameon=False, loc="lower right")


def sizes(axes: Any, run: dict[str, Any]) -> None:
    """ns per element of float32 values against the number of elements, ours thick."""
    axes.set_title(f"time per element: {LOSSES[0]} of all, {LOSSES[1]} of ours dashed", loc="left")
    axes.set(xscale="log", yscale="log", xlabel="elements", ylabel="ns per element")
    for name, color in zip(["fastloss", *run["peers"]], (BLUE, *COLORS), strict=False):
        for loss in LOSSES if name == "fastloss" else LOSSES[:1]:
            points = sorted(
                (c["elements"], 1e3 * c["modes"]["forward"][name]["us"]["median"] / c["elements"])
                for c in run["cells"]
                if c["loss"] == loss and c["dtype"] == "float32" and name in c["modes"]["forward"]
            )
            if points:
                dashed, ours = loss != LOSSES[0], name == "fastloss"
                style = {"ls": "--" if dashed else "-", "lw": 2.2 if ours else 1.2, "marker": "o", "ms": 3.5}
                axes.plot(*zip(*points, strict=True), color=color, label=None if dashed else name, **style)
    if axes.lines:
        axes.legend(frameon=False, ncols=2)


def roofline(axes: Any, run: dict[str, Any]) -> None:
    """Bytes per second of values, hot, beside those of a C read of the same bytes and streams."""
    axes.set_title("bytes of the operands per second: ours, and a C read of them", loc="left")
    axes.set(xscale="log", yscale="log", xlabel="bytes", ylabel="GB/s")
    cells = [c for c in run["cells"] if "read_gb_per_s" in c["modes"]["forward"]]
    reads = sorted((c["bytes"], c["modes"]["forward"]["read_gb_per_s"]) for c in cells)
    if reads:
        axes.plot(*zip(*reads, strict=True), color=GREY, lw=1.2, marker="_", ms=9, label="C read, best of 20")
    for expensive, marker, name in ((False, "o", "losses"), (True, "^", "losses of one exp per element")):
        points = [
            (c["bytes"], c["bytes"] / c["modes"]["forward"]["fastloss"]["us"]["best"] / 1e3)
            for c in cells
            if ("ns_per_exp" in c["modes"]["forward"]) == expensive
        ]
        if points:
            axes.plot(*zip(*points, strict=True), marker, color=ORANGE if expensive else BLUE, ms=5, label=name)
    if run.get("exp_ns_limit"):
        exp_limit = 4 * run["threads"] / run["exp_ns_limit"]
        axes.axhline(exp_limit, color=ORANGE, lw=1, ls=":", label="arithmetic of one exp per float32")
    if cells:
        axes.legend(frameon=False)

# SPDX-License-Identifier: BSD-3-Clause
"""A picture of the losses of samples: ``--plot``. matplotlib is imported when it is asked for."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from typing import Any, BinaryIO

import numpy as np

from .refusal import Refusal, reason
from .report import printable

FORMATS = ("png", "svg", "pdf")
BLUE, ORANGE, GREY = "#2a6f97", "#e07a1f", "#8a8f98"
MOST_WORST = 12  # bars in the third panel
MOST_POINTS = 2000  # of a curve
LABEL_WIDTH = 32  # of a sample's text
LARGEST_DRAWN = 1e300
WIDE = 30.0  # largest over median loss from which on the axis is logarithmic


def format_of(path: str) -> str:
    """The picture's format by its name; refuses before anything is computed what cannot be drawn later."""
    suffix = os.path.splitext(path)[1].lower().lstrip(".")
    if suffix not in FORMATS:
        raise Refusal(f"--plot {path}: expected a name that ends in .{', .'.join(FORMATS)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise Refusal("--plot needs matplotlib: pip install 'fastloss[plot]'")
    return suffix


def draw(file: BinaryIO, kind: str, report: dict[str, Any], series: dict[str, np.ndarray]) -> None:
    """`series`: name -> (n,) losses of the samples that count, in one order if there are two."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it would talk about fonts and caches
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks
        try:
            import matplotlib
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except Exception as error:  # a broken installation
            raise Refusal(f"--plot: matplotlib cannot be imported: {reason(error)}") from None
        with matplotlib.rc_context():
            matplotlib.rcdefaults()  # the user's own style could hide what we draw
            matplotlib.rcParams.update(STYLE)
            figure = Figure(figsize=(11, 7), layout="constrained")
            FigureCanvasAgg(figure)
            fill(figure, report, series)
            figure.savefig(file, format=kind, dpi=120)


STYLE: Any = {
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "grid.color": "#e3e5e8", "axes.edgecolor": GREY, "axes.titlesize": 11,
    "font.size": 9.5, "svg.hashsalt": "fastloss",
}  # fmt: skip


def fill(figure: Any, report: dict[str, Any], series: dict[str, np.ndarray]) -> None:
    """Histogram above the cumulative curve, over one axis of losses; the worst samples beside them."""
    grid = figure.add_gridspec(2, 2, width_ratios=(1.35, 1))
    above, below = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
    beside = figure.add_subplot(grid[:, 1])
    n, value = report["n"], report["value"]
    title = f"{report['loss']}: {value:.6g} ({report['reduction']}) over {n:,} sample{'s' * (n != 1)}"
    if "compare" in report:
        title += f"; the other: {report['compare']['value']:.6g}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    finite = {name: losses[drawable(losses)] for name, losses in series.items()}
    every = np.concatenate(list(finite.values()))
    logarithmic = is_wide(every)
    for (name, losses), color in zip(finite.items(), (BLUE, ORANGE), strict=False):
        if len(losses):
            bins = edges(every, logarithmic)
            above.hist(np.maximum(losses, bins[0]), bins=bins, color=color, alpha=0.75, label=name)
            below.step(*cumulative(losses, len(series[name])), where="post", color=color, lw=1.8)
    for axes in (above, below):
        if logarithmic:
            axes.set_xscale("log")
        axes.set_xlabel("loss of a sample")
    if logarithmic:
        above.set_xlim(left=edges(every, True)[0] / 1.2)
    below.sharex(above)
    above.set_title("distribution" + not_shown(series), loc="left")
    above.set_ylabel("samples")
    above.yaxis.get_major_locator().set_params(integer=True)
    below.set_title("share of samples up to a loss", loc="left")
    below.set_ylim(0, 1.02)
    mark_quantiles(below, report)
    if len(series) > 1:
        above.legend(frameon=False)
    worst(beside, report)


def drawable(losses: Any) -> Any:
    """Less than what an axis can span."""
    return np.abs(losses) < LARGEST_DRAWN


def is_wide(losses: np.ndarray) -> bool:
    """Whether a logarithmic axis shows more: all above 0, and the largest far off."""
    return bool(len(losses)) and losses.min() > 0 and losses.max() > WIDE * float(np.median(losses))


def edges(losses: np.ndarray, logarithmic: bool) -> np.ndarray:
    """Of the histogram's bins: finer with more samples."""
    low, high = float(losses.min()), float(losses.max())
    bins = int(np.clip(2 * len(losses) ** (1 / 3), 10, 80))
    if not high - low > abs(high) * 1e-9:  # all equal: one bin around it
        half = max(abs(high) * 0.05, 0.5)
        return np.linspace(low - half, high + half, 4)
    if logarithmic:  # a few tiny losses, which go into the first bin, shall not take up the axis
        return np.geomspace(float(np.quantile(losses, 0.001)), high, bins + 1)
    return np.linspace(low, high, bins + 1)


def cumulative(losses: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Some points of the sorted losses, and the share of n samples up to each."""
    ordered = np.sort(losses)
    ordered = np.concatenate([ordered[:1], ordered])  # the first step rises from 0
    at = np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), MOST_POINTS)).astype(int))
    return ordered[at], at / n


def not_shown(series: dict[str, np.ndarray]) -> str:
    missing = sum(int(np.sum(~drawable(losses))) for losses in series.values())
    return f" ({missing:,} infinite or nan, not shown)" if missing else ""


def mark_quantiles(axes: Any, report: dict[str, Any]) -> None:
    """Dotted lines at the median and at 95 %, as the table has them."""
    for q, height in (("0.5", 0.03), ("0.95", 0.1)):
        at = report["per_sample"]["quantiles"][q]
        if drawable(at):
            axes.axvline(at, color=GREY, ls=":", lw=1.2)
            text = f"{float(q):.0%}: {number(at)}"
            place, side = (-4, "right") if q == "0.95" else (4, "left")
            axes.annotate(
                text, (at, height), (place, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
                ha=side, color="#444b55",
            )  # fmt: skip


def worst(axes: Any, report: dict[str, Any]) -> None:
    """Bars of the worst samples, or of those that differ most; what is no number has no bar."""
    samples, name, title = report["worst"], "loss", "worst samples"
    if "compare" in report:
        samples, name, title = report["compare"]["largest"], "difference", "samples that differ most (other - first)"
    samples = samples[:MOST_WORST]
    axes.set_title(title, loc="left")
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(name)
    values = [one[name] for one in samples]
    lengths = [value if drawable(value) else 0.0 for value in values]
    bars = axes.barh(range(len(samples)), lengths, height=0.62, color=[ORANGE if v > 0 else BLUE for v in lengths])
    axes.bar_label(bars, [number(value) for value in values], padding=4)
    axes.margins(x=0.18)
    axes.set_ylim(max(len(samples), 5) - 0.4, -0.6)  # the worst on top; bars never thicker than a fifth
    axes.set_yticks(range(len(samples)), [label(one) for one in samples], parse_math=False)
    axes.tick_params(axis="y", length=0)


def number(value: float) -> str:
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e8 else f"{value:.4g}"


def label(sample: dict[str, Any]) -> str:
    text = printable(sample["text"] or "", LABEL_WIDTH)
    return f"{text}  #{sample['index']}" if text else f"#{sample['index']}"

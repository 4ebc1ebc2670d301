# SPDX-License-Identifier: BSD-3-Clause
"""A picture of the losses of samples: ``--plot``. matplotlib is imported when it is asked for."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from ..samples import Pieces, quantiles
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


def draw(file: BinaryIO, kind: str, report: dict[str, Any], series: dict[str, Pieces]) -> None:
    """`series`: name -> losses of the samples that count, piece by piece, as often as it is called."""
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


def fill(figure: Any, report: dict[str, Any], series: dict[str, Pieces]) -> None:
    """Histogram above the cumulative curve, over one axis of losses; the worst samples beside them."""
    grid = figure.add_gridspec(2, 2, width_ratios=(1.35, 1))
    above, below = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
    beside = figure.add_subplot(grid[:, 1])
    n, value = report["n"], report["value"]
    title = f"{report['loss']}: {value:.6g} ({report['reduction']}) over {n:,} sample{'s' * (n != 1)}"
    if "compare" in report:
        title += f"; the other: {report['compare']['value']:.6g}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    extents = {name: Extent(pieces) for name, pieces in series.items()}
    axis = Axis(list(extents.values()))
    for extent, name, color in zip(extents.values(), series, (BLUE, ORANGE), strict=False):
        if extent.n:
            numbers = axis.histogram(extent)
            above.hist(axis.bins[:-1], bins=axis.bins, weights=numbers, color=color, alpha=0.75, label=name)
            below.step(*axis.cumulative(extent), where="post", color=color, lw=1.8)
    for axes in (above, below):
        if axis.logarithmic:
            axes.set_xscale("log")
        axes.set_xlabel("loss of a sample")
    if axis.logarithmic:
        above.set_xlim(left=axis.bins[0] / 1.2)
    below.sharex(above)
    above.set_title("distribution" + not_shown(list(extents.values())), loc="left")
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


class Extent:
    """Of one model's losses, those that can be drawn: how many, and from where to where."""

    def __init__(self, pieces: Pieces) -> None:
        self.all = pieces
        self.n, self.in_all, self.low, self.high = 0, 0, math.inf, -math.inf
        for losses in pieces():
            self.in_all += len(losses)
            losses = losses[drawable(losses)]
            self.n += len(losses)
            self.low = min(self.low, float(losses.min(initial=math.inf)))
            self.high = max(self.high, float(losses.max(initial=-math.inf)))

    def pieces(self) -> Iterator[np.ndarray]:
        return (losses[drawable(losses)] for losses in self.all())


class Axis:
    """The axis of losses that all models share, and its bins: finer with more samples."""

    def __init__(self, extents: list[Extent]) -> None:
        n = sum(one.n for one in extents)
        self.logarithmic, self.bins = False, np.zeros(0)
        if not n:
            return
        low, high = min(one.low for one in extents), max(one.high for one in extents)
        bins = int(np.clip(2 * n ** (1 / 3), 10, 80))
        start, median = quantiles([0.001, 0.5], n, lambda: (p for one in extents for p in one.pieces()))
        # A logarithmic axis shows more where all are above 0, and the largest is far off.
        self.logarithmic = low > 0 and high > WIDE * median
        if not high - low > abs(high) * 1e-9:  # all equal: one bin around it
            half = max(abs(high) * 0.05, 0.5)
            self.bins = np.linspace(low - half, high + half, 4)
        elif self.logarithmic:  # a few tiny losses, which go into the first bin, shall not take up the axis
            self.bins = np.geomspace(start, high, bins + 1)
        else:
            self.bins = np.linspace(low, high, bins + 1)

    def histogram(self, one: Extent) -> np.ndarray:
        """Samples in each bin."""
        numbers = np.zeros(len(self.bins) - 1, np.int64)
        for losses in one.pieces():
            numbers += np.histogram(np.maximum(losses, self.bins[0]), self.bins)[0]
        return numbers

    def cumulative(self, one: Extent) -> tuple[np.ndarray, np.ndarray]:
        """Losses in order, and the share of the samples up to each: all losses, or points so close that no step of the
        picture is wider."""
        if one.n <= MOST_POINTS:
            at = np.sort(np.concatenate(list(one.pieces())))
            numbers = np.arange(1, one.n + 1)
        else:
            low = max(one.low, float(self.bins[0])) if self.logarithmic else one.low
            at = (np.geomspace if self.logarithmic else np.linspace)(low, one.high, MOST_POINTS)
            at[-1] = one.high
            found = sum(np.bincount(np.searchsorted(at, p), minlength=MOST_POINTS) for p in one.pieces())
            numbers = np.cumsum(found)
        return np.concatenate([at[:1], at]), np.concatenate([[0], numbers]) / one.in_all


def not_shown(extents: list[Extent]) -> str:
    missing = sum(one.in_all - one.n for one in extents)
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

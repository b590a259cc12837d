"""Draws the auxSKD paper's figures at the width of a text column; the same trials give the same bytes.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; markers and dashes say the same without colour.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports.comparable_groups import Group
from reports.loss_curves import LossCurve, LossCurves
from reports.paper_comparison import ComparedRow, FilledTable
from reports.paper_table import PaperTable
from reports.seed_statistics import Estimate
from reports.table_sheet import heading

FORMATS = ("png", "svg", "pdf")

_WIDTH, _PANEL_HEIGHT, _HEADING_HEIGHT, _MARGIN_HEIGHT = 3.5, 1.75, 0.45, 0.9
"""Inches: of a column, a panel, the heading of a group, and the figure's title and legend."""

_DOTS_PER_INCH = 200
_TITLE_LETTERS, _HEADING_LETTERS = 50, 56
_METHODS = {False: "VSPP", True: "VSPP + auxSKD"}
_COLOURS = {False: "#0072B2", True: "#D55E00"}
_MARKERS = {False: "s", True: "o"}
_DASHES: dict[str, Any] = {"training": (0, (3, 1.5)), "validation": "solid"}
_METADATA: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
_STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "svg.hashsalt": "auxgraph",
    "pdf.fonttype": 42,
}


def draw_checkpoints(filled: FilledTable, file_format: str) -> bytes:
    """Top-1 of finetuned checkpoints against epochs of pretraining, a panel per group; error bars: 95 % interval over seeds."""
    with _style():
        figure, panels = _panels(filled.table, len(filled.comparisons), 1)
        for axes, comparison in zip(panels, filled.comparisons, strict=True):
            axes.set_ylabel(f"{filled.table.measures[0].heading} in %")
            if comparison.group is None:
                _say_empty(axes)
                continue
            seeds = {len(cell.by_seed) for compared in comparison.rows for cell in compared.cells if cell.by_seed}
            _entitle(axes, filled.table, comparison.group, "Mean and 95 % interval", seeds)
            points = {which: _points(comparison.rows, comparison.group, which) for which in _METHODS}
            axes.set_xticks(sorted({epochs for found in points.values() for epochs, _ in found}))
            for with_auxskd, found in points.items():
                _plot_accuracies(axes, with_auxskd, found)
        return _written(figure, _method_lines(), file_format)


def draw_losses(table: PaperTable, found: Sequence[LossCurves], file_format: str) -> bytes:
    """Losses after each epoch of pretraining, panels per group; lines: mean over seeds, bands: least to greatest."""
    names = list(table.histories)
    with _style():
        figure, panels = _panels(table, max(1, len(found)), len(names))
        for place, axes in enumerate(panels):
            number, panel = divmod(place, len(names))
            axes.set_ylabel(names[panel])
            if not found:
                _say_empty(axes)
                continue
            curves = [curve for curve in found[number].curves if curve.panel == names[panel]]
            if panel == 0:
                _entitle(axes, table, found[number].group, "Mean and range", {curve.seeds for curve in found[number].curves})
            for curve in curves:
                _plot_losses(axes, curve)
        sources = [Line2D([], [], color="black", linestyle=dashes, label=curve) for curve, dashes in _DASHES.items()]
        return _written(figure, [*_method_lines(), *sources], file_format)


def _points(rows: Sequence[ComparedRow], group: Group, with_auxskd: bool) -> list[tuple[int, Estimate]]:
    """Epochs and top-1 of the checkpoints that have trials; the n-th of N is taken after n/N of the epochs, rounded up."""
    points = []
    for compared in rows:
        (cell,) = compared.cells
        if compared.row.entry["aux_skd"] is with_auxskd and cell.estimate is not None:
            settings = next(record.settings for record in group.records if compared.row.holds(record.settings))
            number, checkpoints = settings["pretext.checkpoint"], settings["pretext.checkpoints"]
            points.append((-(-number * settings["pretext.epochs"] // checkpoints), cell.estimate))
    return points


def _plot_accuracies(axes: Axes, with_auxskd: bool, points: Sequence[tuple[int, Estimate]]) -> None:
    """Means with their intervals; the two methods stand a little apart so that their bars do not hide each other."""
    if not points:
        return
    apart = 0.012 * max(epoch for epoch, _ in points) * (1 if with_auxskd else -1)
    means = [value.mean for _, value in points]
    intervals = [value.interval or (value.mean, value.mean) for _, value in points]
    below = [mean - low for mean, (low, _) in zip(means, intervals, strict=True)]
    above = [high - mean for mean, (_, high) in zip(means, intervals, strict=True)]
    style: dict[str, Any] = {"color": _COLOURS[with_auxskd], "marker": _MARKERS[with_auxskd], "capsize": 2.5, "elinewidth": 0.8}
    axes.errorbar([epoch + apart for epoch, _ in points], means, yerr=[below, above], **style)


def _plot_losses(axes: Axes, curve: LossCurve) -> None:
    with_auxskd = curve.row.entry["aux_skd"]
    epochs = range(1, len(curve.mean) + 1)
    style: dict[str, Any] = {"color": _COLOURS[with_auxskd], "marker": _MARKERS[with_auxskd], "markersize": 3}
    every = max(1, len(epochs) // 8)
    axes.plot(epochs, curve.mean, linestyle=_DASHES[curve.curve], markevery=every, **style)
    axes.fill_between(epochs, curve.low, curve.high, color=_COLOURS[with_auxskd], alpha=0.2, linewidth=0)


def _panels(table: PaperTable, groups: int, panels_of_each: int) -> tuple[Figure, list[Axes]]:
    """A figure with panels one below the other and the table's title."""
    number = groups * panels_of_each
    height = _MARGIN_HEIGHT + groups * _HEADING_HEIGHT + number * _PANEL_HEIGHT
    figure = Figure(figsize=(_WIDTH, height), dpi=_DOTS_PER_INCH, layout="constrained")
    panels = list(figure.subplots(number, 1, squeeze=False)[:, 0])
    figure.suptitle(textwrap.fill(f"{table.id}: {table.title}", _TITLE_LETTERS), fontsize=8, fontweight="bold")
    for axes in panels:
        axes.set_xlabel("epochs of pretraining")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, panels


def _entitle(axes: Axes, table: PaperTable, group: Group, shown: str, seeds: Collection[int]) -> None:
    """Write above a panel what its group is, and what is shown of how many seeds."""
    counted = " to ".join(map(str, sorted({min(seeds), max(seeds)}))) if seeds else "0"
    text = f"Preset {heading(table, group)}. {shown} over seeds ({counted})"
    axes.set_title("\n".join(textwrap.wrap(text, _HEADING_LETTERS)), loc="left")


def _say_empty(axes: Axes) -> None:
    axes.text(0.5, 0.5, "No trials recorded", ha="center", va="center", transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])


def _method_lines() -> list[Line2D]:
    return [Line2D([], [], color=_COLOURS[which], marker=_MARKERS[which], label=_METHODS[which]) for which in _METHODS]


def _written(figure: Figure, handles: Sequence[Line2D], file_format: str) -> bytes:
    figure.legend(handles=list(handles), loc="outside lower center", ncols=2)
    file = io.BytesIO()
    figure.savefig(file, format=file_format, metadata=_METADATA[file_format])
    return file.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    """Our style over matplotlib's defaults, whatever the user's own are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield

"""Draws curves: accuracies with their intervals against a setting, and metrics after each epoch.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; markers and dashes say the same without colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports.comparable_groups import Group
from reports.figure_drawing import HEADING_HEIGHT, group_heading, our_style, say, titled_figure, written
from reports.history_curves import Curve, Curves
from reports.paper_comparison import ComparedRow, FilledTable
from reports.paper_table import PaperTable, Row, printed
from reports.seed_statistics import Estimate

_PANEL_HEIGHT, _MARGIN_HEIGHT = 1.75, 0.9
"""Inches: of a panel, and of the figure's title and legend."""

_LOOKS = (("#0072B2", "s"), ("#D55E00", "o"), ("#009E73", "^"), ("#CC79A7", "v"), ("#E69F00", "D"))
_DASHES: dict[str, Any] = {"training": (0, (3, 1.5)), "validation": "solid"}
_WITH_AUXSKD = {False: "VSPP", True: "VSPP + auxSKD"}
_EMPTY = "No trials recorded"


@dataclass(frozen=True)
class Abscissa:
    """What points are drawn against: a heading, and its value given the settings of a trial."""

    heading: str
    value: Callable[[Mapping[str, Any]], float]


def _epochs_of_checkpoint(settings: Mapping[str, Any]) -> float:
    """The n-th of N checkpoints is taken after n/N of the epochs, rounded up."""
    number, checkpoints = settings["pretext.checkpoint"], settings["pretext.checkpoints"]
    epochs: int = math.ceil(number * settings["pretext.epochs"] / checkpoints)
    return epochs


CHECKPOINTS = Abscissa("epochs of pretraining", _epochs_of_checkpoint)
VOLUME = Abscissa("share of the pretraining videos in %", lambda s: 100 * s["data.pretraining_share"])


@dataclass(frozen=True)
class _Series:
    """Rows that one line joins. place: among `number` of the figure."""

    label: str
    place: int
    number: int

    @property
    def style(self) -> dict[str, Any]:
        colour, marker = _LOOKS[self.place]
        return {"color": colour, "marker": marker}


def draw_points(filled: FilledTable, against: Abscissa, file_format: str) -> bytes:
    """Accuracies against a setting, a panel per group; error bars: 95 % interval over seeds.

    Groups of a single point that no sweep of the figure itself ran are left out where there are others.
    """
    series = _series(filled.table)
    curves = [one for one in filled.comparisons if one.rows_with_numbers > 1 or one.is_of(filled.table)]
    comparisons = curves or filled.comparisons
    with our_style():
        figure, panels = _panels(filled.table, len(comparisons), 1, against.heading)
        for axes, comparison in zip(panels, comparisons, strict=True):
            axes.set_ylabel(f"{filled.table.measures[0].heading} in %")
            if comparison.group is None:
                say(axes, _EMPTY)
                continue
            seeds = {len(cell.by_seed) for compared in comparison.rows for cell in compared.cells if cell.by_seed}
            _entitle(axes, group_heading(filled.table, comparison.group, "Mean and 95 % interval", seeds))
            points = {
                one: _points(filled.table, comparison.rows, comparison.group, key, against) for key, one in series.items()
            }
            axes.set_xticks(sorted({x for found in points.values() for x, _ in found}))
            for one, found in points.items():
                _plot_points(axes, one, found)
        return written(figure, file_format, _lines(series))


def draw_histories(table: PaperTable, found: Sequence[Curves], heading: str, file_format: str) -> bytes:
    """Metrics after each epoch, panels per group; lines: mean over seeds, bands: least to greatest. heading: of the epochs."""
    names, series = list(table.histories), _series(table)
    with our_style():
        figure, panels = _panels(table, max(1, len(found)), len(names), heading)
        for place, axes in enumerate(panels):
            number, panel = divmod(place, len(names))
            axes.set_ylabel(names[panel])
            if not found:
                say(axes, _EMPTY)
                continue
            curves = [curve for curve in found[number].curves if curve.panel == names[panel]]
            if panel == 0:
                seeds = {curve.seeds for curve in found[number].curves}
                _entitle(axes, group_heading(table, found[number].group, "Mean and range", seeds))
            for curve in curves:
                _plot_history(axes, series[_key(table, curve.row)], curve)
        kinds = {curve: None for curves in table.histories.values() for curve in curves}
        sources = [Line2D([], [], color="black", linestyle=_DASHES[kind], label=kind) for kind in kinds if len(kinds) > 1]
        return written(figure, file_format, [*_lines(series), *sources])


def _series(table: PaperTable) -> dict[Any, _Series]:
    """The figure's lines, in the order of its rows."""
    keys = list(dict.fromkeys(_key(table, row) for row in table.rows))
    labels = [_WITH_AUXSKD[key] if isinstance(key, bool) else printed(key) for key in keys]
    return {key: _Series(label, place, len(keys)) for place, (key, label) in enumerate(zip(keys, labels, strict=True))}


def _key(table: PaperTable, row: Row) -> Any:
    """Which line a row belongs to: its method, in the last column that tells rows apart."""
    return row.entry[table.distinguishing[-1]]


def _points(
    table: PaperTable, rows: Sequence[ComparedRow], group: Group, key: Any, against: Abscissa
) -> list[tuple[float, Estimate]]:
    points = []
    for compared in rows:
        (cell,) = compared.cells
        if _key(table, compared.row) == key and cell.estimate is not None:
            settings = next(record.settings for record in group.records if compared.row.holds(record.settings))
            points.append((against.value(settings), cell.estimate))
    return points


def _plot_points(axes: Axes, series: _Series, points: Sequence[tuple[float, Estimate]]) -> None:
    """Means with their intervals; the series stand a little apart so that their bars do not hide each other."""
    if not points:
        return
    apart = 0.012 * max(x for x, _ in points) * (2 * series.place + 1 - series.number)
    means = [value.mean for _, value in points]
    intervals = [value.interval or (value.mean, value.mean) for _, value in points]
    below = [mean - low for mean, (low, _) in zip(means, intervals, strict=True)]
    above = [high - mean for mean, (_, high) in zip(means, intervals, strict=True)]
    axes.errorbar([x + apart for x, _ in points], means, yerr=[below, above], **series.style, capsize=2.5, elinewidth=0.8)


def _plot_history(axes: Axes, series: _Series, curve: Curve) -> None:
    epochs = range(1, len(curve.mean) + 1)
    every = max(1, len(epochs) // 8)
    axes.plot(epochs, curve.mean, linestyle=_DASHES[curve.curve], markevery=every, **series.style, markersize=3)
    axes.fill_between(epochs, curve.low, curve.high, color=series.style["color"], alpha=0.2, linewidth=0)


def _panels(table: PaperTable, groups: int, panels_of_each: int, heading: str) -> tuple[Figure, list[Axes]]:
    """A figure with panels one below the other and the table's title."""
    number = groups * panels_of_each
    figure = titled_figure(table, _MARGIN_HEIGHT + groups * HEADING_HEIGHT + number * _PANEL_HEIGHT)
    panels = list(figure.subplots(number, 1, squeeze=False)[:, 0])
    for axes in panels:
        axes.set_xlabel(heading)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, panels


def _entitle(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left")


def _lines(series: Mapping[Any, _Series]) -> list[Line2D]:
    return [Line2D([], [], label=one.label, **one.style) for one in series.values()]

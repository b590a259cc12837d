"""Curves of the papers' figures: accuracies with their intervals against a setting, and metrics after each epoch.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; markers and dashes say the same without colour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from harness.ledger import Record, is_fraction
from reports.comparison import ComparedRow, FilledTable, closest_to_paper, groups_of
from reports.drawing import HEADING_HEIGHT, group_heading, our_style, say, titled_figure, written
from reports.groups import Group
from reports.seeds import Estimate
from search_spaces.papers import DOWNSTREAM, PaperTable, PublishedRow, printed
from trainables.settings import checkpoint_epoch

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
    number, checkpoints = settings["pretext.checkpoint"], settings["pretext.checkpoints"]
    return checkpoint_epoch(number, settings["pretext.epochs"], checkpoints)


AGAINST_EPOCHS = Abscissa("epochs of pretraining", _epochs_of_checkpoint)
AGAINST_VOLUME = Abscissa("share of the pretraining videos in %", lambda s: 100 * s["data.pretraining_share"])


@dataclass(frozen=True)
class Curve:
    """Mean, least and greatest value over seeds after epochs 1, 2, ...; `panel` and `curve` as the figure declares them.

    Accuracies are in percent.
    """

    row: PublishedRow
    panel: str
    curve: str
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    seeds: int


@dataclass(frozen=True)
class Curves:
    """The curves of one group of comparable trials."""

    group: Group
    curves: tuple[Curve, ...]

    @property
    def rows(self) -> int:
        return len({curve.row.label for curve in self.curves})


def history_curves(figure: PaperTable, trials: Iterable[Record]) -> list[Curves]:
    """The curves of complete trials, by group of comparable ones: of each preset the groups closest to the paper's
    circumstances, and of these the ones with curves of the most rows."""
    metrics = [metric for curves in figure.histories.values() for metric in curves.values()]
    told = [
        trial for trial in trials if trial.outcome == "complete" and any(_history(figure, trial, metric) for metric in metrics)
    ]
    curves = [Curves(group, tuple(_curves(figure, group))) for group in closest_to_paper(figure, groups_of(figure, told))]
    most: dict[str, int] = {}
    for one in curves:
        most[one.group.preset] = max(one.rows, most.get(one.group.preset, 0))
    return [one for one in curves if one.rows == most[one.group.preset]]


def _curves(figure: PaperTable, group: Group) -> Iterable[Curve]:
    for row in figure.rows:
        records = [record for record in group.records if row.holds(record.settings)]
        for panel, curves in figure.histories.items():
            for curve, metric in curves.items():
                by_seed = {record.seed: values for record in records if (values := _history(figure, record, metric))}
                if by_seed:
                    yield _over_seeds(row, panel, curve, list(by_seed.values()), 100 if is_fraction(metric) else 1)


def _history(figure: PaperTable, record: Record, metric: str) -> list[float]:
    """The metric after each epoch; with several downstream sets, on the one of the figure."""
    of_set = f"{metric}/{figure.paper_settings.get(DOWNSTREAM)}"
    return record.history.get(metric) or record.history.get(of_set, [])


def _over_seeds(row: PublishedRow, panel: str, curve: str, histories: Sequence[Sequence[float]], scale: float) -> Curve:
    epochs = min(map(len, histories))
    values = scale * np.array([history[:epochs] for history in histories], dtype=np.float64)
    mean, low, high = (tuple(map(float, line)) for line in (values.mean(axis=0), values.min(axis=0), values.max(axis=0)))
    return Curve(row, panel, curve, mean, low, high, len(histories))


@dataclass(frozen=True)
class _Series:
    """Rows that one line joins; `position`: among the `number` of the figure's series, from 0."""

    label: str
    position: int
    number: int

    @property
    def style(self) -> dict[str, Any]:
        colour, marker = _LOOKS[self.position]
        return {"color": colour, "marker": marker}


def draw_points(filled: FilledTable, against: Abscissa, file_format: str) -> bytes:
    """Accuracies against a setting, a panel per group; error bars: 95 % interval over seeds, of two the range.

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
            bars = "range" if seeds == {2} else "95 % interval"
            _entitle(axes, group_heading(filled.table, comparison.group, f"Mean and {bars}", seeds))
            points = {
                one: _points(filled.table, comparison.rows, comparison.group, key, against) for key, one in series.items()
            }
            axes.set_xticks(sorted({x for of_series in points.values() for x, _ in of_series}))
            for one, of_series in points.items():
                _plot_points(axes, one, of_series)
        return written(figure, file_format, _lines(series))


def draw_histories(table: PaperTable, by_group: Sequence[Curves], heading: str, file_format: str) -> bytes:
    """Metrics after each epoch, panels per group; lines: mean over seeds, bands: least to greatest. heading: of the epochs."""
    names, series = list(table.histories), _series(table)
    with our_style():
        figure, panels = _panels(table, max(1, len(by_group)), len(names), heading)
        for number, axes in enumerate(panels):
            group_number, panel = divmod(number, len(names))
            axes.set_ylabel(names[panel])
            if not by_group:
                say(axes, _EMPTY)
                continue
            of_group = by_group[group_number]
            curves = [curve for curve in of_group.curves if curve.panel == names[panel]]
            if panel == 0:
                seeds = {curve.seeds for curve in of_group.curves}
                _entitle(axes, group_heading(table, of_group.group, "Mean and range", seeds))
            for curve in curves:
                _plot_history(axes, series[_key(table, curve.row)], curve)
        kinds = {curve: None for curves in table.histories.values() for curve in curves}
        sources = [Line2D([], [], color="black", linestyle=_DASHES[kind], label=kind) for kind in kinds if len(kinds) > 1]
        return written(figure, file_format, [*_lines(series), *sources])


def _series(table: PaperTable) -> dict[Any, _Series]:
    """The figure's lines, in the order of its rows."""
    keys = list(dict.fromkeys(_key(table, row) for row in table.rows))
    labels = [_WITH_AUXSKD[key] if isinstance(key, bool) else printed(key) for key in keys]
    return {key: _Series(label, n, len(keys)) for n, (key, label) in enumerate(zip(keys, labels, strict=True))}


def _key(table: PaperTable, row: PublishedRow) -> Any:
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
    apart = 0.012 * max(x for x, _ in points) * (2 * series.position + 1 - series.number)
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

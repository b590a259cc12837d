"""Curves of the papers' figures: accuracies with their intervals against a setting, and metrics after each epoch.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; markers and dashes say the same without colour.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from harness.ledger import Record, scale_of
from reports.comparison import ComparedRow, FilledTable, closest_to_paper, groups_of, history_of
from reports.drawing import LINE_HEIGHT, group_heading, how_to_run, our_style, say, titled_figure, written
from reports.groups import Group
from reports.seeds import Estimate
from search_spaces.papers import PaperTable, PublishedRow, printed
from trainables.settings import checkpoint_epoch

_PANEL_HEIGHT, _MARGIN_HEIGHT = 1.75, 0.9
"""Inches: of a panel, and of the figure's title and legend."""
_LOOKS = (("#0072B2", "s"), ("#D55E00", "o"), ("#009E73", "^"), ("#CC79A7", "v"), ("#E69F00", "D"))
_DASHES: dict[str, Any] = {"training": (0, (3, 1.5)), "validation": "solid"}
_WITH_AUXSKD = {False: "VSPP", True: "VSPP + auxSKD"}


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
    complete = [trial for trial in trials if trial.outcome == "complete"]
    told = [trial for trial in complete if any(history_of(figure, trial, metric) for metric in metrics)]
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
                by_seed = {record.seed: values for record in records if (values := history_of(figure, record, metric))}
                if by_seed:
                    yield _over_seeds(row, panel, curve, list(by_seed.values()), scale_of(metric))


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

    Groups that have but one of the figure's rows, and that no sweep of the figure ran, are left out.
    """
    table, series = filled.table, _series(filled.table)
    panels: list[_Panel] = []
    for comparison in filled.comparisons:
        if comparison.group is None or not (comparison.rows_with_numbers > 1 or comparison.is_of(table)):
            continue
        of_seeds = {len(cell.by_seed) for compared in comparison.rows for cell in compared.cells if cell.by_seed}
        points = {one: _points(table, comparison.rows, comparison.group, key, against) for key, one in series.items()}
        shown = "Mean and range" if of_seeds == {2} else "Mean and 95 % interval"
        panels.append(
            _Panel(
                comparison.group, f"{table.measures[0].heading} in %", functools.partial(_draw_points, points), shown, of_seeds
            )
        )
    return _drawn(table, panels, against.heading, _lines(series), file_format)


def draw_histories(table: PaperTable, by_group: Sequence[Curves], heading: str, file_format: str) -> bytes:
    """Metrics after each epoch, panels per group; lines: mean over seeds, bands: least to greatest. heading: of the epochs.

    Groups that have but one of the figure's rows, and that no sweep of the figure ran, are left out.
    """
    series = _series(table)
    panels: list[_Panel] = []
    for one in by_group:
        if one.rows == 1 and not any(record.space == table.id for record in one.group.records):
            continue
        for name in table.histories:
            drawn = [(series[_key(table, curve.row)], curve) for curve in one.curves if curve.panel == name]
            shown = "Mean and range" if name == next(iter(table.histories)) else ""
            draw = functools.partial(_draw_curves, drawn)
            panels.append(_Panel(one.group, name, draw, shown, {curve.seeds for curve in one.curves}))
    kinds = {curve: None for curves in table.histories.values() for curve in curves}
    sources = [Line2D([], [], color="black", linestyle=_DASHES[kind], label=kind) for kind in kinds if len(kinds) > 1]
    return _drawn(table, panels, heading, [*_lines(series), *sources], file_format)


@dataclass(frozen=True)
class _Panel:
    """A picture of a group. name: of its ordinate. shown: what is drawn of the seeds, of a panel with the group's heading."""

    group: Group
    name: str
    draw: Callable[[Axes], None]
    shown: str
    seeds: Collection[int]


def _drawn(table: PaperTable, panels: Sequence[_Panel], abscissa: str, legend: Sequence[Line2D], file_format: str) -> bytes:
    """The panels one below the other, or a text that says how the figure's trials are run where there are none."""
    groups = list({id(panel.group): panel.group for panel in panels}.values())
    titles = [group_heading(table, panel.group, groups, panel.shown, panel.seeds) if panel.shown else "" for panel in panels]
    lines = sum(len(title.splitlines()) for title in titles)
    with our_style():
        height = _MARGIN_HEIGHT + LINE_HEIGHT * lines + _PANEL_HEIGHT * max(1, len(panels))
        figure = titled_figure(table, height)
        if not panels:
            say(figure.subplots(), f"No sweep at hand has trials of two of its rows.\n\n{how_to_run(table)}")
            return written(figure, file_format)
        for axes, panel, title in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, titles, strict=True):
            axes.set_xlabel(abscissa)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_ylabel(panel.name)
            axes.set_title(title, loc="left")
            panel.draw(axes)
        return written(figure, file_format, legend)


def _draw_points(points: Mapping[_Series, Sequence[tuple[float, Estimate]]], axes: Axes) -> None:
    axes.set_xticks(sorted({x for of_series in points.values() for x, _ in of_series}))
    for one, of_series in points.items():
        _plot_points(axes, one, of_series)


def _draw_curves(curves: Sequence[tuple[_Series, Curve]], axes: Axes) -> None:
    for series, curve in curves:
        _plot_history(axes, series, curve)


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


def _lines(series: Mapping[Any, _Series]) -> list[Line2D]:
    return [Line2D([], [], label=one.label, **one.style) for one in series.values()]

"""Plots over epochs: learning curves of every stage, and the weights of graph distillation's edges and vertices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.ledger import Record, is_fraction, scale_of
from reports.leaderboard import Leaderboard, Ranked
from reports.leaderboard_sheet import name_of
from reports.pages.figure import COLOURS, Plot, Variant, axis, counting, plain, short_name

MOST_CURVES = 12
"""Configurations whose learning curves are drawn: the best ones."""
DIGITS = 5
HEALTH = "/health_"
EDGES = {"student/edge_": "Edges of the logits graph", "student/vertex_": "Vertices of the representation graph"}
"""How names of metrics begin that are weights of a graph."""


def learning_curves(board: Leaderboard) -> Plot | None:
    """Every metric that stages tell after each epoch, but for how their networks are, of the best configurations, a line per
    seed; the first are losses and what is measured on validation."""
    note = "A line per seed; colours: configurations, the best first."
    return _curves_of(board, Plot("curves", "Learning curves", note, [], wide=True), lambda metric: HEALTH not in metric)


def health_curves(board: Leaderboard) -> Plot | None:
    """The same of how networks are."""
    note = "How the network in training is after each epoch: how far its weights have gone, its units, its features."
    return _curves_of(board, Plot("health", "Health of the networks", note, [], wide=True), lambda metric: HEALTH in metric)


def _curves_of(board: Leaderboard, plot: Plot, shown: Callable[[str], bool]) -> Plot | None:
    ones = [one for one in board.ranked if any(record.history for record in one.records)][:MOST_CURVES]
    metrics = {name for one in ones for record in one.records for name, values in record.history.items() if len(values) > 1}
    metrics = {name for name in metrics if shown(name) and not name.startswith(tuple(EDGES))}
    variants = [Variant(metric, list(_curves(ones, metric)), _layout(metric, ones)) for metric in sorted(metrics, key=_rank)]
    if not variants:
        return None
    more = len(board.ranked) - len(ones)
    note = plot.note + (f" {more} more configurations are not drawn, or told nothing of their epochs." if more else "")
    return replace(plot, note=note, variants=variants)


def _rank(metric: str) -> tuple[str, int, str]:
    stage, _, name = metric.partition("/")
    order = 0 if name in ("loss", "health_moved") else 1 if name.startswith("val_") else 2
    return stage, order, name


def _layout(metric: str, ones: Sequence[Ranked]) -> dict[str, Any]:
    epochs = max(len(record.history.get(metric, [])) for one in ones for record in one.records)
    unit = " in %" if is_fraction(metric) else ""
    return {"xaxis": counting("epoch", epochs), "yaxis": axis(metric + unit), "showlegend": True}


def _curves(ones: Sequence[Ranked], metric: str) -> Iterator[dict[str, Any]]:
    for number, one in enumerate(ones):
        first = True
        for record in one.records:
            if values := record.history.get(metric):
                text = f"#{one.position} {plain(name_of(one))}<br>seed {record.seed}"
                line = _line(values, metric, short_name(one), text, number, f"t-{record.trial}")
                yield {**line, "showlegend": first, "legendgroup": f"#{one.position}"}
                first = False


def _line(values: Sequence[float], metric: str, name: str, text: str, number: int, target: str) -> dict[str, Any]:
    scale = scale_of(metric)
    dash = ("solid", "dash")[number // len(COLOURS) % 2]
    return {
        "type": "scatter", "mode": "lines" if len(values) > 20 else "lines+markers", "name": plain(name),
        "x": list(range(1, len(values) + 1)), "y": [round(scale * value, DIGITS) for value in values],
        "text": [text] * len(values), "hoverinfo": "x+y+text", "customdata": [target] * len(values),
        "line": {"color": COLOURS[number % len(COLOURS)], "dash": dash}, "marker": {"size": 4},
    }  # fmt: skip


def graph_weights(board: Leaderboard) -> Plot | None:
    """How a graph's weights went in the first complete trial of each of the best configurations that has one."""
    variants = []
    for one in board.ranked[:MOST_CURVES]:
        record = next((record for record in one.records if record.outcome == "complete"), None)
        for prefix, title in EDGES.items():
            if record is not None and (weights := _starting(record, prefix)):
                variants.append(Variant(f"#{one.position} {name_of(one)}: {title.lower()}", _lines(record, weights), _LAYOUT))
    note = "The share of each over epochs, of the first seed: of equal shares the graph makes nothing."
    return Plot("graph", "Weights of the graphs", note, variants, wide=True) if variants else None


_LAYOUT: Mapping[str, Any] = {"xaxis": axis("epoch"), "yaxis": axis("weight"), "showlegend": True}


def _starting(record: Record, prefix: str) -> dict[str, list[float]]:
    return {name: values for name, values in sorted(record.history.items()) if name.startswith(prefix)}


def _lines(record: Record, weights: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    return [
        _line(values, name, name.partition("/")[2], plain(name), number, f"t-{record.trial}")
        for number, (name, values) in enumerate(weights.items())
    ]

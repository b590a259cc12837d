"""Plots of what came out of a sweep: its history, results against what they cost, and where the time went."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from harness.ledger import HOURS
from reports.leaderboard import Leaderboard, Ranked, values_of
from reports.pages.figure import (
    BLUE,
    SKY,
    VERMILION,
    Plot,
    Variant,
    axis,
    counting,
    numbered,
    of_objective,
    plain,
    points,
    said,
    value_axis,
)
from reports.sheet import time_text

PRICES = {
    "hours of a trial, nothing shared": "",
    "parameters of the student": "compression/student_parameters",
    "latency of the student in s": "compression/student_latency",
}


def history(board: Leaderboard) -> Plot | None:
    """The objective in the order of the configurations, and the best so far."""
    ones = sorted(numbered(board), key=lambda entry: entry[0].position)
    if len(ones) < 2:
        return None
    better = max if board.objective.direction == "maximize" else min
    standing = [(one, mean) for one, mean in ones if one.stands]
    best = list(itertools.accumulate((mean for _, mean in standing), better))
    x = [one.position for one, _ in ones]
    drawn = points(
        "mean over seeds", x, [mean for _, mean in ones], [said(one, board) for one, _ in ones],
        [f"c-{one.position}" for one, _ in ones],
    )  # fmt: skip
    symbols = {"symbol": ["star" if one.label else "circle" for one, _ in ones], "size": 9, "color": BLUE}
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": [one.position for one, _ in standing],
        "y": best,
        "hoverinfo": "skip",
    }
    data = [{**drawn, "marker": symbols}, {**line, "line": {"shape": "hv", "color": VERMILION}}]
    layout = {"xaxis": counting("configuration", max(x)), "yaxis": axis(of_objective(board)), "showlegend": True}
    note = (
        "In the order in which configurations were proposed; stars: rows of the paper's table. Best: of those whose seeds have "
    )
    note += "all ended."
    return Plot("history", "Optimisation history", note, [Variant("", data, layout)])


def pareto(board: Leaderboard) -> Plot | None:
    """The objective against what it costs: hours of a trial alone, and parameters and latency where they were measured."""
    variants = []
    further = {metric: metric for metric, way in board.objective.further if way == "minimize" and metric != HOURS}
    for title, metric in (PRICES | further).items():
        paid = [(one, mean, _paid(one, metric)) for one, mean in numbered(board)]
        ones = [(one, mean, price) for one, mean, price in paid if price is not None and price > 0]
        if len(ones) > 1:
            variants.append(_pareto(board, title, ones))
    note = "Line: configurations whose seeds have all ended and that no other one beats in both."
    return Plot("pareto", "What it costs", note, variants) if variants else None


def _paid(one: Ranked, metric: str) -> float | None:
    """A metric, the mean over seeds; hours where there is none."""
    if not metric:
        return one.seconds[1] / max(1, len(one.records)) / 3600
    found = values_of(one.records, metric)
    return sum(found.values()) / len(found) if found else None


def _pareto(board: Leaderboard, title: str, ones: Sequence[tuple[Ranked, float, float]]) -> Variant:
    sign = 1 if board.objective.direction == "maximize" else -1
    front: list[tuple[float, float]] = []
    for _, mean, paid in sorted((entry for entry in ones if entry[0].stands), key=lambda entry: (entry[2], -sign * entry[1])):
        if not front or sign * mean > sign * front[-1][1]:
            front.append((paid, mean))
    text = [f"{said(one, board)}<br>{paid:.3g} {title}" for one, _, paid in ones]
    prices, means, targets = zip(*((paid, mean, f"c-{one.position}") for one, mean, paid in ones), strict=True)
    drawn = points("configurations", prices, means, text, targets)
    x, y = zip(*front, strict=True) if front else ((), ())
    line = {"type": "scatter", "mode": "lines", "name": "front", "x": x, "y": y, "hoverinfo": "skip"}
    data = [{**drawn, "marker": {"size": 9, "color": BLUE}}, {**line, "line": {"shape": "hv", "color": VERMILION}}]
    x_axis = value_axis(title, [paid for *_, paid in ones])
    return Variant(title, data, {"xaxis": x_axis, "yaxis": axis(of_objective(board)), "showlegend": True})


def costs(board: Leaderboard) -> Plot | None:
    """Seconds of each stage over all trials: spent, and not spent again because the stage was shared."""
    stages: dict[str, list[float]] = {}
    for record in board.records:
        for stage, time in record.seconds.items():
            sums = stages.setdefault(stage, [0.0, 0.0])
            sums[0] += time.used
            sums[1] += time.saved
    if not stages:
        return None
    names = [plain(name) for name in stages][::-1]
    data = []
    for which, label, colour in ((0, "computed", BLUE), (1, "shared, not computed again", SKY)):
        seconds = [sums[which] for sums in stages.values()][::-1]
        bar = {"type": "bar", "orientation": "h", "name": label, "y": names, "x": [value / 60 for value in seconds]}
        data.append({**bar, "text": list(map(time_text, seconds)), "hoverinfo": "y+text+name", "marker": {"color": colour}})
    layout = {"barmode": "stack", "xaxis": axis("minutes"), "showlegend": True}
    return Plot("costs", "Cost, and what sharing saved", "Of all trials, by stage.", [Variant("", data, layout)])

"""Plots of a sweep's parameters: responses, pairs of them, their importance, parallel coordinates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.importance import is_number, is_wide
from reports.leaderboard import Leaderboard, Ranked, values_of
from reports.pages.figure import BLUE, VERMILION, Plot, Variant, axis, numbered, of_objective, plain, points, said, value_axis
from reports.sheet import number_of, short_names, value_text

SCALE = "Cividis"
SHADES = ("#3f6fb5", "#4f74a0", "#5f7588", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55")
"""Of the lines of parallel coordinates, from the least to the most: Cividis, lighter where a dark page would swallow it."""
MOST_PAIRS = 6


def responses(board: Leaderboard) -> Iterator[Plot]:
    """The objective against each parameter: seeds as points, the paper's rows marked, means per value."""
    names = varied_parameters(board)
    for number, (name, short) in enumerate(short_names(names).items()):
        having = [(one, mean) for one, mean in numbered(board) if name in one.parameters]
        values = [one.parameters[name] for one, _ in having]
        if len({repr(value) for value in values}) == 1:  # the others do not have it
            continue
        data = [*_seeds(board, having, name), *_means(having, name, alone=len(names) == 1)]
        layout = {"xaxis": value_axis(short, values), "yaxis": axis(of_objective(board)), "showlegend": True}
        note = "Small points: seeds. Stars: rows of the paper's table. Line: mean of all configurations with the value."
        others = len(names) > 1
        note += " Configurations differ in other parameters, too." if others else ""
        yield Plot(f"response-{number}", f"Response to {short}", note, [Variant("", data, layout)])


def varied_parameters(board: Leaderboard) -> list[str]:
    """The parameters in which configurations with a number differ."""
    having = [one.parameters for one, _ in numbered(board)]
    names = sorted({name for parameters in having for name in parameters})
    return [name for name in names if len({repr(parameters.get(name)) for parameters in having}) > 1]


def _place(value: Any, values: Sequence[Any]) -> Any:
    return value if all(map(is_number, values)) else plain(value_text(value) or "none")


def _seeds(board: Leaderboard, having: Sequence[tuple[Ranked, float]], name: str) -> Iterator[dict[str, Any]]:
    values = [one.parameters[name] for one, _ in having]
    x, y, text, trials = [], [], [], []
    for one, _ in having:
        trial_of = {record.seed: record.trial for record in one.records}
        for seed, reached in values_of(one.records, board.objective.metric).items():
            x.append(_place(one.parameters[name], values))
            y.append(reached)
            text.append(f"{said(one, board)}<br>seed {seed}: {number_of(board.objective.metric)(reached, signed=False)}")
            trials.append(f"t-{trial_of[seed]}")
    yield {
        **points("seeds", x, y, text, trials),
        "marker": {"size": 6, "color": BLUE, "opacity": 0.6},
    }
    rows = [(one, mean) for one, mean in having if one.label]
    if rows:
        yield {
            **points(
                "paper's rows, mean",
                [_place(one.parameters[name], values) for one, _ in rows],
                [mean for _, mean in rows],
                [said(one, board) for one, _ in rows],
                [f"c-{one.position}" for one, _ in rows],
            ),
            "marker": {"size": 12, "symbol": "star", "color": VERMILION},
        }


def _means(having: Sequence[tuple[Ranked, float]], name: str, alone: bool) -> Iterator[dict[str, Any]]:
    """A line through the means of numbers that several configurations have; of a single parameter, through all."""
    by_value: dict[Any, list[float]] = {}
    for one, mean in having:
        if is_number(one.parameters[name]):
            by_value.setdefault(one.parameters[name], []).append(mean)
    line = sorted((value, sum(of) / len(of)) for value, of in by_value.items() if alone or len(of) > 1)
    if len(line) > 1:
        x, y = zip(*line, strict=True)
        yield {"type": "scatter", "mode": "lines", "name": "mean", "x": x, "y": y, "line": {"color": BLUE}, "hoverinfo": "skip"}


def surface(board: Leaderboard, order: Sequence[str]) -> Plot | None:
    """The objective over two numeric parameters at a time, those that matter most first. order: of the parameters."""
    names = [name for name in order if all(is_number(one.parameters.get(name)) for one, _ in numbered(board))]
    variants = []
    short = short_names(names)
    for first, second in itertools.islice(itertools.combinations(names, 2), MOST_PAIRS):
        ones = numbered(board)
        means = [mean for _, mean in ones]
        drawn = points(
            "",
            [one.parameters[first] for one, _ in ones],
            [one.parameters[second] for one, _ in ones],
            [said(one, board) for one, _ in ones],
            [f"c-{one.position}" for one, _ in ones],
        )
        bar = {"title": {"text": plain(of_objective(board)), "side": "right"}, "thickness": 12}
        symbols = ["star" if one.label else "circle" for one, _ in ones]
        marker = {
            "size": 14,
            "color": means,
            "colorscale": SCALE,
            "colorbar": bar,
            "symbol": symbols,
            "line": {"width": 1, "color": "#888"},
        }
        x, y = ([one.parameters[name] for one, _ in ones] for name in (first, second))
        layout = {"xaxis": value_axis(short[first], x), "yaxis": value_axis(short[second], y)}
        variants.append(Variant(f"{short[first]}, {short[second]}", [{**drawn, "marker": marker}], layout))
    note = "Colour: mean over seeds; stars: rows of the paper's table. Nothing is drawn between configurations that were run."
    return Plot("surface", "Two parameters at a time", note, variants) if variants else None


def importance(found: Mapping[str, float]) -> Plot | None:
    """found: shares, the greatest first."""
    if not found:
        return None
    names = list(short_names(list(found)).values())[::-1]
    shares = [100 * share for share in found.values()][::-1]
    bars = {
        "type": "bar", "orientation": "h", "x": shares, "y": [plain(name) for name in names], "marker": {"color": BLUE},
        "text": [f"{share:.0f} %" for share in shares], "textposition": "auto", "hoverinfo": "y+text",
    }  # fmt: skip
    note = (
        "PED-ANOVA (Watanabe et al. 2023): how far the values of the best quarter of the configurations are from those of all. "
        "It says what matters within what was run, and of few configurations it is rough."
    )
    return Plot("importance", "Importance of parameters", note, [Variant("", [bars], {"xaxis": axis("share in %")})])


def parallel(board: Leaderboard) -> Plot | None:
    """Every configuration as a line over its parameters, coloured by the objective."""
    ones, names = numbered(board), varied_parameters(board)
    if len(names) < 2 or len(ones) < 2:
        return None
    shown = [*names, ""]
    places = [_fractions([one.parameters.get(name) for one, _ in ones]) for name in names]
    means = [mean for _, mean in ones]
    low, span = min(means), (max(means) - min(means)) or 1.0
    places.append([(mean - low) / span for mean in means])
    data: list[dict[str, Any]] = []
    for shade, colour in enumerate(SHADES):
        x, y, text, targets = [], [], [], []
        for number, (one, mean) in enumerate(ones):
            if min(len(SHADES) - 1, int(len(SHADES) * (mean - low) / span)) != shade:
                continue
            x += [*range(len(shown)), None]
            y += [*(column[number] for column in places), None]
            values = "<br>".join(f"{plain(name)} = {plain(value_text(one.parameters.get(name)))}" for name in names)
            text += [f"{said(one, board)}<br>{values}"] * (len(shown) + 1)
            targets += [f"c-{one.position}"] * (len(shown) + 1)
        if x:
            look = {"line": {"color": colour, "width": 1 + shade / 4}, "marker": {"size": 5}}
            data.append({**points("", x, y, text, targets), "mode": "lines+markers", **look})
    short = [*short_names(names).values(), of_objective(board)]
    ticks = {"tickvals": list(range(len(shown))), "ticktext": [plain(name) for name in short], "zeroline": False}
    layout = {
        "xaxis": {**ticks, "ticklabeloverflow": "allow"},
        "yaxis": {"visible": False, "range": [-0.05, 1.05]},
        "showlegend": False,
    }
    layout["annotations"] = [*_ends(ones, names), *_ends_of_objective(board, means, len(names))]
    note = "A line per configuration, from the least (below) to the greatest value of each; the lighter, the more."
    return Plot("parallel", "Parallel coordinates", note, [Variant("", data, layout)], wide=True)


def _fractions(values: Sequence[Any]) -> list[float]:
    """Values from 0 to 1 by their size, numbers far apart by their logarithms; of categories by their order."""
    if all(map(is_number, values)):
        scaled = [math.log(value) for value in values] if is_wide(values) else [float(value) for value in values]
        low, span = min(scaled), (max(scaled) - min(scaled)) or 1.0
        return [(value - low) / span for value in scaled]
    kinds = sorted({value_text(value) for value in values})
    return [kinds.index(value_text(value)) / max(1, len(kinds) - 1) for value in values]


def _ends(ones: Sequence[tuple[Ranked, float]], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for place, name in enumerate(names):
        values = [one.parameters.get(name) for one, _ in ones]
        order: Any = None if all(map(is_number, values)) else value_text
        for value, height, anchor in ((min(values, key=order), 0, "top"), (max(values, key=order), 1, "bottom")):
            yield _label(place, height, anchor, value_text(value) or "none")


def _ends_of_objective(board: Leaderboard, means: Sequence[float], place: int) -> Iterator[dict[str, Any]]:
    number = number_of(board.objective.metric)
    for value, height, anchor in ((min(means), 0, "top"), (max(means), 1, "bottom")):
        yield _label(place, height, anchor, number(value, signed=False))


def _label(x: int, y: int, anchor: str, text: str) -> dict[str, Any]:
    return {"x": x, "y": y, "text": plain(text), "showarrow": False, "yanchor": anchor, "xanchor": "center"}

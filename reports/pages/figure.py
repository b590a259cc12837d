"""Plots of a page as Plotly figures, and what they share: axes, points that lead to places of the page, colours."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.ledger import is_fraction
from reports.importance import is_number, is_wide
from reports.leaderboard import Leaderboard, Ranked
from reports.leaderboard_sheet import name_of
from reports.sheet import number_of

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#1F8FD6", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
"""Of Okabe and Ito, which colour-blind readers tell apart; the blue is lighter, so that it is seen on a dark page, too."""
FEW = 16
"""Whole numbers of an axis that all have a tick."""
SCALE = "Cividis"


@dataclass(frozen=True)
class Variant:
    """One of several pictures in a plot's place. data, layout: as Plotly has them."""

    label: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]


@dataclass(frozen=True)
class Plot:
    """id: within its page. note: what is drawn, and how. variants: one at least; a reader chooses among several."""

    id: str
    title: str
    note: str
    variants: Sequence[Variant]
    wide: bool = field(default=False)


def plain(text: str) -> str:
    """Text that Plotly shows as it is."""
    return html.escape(text, quote=False)


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with a title."""
    return {"title": {"text": plain(title)}, **more}


def counting(title: str, most: int) -> dict[str, Any]:
    """An axis of whole numbers up to the most."""
    return axis(title, **({"dtick": 1} if most <= FEW else {}))


def of_objective(board: Leaderboard) -> str:
    """The objective with its unit, for axes."""
    return board.objective.metric + (" in %" if is_fraction(board.objective.metric) else "")


def numbered(board: Leaderboard) -> list[tuple[Ranked, float]]:
    """The configurations that have a number, with the mean over their seeds."""
    return [(one, one.objective.mean) for one in board.ranked if one.objective is not None]


def short_name(one: Ranked) -> str:
    """A configuration in a legend."""
    return f"#{one.position} {one.label}" if one.label else f"#{one.position}"


def said(one: Ranked, board: Leaderboard) -> str:
    """A configuration with its number, shown where a pointer is over it."""
    assert one.objective is not None
    number = number_of(board.objective.metric)(one.objective.mean, signed=False)
    return f"#{one.position} {plain(name_of(one))}<br>{plain(board.objective.metric)} {number}, {one.objective.n} seeds"


def value_axis(title: str, values: Sequence[Any]) -> dict[str, Any]:
    """Of a parameter: logarithmic where its numbers are far apart, of categories where they are none."""
    if not all(map(is_number, values)):
        return axis(title, type="category")
    return axis(title, type="log", dtick="D2") if is_wide(values) else axis(title)


def points(name: str, x: Sequence[Any], y: Sequence[Any], text: Sequence[str], targets: Sequence[str]) -> dict[str, Any]:
    """Points that lead to places of the page."""
    return {
        "type": "scatter", "mode": "markers", "name": name,
        "x": x, "y": y, "text": text, "hoverinfo": "text", "customdata": targets,
    }  # fmt: skip

"""What the papers' figures share: style, size, headings and files. The same trials give the same bytes."""

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

from reports.circumstances import heading, sets_apart
from reports.groups import Group
from search_spaces.papers import PaperTable

FORMATS = ("png", "svg", "pdf")

WIDTH, LINE_HEIGHT = 3.5, 0.15
"""Inches: of a text column, and of a line of a heading."""
HEADING_HEIGHT = 3 * LINE_HEIGHT
MOST_SET_APART = 3
"""Settings in a heading that set a group apart from others."""

_DOTS_PER_INCH = 200
_TITLE_LETTERS, _HEADING_LETTERS = 50, 56
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


@contextmanager
def our_style() -> Iterator[None]:
    """Our style over matplotlib's defaults, whatever the user's own are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def titled_figure(table: PaperTable, height: float) -> Figure:
    """An empty figure of a text column's width, with the table's title."""
    figure = Figure(figsize=(WIDTH, height), dpi=_DOTS_PER_INCH, layout="constrained")
    figure.suptitle(textwrap.fill(f"{table.id}: {table.title}", _TITLE_LETTERS), fontsize=8, fontweight="bold")
    return figure


def group_heading(table: PaperTable, group: Group, groups: Sequence[Group], shown: str, seeds: Collection[int]) -> str:
    """What a group is, what sets it apart from the other groups, and what is shown of how many seeds, in lines of a column."""
    counted = " to ".join(map(str, sorted({min(seeds), max(seeds)}))) if seeds else "0"
    apart = sets_apart(group, groups)
    with_ = f" with {', '.join(apart[:MOST_SET_APART])}{', ...' if len(apart) > MOST_SET_APART else ''}" if apart else ""
    return in_lines(f"Preset {heading(table, group)}{with_}. {shown} over seeds ({counted})")


def in_lines(text: str) -> str:
    return "\n".join(textwrap.wrap(text, _HEADING_LETTERS))


def how_to_run(table: PaperTable) -> str:
    return f"To run them:\npython harness/sweep.py --table {table.id}"


def say(axes: Axes, text: str) -> None:
    """Write a text where a picture would be."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])


def written(figure: Figure, file_format: str, handles: Sequence[Line2D] = ()) -> bytes:
    """The bytes of the figure's file, with a legend of `handles` below."""
    if handles:
        figure.legend(handles=list(handles), loc="outside lower center", ncols=2)
    file = io.BytesIO()
    figure.savefig(file, format=file_format, metadata=_METADATA[file_format])
    return file.getvalue()

"""Draws first convolutions as the graph-distillation paper's Figure 3 does: six panels in three rows, for every group."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.figure import SubFigure

from reports.conv1_filters import FilterPanels, Panel
from reports.figure_drawing import HEADING_HEIGHT, WIDTH, in_lines, our_style, say, titled_figure, written
from reports.paper_table import PaperTable
from reports.table_sheet import circumstances

_COLUMNS, _ROWS = 2, 3
_MARGIN_HEIGHT, _MISSING_LETTERS = 0.4, 26
_PANEL_HEIGHT = WIDTH / _COLUMNS + 0.1


def draw_filters(table: PaperTable, found: Sequence[FilterPanels], file_format: str) -> bytes:
    """The filters of each network, each filter over its own range."""
    height = _MARGIN_HEIGHT + max(1, len(found)) * (HEADING_HEIGHT + _ROWS * _PANEL_HEIGHT)
    with our_style():
        figure = titled_figure(table, height)
        if not found:
            say(figure.subplots(), "No trials recorded")
            return written(figure, file_format)
        for part, one in zip(figure.subfigures(len(found), 1, squeeze=False)[:, 0], found, strict=True):
            text = f"Preset {circumstances(one.group)}. Seed {one.seed}, each filter over its own range"
            part.suptitle(in_lines(text), fontsize=7, x=0.02, ha="left")
            _draw_panels(part, one.panels)
        return written(figure, file_format)


def _draw_panels(part: SubFigure, panels: Sequence[Panel]) -> None:
    for axes, panel in zip(part.subplots(_ROWS, _COLUMNS).flat, panels, strict=True):
        axes.spines[:].set_visible(False)
        axes.set_title(panel.heading)
        if panel.image is None:
            say(axes, "/\n".join(textwrap.fill(part, _MISSING_LETTERS) for part in panel.missing.split("/")))
        else:
            axes.imshow(panel.image, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])

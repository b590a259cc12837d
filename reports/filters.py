"""First convolutions of teachers and students as pictures, read from the artifacts of the store and drawn in six panels.

A student's and a VGG teacher's first convolution sees colours. PredNet's first one sees the errors of its predictions of
pixels, frame brighter and frame darker: shown is the former minus the latter, what it answers to in a frame.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import SubFigure
from safetensors import SafetensorError, safe_open

from harness.ledger import Record
from reports.circumstances import circumstances
from reports.comparison import closest_to_paper, groups_of
from reports.drawing import HEADING_HEIGHT, WIDTH, how_to_run, in_lines, our_style, say, titled_figure, written
from reports.groups import Group
from search_spaces.papers import DOWNSTREAM, PaperTable

TEACHERS = {"(a) Moving": "ego_motion", "(b) Predicting": "prediction", "(c) Sorting": "sorting", "(d) Tracking": "tracking"}
"""Heading of a panel -> the stage whose weights it shows."""

STUDENTS = {"(e) MMGD": 0, "(f) Ours": 1}
"""Heading of a panel -> number of its row in the figure, from 0."""

_FRAMES = ("features.0.weight", "features.0.0.weight")
"""First convolutions of AlexNet and VGG: filters (n, 3, k, k) of a frame's channels."""

_ERRORS = "features.1.target.weight"
"""PredNet's first convolution of pixels: filters (n, 6, k, k), of prediction minus frame, then of frame minus prediction."""


_COLUMNS, _ROWS = 2, 3
_MARGIN_HEIGHT, _MISSING_LETTERS = 0.4, 26
_PANEL_HEIGHT = WIDTH / _COLUMNS + 0.1


@dataclass(frozen=True)
class Panel:
    """The filters of a network side by side, (h, w, 3) in [0, 1]; or, where there are none, why (`missing`)."""

    heading: str
    image: np.ndarray | None
    missing: str = ""


@dataclass(frozen=True)
class FilterPanels:
    """The panels of one group of comparable trials; `seed`: of the trials whose weights are shown."""

    group: Group
    seed: int
    panels: tuple[Panel, ...]


def conv1_filters(figure: PaperTable, trials: Iterable[Record], store: Path) -> list[FilterPanels]:
    """The filters of complete trials of one group of comparable ones of each preset: of the groups closest to the paper's
    circumstances one with trials of the most rows, and of these the one with the fewest settings that somebody chose."""
    complete = [trial for trial in trials if trial.outcome == "complete" and trial.stages]
    best: dict[str, tuple[Group, dict[int, Record]]] = {}
    for group in closest_to_paper(figure, groups_of(figure, complete)):
        shown = _trials_of_rows(figure, group)
        other = best.get(group.preset)
        if other is None or _rank(group, shown) > _rank(*other):
            best[group.preset] = group, shown
    return [
        FilterPanels(group, next(iter(shown.values())).seed, tuple(_panels(figure, shown, store)))
        for group, shown in best.values()
    ]


def _rank(group: Group, shown: Mapping[int, Record]) -> tuple[int, int]:
    return len(shown), -len(group.departures)


def _trials_of_rows(figure: PaperTable, group: Group) -> dict[int, Record]:
    """Number of a row -> its trial of the first seed that the most rows have."""
    by_seed: dict[int, dict[int, Record]] = {}
    for record in group.records:
        row = figure.row_of(record.settings)
        if row is not None:
            by_seed.setdefault(record.seed, {}).setdefault(figure.rows.index(row), record)
    return by_seed[min(by_seed, key=lambda seed: (-len(by_seed[seed]), seed))]


def _panels(figure: PaperTable, shown: Mapping[int, Record], store: Path) -> Iterable[Panel]:
    downstream = figure.paper_settings.get(DOWNSTREAM)
    for heading, stage in TEACHERS.items():
        yield _panel(heading, stage, stage, shown[max(shown)], store)
    for heading, number in STUDENTS.items():
        record = shown.get(number)
        if record is None:
            yield Panel(heading, None, "no trial")
        else:
            several = f"student/{downstream}"
            yield _panel(heading, "student", several if several in record.stages else "student", record, store)


def _panel(heading: str, kind: str, stage: str, record: Record, store: Path) -> Panel:
    key = record.stages.get(stage)
    if key is None:
        return Panel(heading, None, f"trial {record.trial} has no stage {stage}")
    try:
        filters = first_filters(store / kind / key / "weights.safetensors")
    except FileNotFoundError:
        return Panel(heading, None, f"{kind}/{key}/weights.safetensors is gone from the store")
    except (OSError, SafetensorError, ValueError) as error:
        return Panel(heading, None, f"{kind}/{key}/weights.safetensors: {error}")
    if record.settings.get("video.pixels") == "bgr_255":
        filters = filters[..., ::-1]
    return Panel(heading, tiled(filters))


def first_filters(path: Path) -> np.ndarray:
    """The first convolution in a weights file as filters (n, k, k, 3). Raises ValueError for a file that has none."""
    with safe_open(path, framework="numpy") as file:
        names = set(file.keys())
        for name in _FRAMES:
            if name in names:
                return np.asarray(file.get_tensor(name), dtype=np.float64).transpose(0, 2, 3, 1)
        if _ERRORS in names:
            darker, brighter = np.split(np.asarray(file.get_tensor(_ERRORS), dtype=np.float64), 2, axis=1)
            return (brighter - darker).transpose(0, 2, 3, 1)
    raise ValueError(f"no first convolution; it would be called {', '.join([*_FRAMES, _ERRORS])}")


def tiled(filters: np.ndarray) -> np.ndarray:
    """Filters (n, k, k, 3), each over its own range, in a square of tiles with a white line between them: (h, w, 3)."""
    number, side = filters.shape[:2]
    low = filters.min(axis=(1, 2, 3), keepdims=True)
    reach = filters.max(axis=(1, 2, 3), keepdims=True) - low
    shown = (filters - low) / np.where(reach > 0, reach, 1)
    columns = math.ceil(math.sqrt(number))
    rows = math.ceil(number / columns)
    image = np.ones((rows * (side + 1) - 1, columns * (side + 1) - 1, 3))
    for index, tile in enumerate(shown):
        top, left = (side + 1) * (index // columns), (side + 1) * (index % columns)
        image[top : top + side, left : left + side] = tile
    return image


def draw_filters(table: PaperTable, groups: Sequence[FilterPanels], file_format: str) -> bytes:
    """The filters of each network, each filter over its own range: six panels in three rows, for every group."""
    height = _MARGIN_HEIGHT + max(1, len(groups)) * (HEADING_HEIGHT + _ROWS * _PANEL_HEIGHT)
    with our_style():
        figure = titled_figure(table, height)
        if not groups:
            say(figure.subplots(), f"No trials recorded.\n\n{how_to_run(table)}")
            return written(figure, file_format)
        for part, one in zip(figure.subfigures(len(groups), 1, squeeze=False)[:, 0], groups, strict=True):
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

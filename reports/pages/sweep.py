"""What is on the page of a sweep: its leaderboard and plots, pictures of the best trial, circumstances, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.identity import RANGES
from harness.ledger import Record, scale_of
from reports.artifacts import Artifacts
from reports.importance import importances
from reports.leaderboard import Leaderboard, Ranked
from reports.leaderboard_sheet import leaderboard_sheet, name_of
from reports.pages import outcomes, parameters, pictures
from reports.pages.epochs import graph_weights, health_curves, learning_curves
from reports.pages.figure import Plot
from reports.pages.pictures import Strips
from reports.sheet import Sheet, number_of, time_text, to_the_minute, value_text

MOST_STAGES = 300
"""Trials of which the page lists the stages."""


@dataclass(frozen=True)
class TrialRow:
    """A trial in the list of all. numbers: objective and test, as text. stages: of which artifacts it is made."""

    record: Record
    numbers: tuple[str, str]
    time: str
    node: str
    stages: Mapping[str, str]

    @property
    def ended(self) -> str:
        """When it ended, to the minute, UTC."""
        return to_the_minute(self.record.ended)


@dataclass(frozen=True)
class SweepPage:
    """pictured: the trial whose pictures are shown. facts: a heading and lines of names and values each."""

    board: Leaderboard
    sheet: Sheet
    plots: Sequence[Plot]
    pictured: Record | None
    strips: Sequence[Strips]
    missing: Sequence[str]
    trials: Sequence[TrialRow]
    facts: Sequence[tuple[str, Mapping[str, str]]]
    command: str
    load: str


def sweep_page(board: Leaderboard, identity: Mapping[str, Any], artifacts: Artifacts) -> SweepPage:
    """board: of the sweep's trials, with their histories. identity: as the sweep's directory holds it."""
    best = board.best
    record = next((one for one in best.records if one.outcome == "complete"), None) if best else None
    confusion, missing = pictures.confusion(best, artifacts) if best else (None, [])
    plots = [*_plots(board), confusion]
    return SweepPage(
        board=board,
        sheet=leaderboard_sheet(board),
        plots=[plot for plot in plots if plot is not None],
        pictured=record,
        strips=list(pictures.looked_at(record, artifacts)) if record else [],
        missing=missing,
        trials=[_trial_row(one, board) for one in board.records],
        facts=list(_facts(board, identity, best)),
        command=board.records[-1].command if board.records else "",
        load=_load(record, artifacts) if record else "",
    )


def _plots(board: Leaderboard) -> Iterator[Plot | None]:
    found = importances(board)
    varied = parameters.varied_parameters(board)
    yield from parameters.responses(board)
    yield parameters.importance(found)
    yield parameters.surface(board, [*found, *(name for name in varied if name not in found)])
    yield parameters.parallel(board)
    yield outcomes.history(board)
    yield outcomes.pareto(board)
    yield learning_curves(board)
    yield health_curves(board)
    yield graph_weights(board)
    yield outcomes.costs(board)


def _trial_row(record: Record, board: Leaderboard) -> TrialRow:
    numbers = (_number(record, metric) for metric in (board.objective.metric, board.objective.on_test))
    used = sum(time.used for time in record.seconds.values())
    stages = record.stages if len(board.records) <= MOST_STAGES else {}
    return TrialRow(record, (next(numbers), next(numbers)), time_text(used), record.versions.get("node", ""), stages)


def _number(record: Record, metric: str) -> str:
    if metric not in record.metrics:
        return "-"
    return number_of(metric)(scale_of(metric) * record.metrics[metric], signed=False)


def _facts(board: Leaderboard, identity: Mapping[str, Any], best: Ranked | None) -> Iterator[tuple[str, Mapping[str, str]]]:
    records = board.records
    if not records:
        return
    first = (best.records if best else records)[0]
    if ranges := identity.get(RANGES):
        yield "What the search draws", {name: str(value) for name, value in ranges.items()}
    chosen = {name: value for name, value in first.departures.items() if name not in first.parameters}
    title = f"Settings that depart from preset {first.preset}, beside what the sweep varies"
    yield title, {name: value_text(value) or "none" for name, value in sorted(chosen.items())}
    yield "Data", {role: _data(entry) for role, entry in sorted(first.data.items())}
    yield "Versions", dict(first.versions)
    yield "Code of each stage", dict(first.code)


def _data(entry: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{entry.get(part, 0)} {part}" for part in ("train", "validation", "test"))
    missing = f"; {entry['missing']} listed videos are not on disk" if entry.get("missing") else ""
    skipped = f"; {len(entry['skipped'])} are unreadable" if entry.get("skipped") else ""
    return f"{entry.get('dataset')}, fingerprint {entry.get('fingerprint')}: {parts}{missing}{skipped}"


_HANDED_ON = ("student", "finetune", "pretext", "auxskd")
"""Stages whose weights a user wants, the first first."""


def _load(record: Record, artifacts: Artifacts) -> str:
    stage = next((name for kind in _HANDED_ON for name in record.stages if name.partition("/")[0] == kind), None)
    if stage is None:
        return ""
    path = artifacts.store / stage.partition("/")[0] / record.stages[stage] / "weights.safetensors"
    return f"from safetensors.torch import load_file\n\nweights = load_file({str(path)!r})"


def page_title(page: SweepPage) -> str:
    """For the browser's tab."""
    return page.sheet.title if page.board.best is None else f"{page.board.sweep}: {name_of(page.board.best)}"

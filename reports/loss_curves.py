"""Losses after each epoch of a stage, over the seeds of each row of a figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.ledger import Record
from reports.comparable_groups import Group
from reports.paper_comparison import closest_to_paper, groups_of
from reports.paper_table import PaperTable, Row


@dataclass(frozen=True)
class LossCurve:
    """Mean, least and greatest value over seeds after epochs 1, 2, ...; `panel` and `curve` as the figure declares them."""

    row: Row
    panel: str
    curve: str
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    seeds: int


@dataclass(frozen=True)
class LossCurves:
    """The curves of one group of comparable trials."""

    group: Group
    curves: tuple[LossCurve, ...]

    @property
    def rows(self) -> int:
        return len({curve.row.label for curve in self.curves})


def loss_curves(figure: PaperTable, trials: Iterable[Record]) -> list[LossCurves]:
    """The curves of complete trials, by group of comparable ones: of each preset the groups closest to the paper's
    circumstances, and of these the ones with curves of the most rows."""
    metrics = {metric for curves in figure.histories.values() for metric in curves.values()}
    told = [trial for trial in trials if trial.outcome == "complete" and metrics & set(trial.history)]
    found = [LossCurves(group, tuple(_curves(figure, group))) for group in closest_to_paper(figure, groups_of(figure, told))]
    most: dict[str, int] = {}
    for one in found:
        most[one.group.preset] = max(one.rows, most.get(one.group.preset, 0))
    return [one for one in found if one.rows == most[one.group.preset]]


def _curves(figure: PaperTable, group: Group) -> Iterable[LossCurve]:
    for row in figure.rows:
        records = [record for record in group.records if row.holds(record.settings)]
        for panel, curves in figure.histories.items():
            for curve, metric in curves.items():
                by_seed = {record.seed: record.history[metric] for record in records if record.history.get(metric)}
                if by_seed:
                    yield _over_seeds(row, panel, curve, list(by_seed.values()))


def _over_seeds(row: Row, panel: str, curve: str, histories: Sequence[Sequence[float]]) -> LossCurve:
    epochs = min(map(len, histories))
    values = np.array([history[:epochs] for history in histories], dtype=np.float64)
    mean, low, high = (tuple(map(float, found)) for found in (values.mean(axis=0), values.min(axis=0), values.max(axis=0)))
    return LossCurve(row, panel, curve, mean, low, high, len(histories))

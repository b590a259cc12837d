"""Metrics after each epoch of a stage, over the seeds of each row of a figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.ledger import Record
from reports.comparable_groups import Group
from reports.paper_comparison import closest_to_paper, groups_of
from reports.paper_table import DOWNSTREAM, PaperTable, Row

_FRACTIONS = ("accuracy", "top1")
"""Ends of the names of metrics that are shown in percent."""


@dataclass(frozen=True)
class Curve:
    """Mean, least and greatest value over seeds after epochs 1, 2, ...; `panel` and `curve` as the figure declares them.

    Accuracies are in percent.
    """

    row: Row
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
    told = [
        trial for trial in trials if trial.outcome == "complete" and any(_history(figure, trial, metric) for metric in metrics)
    ]
    found = [Curves(group, tuple(_curves(figure, group))) for group in closest_to_paper(figure, groups_of(figure, told))]
    most: dict[str, int] = {}
    for one in found:
        most[one.group.preset] = max(one.rows, most.get(one.group.preset, 0))
    return [one for one in found if one.rows == most[one.group.preset]]


def _curves(figure: PaperTable, group: Group) -> Iterable[Curve]:
    for row in figure.rows:
        records = [record for record in group.records if row.holds(record.settings)]
        for panel, curves in figure.histories.items():
            for curve, metric in curves.items():
                by_seed = {record.seed: values for record in records if (values := _history(figure, record, metric))}
                if by_seed:
                    yield _over_seeds(row, panel, curve, list(by_seed.values()), 100 if metric.endswith(_FRACTIONS) else 1)


def _history(figure: PaperTable, record: Record, metric: str) -> list[float]:
    """The metric after each epoch; with several downstream sets, on the one of the figure."""
    of_set = f"{metric}/{figure.paper_settings.get(DOWNSTREAM)}"
    return record.history.get(metric) or record.history.get(of_set, [])


def _over_seeds(row: Row, panel: str, curve: str, histories: Sequence[Sequence[float]], scale: float) -> Curve:
    epochs = min(map(len, histories))
    values = scale * np.array([history[:epochs] for history in histories], dtype=np.float64)
    mean, low, high = (tuple(map(float, found)) for found in (values.mean(axis=0), values.min(axis=0), values.max(axis=0)))
    return Curve(row, panel, curve, mean, low, high, len(histories))

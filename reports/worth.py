"""What the backbones of a sweep are worth: pretext accuracy, top-1 finetuned and by linear probe, and retrieval.

Trials are compared within a sweep, on each downstream set for itself, where only its parameters and seeds make a difference.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from harness.ledger import Record
from reports.groups import Group, comparable_groups, explicit, used_sets
from reports.power import Sensitivity, sensitivity
from reports.seeds import Estimate, estimate
from search_spaces.papers import DOWNSTREAM, PaperTable, paper_tables, printed
from trainables.settings import checkpoint_epoch

TOP1 = {"finetuned top-1": "test/top1", "linear probe top-1": "test/linear_probe_top1"}
RETRIEVAL = {f"R@{k}": f"test/retrieval_r{k}" for k in (1, 5, 10, 20, 50)}
MEASURES = {**TOP1, **RETRIEVAL}
"""Name of what is measured on test videos -> the metric, a fraction."""

_PRETEXT = re.compile(r"pretext/val_(\w+)_accuracy")


@dataclass(frozen=True)
class Backbone:
    """A configuration of a sweep, and what its seeds reached in percent.

    seeds, asked: complete ones, and how many the fullest configuration has. by_seed: measure (pretext labels, then MEASURES) ->
    seed -> value; without the measures that no seed has. chance: pretext label -> what guessing reaches, where it is on record.
    """

    label: tuple[str, ...]
    seeds: int
    asked: int
    by_seed: Mapping[str, Mapping[int, float]]
    chance: Mapping[str, float]

    @property
    def reached(self) -> Mapping[str, Estimate]:
        """The mean over seeds of each measure."""
        return {measure: estimate(list(values.values())) for measure, values in self.by_seed.items()}


@dataclass(frozen=True)
class Worth:
    """The backbones of a sweep on one downstream set, in the sweep's order or in that of its paper's table.

    headings: of the backbones' labels. pretext: labels that any pretext task has a head for, such as speed.
    """

    data_set: str
    group: Group
    headings: tuple[str, ...]
    pretext: tuple[str, ...]
    backbones: tuple[Backbone, ...]

    def sensitivity(self, measure: str) -> Sensitivity | None:
        """What differences between a backbone and the best one can be seen, paired by seed."""
        values = [backbone.by_seed[measure] for backbone in self.backbones if measure in backbone.by_seed]
        best = max(values, key=lambda by_seed: fmean(by_seed.values()), default={})
        pairs = [[value - best[seed] for seed, value in one.items() if seed in best] for one in values if one is not best]
        videos = {used.data.test for used in self.group.sets if used.role == "downstream"}
        return sensitivity([(pair, None) for pair in pairs], videos.pop() if len(videos) == 1 else None)


def sweep_worth(own: Sequence[Record], others: Iterable[Record] = ()) -> list[Worth]:
    """What a sweep's trials (one or more) are worth, by downstream set and group of comparable ones.

    A sweep of a paper's table runs what no other sweep has run; the rest is looked up in the `others`' trials. Raises
    LedgerError for a record whose data sets are not described.
    """
    table = _table_of(own)
    trials = {record.trial: record for record in [*_rows_elsewhere(table, own, others), *own]}
    varied = {name for record in own for name in record.parameters} | {DOWNSTREAM}
    worths = []
    for data_set in sorted({name for record in own for name in endings(record)}):
        through = [record for record in trials.values() if data_set in endings(record)]
        for group in comparable_groups(through, varied):
            if {record.trial for record in group.records} & {record.trial for record in own}:
                worths.append(_worth(data_set, group, varied - {DOWNSTREAM}, table))
    return worths


def _table_of(own: Sequence[Record]) -> PaperTable | None:
    """The paper's table whose rows the sweep ran."""
    table = paper_tables().get(own[0].space)
    return table if table and all(table.row_of(explicit(record).settings) for record in own) else None


def _rows_elsewhere(table: PaperTable | None, own: Sequence[Record], others: Iterable[Record]) -> list[Record]:
    if table is None:
        return []
    seeds = {record.seed for record in own}
    return [
        record
        for record in others
        if record.outcome == "complete" and record.seed in seeds and table.row_of(explicit(record).settings)
    ]


def endings(record: Record) -> dict[str, str]:
    """The downstream sets of a record, and what the names of their metrics end in."""
    names = [used.name for used in used_sets(record) if used.role == "downstream"]
    return {name: f"/{name}" if f"downstream/{name}" in record.data else "" for name in names}


def _worth(data_set: str, group: Group, varied: Collection[str], table: PaperTable | None) -> Worth:
    by_settings: dict[str, list[Record]] = {}
    for record in sorted(group.records, key=lambda record: _position(record, table)):
        values = {name: record.settings.get(name) for name in varied}
        by_settings.setdefault(json.dumps(values, sort_keys=True), []).append(record)
    asked = max(len({record.seed for record in records}) for records in by_settings.values())
    backbones = [_backbone(_label(records[0], table), asked, records, data_set) for records in by_settings.values()]
    measured = {measure for backbone in backbones for measure in backbone.reached}
    return Worth(
        data_set,
        replace(group, sets=tuple(used for used in group.sets if used.role != "downstream" or used.name == data_set)),
        _headings(table),
        tuple(sorted(measured - {*MEASURES})),
        tuple(backbones),
    )


def _position(record: Record, table: PaperTable | None) -> int:
    row = table and table.row_of(record.settings)
    return table.rows.index(row) if table and row else record.index


def _headings(table: PaperTable | None) -> tuple[str, ...]:
    return tuple(name.replace("_", " ") for name in table.distinguishing) if table else ("configuration",)


def _label(record: Record, table: PaperTable | None) -> tuple[str, ...]:
    row = table and table.row_of(record.settings)
    if table and row:
        return tuple(printed(row.entry[name]) for name in table.distinguishing)
    parameters = ", ".join(f"{name} = {printed(value)}" for name, value in record.parameters.items())
    return (record.row or parameters or "the sweep's settings",)


def _backbone(label: tuple[str, ...], asked: int, records: Sequence[Record], data_set: str) -> Backbone:
    complete: dict[int, Record] = {}
    for record in records:
        if record.outcome == "complete":
            complete.setdefault(record.seed, record)
    by_seed: dict[str, dict[int, float]] = {}
    chance: dict[str, float] = {}
    for seed in sorted(complete):
        for measure, value in _measured(complete[seed], data_set).items():
            if math.isfinite(value):
                by_seed.setdefault(measure, {})[seed] = 100 * value
            guessing = complete[seed].metrics.get(f"pretext/val_{measure}_chance")
            if guessing is not None:
                chance[measure] = 100 * guessing
    return Backbone(label, len(complete), asked, by_seed, chance)


def _measured(record: Record, data_set: str) -> dict[str, float]:
    """Fractions by measure: those of the downstream set, and the pretext accuracies."""
    ending = endings(record)[data_set]
    fractions = {name: record.metrics.get(f"{metric}{ending}", math.nan) for name, metric in MEASURES.items()}
    for metric in record.metrics:
        if match := _PRETEXT.fullmatch(metric):
            fractions[match[1]] = _when_handed_on(record, metric)
    return fractions


def _when_handed_on(record: Record, metric: str) -> float:
    """A pretext metric after the epoch whose weights were handed on, which need not be the last one."""
    number, last = record.settings.get("pretext.checkpoint"), record.settings.get("pretext.checkpoints")
    if number is None or last is None or number == last:
        return record.metrics[metric]
    epoch = checkpoint_epoch(number, record.settings["pretext.epochs"], last)
    values = record.history.get(metric, [])
    return values[epoch - 1] if epoch <= len(values) else math.nan

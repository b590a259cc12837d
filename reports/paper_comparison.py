"""A paper's table beside our trials: what each row reached, and whether the paper's effects are seen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.ledger import Record
from reports.comparable_groups import Group, comparable_groups
from reports.paper_table import PaperTable, Row
from reports.seed_statistics import Estimate, PairedTest, Verdict, estimate, paired_test, verdict


@dataclass(frozen=True)
class Cell:
    """What the seeds of one row reached, in percent; `asked` is how many seeds the group's fullest row has."""

    by_seed: Mapping[int, float]
    asked: int
    estimate: Estimate | None


@dataclass(frozen=True)
class Effect:
    """A row minus the reference row in percentage points: published, and ours paired by seed."""

    published: float
    ours: Estimate | None
    test: PairedTest | None
    verdict: Verdict


@dataclass(frozen=True)
class ComparedRow:
    row: Row
    cell: Cell
    effect: Effect | None
    """None for the reference row."""


@dataclass(frozen=True)
class Comparison:
    """A table filled from one group of comparable trials, or empty where `group` is None."""

    group: Group | None
    rows: tuple[ComparedRow, ...]


def compare(table: PaperTable, trials: Iterable[Record]) -> list[Comparison]:
    """One comparison per group of comparable trials that has any trial of a row; a single empty one where none has."""
    of_table = [trial for trial in trials if any(row.holds(trial.settings) for row in table.rows)]
    groups = comparable_groups(of_table, varied=set(table.parameters.values()))
    if not groups:
        return [Comparison(None, _compared_rows(table, ()))]
    return [Comparison(group, _compared_rows(table, group.records)) for group in groups]


def _compared_rows(table: PaperTable, records: Sequence[Record]) -> tuple[ComparedRow, ...]:
    of_row = {row.label: [record for record in records if row.holds(record.settings)] for row in table.rows}
    asked = max(1, *(len({record.seed for record in found}) for found in of_row.values()))
    cells = {label: _cell(found, table.metric, asked) for label, found in of_row.items()}
    reference = table.reference
    return tuple(
        ComparedRow(
            row,
            cells[row.label],
            None if row is reference else _effect(row, cells[row.label], reference, cells[reference.label]),
        )
        for row in table.rows
    )


def _cell(records: Sequence[Record], metric: str, asked: int) -> Cell:
    by_seed: dict[int, float] = {}
    for record in records:
        value = record.metrics.get(metric, math.nan)
        if record.outcome == "complete" and math.isfinite(value):
            by_seed.setdefault(record.seed, 100 * value)
    ordered = {seed: by_seed[seed] for seed in sorted(by_seed)}
    return Cell(ordered, asked, estimate(list(ordered.values())) if ordered else None)


def _effect(row: Row, cell: Cell, reference: Row, reference_cell: Cell) -> Effect:
    published = row.published - reference.published
    differences = [
        value - reference_cell.by_seed[seed] for seed, value in cell.by_seed.items() if seed in reference_cell.by_seed
    ]
    if not differences:
        return Effect(published, None, None, "undecided")
    ours, test = estimate(differences), paired_test(differences)
    return Effect(published, ours, test, verdict(published, ours.mean, test))

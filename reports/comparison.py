"""A paper's table beside our trials: what each row reached, and whether the paper's effects are seen."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from harness.ledger import Record
from reports.groups import CHECKPOINTS, Group, comparable_groups, explicit
from reports.power import Sensitivity, sensitivity
from reports.seeds import Estimate, Outperforming, VideoError, estimate, outperforming
from reports.verdicts import Expected, Judgement, judge
from reports.videos import Telling, Told, nothing_told, over_splits, video_error
from search_spaces.papers import DOWNSTREAM, PRETRAINING, SPLIT, Measure, PaperTable, PublishedRow
from trainables.settings import FOLLOW_PRETRAINING


@dataclass(frozen=True)
class Effect:
    """A row minus its reference in percentage points: published, and ours by seed (paired by split, where there are several).

    videos: what the choice of test videos gives the mean, where it is known. judgement: of this effect among all of its
    comparison. Without published numbers there is nothing to agree with: `published`
    and the verdict are None.
    """

    reference: PublishedRow
    published: float | None
    differences: tuple[float, ...]
    videos: VideoError | None
    judgement: Judgement

    @property
    def ours(self) -> Estimate | None:
        return estimate(self.differences, self.videos) if self.differences else None

    @property
    def higher(self) -> Outperforming | None:
        """How often the row is above its reference."""
        return outperforming(self.differences) if self.differences else None


@dataclass(frozen=True)
class Cell:
    """What the seeds of one row reached by one measure, in percent; `asked`: how many seeds the group's fullest cell has.

    splits: the fewest splits that a seed's value is the mean of, and how many there are in the paper; None where it is of one.
    """

    published: float | None
    by_seed: Mapping[int, float]
    asked: int
    estimate: Estimate | None
    effects: tuple[Effect, ...]
    splits: tuple[int, int] | None = None


@dataclass(frozen=True)
class ComparedRow:
    """A row with a cell for each of the table's measures; those of a quoted row are empty."""

    row: PublishedRow
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Comparison:
    """A table filled from one group of comparable trials, or empty where `group` is None.

    sensitivities: of each measure, what the tests of its effects can see.
    """

    group: Group | None
    rows: tuple[ComparedRow, ...]
    sensitivities: tuple[Sensitivity | None, ...]

    @property
    def preset(self) -> str:
        return self.group.preset if self.group else ""

    def is_of(self, table: PaperTable) -> bool:
        """Whether a sweep of the table itself ran any of the trials."""
        return self.group is not None and any(record.space == table.id for record in self.group.records)

    @property
    def rows_with_numbers(self) -> int:
        return sum(any(cell.by_seed for cell in compared.cells) for compared in self.rows)


@dataclass(frozen=True)
class FilledTable:
    """A paper's table and what it is filled with. `narrow`: groups left out, as few of their rows have numbers."""

    table: PaperTable
    comparisons: Sequence[Comparison]
    narrow: int = 0


def fill(table: PaperTable, trials: Iterable[Record], told: Telling = nothing_told) -> FilledTable:
    """The comparisons from which the table can be read. told: what trials have said of each test video.

    Trials of other sweeps often are some rows of a table (its defaults) under other settings: groups that hold no trial of the
    table's own sweeps, with numbers in at most half as many rows as the fullest group of the preset, are left out.
    """
    comparisons = compare(table, trials, told)
    fullest: dict[str, int] = {}
    for comparison in comparisons:
        fullest[comparison.preset] = max(comparison.rows_with_numbers, fullest.get(comparison.preset, 0))
    wide = [
        one
        for one in comparisons
        if 2 * one.rows_with_numbers > fullest[one.preset] or not fullest[one.preset] or one.is_of(table)
    ]
    return FilledTable(table, wide, len(comparisons) - len(wide))


def closest_to_paper(table: PaperTable, groups: Sequence[Group]) -> list[Group]:
    """Of each preset's groups those that depart from the fewest circumstances of the published numbers: data, network.

    A downstream set among several is no departure.
    """

    def departs(group: Group, name: str, value: Any) -> bool:
        own = group.settings.get(name)
        return own != value and not (name == DOWNSTREAM and value in str(own).split("+"))

    def departures(group: Group) -> int:
        return sum(departs(group, name, value) for name, value in table.paper_settings.items())

    least: dict[str, int] = {}
    for group in groups:
        least[group.preset] = min(departures(group), least.get(group.preset, departures(group)))
    return [group for group in groups if departures(group) == least[group.preset]]


def compare(table: PaperTable, trials: Iterable[Record], told: Telling = nothing_told) -> list[Comparison]:
    """One comparison per group of comparable trials that has any trial of a cell; a single empty one where none has."""
    groups = groups_of(table, [trial for trial in trials if any(measure.counts(trial.settings) for measure in table.measures)])
    if not groups:
        return [_comparison(table, None, told)]
    return [_comparison(table, group, told) for group in groups]


def groups_of(table: PaperTable, trials: Iterable[Record]) -> list[Group]:
    """The trials of the table's rows, in groups of comparable ones.

    Rows that do not speak of checkpoints have trials from the last one only, and then it does not matter how many there are.
    Where published numbers are means over splits, trials of preset `paper` may be of any of these; and rows of different
    pretraining data have what the preset has for each.
    """

    def free(record: Record) -> set[str]:
        row = table.row_of(record.settings)
        if row is None:
            return set()
        unspoken = _unspoken_checkpoints(row)
        if record.preset != "paper":
            return unspoken
        as_printed = {name for name, value in row.at_paper_size.items() if record.settings.get(name) == value}
        of_data = set(FOLLOW_PRETRAINING) - record.departures.keys() if PRETRAINING in table.varied else set()
        return as_printed | of_data | unspoken | ({SPLIT} if _is_of_split(table, record) else set())

    of_rows = [trial for trial in map(explicit, trials) if _is_of_row(table, trial)]
    return comparable_groups(of_rows, table.varied, free)


def _is_of_row(table: PaperTable, trial: Record) -> bool:
    row = table.row_of(trial.settings)
    if row is None:
        return False
    chosen = _unspoken_checkpoints(row) & CHECKPOINTS.keys()
    return all(trial.settings.get(name) == trial.settings.get(CHECKPOINTS[name]) for name in chosen)


def _is_of_split(table: PaperTable, trial: Record) -> bool:
    """Whether a measure's number is a mean over splits of which this is one, or another measure's is and this has but one."""
    splits = {split for measure in table.measures if measure.counts(trial.settings) for split in measure.splits or (1,)}
    return any(measure.splits for measure in table.measures) and trial.settings.get(SPLIT) in splits


def _unspoken_checkpoints(row: PublishedRow) -> set[str]:
    return {name for pair in CHECKPOINTS.items() if not row.parameters.keys() & set(pair) for name in pair}


def _comparison(table: PaperTable, group: Group | None, told: Telling) -> Comparison:
    rows = _compared_rows(table, group.records if group else (), group.preset if group else "", told)
    seen = []
    for column, measure in enumerate(table.measures):
        effects = [effect for row in rows for effect in row.cells[column].effects]
        samples = [(effect.differences, effect.videos) for effect in effects]
        seen.append(sensitivity(samples, _test_videos(measure, group)))
    return Comparison(group, rows, tuple(seen))


def _test_videos(measure: Measure, group: Group | None) -> int | None:
    """Those that a seed's number is of, over all splits at hand; None where the group has more than one candidate."""
    sets = [used for used in group.sets if used.role.startswith("downstream")] if group else []
    named = [used for used in sets if used.name == measure.data_set] or sets
    if len({used.name for used in named}) != 1:
        return None
    return sum({used.split: used.data.test for used in named}.values())


Reached = Mapping[int, Mapping[Any, float]]
"""Seed -> split -> a number; in percent where it is a fraction."""


def _compared_rows(table: PaperTable, records: Sequence[Record], preset: str, told: Telling) -> tuple[ComparedRow, ...]:
    trials = {
        (row.label, measure.column): [
            record for record in records if row.holds(record.settings) and measure.counts(record.settings)
        ]
        for row in table.rows
        for measure in table.measures
    }
    asked = max(1, *(len({record.seed for record in of_cell}) for of_cell in trials.values()))
    reached = {
        (row.label, measure.column): reached_by(trials[row.label, measure.column], functools.partial(number_of_trial, measure))
        for row in table.rows
        for measure in table.measures
    }
    said = {
        (row.label, measure.column): said_by_seed(trials[row.label, measure.column], measure, told)
        for row in table.rows
        for measure in table.measures
    }
    effects = _effects(table, reached, said)

    def cell(row: PublishedRow, measure: Measure) -> Cell:
        own = reached[row.label, measure.column]
        by_seed = {seed: fmean(values.values()) for seed, values in own.items()}
        splits = None
        if by_seed and measure.splits and preset == "paper":
            splits = min(map(len, own.values())), len(measure.splits)
        ours = estimate(list(by_seed.values())) if by_seed else None
        return Cell(row.published[measure.column], by_seed, asked, ours, effects.get((row.label, measure.column), ()), splits)

    return tuple(ComparedRow(row, tuple(cell(row, measure) for measure in table.measures)) for row in table.rows)


def reached_by(records: Iterable[Record], value: Callable[[Record], float]) -> Reached:
    """The finite values of complete trials."""
    by_seed: dict[int, dict[Any, float]] = {}
    for record in records:
        number = value(record) if record.outcome == "complete" else math.nan
        if math.isfinite(number):
            by_seed.setdefault(record.seed, {}).setdefault(record.settings.get(SPLIT), number)
    return {seed: by_seed[seed] for seed in sorted(by_seed)}


def said_by_seed(records: Iterable[Record], measure: Measure, told: Telling) -> dict[int, Told | None]:
    """What complete trials have said of each test video; of a seed with several splits over all of them."""
    by_seed: dict[int, dict[Any, Record]] = {}
    for record in records:
        if record.outcome == "complete":
            by_seed.setdefault(record.seed, {}).setdefault(record.settings.get(SPLIT), record)
    return {
        seed: over_splits([told(record, _metric(measure, record)) for record in of_seed.values()])
        for seed, of_seed in by_seed.items()
    }


def number_of_trial(measure: Measure, record: Record) -> float:
    """The metric of a trial in percent; not a number where it has none."""
    return 100 * record.metrics.get(_metric(measure, record), math.nan)


def _metric(measure: Measure, record: Record) -> str:
    joined = "+" in str(record.settings.get(DOWNSTREAM, ""))
    return f"{measure.metric}/{measure.data_set}" if joined else measure.metric


def history_of(table: PaperTable, record: Record, metric: str) -> list[float]:
    """The metric after each epoch, none where it was not told; with several downstream sets, on the one of the table."""
    of_set = f"{metric}/{table.paper_settings.get(DOWNSTREAM)}"
    return record.history.get(metric) or record.history.get(of_set, [])


_Place = tuple[str, str]
"""Label of a row and column of a measure."""


def _effects(
    table: PaperTable, reached: Mapping[_Place, Reached], said: Mapping[_Place, Mapping[int, Told | None]]
) -> dict[_Place, tuple[Effect, ...]]:
    """The effects of each row by each measure, judged together."""
    compared = [
        (row, measure, other) for row in table.rows for measure in table.measures for other in table.references(row, measure)
    ]
    values: list[tuple[float | None, tuple[float, ...], VideoError | None]] = []
    for row, measure, other in compared:
        own, its = (row.label, measure.column), (other.label, measure.column)
        videos = video_error([(1, said[own]), (-1, said[its])])
        values.append((_published_effect(row, other, measure), _differences(reached[own], reached[its]), videos))
    judgements = judge(
        [(None if published is None else Expected.printed(published), ours, videos) for published, ours, videos in values]
    )
    effects: dict[_Place, tuple[Effect, ...]] = {}
    for (row, measure, other), found, judged in zip(compared, values, judgements, strict=True):
        place = row.label, measure.column
        effects[place] = (*effects.get(place, ()), Effect(other, *found, judged))
    return effects


def _published_effect(row: PublishedRow, reference: PublishedRow, measure: Measure) -> float | None:
    here, there = row.published[measure.column], reference.published[measure.column]
    return None if here is None or there is None else here - there


def _differences(own: Reached, other: Reached) -> tuple[float, ...]:
    """By seed, over the splits that both have."""
    paired = (
        [value - other[seed][split] for split, value in values.items() if split in other.get(seed, {})]
        for seed, values in own.items()
    )
    return tuple(fmean(differences) for differences in paired if differences)

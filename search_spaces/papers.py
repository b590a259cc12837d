"""The papers' tables and figures as declared in search_spaces/published/*.yaml: their rows, and the settings of each row.

The format is described at the top of search_spaces/published/auxskd.yaml. Only what has `settings` there can be run or filled.
Imports nothing heavy: spaces are made of these tables, and reports are filled from them.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

PUBLISHED = Path(__file__).parent / "published"
PRETRAINING, DOWNSTREAM, SPLIT = "data.pretraining", "data.downstream", "data.split"
METRICS = {"test/top1": "top-1", "test/map": "mAP"}
"""What published numbers are, fractions in a record -> their name."""


class PublishedError(ValueError):
    """A declaration that cannot be read; the message names the table and what is wrong."""


@dataclass(frozen=True)
class Row:
    """A configuration that a paper reports: the label its table gives it, and the settings it stands for, by dotted name."""

    label: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class PublishedRow(Row):
    """A row as a paper prints it: `entry`, by column, and `published` numbers in percent, by measure.

    `quoted` rows come from other papers and cannot be run. `at_paper_size` are settings of the row at preset `paper`. A
    `reading` is of another row's words: it has that row's published numbers, settings of its own, and no effects, as what the
    paper claims of the row is judged once. A control is a reading without published numbers: the paper did not run it.
    """

    entry: Mapping[str, Any]
    published: Mapping[str, float | None]
    at_paper_size: Mapping[str, Any]
    quoted: bool = False
    reading: bool = False

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(map(printed, self.entry.values()))

    def holds(self, settings: Mapping[str, Any]) -> bool:
        """Whether `settings` (by dotted name) have this row's values."""
        return not self.quoted and has_values(settings, self.parameters)


@dataclass(frozen=True)
class Measure:
    """A published column of numbers, and settings of the trials that it measures.

    metric: which of METRICS the numbers are. splits: official splits that they are means over, at preset `paper`.
    """

    column: str
    settings: Mapping[str, Any]
    metric: str = "test/top1"
    splits: tuple[int, ...] = ()

    @property
    def heading(self) -> str:
        return f"{self.column.upper()} {METRICS[self.metric]}"

    @property
    def data_set(self) -> str:
        return str(self.settings.get(DOWNSTREAM, self.column))

    def counts(self, settings: Mapping[str, Any]) -> bool:
        """Whether a trial with these settings has a number for this measure; it may have joined several data sets."""
        joined = str(settings.get(DOWNSTREAM, "")).split("+")
        if len(joined) > 1:
            settings = {**settings, DOWNSTREAM: self.data_set}
        return (len(joined) == 1 or self.data_set in joined) and has_values(settings, self.settings)


class Contrast(BaseModel):
    """The column whose change from one value to another is the effect that a table shows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    from_: Any = Field(alias="from")
    to: Any


class Pair(BaseModel):
    """Numbers of two rows, from 1, whose difference is an effect that a table shows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    from_: int = Field(alias="from")
    to: int


@dataclass(frozen=True)
class PaperTable:
    """One published table or figure. `id` is `<paper>/<name>` and names the file and the entry in search_spaces/published/.

    rows: as printed, then other readings of some. columns: what they print before their numbers. distinguishing: those of them
    that stand for settings. varied: settings in which rows and measures differ. fixed, fixed_at_paper_size: those of the rows'
    settings that all rows share. effect, pairs: what effects are, the change of a column or rows minus others (row, its
    reference); without either a row minus the paper's best one. paper_settings: circumstances of the published numbers.
    histories: panel -> curve -> metric per epoch.
    networks: network -> heading, where the table shows what networks cost.
    """

    id: str
    paper: str
    title: str
    is_figure: bool
    columns: tuple[str, ...]
    distinguishing: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    measures: tuple[Measure, ...]
    varied: frozenset[str]
    fixed: Mapping[str, Any]
    fixed_at_paper_size: Mapping[str, Any]
    effect: Contrast | None
    pairs: tuple[tuple[PublishedRow, PublishedRow], ...]
    paper_settings: Mapping[str, Any]
    histories: Mapping[str, Mapping[str, str]]
    networks: Mapping[str, str]

    @property
    def file_stem(self) -> str:
        return self.id.replace("/", "_")

    @property
    def headings(self) -> tuple[str, ...]:
        return tuple(column.replace("_", " ") for column in self.columns)

    def row_of(self, settings: Mapping[str, Any]) -> PublishedRow | None:
        """The row that a trial with these settings belongs to."""
        return next((row for row in self.rows if row.holds(settings)), None)

    def best_row(self, measure: Measure) -> PublishedRow:
        return max(self.rows, key=lambda row: row.published[measure.column] or 0.0)

    def references(self, row: PublishedRow, measure: Measure) -> list[PublishedRow]:
        """The rows that `row` is compared with; none for readings, and for rows that are references or have no counterpart."""
        if row.reading:
            return []
        if self.pairs:
            return [reference for other, reference in self.pairs if other is row]
        if self.effect is None:
            best = self.best_row(measure)
            return [] if row is best else [best]
        column = self.effect.column
        if row.quoted or row.entry[column] != self.effect.to:
            return []
        wanted = {name: row.entry[name] for name in self.distinguishing} | {column: self.effect.from_}
        counterparts = (other for other in self.rows if not other.quoted and wanted.items() <= other.entry.items())
        return list(counterparts)[:1]

    def is_reference(self, row: PublishedRow) -> bool:
        """Whether effects are measured against rows such as this one."""
        if self.pairs:
            return any(reference is row for _, reference in self.pairs)
        return self.effect is None or row.entry[self.effect.column] == self.effect.from_

    def effect_label(self, row: PublishedRow, reference: PublishedRow) -> str:
        """What tells the effect from the others of its column of numbers."""
        if self.pairs:
            return f"{row.label} against {reference.label}"
        if self.effect is None:
            return row.label
        return " / ".join(printed(row.entry[name]) for name in self.distinguishing if name != self.effect.column)


@functools.cache
def paper_tables(directory: Path = PUBLISHED) -> Mapping[str, PaperTable]:
    """Everything declared in a directory that can be run or filled, by id; tables before figures of each paper.

    Raises PublishedError for a declaration that breaks the format.
    """
    tables = {}
    for path in sorted(directory.glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for section in ("tables", "figures"):
            for name, content in document.get(section, {}).items():
                if isinstance(content, dict) and "settings" in content:
                    identity = f"{path.stem}/{name}"
                    tables[identity] = _table(identity, document["paper"], section == "figures", content)
    return tables


def printed(value: Any) -> str:
    """A value of a table as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def as_assigned(value: Any) -> str:
    """A value as `--set NAME=` takes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(as_assigned, value))}]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def has_values(settings: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether `settings` have all the wanted values; numbers are equal within rounding."""
    return all(name in settings and _same(settings[name], value) for name, value in wanted.items())


Readings = dict[int, dict[str, dict[str, Any]]]
"""Number of a row, from 1 -> name -> settings over the row's."""


class _Declaration(BaseModel):
    """An entry of `tables` or `figures` with settings."""

    model_config = ConfigDict(extra="forbid")

    title: str
    columns: list[str]
    rows: list[list[Any]]
    settings: dict[str, str | dict[Any, dict[str, Any]]]
    fixed: dict[str, Any] = {}
    measures: dict[str, dict[str, Any]] = {}
    quoted: list[int] = []
    readings: Readings = {}
    controls: Readings = {}
    metrics: dict[str, Literal["test/top1", "test/map"]] = {}
    splits: dict[str, tuple[int, ...]] = {}
    effect: Contrast | None = None
    effects: list[Pair] = []
    at_paper_size: dict[str, Any] = {}
    paper_settings: dict[str, Any] = {}
    histories: dict[str, dict[str, str]] = {}
    networks: dict[str, str] = {}

    @property
    def printed_columns(self) -> list[str]:
        return [column for column in self.columns if column not in self.measures]

    @property
    def more_rows(self) -> tuple[tuple[str, Readings], ...]:
        return (("readings", self.readings), ("controls", self.controls))


def _table(identity: str, paper: str, is_figure: bool, content: Mapping[str, Any]) -> PaperTable:
    declared = _declaration(identity, content)
    columns = declared.printed_columns
    try:
        printed_rows = tuple(_row(declared, number, row) for number, row in enumerate(declared.rows, start=1))
        pairs = tuple(_pair(printed_rows, pair) for pair in declared.effects)
        rows = (*printed_rows, *_more_rows(declared, printed_rows))
    except PublishedError as error:
        raise PublishedError(f"{identity}, {error}") from None
    return PaperTable(
        id=identity,
        paper=paper,
        title=declared.title,
        is_figure=is_figure,
        columns=tuple(columns),
        distinguishing=tuple(column for column in columns if column in declared.settings),
        rows=rows,
        measures=tuple(
            Measure(column, settings, declared.metrics.get(column, "test/top1"), declared.splits.get(column, ()))
            for column, settings in declared.measures.items()
        ),
        varied=frozenset(_varied(declared)),
        fixed=declared.fixed,
        fixed_at_paper_size={name: value for name, value in declared.at_paper_size.items() if name not in columns},
        effect=declared.effect,
        pairs=pairs,
        paper_settings=declared.paper_settings,
        histories=declared.histories,
        networks=declared.networks,
    )


def _declaration(identity: str, content: Mapping[str, Any]) -> _Declaration:
    """The declaration of this content, all of whose names are of columns and measures that it has."""
    try:
        declared = _Declaration.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        raise PublishedError(f"{identity}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    columns, of_effect = declared.printed_columns, {declared.effect.column} if declared.effect else set()
    if unknown := {*declared.settings, *of_effect} - set(columns):
        raise PublishedError(f"{identity}: no such column: {', '.join(sorted(unknown))}; columns: {', '.join(columns)}")
    if unmeasured := {*declared.metrics, *declared.splits} - declared.measures.keys():
        measures = ", ".join(declared.measures)
        raise PublishedError(f"{identity}: no such measure: {', '.join(sorted(unmeasured))}; measures: {measures}")
    return declared


def _row(declared: _Declaration, number: int, values: Sequence[Any]) -> PublishedRow:
    if len(values) != len(declared.columns):
        raise PublishedError(f"row {number}: {len(values)} values for {len(declared.columns)} columns")
    cells = dict(zip(declared.columns, values, strict=True))
    published = {column: None if cells[column] is None else float(cells[column]) for column in declared.measures}
    entry = {column: value for column, value in cells.items() if column not in published}
    label = " / ".join(map(printed, entry.values()))
    if number in declared.quoted:
        return PublishedRow(label, {}, entry, published, {}, quoted=True)
    settings = dict(declared.fixed)
    for column, meaning in declared.settings.items():
        settings |= _meant(f"row {number}", column, entry[column], meaning)
    at_paper_size: dict[str, Any] = {}
    for name, meaning in declared.at_paper_size.items():
        own = name in entry
        at_paper_size |= _meant(f"row {number}", name, entry[name], meaning) if own else {name: meaning}
    return PublishedRow(label, settings, entry, published, at_paper_size)


def _more_rows(declared: _Declaration, rows: Sequence[PublishedRow]) -> list[PublishedRow]:
    """Readings and controls, named after the value that stands for the row's settings."""
    found = []
    column = next(iter(declared.settings))
    for kind, by_row in declared.more_rows:
        for number, named in by_row.items():
            if not 1 <= number <= len(rows) or rows[number - 1].quoted:
                raise PublishedError(f"{kind}: row {number} is not among those that can be run; rows: 1 to {len(rows)}")
            row = rows[number - 1]
            published = row.published if kind == "readings" else dict.fromkeys(row.published)
            for name, settings in named.items():
                entry = {**row.entry, column: f"{row.entry[column]}, {name}"}
                label = " / ".join(map(printed, entry.values()))
                parameters = {**row.parameters, **settings}
                found.append(replace(row, label=label, parameters=parameters, entry=entry, published=published, reading=True))
    return found


def _pair(rows: Sequence[PublishedRow], pair: Pair) -> tuple[PublishedRow, PublishedRow]:
    for number in (pair.to, pair.from_):
        if not 1 <= number <= len(rows) or rows[number - 1].quoted:
            raise PublishedError(f"effects: row {number} is not among those that can be run; rows: 1 to {len(rows)}")
    return rows[pair.to - 1], rows[pair.from_ - 1]


def _meant(row: str, column: str, value: Any, meaning: str | Mapping[Any, Mapping[str, Any]]) -> Mapping[str, Any]:
    if isinstance(meaning, str):
        return {meaning: value}
    if value not in meaning:
        raise PublishedError(f"{row}: no settings for {column} = {value}; valid values: {', '.join(map(str, meaning))}")
    return meaning[value]


def _varied(declared: _Declaration) -> set[str]:
    names = {name for settings in declared.measures.values() for name in settings}
    names |= {
        name for _, rows in declared.more_rows for named in rows.values() for settings in named.values() for name in settings
    }
    for meaning in declared.settings.values():
        names |= {meaning} if isinstance(meaning, str) else {name for settings in meaning.values() for name in settings}
    return names


def _same(left: Any, right: Any) -> bool:
    numbers = [value for value in (left, right) if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == 2:
        return math.isclose(left, right, rel_tol=1e-9)
    return bool(left == right) and not numbers

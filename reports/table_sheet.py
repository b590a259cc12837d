"""A comparison as text: titles, notes and grids of strings, the same for every written format.

Percent and percentage points have one decimal. `-` is a missing number; `(2/3)` says that 2 of 3 seeds are complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.comparable_groups import DataSet, Group
from reports.paper_comparison import Cell, Comparison, Effect
from reports.paper_table import PaperTable
from reports.seed_statistics import CONFIDENCE, RESAMPLES, SIGNIFICANCE, Estimate, PairedTest

RULES = (
    f"Ours: mean [{CONFIDENCE:.0%} percentile bootstrap interval over seeds, {RESAMPLES} resamples] (seeds); (2/3): 2 "
    "of 3 seeds complete. Effect: row minus the paper's best row, ours paired by seed, in percentage points. Verdict: "
    f"two-sided paired t test over seeds at {SIGNIFICANCE:.0%}, not corrected for several rows (exact sign test where "
    "all differences are equal); agrees: significant with the paper's sign; disagrees: significant against it; "
    "else undecided."
)


@dataclass(frozen=True)
class Grid:
    """A caption, headings and rows of strings. The first `labels` columns name the row."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int


@dataclass(frozen=True)
class Section:
    """One group of comparable trials: heading, what the group is, its grids."""

    heading: str
    notes: tuple[str, ...]
    grids: tuple[Grid, ...]


@dataclass(frozen=True)
class Sheet:
    """A whole table. `rules` say how numbers and verdicts come about and stand under every section."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    rules: str = RULES


def sheet(table: PaperTable, comparisons: Sequence[Comparison]) -> Sheet:
    """The text of a table: one section per comparison."""
    groups = [comparison.group for comparison in comparisons if comparison.group is not None]
    sections = []
    for number, comparison in enumerate(comparisons, start=1):
        grids = (_row_grid(table, comparison), _effect_grid(table, comparison))
        group = comparison.group
        if group is None:
            sections.append(Section("No trials recorded", (), grids))
        else:
            place = f"Group {number} of {len(groups)}, preset" if len(groups) > 1 else "Preset"
            sections.append(Section(f"{place} {_heading(table, group)}", _notes(table, group, groups), grids))
    return Sheet(f"{table.id}: {table.title}", f"Paper: {table.paper}", tuple(sections))


def is_comparable(table: PaperTable, group: Group) -> bool:
    """Whether nothing that the table declares sets the group apart from the circumstances of the published numbers."""
    return group.preset == "paper" and not group.missing_videos and not _departures(table, group)


def backbone(group: Group) -> str:
    shown = [("", "family"), ("depth ", "depth"), ("width ", "width")]
    return " ".join(f"{word}{group.settings.get(f'backbone.{name}', 'unknown')}" for word, name in shown)


def _heading(table: PaperTable, group: Group) -> str:
    names = dict.fromkeys(data.dataset for data, _ in group.roles_of_data)
    on = " and ".join("embedded clips" if name == "embedded" else name for name in names)
    lacking = f" with {group.missing_videos} listed videos missing" if group.missing_videos else ""
    mark = "" if is_comparable(table, group) else ": not comparable to the paper's numbers in absolute terms"
    return f"{group.preset} on {on}{lacking}{mark}"


def _notes(table: PaperTable, group: Group, groups: Sequence[Group]) -> tuple[str, ...]:
    notes = [f"recipe {group.settings.get('recipe', 'unknown')}, backbone {backbone(group)}, protocol {group.protocol}"]
    notes += [_data_note(data, roles) for data, roles in group.roles_of_data]
    if departures := _departures(table, group):
        notes.append("differs from the paper in " + ", ".join(departures))
    if differing := _differing_settings([other for other in groups if other.preset == group.preset]):
        values = [f"{name} = {_value(group, name)}" for name in differing]
        notes.append("differs from other groups of this preset in " + ", ".join(values))
    return tuple(notes)


def _departures(table: PaperTable, group: Group) -> list[str]:
    return [
        f"{name} = {_value(group, name)} (paper: {value})"
        for name, value in table.paper_settings.items()
        if group.settings.get(name) != value
    ]


def _data_note(data: DataSet, roles: Sequence[str]) -> str:
    facts = [f"{data.classes} classes", f"videos train {data.train} / validation {data.validation} / test {data.test}"]
    if data.missing:
        facts.append(f"partial copy, listed videos missing: {data.missing}")
    if data.skipped:
        facts.append(f"unreadable videos skipped: {len(data.skipped)}")
    return f"{' and '.join(roles)} on {data.dataset}: {', '.join(facts)}, fingerprint {data.fingerprint}"


def _differing_settings(groups: Sequence[Group]) -> list[str]:
    names = sorted({name for group in groups for name in group.settings})
    return [name for name in names if len({repr(_value(group, name)) for group in groups}) > 1]


def _value(group: Group, name: str) -> Any:
    return group.settings.get(name, "unset")


def _row_grid(table: PaperTable, comparison: Comparison) -> Grid:
    rows = tuple((*compared.row.values, f"{compared.row.published:.1f}", _cell(compared.cell)) for compared in comparison.rows)
    return Grid(f"{table.measure} in percent", (*table.columns, "paper", "ours"), rows, labels=len(table.columns))


def _effect_grid(table: PaperTable, comparison: Comparison) -> Grid:
    rows = tuple((compared.row.label, *_effect(compared.effect)) for compared in comparison.rows if compared.effect is not None)
    caption = f"Effect against the paper's best row, {table.reference.label}, in percentage points"
    return Grid(caption, ("row", "paper", "ours", "test", "verdict"), rows, labels=1)


def _cell(cell: Cell) -> str:
    done = len(cell.by_seed)
    if cell.estimate is None:
        return f"- (0/{cell.asked})"
    if done < cell.asked:
        return f"{_estimate(cell.estimate, signed=False)} ({done}/{cell.asked})"
    return f"{_estimate(cell.estimate, signed=False)} ({'n=1' if done == 1 else done})"


def _effect(effect: Effect) -> tuple[str, str, str, str]:
    published = _number(effect.published, signed=True)
    if effect.ours is None:
        return published, "-", "no paired seeds", effect.verdict
    return published, _estimate(effect.ours, signed=True), _test(effect.test), effect.verdict


def _test(test: PairedTest | None) -> str:
    if test is None:
        return "one seed"
    p = "p < 0.001" if test.p < 0.001 else f"p = {test.p:.3f}"
    return f"sign test, {p}" if test.statistic is None else f"t({test.n - 1}) = {test.statistic:.1f}, {p}"


def _estimate(value: Estimate, *, signed: bool) -> str:
    mean = _number(value.mean, signed=signed)
    if value.interval is None:
        return mean
    low, high = (_number(bound, signed=signed) for bound in value.interval)
    return f"{mean} [{low}, {high}]"


def _number(value: float, *, signed: bool) -> str:
    rounded = round(value, 1) + 0.0
    return f"{rounded:+.1f}" if signed and rounded else f"{rounded:.1f}"

"""A comparison as text: titles, notes and grids of strings, the same for every written format.

Percent and percentage points have one decimal. `-` is a missing number; `(2/3)` says that 2 of 3 seeds are complete.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from reports.comparable_groups import LIKE_FOR_LIKE, Group, UsedSet
from reports.paper_comparison import Cell, ComparedRow, Comparison, Effect, FilledTable
from reports.paper_table import DOWNSTREAM, PRETRAINING, Measure, PaperTable, printed
from reports.seed_statistics import CONFIDENCE, RESAMPLES, SIGNIFICANCE, Estimate, PairedTest

_GRAPH_RECIPES = {"fusion", "ensemble", "student", "distillation"}
_PROTOCOLS = {LIKE_FOR_LIKE: "like-for-like protocol", "published": "each method's published protocol"}


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
    """A whole table. `rules` say how numbers and verdicts come about and stand under every section. `id`: for references."""

    id: str
    title: str
    subtitle: str
    sections: tuple[Section, ...]
    rules: str


def sheet(filled: FilledTable) -> Sheet:
    """The text of a table: one section per comparison."""
    table = filled.table
    groups = [comparison.group for comparison in filled.comparisons if comparison.group is not None]
    sections = []
    for number, comparison in enumerate(filled.comparisons, start=1):
        grids = (_row_grid(table, comparison), *_effect_grids(table, comparison))
        group = comparison.group
        if group is None:
            sections.append(Section("No trials recorded", (), grids))
        else:
            place = f"Group {number} of {len(groups)}, preset" if len(groups) > 1 else "Preset"
            sections.append(Section(f"{place} {heading(table, group)}", _notes(table, group, groups), grids))
    subtitle = f"Paper: {table.paper}"
    if filled.narrow:
        left_out = _counted(filled.narrow, "group")
        subtitle += f". Left out: {left_out} with numbers in few of the rows (--sweep NAME shows those of a sweep)"
    return Sheet(table.id, f"{table.id}: {table.title}", subtitle, tuple(sections), _rules(table))


def _rules(table: PaperTable) -> str:
    effect, reference = table.effect, "the paper's best row"
    if table.pairs:
        reference = "the one it is set against"
    elif effect is not None:
        reference = f"the same row with {_words(effect.column)} = {printed(effect.from_)}"
    averaged = "; 2 of 3 splits: a mean over these alone" if any(measure.splits for measure in table.measures) else ""
    quoted = "; quoted: a number that the paper took from another one" if any(row.quoted for row in table.rows) else ""
    return (
        f"Ours: mean [{CONFIDENCE:.0%} percentile bootstrap interval over seeds, {RESAMPLES} resamples] (seeds); (2/3): 2 "
        f"of 3 seeds complete{averaged}{quoted}. Effect: row minus {reference}, ours paired by seed, in percentage points. "
        f"Verdict: two-sided paired t test over seeds at {SIGNIFICANCE:.0%}, not corrected for several rows (exact sign test "
        "where all differences are equal); agrees: significant with the paper's sign; disagrees: significant against it; "
        "else undecided."
    )


def is_comparable(table: PaperTable, group: Group) -> bool:
    """Whether nothing on record sets the group apart from the circumstances of the published numbers."""
    apart = group.missing_videos or any(used.stands_in for used in group.sets)
    return group.preset == "paper" and not apart and not _from_paper(table, group) and not _from_preset(group, _declared(table))


def backbone(group: Group) -> str:
    """What the group's backbones, or students, have in common."""
    if _is_of_graphs(group):
        return "AlexNet of channels " + "-".join(map(str, group.settings.get("alexnet.channels", ["various"])))
    shown = {"backbone.family": "", "backbone.depth": "depth ", "backbone.width": "width "}
    return (
        " ".join(f"{word}{group.settings[name]}" for name, word in shown.items() if name in group.settings)
        or "of several kinds"
    )


def _is_of_graphs(group: Group) -> bool:
    return {record.settings.get("recipe") for record in group.records} <= _GRAPH_RECIPES


def heading(table: PaperTable, group: Group) -> str:
    """What a group is, in a line: preset, protocol, data, and whether the paper's numbers may be set against it."""
    mark = "" if is_comparable(table, group) else ": not comparable to the paper's numbers in absolute terms"
    return circumstances(group) + mark


def circumstances(group: Group) -> str:
    """Preset, protocol and data of a group, in a line."""
    lacking = f" with {_counted(group.missing_videos, 'listed video')} missing" if group.missing_videos else ""
    return f"{group.preset}, {_PROTOCOLS[group.protocol]}, on {_data(group)}{lacking}"


def _data(group: Group) -> str:
    replaced: dict[str, list[str]] = {}
    names = []
    for used, _ in group.roles_of_sets:
        if used.stands_in:
            replaced.setdefault(shown(used.data.dataset), []).append(used.name)
        else:
            names.append(shown(used.name))
    names += [f"{dataset} in place of {_listed(sorted(set(others)))}" for dataset, others in sorted(replaced.items())]
    return _listed(list(dict.fromkeys(names)))


def shown(dataset: str) -> str:
    """A data set's name for people."""
    return "embedded clips" if dataset == "embedded" else dataset


def _notes(table: PaperTable, group: Group, groups: Sequence[Group]) -> tuple[str, ...]:
    notes = description(group)
    if differences := _from_paper(table, group):
        notes.append("differs from the paper in " + ", ".join(differences))
    notes += differences_of_settings(group, groups, _declared(table))
    return tuple(notes)


def description(group: Group) -> list[str]:
    """Notes on how a group's numbers were made, and on each of its data sets."""
    made = [f"recipe {group.settings['recipe']}"] if "recipe" in group.settings else []
    made += [
        f"{'student' if _is_of_graphs(group) else 'backbone'} {backbone(group)}",
        f"evaluated by protocol version {group.version}",
    ]
    several = len({used.split for used in group.sets}) > 1
    return [", ".join(made), *(_data_note(used, roles, several) for used, roles in group.roles_of_sets)]


def differences_of_settings(group: Group, groups: Sequence[Group], declared: Collection[str]) -> list[str]:
    """Notes on the settings that set a group apart from its preset, but for `declared` ones, and from others of its kind."""
    notes = []
    if departures := _from_preset(group, declared):
        notes.append(f"differs from preset {group.preset} in " + ", ".join(departures))
    if differing := _differing_settings([other for other in groups if _kind(other) == _kind(group)]):
        values = [f"{name} = {_value(group, name)}" for name in differing]
        notes.append("differs from other groups of this preset and protocol in " + ", ".join(values))
    return notes


def _from_paper(table: PaperTable, group: Group) -> list[str]:
    return [
        f"{name} = {_value(group, name)} (paper: {value})"
        for name, value in table.paper_settings.items()
        if group.settings.get(name) != value
    ]


def _declared(table: PaperTable) -> set[str]:
    """What a table is about: settings that nobody had to choose for it."""
    return {*table.fixed, *table.paper_settings}


def _from_preset(group: Group, declared: Collection[str]) -> list[str]:
    """Settings that somebody chose beyond what is `declared`, and beyond what headings say."""
    said = {*declared, PRETRAINING, DOWNSTREAM, "protocol"}
    return [f"{name} = {value}" for name, value in group.departures.items() if name not in said]


def _data_note(used: UsedSet, roles: Sequence[str], several_splits: bool) -> str:
    data = used.data
    facts = [f"{data.classes} classes", f"videos train {data.train} / validation {data.validation} / test {data.test}"]
    if data.missing:
        facts.append(f"partial copy, listed videos missing: {data.missing}")
    if data.skipped:
        facts.append(f"unreadable videos skipped: {len(data.skipped)}")
    source = f"{used.name} (in its place: {shown(data.dataset)})" if used.stands_in else used.name
    source += f", split {used.split}" if several_splits and not used.stands_in else ""
    source += f", {used.share:.0%} of its training videos" if used.share < 1 else ""
    return f"{' and '.join(roles)} on {source}: {', '.join(facts)}, fingerprint {data.fingerprint}"


def _differing_settings(groups: Sequence[Group]) -> list[str]:
    names = sorted({name for group in groups for name in group.settings})
    return [name for name in names if len({repr(_value(group, name)) for group in groups}) > 1]


def _kind(group: Group) -> tuple[str, str]:
    return group.preset, group.protocol


def _value(group: Group, name: str) -> Any:
    several = any(name in record.settings for record in group.records)
    return group.settings.get(name, "of several values" if several else "unset")


def _row_grid(table: PaperTable, comparison: Comparison) -> Grid:
    sole, alike = len(table.measures) == 1, len({measure.metric for measure in table.measures}) == 1
    caption = f"{table.measures[0].heading} in percent" if sole else "Top-1 in percent" if alike else "In percent"
    names = ["" if sole else f"{measure.column.upper() if alike else measure.heading} " for measure in table.measures]
    columns = [f"{name}{whose}" for name in names for whose in ("paper", "ours")]
    rows = tuple((*compared.row.values, *_numbers(compared)) for compared in comparison.rows)
    return Grid(caption, (*table.headings, *columns), rows, labels=len(table.columns))


def _numbers(compared: ComparedRow) -> list[str]:
    return [
        text
        for cell in compared.cells
        for text in (_number(cell.published, signed=False), "quoted" if compared.row.quoted else _cell(cell))
    ]


def _effect_grids(table: PaperTable, comparison: Comparison) -> list[Grid]:
    grids = []
    for place, measure in enumerate(table.measures):
        rows = tuple(
            (table.effect_label(compared.row, effect.reference), *_effect(effect))
            for compared in comparison.rows
            for effect in compared.cells[place].effects
        )
        caption = f"Effect {_of_what(table, measure)}, in percentage points"
        grids.append(Grid(caption, ("row", "paper", "ours", "test", "verdict"), rows, labels=1))
    return grids


def _of_what(table: PaperTable, measure: Measure) -> str:
    effect = table.effect
    if table.pairs:
        return f"of one row against another on {measure.heading}"
    if effect is None:
        return f"against the paper's best row, {table.best_row(measure).label}"
    return f"of {_words(effect.column)} ({printed(effect.to)} against {printed(effect.from_)}) on {measure.heading}"


def _words(column: str) -> str:
    return column.replace("_", " ")


def _cell(cell: Cell) -> str:
    done = len(cell.by_seed)
    if cell.estimate is None:
        return f"- (0/{cell.asked})"
    seeds = f"{done}/{cell.asked}" if done < cell.asked else "n=1" if done == 1 else str(done)
    lacking = ""
    if cell.splits is not None and cell.splits[0] < cell.splits[1]:
        lacking = f"; {cell.splits[0]} of {cell.splits[1]} splits"
    return f"{estimate_text(cell.estimate, signed=False)} ({seeds}{lacking})"


def _effect(effect: Effect) -> tuple[str, str, str, str]:
    published, judged = _number(effect.published, signed=True), effect.verdict or "-"
    if effect.ours is None:
        return published, "-", "no paired seeds", judged
    return published, estimate_text(effect.ours, signed=True), _test(effect.test), judged


def _test(test: PairedTest | None) -> str:
    if test is None:
        return "one seed"
    p = "p < 0.001" if test.p < 0.001 else f"p = {test.p:.3f}"
    return f"sign test, {p}" if test.statistic is None else f"t({test.n - 1}) = {test.statistic:.1f}, {p}"


def estimate_text(value: Estimate, *, signed: bool) -> str:
    """Mean and interval, with one decimal."""
    mean = _number(value.mean, signed=signed)
    if value.interval is None:
        return mean
    low, high = (_number(bound, signed=signed) for bound in value.interval)
    return f"{mean} [{low}, {high}]"


def _number(value: float | None, *, signed: bool) -> str:
    if value is None:
        return "-"
    rounded = round(value, 1) + 0.0
    return f"{rounded:+.1f}" if signed and rounded else f"{rounded:.1f}"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)

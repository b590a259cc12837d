"""What a comparison says, as a sheet: the paper's rows beside ours, and the paper's effects beside ours.

`(2/3)` says that 2 of 3 seeds are complete.
"""

from __future__ import annotations

from collections.abc import Sequence

from reports.circumstances import (
    departures_from_paper,
    description,
    differences_of_settings,
    heading,
    numbered,
    said_by,
)
from reports.comparison import Cell, ComparedRow, Comparison, Effect, FilledTable
from reports.groups import Group
from reports.lines import TABLE_COLUMNS, comparison_lines
from reports.power import MOST_SEEDS, POWER, Sensitivity
from reports.seeds import SIGNIFICANCE
from reports.sheet import (
    INTERVALS,
    OUTPERFORMING,
    OVER,
    Grid,
    Section,
    Sheet,
    counted,
    estimate_text,
    marks_of,
    number_text,
    outperforming_text,
    over_text,
    p_text,
)
from reports.verdicts import Judgement
from search_spaces.papers import Measure, PaperTable, printed


def comparison_sheet(filled: FilledTable) -> Sheet:
    """The sheet of a table: one section per comparison."""
    table = filled.table
    groups = [comparison.group for comparison in filled.comparisons if comparison.group is not None]
    sections = []
    for number, comparison in enumerate(filled.comparisons, start=1):
        grids = (_row_grid(table, comparison), *_effect_grids(table, comparison))
        group = comparison.group
        if group is None:
            sections.append(Section("No trials recorded", (), grids))
        else:
            title = f"{numbered(number, len(groups))} {heading(table, group)}"
            sections.append(Section(title, _notes(table, group, groups), grids))
    subtitle = f"Paper: {table.paper}"
    if filled.narrow:
        left_out = counted(filled.narrow, "group")
        subtitle += f". Left out: {left_out} with numbers in few of the rows (--sweep NAME shows those of a sweep)"
    return Sheet(
        id=table.id,
        title=f"{table.id}: {table.title}",
        subtitle=subtitle,
        sections=tuple(sections),
        rules=_rules(table),
        columns=TABLE_COLUMNS,
        lines=tuple(comparison_lines(filled)),
    )


def _rules(table: PaperTable) -> str:
    effect, reference = table.effect, "the paper's best row"
    if table.pairs:
        reference = "the one it is set against"
    elif effect is not None:
        reference = f"the same row with {_words(effect.column)} = {printed(effect.from_)}"
    averaged = "; 2 of 3 splits: a mean over these alone" if any(measure.splits for measure in table.measures) else ""
    quoted = "; quoted: a number that the paper took from another one" if any(row.quoted for row in table.rows) else ""
    readings = ""
    if any(row.reading for row in table.rows):
        readings = (
            ". The lines after the paper's rows are other readings of its words for them, with the same published numbers; "
            "they have no effects, so each claim of the paper is judged once"
        )
    return (
        f"Ours: mean {INTERVALS} (seeds); (2/3): 2 of 3 seeds complete{averaged}{quoted}{readings}. "
        f"Effect: row minus {reference}, ours paired by seed, in percentage points. "
        f"{OUTPERFORMING.format('the row')} Test: two-sided paired t test over seeds (exact sign test where all differences "
        "are equal); p is corrected by Holm for all effects of the group, of which any verdict is wrong in at most "
        f"{SIGNIFICANCE:.0%} of tables. Verdict: disagrees: shown to have the other sign than the paper's effect; else "
        "smaller: shown to be nearer to zero than the paper's effect (two one-sided t tests); else agrees: shown to have the "
        "paper's sign; else undecided: may be chance. Cannot be seen: a true difference that the test of it alone misses in "
        f"more than {1 - POWER:.0%} of cases. Seeds needed: about how many find the paper's effect in {POWER:.0%} "
        f"(> {MOST_SEEDS}: none do, without more test videos). "
        f"{OVER}"
    )


def _notes(table: PaperTable, group: Group, groups: Sequence[Group]) -> tuple[str, ...]:
    notes = description(group)
    if departures := departures_from_paper(table, group):
        notes.append("differs from the paper in " + ", ".join(departures))
    return (*notes, *differences_of_settings(group, groups, said_by(table)))


def _row_grid(table: PaperTable, comparison: Comparison) -> Grid:
    sole, alike = len(table.measures) == 1, len({measure.metric for measure in table.measures}) == 1
    caption = f"{table.measures[0].heading} in percent" if sole else "Top-1 in percent" if alike else "In percent"
    names = ["" if sole else f"{measure.column.upper() if alike else measure.heading} " for measure in table.measures]
    columns = [f"{name}{whose}" for name in names for whose in ("paper", "ours")]
    rows = tuple((*compared.row.values, *_numbers(compared)) for compared in comparison.rows)
    first = len(table.columns)
    numbers = {
        first + 2 * column + whose: [_number(row.cells[column], whose) for row in comparison.rows]
        for column in range(len(table.measures))
        for whose in (0, 1)
    }
    return Grid(caption, (*table.headings, *columns), rows, labels=first, marks=marks_of(numbers))


def _number(cell: Cell, whose: int) -> float | None:
    """What is compared between rows: the paper's number, or the mean of ours."""
    return cell.published if whose == 0 else cell.estimate.mean if cell.estimate else None


def _numbers(compared: ComparedRow) -> list[str]:
    return [
        text
        for cell in compared.cells
        for text in (number_text(cell.published, signed=False), "quoted" if compared.row.quoted else _cell(cell))
    ]


def _cell(cell: Cell) -> str:
    done = len(cell.by_seed)
    if cell.estimate is None:
        return f"- (0/{cell.asked})"
    seeds = f"{done}/{cell.asked}" if done < cell.asked else "n=1" if done == 1 else str(done)
    lacking = ""
    if cell.splits is not None and cell.splits[0] < cell.splits[1]:
        lacking = f"; {cell.splits[0]} of {cell.splits[1]} splits"
    return f"{estimate_text(cell.estimate, signed=False)} ({seeds}{lacking})"


def _effect_grids(table: PaperTable, comparison: Comparison) -> list[Grid]:
    grids = []
    for column, measure in enumerate(table.measures):
        seen = comparison.sensitivities[column]
        rows = tuple(
            (table.effect_label(compared.row, effect.reference), *_effect(effect, seen))
            for compared in comparison.rows
            for effect in compared.cells[column].effects
        )
        caption = f"Effect {_of_what(table, measure)}, in percentage points"
        columns = ("row", "paper", "ours", "P(higher)", "test (Holm)", "verdict", "seeds needed")
        grids.append(Grid(caption, columns, rows, labels=1, note=_what_is_seen(comparison, column)))
    return grids


def _what_is_seen(comparison: Comparison, column: int) -> str:
    seen = comparison.sensitivities[column]
    effects = [effect for row in comparison.rows for effect in row.cells[column].effects]
    if seen is None:
        most = max((len(effect.differences) for effect in effects), default=0)
        return "With one seed no difference can be told from chance." if most == 1 else ""
    videos = f"{counted(seen.videos, 'test video')} and " if seen.videos else ""
    points = number_text(seen.detectable, signed=False)
    tested = [effect.videos for effect in effects if len(effect.differences) > 1]
    over = over_text(tested, "effect")
    return f"With {videos}{counted(seen.seeds, 'seed')} differences under {points} points cannot be seen. {over}"


def _of_what(table: PaperTable, measure: Measure) -> str:
    effect = table.effect
    if table.pairs:
        return f"of one row against another on {measure.heading}"
    if effect is None:
        return f"against the paper's best row, {table.best_row(measure).label}"
    return f"of {_words(effect.column)} ({printed(effect.to)} against {printed(effect.from_)}) on {measure.heading}"


def _words(column: str) -> str:
    return column.replace("_", " ")


def _effect(effect: Effect, seen: Sensitivity | None) -> tuple[str, ...]:
    published, verdict = number_text(effect.published, signed=True), effect.judgement.verdict or "-"
    if effect.ours is None or effect.higher is None:
        return published, "-", "-", "no paired seeds", verdict, "-"
    ours, higher = estimate_text(effect.ours, signed=True), outperforming_text(effect.higher)
    return published, ours, higher, _test(effect.judgement), verdict, _seeds_needed(effect, seen)


def _test(judged: Judgement) -> str:
    if judged.test is None or judged.p is None:
        return "one seed"
    p = p_text(judged.p)
    text = f"sign test, {p}" if judged.test.statistic is None else f"t({judged.test.n - 1}) = {judged.test.statistic:.1f}, {p}"
    return f"{text}; smaller: {p_text(judged.p_smaller)}" if judged.verdict == "smaller" and judged.p_smaller else text


def _seeds_needed(effect: Effect, seen: Sensitivity | None) -> str:
    if not effect.published or seen is None:
        return "-"
    needed = seen.seeds_needed(effect.published)
    return f"> {MOST_SEEDS}" if needed is None else str(needed)

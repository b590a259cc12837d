"""Writes tables as Markdown, LaTeX (booktabs), CSV or HTML, or shows them on a terminal.

Every writer takes tables with their comparisons and returns the text of a file; the same trials give the same bytes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

from rich.console import Console

from reports.comparable_groups import Group
from reports.paper_comparison import Cell, Comparison, FilledTable
from reports.paper_table import PaperTable, Row
from reports.seed_statistics import Estimate
from reports.sheet_formats import html_of, latex_of, markdown_of, show_sheets
from reports.table_sheet import backbone, is_comparable, sheet


def show(filled: Sequence[FilledTable], console: Console) -> None:
    """Print tables on a terminal."""
    show_sheets(map(sheet, filled), console)


def markdown(filled: Sequence[FilledTable]) -> str:
    return markdown_of(map(sheet, filled))


def latex(filled: Sequence[FilledTable]) -> str:
    """Floats for a document that loads booktabs: one per group of each table."""
    return latex_of(map(sheet, filled))


def html(filled: Sequence[FilledTable]) -> str:
    """One self-contained page."""
    return html_of([sheet(table) for table in filled])


CSV_COLUMNS = (
    "table", "group", "comparable", "preset", "protocol", "protocol_version", "data", "missing_videos", "recipe", "backbone",
    "row", "measure", "published", "mean", "low", "high", "seeds", "seeds_asked",
    "effect_published", "effect_mean", "effect_low", "effect_high", "effect_seeds", "test", "statistic", "p", "verdict",
)  # fmt: skip


def comma_separated(filled: Sequence[FilledTable]) -> str:
    """One line per cell of every group; percent and percentage points, an empty field where there is no number.

    `comparable` is `no` where the paper's circumstances were other ones; `data` lists name=data set:fingerprint. `verdict` is
    `reference` for rows that effects are measured against, and `quoted` for rows that the paper took from another one.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for one in filled:
        for number, comparison in enumerate(one.comparisons, start=1):
            group = _csv_group(one.table, number, comparison)
            for compared in comparison.rows:
                for measure, cell in zip(one.table.measures, compared.cells, strict=True):
                    fields = [compared.row.label, measure.column, *_csv_cell(one.table, compared.row, cell)]
                    writer.writerow([one.table.id, *group, *fields])
    return text.getvalue()


def _csv_group(table: PaperTable, number: int, comparison: Comparison) -> list[object]:
    group = comparison.group
    if group is None:
        return [""] * 9
    comparable = "yes" if is_comparable(table, group) else "no"
    made = [group.settings.get("recipe", ""), backbone(group)]
    return [number, comparable, group.preset, group.protocol, group.version, csv_data(group), group.missing_videos, *made]


def _csv_cell(table: PaperTable, row: Row, cell: Cell) -> list[object]:
    effect = cell.effect
    if row.quoted:
        return [csv_number(cell.published), *[""] * 13, "quoted"]
    fields: list[object] = [csv_number(cell.published), *csv_estimate(cell.estimate), cell.asked]
    if effect is None:
        return [*fields, *[""] * 8, "reference" if table.is_reference(row) else ""]
    fields += [csv_number(effect.published), *csv_estimate(effect.ours)]
    test = effect.test
    fields += ["", "", ""] if test is None else [test.kind, csv_number(test.statistic), f"{test.p:.6f}"]
    return [*fields, effect.verdict or ""]


def csv_data(group: Group) -> str:
    """The data sets of a group, name=data set:fingerprint."""
    return " ".join(f"{used.name}={used.data.dataset}:{used.data.fingerprint}" for used, _ in group.roles_of_sets)


def csv_estimate(value: Estimate | None) -> list[object]:
    """Fields mean, low, high and seeds."""
    if value is None:
        return ["", "", "", 0]
    return [csv_number(number) for number in (value.mean, *(value.interval or (None, None)))] + [value.n]


def csv_number(value: float | None) -> str:
    return "" if value is None else f"{round(value, 4) + 0.0:.4f}"


FORMATS: dict[str, Callable[[Sequence[FilledTable]], str]] = {
    "md": markdown,
    "tex": latex,
    "csv": comma_separated,
    "html": html,
}

"""Writes tables as Markdown, LaTeX (booktabs), CSV or HTML, or shows them on a terminal.

Every writer takes tables with their comparisons and returns the text of a file; the same trials give the same bytes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console

from reports.comparable_groups import Group
from reports.compression import QUANTITIES, FilledCosts, cost_sheet
from reports.paper_comparison import Cell, Effect, FilledTable
from reports.paper_table import PaperTable, Row
from reports.seed_statistics import Estimate
from reports.sheet_formats import html_of, latex_of, markdown_of, show_sheets
from reports.table_sheet import Sheet, backbone, is_comparable, sheet

Filled = FilledTable | FilledCosts


def show(filled: Sequence[Filled], console: Console) -> None:
    """Print tables on a terminal."""
    show_sheets(map(_sheet, filled), console)


def markdown(filled: Sequence[Filled]) -> str:
    return markdown_of(map(_sheet, filled))


def latex(filled: Sequence[Filled]) -> str:
    """Floats for a document that loads booktabs: one per group of each table."""
    return latex_of(map(_sheet, filled))


def html(filled: Sequence[Filled]) -> str:
    """One self-contained page."""
    return html_of([_sheet(table) for table in filled])


def _sheet(filled: Filled) -> Sheet:
    return cost_sheet(filled) if isinstance(filled, FilledCosts) else sheet(filled)


CSV_COLUMNS = (
    "table", "group", "comparable", "preset", "protocol", "protocol_version", "data", "missing_videos", "recipe", "backbone",
    "row", "measure", "published", "mean", "low", "high", "seeds", "seeds_asked", "splits", "splits_asked",
    "against", "effect_published", "effect_mean", "effect_low", "effect_high", "effect_seeds",
    "test", "statistic", "p", "verdict",
)  # fmt: skip


def comma_separated(filled: Sequence[Filled]) -> str:
    """One line per cell of every group; percent and percentage points, an empty field where there is no number.

    A cell with several effects has a line for each; `against` is the row that an effect is measured against. `comparable` is
    `no` where the paper's circumstances were other ones; `data` lists name=data set:fingerprint. `verdict` is `reference` for
    rows without an effect that others are measured against, and `quoted` for rows that the paper took from another one.
    Costs of networks have the unit that `measure` names, and in `low` and `high` their range.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for one in filled:
        lines = _csv_costs(one) if isinstance(one, FilledCosts) else _csv_table(one)
        writer.writerows([one.table.id, *line] for line in lines)
    return text.getvalue()


def _csv_table(filled: FilledTable) -> Iterator[list[object]]:
    table = filled.table
    for number, comparison in enumerate(filled.comparisons, start=1):
        group = _csv_group(table, number, comparison.group)
        for compared in comparison.rows:
            for measure, cell in zip(table.measures, compared.cells, strict=True):
                for effect in cell.effects or (None,):
                    yield [*group, compared.row.label, measure.column, *_csv_cell(table, compared.row, cell, effect)]


def _csv_costs(filled: FilledCosts) -> Iterator[list[object]]:
    for number, costs in enumerate(filled.costs, start=1):
        group = _csv_group(filled.table, number, costs.group)
        for network, heading in filled.table.networks.items():
            for quantity in QUANTITIES:
                spread = costs.spreads.get((network, quantity.name))
                numbers = (
                    ["", "", "", 0] if spread is None else [*map(csv_number, (spread.mean, spread.low, spread.high)), spread.n]
                )
                yield [*group, heading, quantity.heading, "", *numbers, costs.asked, *[""] * 12]


def _csv_group(table: PaperTable, number: int, group: Group | None) -> list[object]:
    if group is None:
        return [""] * 9
    comparable = "" if table.networks else "yes" if is_comparable(table, group) else "no"
    made = [group.settings.get("recipe", ""), backbone(group)]
    return [number, comparable, group.preset, group.protocol, group.version, csv_data(group), group.missing_videos, *made]


def _csv_cell(table: PaperTable, row: Row, cell: Cell, effect: Effect | None) -> list[object]:
    if row.quoted:
        return [csv_number(cell.published), *[""] * 16, "quoted"]
    fields: list[object] = [csv_number(cell.published), *csv_estimate(cell.estimate), cell.asked, *(cell.splits or ("", ""))]
    if effect is None:
        return [*fields, *[""] * 9, "reference" if table.is_reference(row) else ""]
    fields += [effect.reference.label, csv_number(effect.published), *csv_estimate(effect.ours)]
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


FORMATS: dict[str, Callable[[Sequence[Filled]], str]] = {
    "md": markdown,
    "tex": latex,
    "csv": comma_separated,
    "html": html,
}

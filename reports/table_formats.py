"""Writes tables as Markdown, LaTeX (booktabs), CSV or HTML, or shows them on a terminal.

Every writer takes tables with their comparisons and returns the text of a file; the same trials give the same bytes.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from html import escape

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.paper_comparison import Cell, Comparison, FilledTable
from reports.paper_table import PaperTable, Row
from reports.seed_statistics import Estimate
from reports.table_sheet import Grid, Section, Sheet, backbone, is_comparable, sheet


def show(filled: Sequence[FilledTable], console: Console) -> None:
    """Print tables on a terminal."""
    for page in map(sheet, filled):
        console.print(Text(page.title, style="bold"))
        console.print(Text(page.subtitle, style="dim"))
        for section in page.sections:
            console.print()
            console.print(Text(section.heading, style="bold"))
            for note in section.notes:
                console.print(Text(note))
            for grid in section.grids:
                console.print()
                console.print(_rich_grid(grid))
        console.print()
        console.print(Text(page.rules, style="dim"))


_VERDICT_STYLES = {"agrees": "green", "disagrees": "red"}


def _rich_grid(grid: Grid) -> Table:
    table = Table(title=Text(grid.caption), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in grid.columns:
        table.add_column(Text(column.replace(" ", "\n")), vertical="top", overflow="fold")
    for row in grid.rows:
        table.add_row(*(Text(cell, style=_VERDICT_STYLES.get(cell, "")) for cell in row))
    return table


def markdown(filled: Sequence[FilledTable]) -> str:
    blocks: list[str] = []
    for page in map(sheet, filled):
        blocks += [f"# {_md(page.title)}", _md(page.subtitle)]
        for section in page.sections:
            blocks.append(f"## {_md(section.heading)}")
            if section.notes:
                blocks.append("\n".join(f"- {_md(note)}" for note in section.notes))
            for grid in section.grids:
                blocks += [f"**{_md(grid.caption)}**", _md_grid(grid)]
            blocks.append(f"*{_md(page.rules)}*")
    return "\n\n".join(blocks) + "\n"


def _md_grid(grid: Grid) -> str:
    lines = [[_md(cell) for cell in line] for line in (grid.columns, *grid.rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(grid.columns))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _md(text: str) -> str:
    return re.sub(r"([\\|<>*`])", r"\\\1", " ".join(text.split()))


def latex(filled: Sequence[FilledTable]) -> str:
    """Floats for a document that loads booktabs: one per group of each table."""
    floats = [
        _latex_float(table.table, page, section)
        for table, page in ((table, sheet(table)) for table in filled)
        for section in page.sections
    ]
    return "% Needs \\usepackage{booktabs}.\n" + "\n".join(floats)


def _latex_float(table: PaperTable, page: Sheet, section: Section) -> str:
    caption = ". ".join([page.title, page.subtitle, section.heading, *section.notes])
    number = page.sections.index(section) + 1
    lines = ["\\begin{table}", "  \\centering\\small", f"  \\caption{{{_tex(caption)}.}}"]
    lines.append(f"  \\label{{tab:{re.sub(r'[^A-Za-z0-9]+', '-', table.id)}-{number}}}")
    for grid in section.grids:
        alignment = "l" * len(grid.columns)
        lines += ["", f"  {_tex(grid.caption)}\\\\[2pt]", f"  \\begin{{tabular}}{{{alignment}}}", "    \\toprule"]
        lines += [
            _tex_line(map(_tex_heading, grid.columns)),
            "    \\midrule",
            *(_tex_line(map(_tex, row)) for row in grid.rows),
        ]
        lines += ["    \\bottomrule", "  \\end{tabular}", "  \\par\\medskip"]
    lines += ["", "  \\begin{minipage}{\\linewidth}\\footnotesize", f"    {_tex(page.rules)}", "  \\end{minipage}"]
    return "\n".join([*lines, "\\end{table}", ""])


def _tex_line(cells: Iterable[str]) -> str:
    return f"    {' & '.join(cells)} \\\\"


def _tex_heading(text: str) -> str:
    words = [_tex(word) for word in text.split()]
    return words[0] if len(words) == 1 else "\\shortstack[l]{" + "\\\\".join(words) + "}"


_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",
    "]": "{]}",
    **{character: f"\\{character}" for character in "{}$&#_%"},
}


def _tex(text: str) -> str:
    escaped = "".join(_TEX.get(character, character) for character in " ".join(text.split()))
    return re.sub(r"(?<![\w.])([+-])(?=\d)", r"$\1$", escaped)


def html(filled: Sequence[FilledTable]) -> str:
    """One self-contained page."""
    pages = [sheet(table) for table in filled]
    body = "\n".join(_html_page(page) for page in pages)
    title = escape(pages[0].title) if len(pages) == 1 else "Tables"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>\n{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


_STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
:root { color-scheme: light dark; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; font-weight: normal; }
thead th { border-block: 1px solid; font-weight: 600; }
tbody tr:last-child > * { border-bottom: 1px solid; }
.rules { font-size: .85rem; opacity: .8; }
"""


def _html_page(page: Sheet) -> str:
    lines = [f"<h1>{escape(page.title)}</h1>", f"<p>{escape(page.subtitle)}</p>"]
    for section in page.sections:
        lines.append(f"<h2>{escape(section.heading)}</h2>")
        if section.notes:
            lines += ["<ul>", *(f"<li>{escape(note)}</li>" for note in section.notes), "</ul>"]
        for grid in section.grids:
            lines += _html_grid(grid)
        lines.append(f'<p class="rules">{escape(page.rules)}</p>')
    return "\n".join(lines)


def _html_grid(grid: Grid) -> list[str]:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in grid.columns)
    lines = ["<table>", f"<caption>{escape(grid.caption)}</caption>", f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    for row in grid.rows:
        labels = "".join(f'<th scope="row">{escape(cell)}</th>' for cell in row[: grid.labels])
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row[grid.labels :])
        lines.append(f"<tr>{labels}{cells}</tr>")
    return [*lines, "</tbody>", "</table>"]


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
    data = " ".join(f"{used.name}={used.data.dataset}:{used.data.fingerprint}" for used, _ in group.roles_of_sets)
    comparable = "yes" if is_comparable(table, group) else "no"
    made = [group.settings.get("recipe", ""), backbone(group)]
    return [number, comparable, group.preset, group.protocol, group.version, data, group.missing_videos, *made]


def _csv_cell(table: PaperTable, row: Row, cell: Cell) -> list[object]:
    effect = cell.effect
    if row.quoted:
        return [_csv_number(cell.published), *[""] * 13, "quoted"]
    fields: list[object] = [_csv_number(cell.published), *_csv_estimate(cell.estimate), cell.asked]
    if effect is None:
        return [*fields, *[""] * 8, "reference" if table.is_reference(row) else ""]
    fields += [_csv_number(effect.published), *_csv_estimate(effect.ours)]
    test = effect.test
    fields += ["", "", ""] if test is None else [test.kind, _csv_number(test.statistic), f"{test.p:.6f}"]
    return [*fields, effect.verdict or ""]


def _csv_estimate(value: Estimate | None) -> list[object]:
    if value is None:
        return ["", "", "", 0]
    return [_csv_number(number) for number in (value.mean, *(value.interval or (None, None)))] + [value.n]


def _csv_number(value: float | None) -> str:
    return "" if value is None else f"{round(value, 4) + 0.0:.4f}"


FORMATS: dict[str, Callable[[Sequence[FilledTable]], str]] = {
    "md": markdown,
    "tex": latex,
    "csv": comma_separated,
    "html": html,
}

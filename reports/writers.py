"""Writes sheets as Markdown, LaTeX (latex.py), HTML, CSV or JSON, or shows them on a terminal. Same sheets, same bytes."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from html import escape

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.latex import latex
from reports.sheet import Grid, Sheet


def show(sheets: Sequence[Sheet], console: Console) -> None:
    """Print sheets on a terminal."""
    for sheet in sheets:
        console.print(Text(sheet.title, style="bold"))
        console.print(Text(sheet.subtitle, style="dim"))
        for section in sheet.sections:
            console.print()
            console.print(Text(section.heading, style="bold"))
            for note in section.notes:
                console.print(Text(note))
            for grid in section.grids:
                console.print()
                console.print(_fitting(grid, console))
                if grid.note:
                    console.print(Text(grid.note))
        console.print()
        console.print(Text(sheet.rules, style="dim"))


_VERDICT_STYLES = {"agrees": "green", "smaller": "yellow", "disagrees": "red"}


def _fitting(grid: Grid, console: Console) -> Table:
    """The grid with intervals beside their means, or below them where that would be wider than the terminal."""
    table = _rich_grid(grid, " [")
    unlimited = console.options.update(width=100_000)
    return table if console.measure(table, options=unlimited).maximum <= console.width else _rich_grid(grid, "\n[")


def _rich_grid(grid: Grid, before_interval: str) -> Table:
    table = Table(title=Text(grid.caption), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in grid.columns:
        table.add_column(Text(re.sub(r" |(?<=[_/])", "\n", column)), vertical="top", overflow="fold")
    for row in grid.rows:
        cells = (cell.replace(" [", before_interval) for cell in row)
        table.add_row(*(Text(cell, style=_VERDICT_STYLES.get(cell, "")) for cell in cells))
    return table


def markdown(sheets: Sequence[Sheet]) -> str:
    blocks: list[str] = []
    for sheet in sheets:
        blocks += [f"# {_md(sheet.title)}", _md(sheet.subtitle)]
        for section in sheet.sections:
            blocks.append(f"## {_md(section.heading)}")
            if section.notes:
                blocks.append("\n".join(f"- {_md(note)}" for note in section.notes))
            for grid in section.grids:
                blocks += [f"**{_md(grid.caption)}**", _md_grid(grid), *([_md(grid.note)] if grid.note else [])]
            blocks.append(f"*{_md(sheet.rules)}*")
    return "\n\n".join(blocks) + "\n"


def _md_grid(grid: Grid) -> str:
    lines = [[_md(cell) for cell in line] for line in (grid.columns, *grid.rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(grid.columns))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _md(text: str) -> str:
    return re.sub(r"([\\|<>*`])", r"\\\1", " ".join(text.split()))


def html(sheets: Sequence[Sheet]) -> str:
    """One self-contained page."""
    body = "\n".join(_html_sheet(sheet) for sheet in sheets)
    title = escape(sheets[0].title) if len(sheets) == 1 else "Tables"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>\n{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


_STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
:root { color-scheme: light dark; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th, td { text-align: left; vertical-align: top; padding: .2rem .9rem .2rem 0; font-weight: normal; }
thead th { border-block: 1px solid; font-weight: 600; }
tbody tr:last-child > * { border-bottom: 1px solid; }
.rules { font-size: .85rem; opacity: .8; }
.agrees { color: light-dark(#1a7f37, #4ac26b); }
.smaller { color: light-dark(#8a6100, #d4a72c); }
.disagrees { color: light-dark(#cf222e, #ff7b72); }
"""


def _html_sheet(sheet: Sheet) -> str:
    lines = [f"<h1>{escape(sheet.title)}</h1>", f"<p>{escape(sheet.subtitle)}</p>"]
    for section in sheet.sections:
        lines.append(f"<h2>{escape(section.heading)}</h2>")
        if section.notes:
            lines += ["<ul>", *(f"<li>{escape(note)}</li>" for note in section.notes), "</ul>"]
        for grid in section.grids:
            lines += _html_grid(grid)
        lines.append(f'<p class="rules">{escape(sheet.rules)}</p>')
    return "\n".join(lines)


def _html_grid(grid: Grid) -> list[str]:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in grid.columns)
    lines = ["<table>", f"<caption>{escape(grid.caption)}</caption>", f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    for row in grid.rows:
        labels = "".join(f'<th scope="row">{escape(cell)}</th>' for cell in row[: grid.labels])
        cells = "".join(map(_html_cell, row[grid.labels :]))
        lines.append(f"<tr>{labels}{cells}</tr>")
    return [*lines, "</tbody>", "</table>", *([f"<p>{escape(grid.note)}</p>"] if grid.note else [])]


def _html_cell(text: str) -> str:
    return f'<td class="{text}">{text}</td>' if text in _VERDICT_STYLES else f"<td>{escape(text)}</td>"


def comma_separated(sheets: Sequence[Sheet]) -> str:
    """The lines of all sheets, which have the same columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, sheets[0].columns, lineterminator="\n")
    writer.writeheader()
    for sheet in sheets:
        writer.writerows({name: _no_formula(value) for name, value in line.items()} for line in sheet.lines)
    return text.getvalue()


def _no_formula(value: object) -> object:
    """Text that a spreadsheet would take for a formula, with an apostrophe before it; numbers as they are."""
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def as_json(sheets: Sequence[Sheet]) -> str:
    """The lines of all sheets, each with the fields that it fills, below the sheet's id, title and subtitle."""
    content = [
        {"id": sheet.id, "title": sheet.title, "subtitle": sheet.subtitle, "rules": sheet.rules, "lines": list(sheet.lines)}
        for sheet in sheets
    ]
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


Writer = Callable[[Sequence[Sheet]], str]
FORMATS: dict[str, Writer] = {
    "md": markdown,
    "tex": latex,
    "csv": comma_separated,
    "html": html,
    "json": as_json,
}
"""Suffix of a file -> its writer."""

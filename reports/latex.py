"""Writes sheets as LaTeX that fits: a float per grid, as wide as a column where it can be, else as a page.

Every float has a short caption; where its numbers come from, and by which rules, stands before it as comments. Widths are
reckoned with those of Computer Modern: a column is 237 pt wide, as those of CVPR are, a page 345 pt, as LaTeX's own article is.
What is wider has its intervals below the means, a smaller size, its texts wrapped, and at last is scaled down.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from reports.sheet import Grid, Mark, Section, Sheet

_COLUMN, _PAGE, _HEIGHT = 237.0, 345.0, 480.0
"""Points: widths to fit, and how high the rows of one float may be."""


@dataclass(frozen=True)
class _Size:
    """A size of type: its command, width of letters against those of 10 pt, points between lines and between columns."""

    name: str
    scale: float
    line: float
    gap: float


_SMALL, _FOOTNOTE, _SCRIPT = (
    _Size("small", 0.926, 11.0, 10.0),
    _Size("footnotesize", 0.85, 9.5, 8.0),
    _Size("scriptsize", 0.797, 8.0, 5.0),
)
_BETWEEN_ROWS = 2.0
"""Points between rows of several lines."""
_TINY = 0.681
"""Width of letters at \\tiny, in which intervals and numbers of seeds are set."""
_BOLD = 1.15
_WIDTHS = {
    2.8: ".,:;'!|il[]",
    3.4: "fj -",
    3.9: "()rst*",
    4.5: "cez",
    5.0: "0123456789aog/",
    5.6: "bdhknpquvxyJ?#",
    6.5: "EFILPSZ",
    7.4: "wABCDHKNRTUVXY",
    7.8: "+=<>&OQG",
    8.4: "m%@",
    10.3: "MW",
}
_WIDTH_OF = {character: width for width, characters in _WIDTHS.items() for character in characters}
_SIGN = re.compile(r"(?<![\w.])[+-](?=\d)")
_BREAK = re.compile(r" |(?<=[^\W\d]-)(?=\w)")
"""Where a text may go on in the next line: at spaces, and behind hyphens inside words."""
_IN_BRACKETS = re.compile(r" (?=[\[(][^()\[\]]*[\])](?: |$))")
"""Before the interval and the number of seeds that stand after a number."""

_HEAD = (
    "% Needs \\usepackage{array,booktabs,graphicx}.\n"
    "\\providecommand{\\stacked}[2]{\\begin{tabular}[t]{@{}l@{}}#1\\\\[-1pt]{\\tiny #2}\\end{tabular}}\n"
)


@dataclass(frozen=True)
class _Cell:
    """A text; of a number, also the interval and the number of seeds that stand behind it in brackets."""

    text: str
    interval: str = ""
    seeds: str = ""

    @classmethod
    def of(cls, text: str) -> Self:
        if not re.match(r"[+-]?\d|-(?: |$)", text):
            return cls(text)
        number, *others = _IN_BRACKETS.split(text)
        interval = [other for other in others if other.startswith("[")]
        return cls(number, " ".join(interval), " ".join(other for other in others if other not in interval))


@dataclass(frozen=True)
class _Table:
    """A grid with its cells taken apart, but for those that name rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[_Cell, ...], ...]
    marks: Mapping[tuple[int, int], Mark]

    @classmethod
    def of(cls, grid: Grid) -> Self:
        rows = (
            tuple(_Cell.of(text) if column >= grid.labels else _Cell(text) for column, text in enumerate(row))
            for row in grid.rows
        )
        return cls(grid.columns, tuple(rows), grid.marks)


@dataclass(frozen=True)
class _Layout:
    """How a table is set. widths: of the columns whose texts are wrapped, in points."""

    environment: str
    size: _Size
    stacked: bool
    widths: dict[int, float]
    scaled: bool = False

    @property
    def gap(self) -> str:
        return f"\\setlength{{\\tabcolsep}}{{{self.size.gap / 2:g}pt}}"


def latex(sheets: Sequence[Sheet]) -> str:
    """Floats for a document that loads array, booktabs and graphicx: one per grid, or more where its rows do not fit a page."""
    blocks = [text for sheet in sheets for section in sheet.sections for text in _floats(sheet, section)]
    return _HEAD + "\n".join(blocks)


def bare_latex(sheets: Sequence[Sheet]) -> str:
    """The tabulars alone, to be put into floats of one's own."""
    blocks = []
    for sheet in sheets:
        for section in sheet.sections:
            blocks.append(_provenance(sheet, section))
            for grid in section.grids:
                table = _Table.of(grid)
                layout = _layout(table)
                width = f"{_PAGE if layout.environment == 'table*' else _COLUMN:.0f} pt"
                blocks.append(_comments(grid.note, f"{grid.caption}. Fits {width} with \\{layout.size.name}{layout.gap}"))
                blocks += _tabular(table, layout, range(len(table.rows)))
    return _HEAD + "\n".join(blocks) + "\n"


def _floats(sheet: Sheet, section: Section) -> Iterator[str]:
    yield _provenance(sheet, section)
    identity, number = re.sub(r"[^A-Za-z0-9]+", "-", sheet.id), sheet.sections.index(section) + 1
    for place, grid in enumerate(section.grids, start=1):
        if grid.note:
            yield _comments(grid.note)
        table = _Table.of(grid)
        layout = _layout(table)
        for page in _pages(table, layout):
            yield f"\\begin{{{layout.environment}}}"
            yield f"  \\centering\\{layout.size.name}{layout.gap}"
            if page.start == 0:
                yield f"  \\caption{{{_caption(sheet, section, grid)}}}"
                yield f"  \\label{{tab:{identity}-{number}{f'-{place}' if place > 1 else ''}}}"
            else:
                yield f"  \\caption{{{_tex(grid.caption)} (continued).}}"
            yield "  \\medskip"
            yield from (f"  {line}" for line in _tabular(table, layout, page))
            yield f"\\end{{{layout.environment}}}\n"


def _caption(sheet: Sheet, section: Section, grid: Grid) -> str:
    parts = [f"{sheet.title.removeprefix(f'{sheet.id}: ')}: {grid.caption}", section.heading]
    if any("[" in cell for row in grid.rows for cell in row):
        parts.append("In brackets: 95% intervals")
    text = _tex(". ".join(part for part in parts if part))
    return f"{text}. Best in \\textbf{{bold}}, second \\underline{{underlined}}." if grid.marks else f"{text}."


def _provenance(sheet: Sheet, section: Section) -> str:
    return _comments(sheet.title, sheet.subtitle, section.heading, *section.notes, sheet.rules)


def _comments(*texts: str) -> str:
    return "\n".join(f"% {' '.join(text.split())}" for text in texts if text)


def _tabular(table: _Table, layout: _Layout, rows: range) -> Iterator[str]:
    """Lines of these rows."""
    columns = "".join(
        f">{{\\raggedright\\arraybackslash}}p{{{layout.widths[column]:.0f}pt}}" if column in layout.widths else "l"
        for column in range(len(table.columns))
    )
    if layout.scaled:
        yield f"\\resizebox{{{_PAGE:.0f}pt}}{{!}}{{%"
    yield f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}"
    yield "  \\toprule"
    yield _line(map(_head, table.columns))
    yield "  \\midrule"
    for row in rows:
        yield _line(_cell(cell, layout, table.marks.get((row, column))) for column, cell in enumerate(table.rows[row]))
        if layout.stacked and row + 1 < rows.stop:
            yield f"  \\addlinespace[{_BETWEEN_ROWS:g}pt]"
    yield "  \\bottomrule"
    yield "\\end{tabular}" + ("}" if layout.scaled else "")


def _line(cells: Iterable[str]) -> str:
    return f"  {' & '.join(cells)} \\\\"


def _head(text: str) -> str:
    lines = [_tex(line) for line in _heading(text)]
    return "".join(lines) if len(lines) < 2 else "\\shortstack[l]{" + "\\\\".join(lines) + "}"


def _heading(text: str) -> list[str]:
    """In lines, broken at words and inside names of settings."""
    return re.sub(r" |(?<=[_/])", "\n", text).split()


def _cell(cell: _Cell, layout: _Layout, mark: Mark | None) -> str:
    shown = "--" if cell.text == "-" else _tex(cell.text)
    if mark is not None:
        shown = f"\\{'textbf' if mark == 'best' else 'underline'}{{{shown}}}"
    below = layout.stacked and cell.interval
    if beside := " ".join(filter(None, ("" if below else cell.interval, cell.seeds))):
        shown = f"{shown} {{\\tiny {_tex(beside)}}}"
    return f"\\stacked{{{shown}}}{{{_tex(cell.interval)}}}" if below else shown


def _layout(table: _Table) -> _Layout:
    """The largest that fits a column, else a page, at last with intervals below their means, wrapped, or scaled down."""
    for environment, limit, size, stacked in (
        ("table", _COLUMN, _SMALL, False),
        ("table", _COLUMN, _FOOTNOTE, False),
        ("table", _COLUMN, _FOOTNOTE, True),
        ("table*", _PAGE, _SMALL, False),
        ("table*", _PAGE, _FOOTNOTE, False),
        ("table*", _PAGE, _FOOTNOTE, True),
        ("table*", _PAGE, _SCRIPT, False),
        ("table*", _PAGE, _SCRIPT, True),
    ):
        if sum(_column_widths(table, size, stacked)) + _gaps(table, size) <= limit:
            return _Layout(environment, size, stacked, {})
    return _wrapped(table)


def _wrapped(table: _Table) -> _Layout:
    """At the smallest size, with the columns of texts made as narrow as the page asks, all of them to about as many lines."""
    natural = _column_widths(table, _SCRIPT, stacked=True)
    least = [_least_width(table, column) for column in range(len(natural))]
    widths = dict(enumerate(natural))
    excess = sum(natural) + _gaps(table, _SCRIPT) - _PAGE
    while excess > 0 and (able := [column for column in widths if widths[column] - _STEP >= least[column]]):
        column = min(able, key=lambda column: natural[column] / widths[column])
        widths[column] -= _STEP
        excess -= _STEP
    wrapped = {column: width for column, width in widths.items() if width < natural[column]}
    return _Layout("table*", _SCRIPT, True, wrapped, scaled=excess > 0)


_STEP = 4.0
"""Points by which a column is narrowed at a time."""


def _least_width(table: _Table, column: int) -> float:
    """Of a column, by what cannot be broken in it."""
    cells = (row[column] for row in table.rows)
    unbroken = [replace(cell, text=word) for cell in cells for word in _BREAK.split(cell.text)]
    unbroken += [_Cell(word) for word in _heading(table.columns[column])]
    return max((_cell_width(cell, _SCRIPT, stacked=True) for cell in unbroken), default=0.0)


def _column_widths(table: _Table, size: _Size, stacked: bool) -> list[float]:
    """Points that each column takes, its gaps left out."""
    widths = []
    for column, heading in enumerate(table.columns):
        cells = [_cell_width(row[column], size, stacked) for row in table.rows]
        marked = any((row, column) in table.marks for row in range(len(table.rows)))
        of_cells = max(cells, default=0.0) * (_BOLD if marked else 1.0)
        widths.append(max(of_cells, *(_width(word, size.scale) for word in ["", *_heading(heading)])))
    return widths


def _cell_width(cell: _Cell, size: _Size, stacked: bool) -> float:
    beside = " ".join(filter(None, ("" if stacked else cell.interval, cell.seeds)))
    first = _width(cell.text, size.scale) + (_width(" ", size.scale) + _width(beside, _TINY) if beside else 0.0)
    return max(first, _width(cell.interval, _TINY)) if stacked else first


def _width(text: str, scale: float) -> float:
    signs = len(_SIGN.findall(text))
    letters = "".join(map(_letter, text))
    return scale * (sum(_WIDTH_OF.get(letter, 7.8) for letter in letters) + 4.4 * signs)


def _gaps(table: _Table, size: _Size) -> float:
    return size.gap * (len(table.columns) - 1)


def _pages(table: _Table, layout: _Layout) -> Iterator[range]:
    """The rows by float, as many as a page holds."""
    first, height = 0, 0.0
    for number, row in enumerate(table.rows):
        own = layout.size.line * max(_lines(cell, layout, column) for column, cell in enumerate(row)) + _BETWEEN_ROWS
        if height and height + own > _HEIGHT:
            yield range(first, number)
            first, height = number, 0.0
        height += own
    yield range(first, len(table.rows))


def _lines(cell: _Cell, layout: _Layout, column: int) -> int:
    if column in layout.widths:
        return 1 + int(1.4 * _width(cell.text, layout.size.scale) / layout.widths[column])
    return 2 if layout.stacked and cell.interval else 1


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
    """Escaped; what plain LaTeX has no letter for by its number, as U+03BB."""
    escaped = "".join(_TEX.get(character) or _letter(character) for character in " ".join(text.split()))
    return _SIGN.sub(lambda sign: f"${sign[0]}$", escaped).replace("--", "-{}-")


def _letter(character: str) -> str:
    has_one = (character.isascii() and character.isprintable()) or re.fullmatch("[À-ÏÑ-ÖØ-Ýß-ïñ-öø-ýÿ]", character)
    return character if has_one else f"U+{ord(character):04X}"

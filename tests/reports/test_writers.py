"""Written formats: escaping, well-formedness, and CSV numbers against the comparison they come from."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from harness.ledger import Record
from reports.comparison import FilledTable, compare, fill
from reports.comparison_sheet import comparison_sheet
from reports.groups import read_trials
from reports.sheet import Sheet
from reports.writers import comma_separated, html, markdown, show
from search_spaces.papers import paper_tables

TABLES = paper_tables()
TABLE3 = TABLES["auxskd/table3"]
AWKWARD = r"a|b <script> & 50% #1 $x_y^z {~} \end{document}"


@pytest.fixture
def awkward(make_trial: Callable[..., Record]) -> list[Sheet]:
    trial = make_trial(0.02, 0.02, 0, 60.0, settings={"backbone.family": AWKWARD})
    return [comparison_sheet(FilledTable(TABLE3, compare(TABLE3, [trial])))]


@pytest.fixture
def filled(samples: Path) -> FilledTable:
    return fill(TABLE3, read_trials(samples))


class _Tags(HTMLParser):
    """Open tags, and the text seen."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_is_well_formed_self_contained_and_escaped(awkward: list[Sheet]) -> None:
    page = html(awkward)
    parser = _Tags()
    parser.feed(page)
    assert parser.open == []
    assert AWKWARD in parser.text
    assert not any(word in page for word in ("<script", "http:", "https:", "src="))


def test_markdown_rows_have_as_many_cells_as_the_heading_and_no_raw_html(awkward: list[Sheet], filled: FilledTable) -> None:
    assert "\\<script\\>" in markdown(awkward)
    widths = {len(line) for line in markdown([comparison_sheet(filled)]).split("\n\n")[4].splitlines()}
    assert len(widths) == 1


def test_csv_holds_the_numbers_of_the_comparison(filled: FilledTable) -> None:
    lines = list(csv.DictReader(io.StringIO(comma_separated([comparison_sheet(filled)]))))
    assert len(lines) == 7 * len(filled.comparisons)
    by_cell = {(int(line["group"]), line["row"]): line for line in lines}
    for number, comparison in enumerate(filled.comparisons, start=1):
        for compared in comparison.rows:
            line = by_cell[number, compared.row.label]
            assert float(line["published"]) == compared.row.published["ucf101"]
            (cell,) = compared.cells
            assert int(line["seeds"]) == len(cell.by_seed)
            if cell.estimate is None:
                assert line["mean"] == line["low"] == line["high"] == ""
            else:
                assert float(line["mean"]) == pytest.approx(cell.estimate.mean, abs=1e-4)
            assert line["verdict"] == (cell.effects[0].judgement.verdict if cell.effects else "reference")


def test_csv_of_no_trials_has_a_row_per_row_of_the_paper() -> None:
    lines = list(csv.DictReader(io.StringIO(comma_separated([comparison_sheet(fill(TABLE3, []))]))))
    assert [line["row"] for line in lines] == [row.label for row in TABLE3.rows]
    assert {line["group"] for line in lines} == {""}


@pytest.mark.parametrize("width", [80, 60])
def test_terminal_shows_every_row_and_verdict(filled: FilledTable, width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    show([comparison_sheet(filled)], console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert "not comparable to the paper's" in " ".join(lines)
    if width == 80:
        assert any(line.split()[:4] == ["0.02", "0.02", "76.3", "62.8"] for line in lines)
        assert any(line.startswith(" 0.05 / 0.05") and "disagrees" in line for line in lines)


def test_csv_has_a_line_per_cell_and_says_which_rows_are_quoted_or_references(samples: Path) -> None:
    sheet = comparison_sheet(fill(TABLES["auxskd/table1"], read_trials(samples, "sample-table1")))
    lines = list(csv.DictReader(io.StringIO(comma_separated([sheet]))))
    assert len(lines) == 29 * 2
    verdicts = {(line["row"].split(" / ")[0], line["measure"]): line["verdict"] for line in lines}
    assert verdicts["14", "hmdb51"] == "quoted"
    assert verdicts["16", "ucf101"] == "reference"
    assert verdicts["22", "ucf101"] == ""
    assert verdicts["17", "ucf101"] in ("agrees", "disagrees", "undecided")
    assert all(line["mean"] == "" and line["published"] for line in lines if line["verdict"] == "quoted")
    assert {line["protocol"] for line in lines} == {"published"}

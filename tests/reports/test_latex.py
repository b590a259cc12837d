"""LaTeX: escaping, marks, division of long tables, and what a TeX engine, where there is one, says of both papers' tables."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.ledger import Record
from reports.backbones import _worths
from reports.claimed import read_claims
from reports.claims_sheet import claim_sheets
from reports.comparison import FilledTable, compare, fill
from reports.comparison_sheet import comparison_sheet
from reports.cost_sheet import cost_sheet
from reports.costs import costs_of
from reports.evidence import scoreboard
from reports.groups import read_trials
from reports.latex import bare_latex, latex
from reports.leaderboard import Objective, leaderboard
from reports.leaderboard_sheet import leaderboard_sheet
from reports.sheet import Grid, Section, Sheet, marks_of
from reports.worth_sheet import worth_sheets
from search_spaces.papers import paper_tables

TABLES = paper_tables()
TABLE3 = TABLES["auxskd/table3"]
AWKWARD = "a|b <script> & 50% #1 $x_y^z {~} \\end{document}\n\\end{document} %"


def sheet_of(grid: Grid, heading: str = "Heading") -> Sheet:
    return Sheet("made/up", "made/up: Title", "Subtitle", (Section(heading, (), (grid,)),), "Rules", (), ())


def sheets_of(runs: Path) -> list[Sheet]:
    """Every table of both papers, their claims, what backbones are worth, and a leaderboard."""
    trials = read_trials(runs)
    tables = [comparison_sheet(fill(table, trials)) for table in TABLES.values() if table.measures]
    costs = [cost_sheet(costs_of(table, trials)) for table in TABLES.values() if table.networks]
    board = leaderboard("sample-demo", read_trials(runs, "sample-demo"), Objective("test/top1"))
    claims = claim_sheets(scoreboard(read_claims().values(), trials))
    return [*tables, *costs, *claims, *worth_sheets(_worths(runs, None)), leaderboard_sheet(board)]


def without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("%"))


@pytest.fixture
def awkward(make_trial: Callable[..., Record]) -> Sheet:
    trial = make_trial(0.02, 0.02, 0, 60.0, settings={"backbone.family": AWKWARD})
    return comparison_sheet(FilledTable(TABLE3, compare(TABLE3, [trial])))


def test_what_a_user_named_is_escaped_and_stays_in_its_comment(awkward: Sheet) -> None:
    grid = Grid("Caption", ("setting",), ((AWKWARD,),), labels=1)
    for sheet in (awkward, sheet_of(grid, AWKWARD)):
        text = without_comments(latex([sheet]))
        assert text.count("\\begin{") == text.count("\\end{")
        assert "\\end{document}" not in text
        bare = text.replace("\\{", "").replace("\\}", "")
        assert bare.count("{") == bare.count("}")
    escaped = r"50\% \#1 \$x\_y\textasciicircum{}z \{\textasciitilde{}\} \textbackslash{}end\{document\}"
    assert latex([sheet_of(grid)]).count(escaped) == 1


@pytest.mark.parametrize("writer", [latex, bare_latex])
def test_every_row_has_as_many_cells_as_its_tabular_has_columns(writer: Callable[..., str], samples: Path) -> None:
    tabulars = re.findall(
        r"\\begin\{tabular\}\{@\{\}(.*?)@\{\}\}\n(.*?)\n *\\end\{tabular\}", writer(sheets_of(samples)), re.DOTALL
    )
    assert len(tabulars) > 20
    for alignment, body in tabulars:
        columns = len(re.findall(r"l|p\{", alignment.replace("\\raggedright\\arraybackslash", "")))
        assert {line.count(" & ") + 1 for line in body.splitlines() if line.rstrip().endswith("\\\\")} == {columns}


def test_options_of_a_command_keep_both_their_hyphens() -> None:
    assert "sweep.py -{}-table x" in latex([sheet_of(Grid("Caption", ("command",), (("sweep.py --table x",),), labels=0))])


def test_best_is_bold_and_second_underlined_and_equal_ones_are_alike() -> None:
    numbers = [61.04, 70.0, 61.0, None, 12.0]
    rows = tuple(
        (f"row {place}", "-" if number is None else f"{number:.1f} [1.0, 2.0]") for place, number in enumerate(numbers)
    )
    text = latex([sheet_of(Grid("Caption", ("row", "ours"), rows, labels=1, marks=marks_of({1: numbers})))])
    assert "row 1 & \\textbf{70.0} {\\tiny" in text
    assert "row 0 & \\underline{61.0} {\\tiny" in text and "row 2 & \\underline{61.0} {\\tiny" in text
    assert text.count("\\textbf{") == 2 and text.count("\\underline{") == 3  # those of the caption included
    assert marks_of({1: [50.0, 50.0, None]}) == {}


def test_where_numbers_come_from_stands_in_comments_and_the_caption_is_short(samples: Path) -> None:
    text = latex([comparison_sheet(fill(TABLE3, read_trials(samples)))])
    caption = re.findall(r"\\caption\{(.*)\}$", text, re.MULTILINE)[0]
    assert caption.startswith(
        "Teacher and student temperatures of auxSKD (R(2+1)D, K-100, VSPP): UCF101 top-1 in percent. Group 1"
    )
    assert "not comparable" in caption and "fingerprint" not in caption and len(caption) < 350
    assert any(line.startswith("% ") and "fingerprint" in line for line in text.splitlines())
    assert any(line.startswith("% Ours: mean [95% interval") for line in text.splitlines())


def test_bare_tabulars_have_neither_float_nor_caption(samples: Path) -> None:
    text = without_comments(bare_latex([comparison_sheet(fill(TABLE3, read_trials(samples)))]))
    assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") >= 4
    assert not re.search(r"\\(caption|label|begin\{table|centering)", text)


def test_a_table_longer_than_a_page_is_divided() -> None:
    rows = tuple((f"name {number}", f"{number}.0") for number in range(150))
    text = latex([sheet_of(Grid("Caption", ("row", "ours"), rows, labels=1))])
    assert text.count("\\begin{table}") == 5 and text.count("(continued)") == 4 and text.count("\\label{") == 1
    assert re.findall(r"name (\d+) ", text) == [str(number) for number in range(150)]


# what an engine says


CLASSES = {
    "one column": "\\documentclass{article}",
    "two columns": "\\documentclass[twocolumn]{article}\n\\setlength{\\textwidth}{496pt}\\setlength{\\columnsep}{22pt}",
}


def complaints(text: str, head: str, directory: Path) -> list[str]:
    """What LaTeX says of a document of these floats that does not fit, or is wrong."""
    engine = shutil.which("pdflatex") or shutil.which("tectonic")
    if engine is None:
        pytest.skip("no TeX engine is installed (apt-get install texlive-latex-recommended)")
    packages = "\\usepackage[utf8]{inputenc}\\usepackage{array,booktabs,graphicx}"
    document = f"{head}\n{packages}\n\\begin{{document}}\n{text}\n\\end{{document}}\n"
    (directory / "tables.tex").write_text(
        document.replace("\\end{table", "\\end{table").replace("\n\\begin{table", "\\clearpage\n\\begin{table")
    )
    options = ["-interaction=nonstopmode", "-halt-on-error"] if engine.endswith("pdflatex") else ["--keep-logs"]
    run = subprocess.run([engine, *options, "tables.tex"], cwd=directory, capture_output=True, timeout=120, check=False)
    log = (directory / "tables.log").read_text(encoding="utf-8", errors="replace")
    assert run.returncode == 0, log[-2000:]
    return re.findall(r"^(?:Overfull .*|.*Float too large.*|LaTeX Warning: .*undefined.*)$", log, re.MULTILINE)


@pytest.mark.parametrize("head", CLASSES.values(), ids=CLASSES)
def test_every_table_of_both_papers_fits(head: str, samples: Path, tmp_path: Path) -> None:
    assert complaints(latex(sheets_of(samples)), head, tmp_path) == []


def test_a_table_of_very_many_columns_long_names_and_foreign_letters_fits(awkward: Sheet, tmp_path: Path) -> None:
    columns = tuple(f"a_setting.of_some_length_{number}" for number in range(20))
    wide = Grid("Caption", columns, (("60.0 [58.0, 62.0] (3)",) * 20,), labels=0)
    letters = Grid("Caption", ("λ", "été"), (("Straße 🎬 \x1b[31m Ðüß", "«1.0» – 日本"),), labels=1)
    words = Grid("Caption", ("a", "b"), (("some words " * 30, "others " * 40), ("", "-")), labels=1)
    long = Grid("Caption", ("a", "b"), (("some words " * 20, "1.0 [0.5, 1.5]"),) * 40, labels=1)
    sheets: Sequence[Sheet] = [awkward, *map(sheet_of, (wide, words, long, letters))]
    assert complaints(latex(sheets), CLASSES["one column"], tmp_path) == []

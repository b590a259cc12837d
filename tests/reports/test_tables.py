"""The command `python reports/tables.py`: golden files, exit codes, messages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.ledger import Ledger
from reports.tables import app

ROOT = Path(__file__).parents[2]
FORMATS = ("md", "tex", "csv", "html")
runner = CliRunner()


def tables(*arguments: object) -> tuple[int, str, str]:
    result = runner.invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


TABLES = (*(f"auxskd/table{number}" for number in (1, 2, 3, 4)), "graph/table2", "graph/compression")
GOLDEN = [f"{table}.{name}" for table in TABLES for name in FORMATS] + ["auxskd/figure4-left.md", "graph/table1.md"]


@pytest.mark.parametrize("wanted", GOLDEN)
def test_sample_ledger_gives_the_golden_file_twice(wanted: str, samples: Path, golden: Path, tmp_path: Path) -> None:
    identity, _, name = wanted.rpartition(".")
    file = f"{identity.replace('/', '_')}.{name}"
    expected = (golden / file).read_bytes()
    for directory in ("once", "twice"):
        code, _, _ = tables(identity, "--runs-dir", samples, "--format", name, "--out", tmp_path / directory)
        assert code == 0
        assert (tmp_path / directory / file).read_bytes() == expected
        assert len(list((tmp_path / directory).iterdir())) == 1


def test_script_runs_from_anywhere_and_prints_the_golden_markdown(samples: Path, golden: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "reports" / "tables.py"), "auxskd/table3", "--runs-dir", str(samples)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == (golden / "auxskd_table3.md").read_bytes()


def test_file_name_chooses_the_format(samples: Path, golden: Path, tmp_path: Path) -> None:
    code, printed, _ = tables("auxskd/table3", "--runs-dir", samples, "--out", tmp_path / "mine.tex")
    assert code == 0
    assert printed.strip() == str(tmp_path / "mine.tex")
    assert (tmp_path / "mine.tex").read_bytes() == (golden / "auxskd_table3.tex").read_bytes()


def test_no_ledger_marks_every_cell_missing(tmp_path: Path) -> None:
    code, printed, _ = tables("auxskd/table3", "--runs-dir", tmp_path)
    assert code == 0
    assert printed.count("- (0/1)") == 7
    assert "76.3" in printed


def test_one_sweep_only(samples: Path) -> None:
    code, printed, _ = tables("auxskd/table3", "--runs-dir", samples, "--sweep", "sample-small")
    assert code == 0
    assert "74.4 (n=1)" in printed
    assert "62.8" not in printed


def test_list_names_every_table() -> None:
    code, printed, _ = tables("--list")
    assert code == 0
    listed = [line.split("  ")[0] for line in printed.splitlines()]
    assert listed == [
        *(f"auxskd/table{number}" for number in (1, 2, 3, 4)), "auxskd/figure4-left", "auxskd/figure4-right",
        *(f"graph/{name}" for name in ("table1", "table2", "compression", "figure3", "figure4a", "figure4b")),
    ]  # fmt: skip


def test_settings_of_rows_are_printed_and_quoted_rows_have_none() -> None:
    code, printed, _ = tables("auxskd/table1", "auxskd/figure4-right", "--settings")
    assert code == 0
    lines = printed.splitlines()
    row16 = lines.index("16 / VCOP / no / R(2+1)D / 112 / K-100 / 200")
    assert lines[row16 + 2] == (
        "  hmdb51: pretext.task=vcop recipe=pretext backbone.family=r2plus1d"
        " data.pretraining=kinetics100 data.downstream=hmdb51"
    )
    assert lines[row16 + 3] == "  at preset paper: pretext.epochs=200 pretext.step_epochs=200"
    assert printed.count("cannot be run") == 13
    assert "  pretext.task=vspp pretext.checkpoints=4 pretext.checkpoint=4 recipe=auxskd_pretext" in lines
    code, printed, _ = tables("graph/table2", "--settings")
    assert code == 0
    assert "  hmdb51: recipe=fusion teacher_finetune.transferred_layers=null data.downstream=hmdb51" in printed.splitlines()
    assert "At preset paper, hmdb51: mean over data.split = 1, 2, 3" in printed.splitlines()


def test_all_tables_are_written_by_default_and_figures_where_named(samples: Path, tmp_path: Path) -> None:
    assert tables("--runs-dir", samples, "--out", tmp_path)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"auxskd_table{number}.md" for number in (1, 2, 3, 4)),
        *(f"graph_{name}.md" for name in ("compression", "table1", "table2")),
    ]


def test_figure_without_numbers_is_no_table() -> None:
    code, _, message = tables("auxskd/figure4-right")
    assert code == 2
    assert message == "auxskd/figure4-right has no numbers to print: python reports/figures.py auxskd/figure4-right draws it\n"


def test_unknown_table_and_sweep_exit_2_and_list_the_valid_ones(samples: Path) -> None:
    code, _, message = tables("auxskd/table33")
    assert code == 2
    assert message.startswith("unknown table 'auxskd/table33'; valid tables: auxskd/table1, auxskd/table2, auxskd/table3, ")
    assert message.endswith("; did you mean 'auxskd/table3'?\n")
    code, _, message = tables("--runs-dir", samples / "absent")
    assert code == 2 and "absent: there is no such directory" in message
    code, _, message = tables("--runs-dir", samples, "--sweep", "sample-demos")
    assert code == 2
    assert "valid sweeps: sample-demo, sample-figure4, sample-graph, sample-short, sample-small, sample-table1" in message
    assert message.endswith("; did you mean 'sample-demo'?\n")


def test_unknown_format_exits_2() -> None:
    assert tables("--format", "docx")[0] == 2


def test_line_that_is_no_record_exits_1_naming_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "ledger.jsonl").write_text('{"trial": 3}\n')
    code, _, message = tables("--runs-dir", tmp_path)
    assert code == 1
    assert "ledger.jsonl, line 1" in message


def test_record_whose_data_is_not_described_exits_1_naming_the_trial(make_trial: Any, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Ledger(tmp_path / "a").append(make_trial(0.02, 0.02, 0, 60.0, data={"downstream": {"dataset": "ucf101"}}))
    code, _, message = tables("--runs-dir", tmp_path)
    assert code == 1
    assert message.startswith("trial 0.02-0.02-0: its data lacks what docs/ledger.md says (fingerprint: Field required)")


def test_output_that_cannot_be_written_exits_1_and_leaves_nothing(samples: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, message = tables("--runs-dir", samples, "--out", tmp_path / "file" / "below")
    assert code == 1
    assert "cannot write" in message
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_bare_gives_tabulars_and_goes_with_tex_only(samples: Path, tmp_path: Path) -> None:
    code, printed, _ = tables("auxskd/table3", "--bare", "--runs-dir", samples)
    assert code == 0
    assert "\\begin{tabular}" in printed and "\\begin{table" not in printed
    assert tables("auxskd/table3", "--bare", "--runs-dir", samples, "--out", tmp_path)[0] == 0
    assert (tmp_path / "auxskd_table3.tex").read_text(encoding="utf-8") == printed
    code, _, message = tables("auxskd/table3", "--bare", "--format", "md", "--runs-dir", samples)
    assert code == 2 and message == "--bare goes with --format tex, not md\n"

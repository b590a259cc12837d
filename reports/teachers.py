"""Says whether teachers teach: tasks beside guessing and rules that learn nothing, classifiers beside ones from scratch.

    python harness/sweep.py --space teaching --seeds 3
    python reports/teachers.py
    python reports/teachers.py --sweep teaching-demo --out teachers.tex

A section per downstream set and group of comparable trials, with intervals over seeds. Reads `<runs-dir>/*/ledger.jsonl`,
offline; writes nothing but what `--out` names.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import typer

from harness.ledger import LedgerError
from reports.command_line import FAILED, RUNS, FileFormat, OneSweep, OutFile, RunsDir, fail, give, trials_of
from reports.teaching import teaching
from reports.teaching_sheet import teaching_sheet

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    runs_dir: RunsDir = RUNS,
    sweep: OneSweep = None,
    file_format: FileFormat = None,
    out: OutFile = None,
) -> None:
    """Print whether the teachers of graph distillation teach."""
    try:
        found = teaching(trials_of(runs_dir, sweep))
    except LedgerError as error:
        fail(FAILED, str(error))
    give([teaching_sheet(found)], out, file_format)


if __name__ == "__main__":
    app()

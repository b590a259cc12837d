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

from enum import StrEnum
from typing import Annotated

import typer

from harness.ledger import LedgerError
from reports.command_line import FAILED, RUNS, fail, give, trials_of
from reports.teaching import teaching
from reports.teaching_sheet import teaching_sheet
from reports.writers import FORMATS

Format = StrEnum("Format", list(FORMATS))  # type: ignore[misc]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    runs_dir: Annotated[Path, typer.Option(help="Directory of the sweeps.")] = RUNS,
    sweep: Annotated[str | None, typer.Option(help="Show this sweep only.")] = None,
    file_format: Annotated[Format | None, typer.Option("--format", help="Default: suffix of --out, or md.")] = None,
    out: Annotated[Path | None, typer.Option(help=f"A file ({', '.join(FORMATS)}).")] = None,
) -> None:
    """Print whether the teachers of graph distillation teach."""
    try:
        found = teaching(trials_of(runs_dir, sweep))
    except LedgerError as error:
        fail(FAILED, str(error))
    give([teaching_sheet(found)], out, file_format)


if __name__ == "__main__":
    app()

"""Says where the differences between seeds come from: initial weights, order, clips, noise, and rounding alone.

    python harness/sweep.py --space variance --seeds 10
    python reports/variance.py
    python reports/variance.py --sweep variance-demo --out variance.tex

A section per sweep that varies `seeds.vary` and downstream set. Reads `<runs-dir>/*/ledger.jsonl`, offline; writes nothing but
what `--out` names.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import typer

from harness.ledger import LedgerError
from reports.command_line import FAILED, RUNS, FileFormat, OneSweep, OutFile, RunsDir, check_sweep, fail, give, trials_of
from reports.groups import sweep_names
from reports.sources import sweep_sources
from reports.sources_sheet import sources_sheet

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    runs_dir: RunsDir = RUNS,
    sweep: OneSweep = None,
    file_format: FileFormat = None,
    out: OutFile = None,
) -> None:
    """Print how far the seeds of one configuration differ by each source of variance alone."""
    check_sweep(runs_dir, sweep)
    names = [name for name in sweep_names(runs_dir) if sweep in (None, name)]
    try:
        found = {name: sweep_sources(trials_of(runs_dir, name)) for name in names}
    except LedgerError as error:
        fail(FAILED, str(error))
    give([sources_sheet(found)], out, file_format)


if __name__ == "__main__":
    app()

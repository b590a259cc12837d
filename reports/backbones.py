"""Says what every pretrained backbone is worth: pretext accuracy, finetuned, linear probe, nearest-neighbour retrieval.

    python reports/backbones.py
    python reports/backbones.py --sweep recipes-demo --out backbones.tex

A table per sweep and downstream set, a row per configuration, with intervals over seeds. Reads `<runs-dir>/*/ledger.jsonl`,
offline; writes nothing but what `--out` names.
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
from reports.worth import Worth, sweep_worth
from reports.worth_sheet import worth_sheets

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    runs_dir: RunsDir = RUNS,
    sweep: OneSweep = None,
    file_format: FileFormat = None,
    out: OutFile = None,
) -> None:
    """Print what the backbones of sweeps are worth, frozen and finetuned."""
    give(worth_sheets(_worths(runs_dir, sweep)), out, file_format)


def _worths(runs_dir: Path, sweep: str | None) -> dict[str, list[Worth]]:
    check_sweep(runs_dir, sweep)
    trials = {name: trials_of(runs_dir, name) for name in sweep_names(runs_dir)}
    worths = {}
    for name, own in trials.items():
        if own and sweep in (None, name):
            others = [record for other in trials if other != name for record in trials[other]]
            try:
                worths[name] = sweep_worth(own, others)
            except LedgerError as error:
                fail(FAILED, str(error))
    return worths


if __name__ == "__main__":
    app()

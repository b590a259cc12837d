"""Sets two sweeps, or two values of a setting, against each other: paired by configuration and seed.

    python reports/compare.py temperatures-demo temperatures-demo-5f3a21
    python reports/compare.py segments-demo --setting vspp.segments=2,4
    python reports/compare.py A B --metric validation/top1 --out compared.csv

Reads `<runs-dir>/*/ledger.jsonl`, and from the store what evaluations have said of each video, offline; writes nothing but what
`--out` names.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from harness.ledger import Record
from reports.artifacts import Artifacts
from reports.command_line import RUNS, WRONG_USAGE, FileFormat, OutFile, RunsDir, fail, give, trials_of
from reports.compare_sheet import compare_sheet
from reports.pairs import Side, paired
from reports.videos import telling
from trainables.suggestions import did_you_mean

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    sweeps: Annotated[list[str], typer.Argument(metavar="A [B]", help="Two sweeps, or one with --setting.")],
    setting: Annotated[
        str | None, typer.Option(metavar="NAME=A,B", help="Trials of one sweep that differ in this setting only.")
    ] = None,
    metric: Annotated[str, typer.Option(help="Which number of a trial.")] = "test/top1",
    runs_dir: RunsDir = RUNS,
    store: Annotated[
        Path | None, typer.Option(help="Store of the artifacts, for what was said of each video. Default: <runs-dir>/store.")
    ] = None,
    file_format: FileFormat = None,
    out: OutFile = None,
) -> None:
    """Print differences with their tests, what differs, and what may not be compared and why."""
    if len(sweeps) != (1 if setting else 2):
        fail(WRONG_USAGE, f"{'one sweep goes' if setting else 'two sweeps go'} with this, not {len(sweeps)}")
    records = [trials_of(runs_dir, name) for name in sweeps]
    _check_metric(metric, [record for of_sweep in records for record in of_sweep])
    name = None
    if setting:
        name, *values = _values(setting, records[0])
        sweeps = [f"{name}={value}" for value in values]
        records = [[record for record in records[0] if record.settings.get(name) == value] for value in values]
    first, second = map(Side, sweeps, records)
    found = paired(first, second, metric, name, telling(Artifacts(store or runs_dir / "store")))
    give([compare_sheet(found)], out, file_format)


def _check_metric(metric: str, records: Sequence[Record]) -> None:
    names = sorted({name for record in records for name in record.metrics})
    if names and metric not in names:
        fail(WRONG_USAGE, f"no trial has --metric {metric}{did_you_mean(metric, names)}; there are: {', '.join(names)}")


def _values(assignment: str, records: Sequence[Record]) -> tuple[str, Any, Any]:
    """The setting, and the two of its values in records that are written so."""
    name, _, text = assignment.partition("=")
    names = sorted({name for record in records for name in record.settings})
    if name not in names:
        fail(WRONG_USAGE, f"--setting {assignment}: no trial has a setting {name}{did_you_mean(name, names)}")
    there = {str(record.settings[name]): record.settings[name] for record in records if name in record.settings}
    wanted = text.split(",")
    if len(wanted) != 2 or not set(wanted) <= there.keys():
        fail(WRONG_USAGE, f"--setting {assignment}: NAME=A,B with two of its values; {name} has {', '.join(sorted(there))}")
    return name, there[wanted[0]], there[wanted[1]]


if __name__ == "__main__":
    app()

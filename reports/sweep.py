"""What a sweep found: its leaderboard, of a space with or without a table of a paper.

    python reports/sweep.py temperatures-demo
    python reports/sweep.py temperatures-demo --out leaderboard.csv

Reads `<runs-dir>/<sweep>/` and, for what was said of each video, the store, offline; writes nothing but what `--out` names.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import json
from typing import Annotated

import typer

from reports.command_line import RUNS, WRONG_USAGE, FileFormat, OutFile, RunsDir, board_of, fail, give
from reports.groups import sweep_names
from reports.leaderboard_sheet import leaderboard_sheet

SHORT = 10
"""Configurations that `--short` shows."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Of a sweep; may be left out if there is one.")] = None,
    runs_dir: RunsDir = RUNS,
    store: Annotated[Path | None, typer.Option(help="Store of the artifacts. Default: <runs-dir>/store.")] = None,
    short: Annotated[bool, typer.Option("--short", help=f"The {SHORT} best configurations only.")] = False,
    best: Annotated[
        bool, typer.Option("--best", help="Only the best trial of the best configuration, as JSON (null: none), and stop.")
    ] = False,
    file_format: FileFormat = None,
    out: OutFile = None,
) -> None:
    """Print which configuration of a sweep is best, which cannot be told apart from it, and what gave no number."""
    sweep = name or _only_sweep(runs_dir)
    board, _ = board_of(runs_dir, sweep, store)
    if best:
        print(json.dumps(board.best_trial and board.best_trial.trial))
        return
    give([leaderboard_sheet(board, SHORT if short else None)], out, file_format)


def _only_sweep(runs_dir: Path) -> str:
    names = sweep_names(runs_dir)
    if len(names) != 1:
        fail(WRONG_USAGE, f"which sweep? below {runs_dir} there are: {', '.join(names) or 'none'}")
    return names[0]


if __name__ == "__main__":
    app()

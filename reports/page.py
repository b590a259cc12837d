"""Pages to look at sweeps with, one self-contained HTML file each, and one over all of them.

    python reports/page.py                        all sweeps, and the page over them
    python reports/page.py temperatures-demo      that sweep, and the page over all

Reads `<runs-dir>/<sweep>/` and, for pictures and weights, the store, offline. Writes `<runs-dir>/<sweep>/page.html` and
`<runs-dir>/index.html`, or into the directory that `--out` names. A page opens from disk and asks for nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from typing import Annotated
from urllib.parse import quote

import typer

from harness.identity import read_identity
from harness.ledger import LedgerError
from reports.artifacts import Artifacts
from reports.command_line import FAILED, RUNS, RunsDir, check_sweep, fail, write
from reports.groups import read_trials, sweep_names
from reports.leaderboard import leaderboard, objective_of
from reports.pages.front import FrontRow, front_row
from reports.pages.rendering import front_html, sweep_html
from reports.pages.sweep import sweep_page
from reports.videos import telling

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Of a sweep; default: all.")] = None,
    runs_dir: RunsDir = RUNS,
    store: Annotated[Path | None, typer.Option(help="Store of the artifacts. Default: <runs-dir>/store.")] = None,
    out: Annotated[Path | None, typer.Option(help="Directory of the pages. Default: beside the sweeps' ledgers.")] = None,
) -> None:
    """Write a page of a sweep, or of all, and one over all of them."""
    check_sweep(runs_dir, name)
    directory, artifacts = out or runs_dir, Artifacts(store or runs_dir / "store")
    rows, failed = [], False
    for sweep in sweep_names(runs_dir):
        place = directory / sweep / "page.html"
        try:
            identity = read_identity(runs_dir / sweep)
            board = leaderboard(sweep, read_trials(runs_dir, sweep), objective_of(identity), telling(artifacts))
            if name in (None, sweep):
                page = sweep_page(board, identity, artifacts)
                write(place, sweep_html(page).encode())
        except (LedgerError, OSError) as error:
            print(error, file=sys.stderr)
            failed = failed or name in (None, sweep)
            rows.append(FrontRow(sweep, "", problem=str(error)))
            continue
        rows.append(front_row(board, f"{quote(sweep)}/page.html" if place.exists() else ""))
    write(directory / "index.html", front_html(rows).encode())
    if failed:
        fail(FAILED, "a sweep could not be read")


if __name__ == "__main__":
    app()

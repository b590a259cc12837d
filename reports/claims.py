"""Says which claims of the papers the trials of all sweeps bear out.

    python reports/claims.py
    python reports/claims.py temperature-0.02 gl-beats-mmgd
    python reports/claims.py --format html --out claims.html

Reads reports/claims.yaml, `<runs-dir>/*/ledger.jsonl`, and from the store what evaluations have said of each video, offline;
writes nothing but what `--out` names.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from typing import Annotated

import typer

from harness.ledger import LedgerError
from reports.artifacts import Artifacts
from reports.claimed import ClaimError, read_claims
from reports.claims_sheet import claim_sheets
from reports.command_line import FAILED, RUNS, FileFormat, OutFile, RunsDir, chosen, fail, give, trials_of
from reports.evidence import scoreboard
from reports.videos import telling

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="CLAIM", help="Claims; default: all.")] = None,
    list_claims: Annotated[bool, typer.Option("--list", help="List the claims and exit.")] = False,
    runs_dir: RunsDir = RUNS,
    sweep: Annotated[str | None, typer.Option(help="Read this sweep's ledger only.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="Store of the artifacts, for what was said of each video. Default: <runs-dir>/store.")
    ] = None,
    file_format: FileFormat = None,
    out: OutFile = None,
) -> None:
    """Print a scoreboard of the papers' claims with the evidence for and against each."""
    try:
        claims = read_claims()
    except ClaimError as error:
        fail(FAILED, str(error))
    if list_claims:
        for claim in claims.values():
            print(f"{claim.name}  {claim.says}")
        return
    wanted = chosen(names or [], claims, "claim") or list(claims.values())
    try:
        told = telling(Artifacts(store or runs_dir / "store"))
        scores = scoreboard(wanted, trials_of(runs_dir, sweep), told)
    except LedgerError as error:
        fail(FAILED, str(error))
    give(claim_sheets(scores), out, file_format)


if __name__ == "__main__":
    app()

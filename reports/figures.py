"""Draws the papers' figures from the ledgers of sweeps.

    python reports/figures.py
    python reports/figures.py auxskd/figure4-left --format svg --out paper/figures

Reads `<runs-dir>/*/ledger.jsonl`, and for pictures of filters the weights in the store, offline; writes one file per figure
into the directory that `--out` names.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from harness.ledger import LedgerError, Record
from reports.command_line import FAILED, RUNS, RunsDir, chosen, fail, trials_of, write
from reports.comparison import fill
from reports.curves import AGAINST_EPOCHS, AGAINST_VOLUME, Abscissa, draw_histories, draw_points, history_curves
from reports.drawing import FORMATS
from reports.filters import conv1_filters, draw_filters
from search_spaces.papers import PaperTable, paper_tables

Draw = Callable[[PaperTable, Sequence[Record], Path, str], bytes]
"""Given the figure, the trials on record, the store and the format."""


def _points(against: Abscissa) -> Draw:
    return lambda figure, trials, store, name: draw_points(fill(figure, trials), against, name)


def _histories(heading: str) -> Draw:
    return lambda figure, trials, store, name: draw_histories(figure, history_curves(figure, trials), heading, name)


def _filters(figure: PaperTable, trials: Sequence[Record], store: Path, name: str) -> bytes:
    return draw_filters(figure, conv1_filters(figure, trials, store), name)


DRAWINGS: dict[str, Draw] = {
    "auxskd/figure4-left": _points(AGAINST_EPOCHS),
    "auxskd/figure4-right": _histories("epochs of pretraining"),
    "graph/figure3": _filters,
    "graph/figure4a": _histories("epochs of distillation"),
    "graph/figure4b": _points(AGAINST_VOLUME),
}
FIGURES = {name: figure for name, figure in paper_tables().items() if name in DRAWINGS}

Format = StrEnum("Format", list(FORMATS))  # type: ignore[misc]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Figures; default: all.")] = None,
    list_figures: Annotated[bool, typer.Option("--list", help="List the figures and exit.")] = False,
    runs_dir: RunsDir = RUNS,
    store: Annotated[Path | None, typer.Option(help="Store of the artifacts. Default: <runs-dir>/store.")] = None,
    sweep: Annotated[str | None, typer.Option(help="Read this sweep's ledger only.")] = None,
    file_format: Annotated[Format | None, typer.Option("--format", help="Default: png.")] = None,
    out: Annotated[Path, typer.Option(help="Directory of the figures.")] = Path("figures"),
) -> None:
    """Draw the papers' figures with our numbers from the ledgers of sweeps."""
    if list_figures:
        for figure in FIGURES.values():
            print(f"{figure.id}  {figure.title}")
        return
    wanted = chosen(ids or [], FIGURES, "figure") or list(FIGURES.values())
    name = file_format or FORMATS[0]
    trials = trials_of(runs_dir, sweep)
    for figure in wanted:
        try:
            content = DRAWINGS[figure.id](figure, trials, store or runs_dir / "store", name)
        except LedgerError as error:
            fail(FAILED, str(error))
        write(out / f"{figure.file_stem}.{name}", content)


if __name__ == "__main__":
    app()

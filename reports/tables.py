"""Regenerates the papers' tables from the ledgers of sweeps, beside the published numbers.

    python reports/tables.py auxskd/table3
    python reports/tables.py auxskd/table2 --settings
    python reports/tables.py --format tex --out paper/tables

Reads `<runs-dir>/*/ledger.jsonl`, and from the store what evaluations have said of each video, offline, in under a few seconds;
writes nothing but what `--out` names.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from harness.ledger import LedgerError, Record
from reports.artifacts import Artifacts
from reports.command_line import FAILED, RUNS, WRONG_USAGE, FileFormat, RunsDir, chosen, fail, trials_of, write
from reports.comparison import fill
from reports.comparison_sheet import comparison_sheet
from reports.cost_sheet import cost_sheet
from reports.costs import costs_of
from reports.latex import bare_latex
from reports.sheet import Sheet
from reports.videos import Telling, telling
from reports.writers import FORMATS, Writer, show
from search_spaces.papers import SPLIT, PaperTable, as_assigned, paper_tables

DECLARED = paper_tables()
NUMBERED = {name: table for name, table in DECLARED.items() if table.measures or table.networks}
"""What has numbers to print: tables, and figures of accuracies."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Tables or figures; default: all tables.")] = None,
    list_tables: Annotated[bool, typer.Option("--list", help="List tables and figures and exit.")] = False,
    settings: Annotated[bool, typer.Option("--settings", help="Print the settings of each row and measure and exit.")] = False,
    runs_dir: RunsDir = RUNS,
    sweep: Annotated[str | None, typer.Option(help="Read this sweep's ledger only.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="Store of the artifacts, for what was said of each video. Default: <runs-dir>/store.")
    ] = None,
    file_format: FileFormat = None,
    bare: Annotated[bool, typer.Option("--bare", help="With tex: the tabulars alone, without floats and captions.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="A file (md, tex, csv, html) for one table, or a directory: one file per table.")
    ] = None,
) -> None:
    """Print the papers' tables with our numbers from the ledgers of sweeps."""
    if list_tables:
        for table in DECLARED.values():
            print(f"{table.id}  {table.title}")
        return
    if settings:
        for table in chosen(ids or [], DECLARED, "table") or _tables(DECLARED):
            print("\n".join(_settings_of(table)))
        return
    for name in ids or []:
        if name in DECLARED and name not in NUMBERED:
            fail(WRONG_USAGE, f"{name} has no numbers to print: python reports/figures.py {name} draws it")
    if bare and file_format not in (None, "tex"):
        fail(WRONG_USAGE, f"--bare goes with --format tex, not {file_format}")
    writers = {**FORMATS, "tex": bare_latex} if bare else FORMATS
    suffix = "tex" if bare else file_format
    wanted = chosen(ids or [], NUMBERED, "table") or _tables(NUMBERED)
    trials = trials_of(runs_dir, sweep)
    try:
        told = telling(Artifacts(store or runs_dir / "store"))
        sheets = [_sheet(table, trials, told) for table in wanted]
    except LedgerError as error:
        fail(FAILED, str(error))
    if out is not None:
        _write({table.file_stem: sheet for table, sheet in zip(wanted, sheets, strict=True)}, out, suffix, writers)
    elif suffix is None and sys.stdout.isatty():
        show(sheets, Console())
    else:
        sys.stdout.write(writers[suffix or "md"](sheets))


def _sheet(table: PaperTable, trials: Sequence[Record], told: Telling) -> Sheet:
    return cost_sheet(costs_of(table, trials)) if table.networks else comparison_sheet(fill(table, trials, told))


def _tables(declared: Mapping[str, PaperTable]) -> list[PaperTable]:
    return [table for table in declared.values() if not table.is_figure]


def _settings_of(table: PaperTable) -> Iterator[str]:
    """Lines that name, for each row and measure, the settings whose trials count there."""
    yield f"{table.id}: {table.title}"
    for row in table.rows:
        yield row.label
        if row.quoted:
            yield "  quoted from another paper: cannot be run"
        for measure in table.measures if not row.quoted else ():
            yield f"  {measure.column}: {_assignments({**row.parameters, **measure.settings})}"
        if not table.measures:
            yield f"  {_assignments(row.parameters)}"
        if row.at_paper_size:
            yield f"  at preset paper: {_assignments(row.at_paper_size)}"
    for measure in table.measures:
        if measure.splits:
            yield f"At preset paper, {measure.column}: mean over {SPLIT} = {', '.join(map(str, measure.splits))}"
    if table.paper_settings:
        yield f"The paper's circumstances: {_assignments(table.paper_settings)}"


def _assignments(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={as_assigned(value)}" for name, value in settings.items())


def _write(sheets: Mapping[str, Sheet], out: Path, file_format: str | None, writers: Mapping[str, Writer]) -> None:
    """Write one file per sheet (by the file's stem) into a directory, or one sheet into a file."""
    suffix = out.suffix.removeprefix(".")
    is_file = suffix in FORMATS and not out.is_dir()
    if is_file and len(sheets) > 1:
        fail(WRONG_USAGE, f"--out {out} is one file, but {len(sheets)} tables were asked for; name one table, or a directory")
    name = file_format or (suffix if is_file else "md")
    for stem, sheet in sheets.items():
        write(out if is_file else out / f"{stem}.{name}", writers[name]([sheet]).encode())


if __name__ == "__main__":
    app()

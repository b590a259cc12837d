"""Regenerates the papers' tables from the ledgers of sweeps, beside the published numbers.

    python reports/tables.py auxskd/table3
    python reports/tables.py --format tex --out paper/tables

Reads `<runs-dir>/*/ledger.jsonl`, offline, in under a few seconds; writes nothing but what `--out` names.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import os
import tempfile
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from harness.ledger import LedgerError
from reports.auxskd_tables import TABLE3
from reports.comparable_groups import read_trials, sweep_names
from reports.paper_comparison import compare
from reports.paper_table import PaperTable
from reports.table_formats import FORMATS, FilledTable, show

TABLES: dict[str, PaperTable] = {table.id: table for table in (TABLE3,)}

Format = StrEnum("Format", list(FORMATS))  # type: ignore[misc]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Tables; default: all.")] = None,
    list_tables: Annotated[bool, typer.Option("--list", help="List the tables and exit.")] = False,
    runs_dir: Annotated[Path, typer.Option(help="Directory of the sweeps.")] = Path("runs"),
    sweep: Annotated[str | None, typer.Option(help="Read this sweep's ledger only.")] = None,
    file_format: Annotated[Format | None, typer.Option("--format", help="Default: suffix of --out, or md.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="A file (md, tex, csv, html) for one table, or a directory: one file per table.")
    ] = None,
) -> None:
    """Print the papers' tables with our numbers from the ledgers of sweeps."""
    if list_tables:
        for table in TABLES.values():
            print(f"{table.id}  {table.title}")
        return
    chosen = _chosen(ids or [])
    if sweep is not None and not (runs_dir / sweep).is_dir():
        valid = ", ".join(sweep_names(runs_dir)) or "none yet"
        _fail(2, f"unknown sweep '{sweep}' below {runs_dir}; valid sweeps: {valid}")
    try:
        trials = read_trials(runs_dir, sweep)
        filled = [FilledTable(table, compare(table, trials)) for table in chosen]
    except (LedgerError, OSError) as error:
        _fail(1, str(error))
    if out is not None:
        _write(filled, out, file_format)
    elif file_format is None and sys.stdout.isatty():
        show(filled, Console())
    else:
        sys.stdout.write(FORMATS[file_format or "md"](filled))


def _chosen(ids: Sequence[str]) -> list[PaperTable]:
    for name in ids:
        if name not in TABLES:
            _fail(2, f"unknown table '{name}'; valid tables: {', '.join(TABLES)}")
    return [TABLES[name] for name in dict.fromkeys(ids)] or list(TABLES.values())


def _write(filled: Sequence[FilledTable], out: Path, file_format: str | None) -> None:
    """Write one file per table into a directory, or one table into a file."""
    suffix = out.suffix.removeprefix(".")
    is_file = suffix in FORMATS and not out.is_dir()
    if is_file and len(filled) > 1:
        _fail(2, f"--out {out} is one file, but {len(filled)} tables were asked for; name one table, or a directory")
    name = file_format or (suffix if is_file else "md")
    for table in filled:
        path = out if is_file else out / f"{table.table.file_stem}.{name}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_atomically(path, FORMATS[name]([table]))
        except OSError as error:
            _fail(1, f"cannot write {path}: {error.strerror}")
        print(path)


def _write_atomically(path: Path, text: str) -> None:
    """Replace a file as a whole: a crash leaves the old one or the new one."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _fail(code: int, message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(code)


if __name__ == "__main__":
    app()

"""What the commands of this directory share: choosing tables and sweeps, refusing what there is not, writing files whole."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console

from harness.identity import read_identity
from harness.ledger import LedgerError, Record
from reports.artifacts import Artifacts
from reports.groups import read_trials, sweep_names
from reports.leaderboard import Leaderboard, leaderboard, objective_of
from reports.sheet import Sheet
from reports.videos import telling
from reports.writers import FORMATS, show
from trainables.files import write_atomically
from trainables.suggestions import did_you_mean

WRONG_USAGE, FAILED = 2, 1
Format = StrEnum("Format", list(FORMATS))  # type: ignore[misc]
RunsDir = Annotated[Path, typer.Option(help="Directory of the sweeps.")]
OneSweep = Annotated[str | None, typer.Option(help="Show this sweep only.")]
FileFormat = Annotated[Format | None, typer.Option("--format", help="Default: suffix of --out, or md.")]
OutFile = Annotated[Path | None, typer.Option(help=f"A file ({', '.join(FORMATS)}).")]
RUNS = Path("runs")
"""Where sweeps are kept, and the one directory of them that need not be there yet."""


_T = TypeVar("_T")


def chosen(ids: Sequence[str], valid: Mapping[str, _T], kind: str) -> list[_T]:
    """What has these ids, each once. Ends the command for an unknown one; `kind` is what the message calls them."""
    for name in ids:
        if name not in valid:
            fail(WRONG_USAGE, f"unknown {kind} '{name}'; valid {kind}s: {', '.join(valid)}{did_you_mean(name, valid)}")
    return [valid[name] for name in dict.fromkeys(ids)]


def trials_of(runs_dir: Path, sweep: str | None) -> list[Record]:
    """The trials on record. Ends the command for an unknown sweep and for a ledger that cannot be read."""
    check_sweep(runs_dir, sweep)
    try:
        return read_trials(runs_dir, sweep)
    except (LedgerError, OSError) as error:
        fail(FAILED, str(error))


def board_of(runs_dir: Path, sweep: str, store: Path | None = None) -> tuple[Leaderboard, dict[str, Any]]:
    """The leaderboard of a sweep, and what its directory says that it is. Ends the command as `trials_of` does.

    store: of the artifacts, by default beside the sweeps.
    """
    trials = trials_of(runs_dir, sweep)
    try:
        identity = read_identity(runs_dir / sweep)
    except OSError as error:
        fail(FAILED, f"{error.filename}: {error.strerror}")
    return leaderboard(sweep, trials, objective_of(identity), telling(Artifacts(store or runs_dir / "store"))), identity


def check_sweep(runs_dir: Path, sweep: str | None) -> None:
    """Ends the command for an unknown sweep, and where there is no directory of sweeps."""
    if runs_dir != RUNS and not runs_dir.is_dir():
        fail(WRONG_USAGE, f"--runs-dir {runs_dir}: there is no such directory")
    if sweep is not None and not (runs_dir / sweep).is_dir():
        valid = sweep_names(runs_dir)
        names = ", ".join(valid) or "none yet"
        fail(WRONG_USAGE, f"unknown sweep '{sweep}' below {runs_dir}; valid sweeps: {names}{did_you_mean(sweep, valid)}")


def give(sheets: Sequence[Sheet], out: Path | None, file_format: str | None) -> None:
    """Write sheets to a file, or print them: as tables on a terminal, else as Markdown, unless a format is given.

    Ends the command for a file whose suffix is none of the formats.
    """
    if out is None:
        if file_format is None and sys.stdout.isatty():
            show(sheets, Console())
        else:
            sys.stdout.write(FORMATS[file_format or "md"](sheets))
        return
    name = file_format or out.suffix.removeprefix(".")
    if name not in FORMATS:
        fail(WRONG_USAGE, f"--out {out}: the suffix says the format, one of {', '.join(FORMATS)}; or give --format")
    write(out, FORMATS[name](sheets).encode())


def write(path: Path, content: bytes) -> None:
    """Replace a file as a whole and print its name: a crash leaves the old one or the new one. Ends the command on failure."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        fail(FAILED, f"cannot write {path}: {error.strerror}")
    print(path)


def fail(code: int, message: str) -> NoReturn:
    """End the command with a message for people."""
    print(message, file=sys.stderr)
    raise typer.Exit(code)

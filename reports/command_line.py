"""What the commands of this directory share: choosing tables and sweeps, refusing what there is not, writing files whole."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import typer

from harness.ledger import LedgerError, Record
from reports.comparable_groups import read_trials, sweep_names
from reports.paper_table import PaperTable

WRONG_USAGE, FAILED = 2, 1


def chosen(ids: Sequence[str], valid: Mapping[str, PaperTable], kind: str) -> list[PaperTable]:
    """The tables of these ids, each once. Ends the command for an unknown one; `kind` is what the message calls them."""
    for name in ids:
        if name not in valid:
            fail(WRONG_USAGE, f"unknown {kind} '{name}'; valid {kind}s: {', '.join(valid)}")
    return [valid[name] for name in dict.fromkeys(ids)]


def trials_of(runs_dir: Path, sweep: str | None) -> list[Record]:
    """The trials on record. Ends the command for an unknown sweep and for a ledger that cannot be read."""
    check_sweep(runs_dir, sweep)
    try:
        return read_trials(runs_dir, sweep)
    except (LedgerError, OSError) as error:
        fail(FAILED, str(error))


def check_sweep(runs_dir: Path, sweep: str | None) -> None:
    """Ends the command for an unknown sweep."""
    if sweep is not None and not (runs_dir / sweep).is_dir():
        valid = ", ".join(sweep_names(runs_dir)) or "none yet"
        fail(WRONG_USAGE, f"unknown sweep '{sweep}' below {runs_dir}; valid sweeps: {valid}")


def write(path: Path, content: bytes) -> None:
    """Replace a file as a whole and print its name: a crash leaves the old one or the new one. Ends the command on failure."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_atomically(path, content)
    except OSError as error:
        fail(FAILED, f"cannot write {path}: {error.strerror}")
    print(path)


def _write_atomically(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def fail(code: int, message: str) -> NoReturn:
    """End the command with a message for people."""
    print(message, file=sys.stderr)
    raise typer.Exit(code)

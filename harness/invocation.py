"""How a command of the harness begins and ends: its output, errors for people, exit codes, and signals at any time.

Exit codes: 2 wrong usage, 1 the system's refusal, 130 a signal; what a command's own codes mean it says itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import typer
from rich.console import Console
from typer.core import TyperCommand

from harness.attention import interruptible, leave
from harness.ledger import LedgerError
from harness.patience import Pulse
from harness.request import RequestError
from harness.terminal import LastingOutput
from search_spaces.space import SpaceError
from trainables.settings import SettingsError
from trainables.video.videos import DataError, printable

LONGEST_ERROR = 2000
"""Characters of an error that are shown: what a user typed may be quoted in it."""
console = Console(file=cast(IO[str], LastingOutput()), emoji=False)
errors = Console(stderr=True, emoji=False)


class Invocation(TyperCommand):
    """Errors of usage are one line and exit code 2, and so is a signal, with 130, at any time."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with interruptible():
                return super().invoke(ctx)
        except typer.Exit as ended:
            leave(ended.exit_code)
            raise
        except KeyboardInterrupt:
            said, code = "interrupted", 130
        except (SettingsError, SpaceError, RequestError, DataError, LedgerError) as error:
            said, code = str(error), 2
        except OSError as error:
            said, code = f"{error.strerror}: {error.filename}" if error.filename else str(error), 1
        if len(said) > LONGEST_ERROR:
            said = f"{said[:LONGEST_ERROR]} ... ({len(said):,} characters)"
        shown = "\n".join(map(printable, said.splitlines()))
        errors.print(shown if code == 130 else f"error: {shown}", style="red", highlight=False, markup=False, soft_wrap=True)
        leave(code)
        raise typer.Exit(code)


@contextmanager
def told(what: str) -> Iterator[None]:
    """Says what is being done, and where it stands still; apart from the output, which may be JSON."""

    def say(message: str) -> None:
        errors.print(f"note: {message}", style="yellow", highlight=False, markup=False, soft_wrap=True)

    with console.status(f"{what} ..."), Pulse(what, say):
        yield


def check_directory(option: str, path: Path | None) -> None:
    """Raises RequestError for what is there and no directory, and for what cannot be looked at."""
    try:
        if path is None or path.is_dir() or not (path.exists() or path.is_symlink()):
            return
        problem = "not a directory"
    except OSError as error:
        problem = error.strerror or str(error)
    raise RequestError(f"{option}: {problem}: {path}")

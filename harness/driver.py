"""One driver per sweep: the process that hands out its trials and writes its ledger.

The lock is the kernel's (flock), so it ends with the process however that dies, and a clock that jumps changes nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

LOCK_FILE = "driver.lock"
LOOK_SECONDS = 0.05
"""Longer than another process takes to look whether the lock is held."""


class SweepIsRun(RuntimeError):
    """Another process runs the sweep; the message says which, where and since when."""


@dataclass(frozen=True)
class Driver:
    """A process that runs a sweep, or ran it when it was killed. Of one that wrote nothing down yet nothing is known."""

    host: str = ""
    pid: int = 0
    since: str = ""

    def __str__(self) -> str:
        since = f", since {self.since}" if self.since else ""
        return f"process {self.pid} on {self.host}{since}" if self.pid else "another process"


@contextmanager
def only_driver(sweep: Path) -> Iterator[None]:
    """Be the only process that runs the sweep of a directory, which must exist. Raises SweepIsRun at once, or OSError."""
    with os.fdopen(os.open(sweep / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644), "r+") as file:
        if not _locked(file, fcntl.LOCK_EX):
            raise SweepIsRun(f"sweep '{sweep.name}' is being run by {_written(file.read())}")
        file.truncate()
        json.dump(
            {"host": platform.node(), "pid": os.getpid(), "since": datetime.now().astimezone().isoformat(" ", "seconds")}, file
        )
        file.flush()
        try:
            yield
        finally:
            file.seek(0)
            file.truncate()


def driver_of(sweep: Path) -> Driver | None:
    """Which process runs the sweep of a directory; None where none does. Raises OSError."""
    driver, holds = last_driver(sweep)
    return driver if holds else None


def last_driver(sweep: Path) -> tuple[Driver | None, bool]:
    """The process that runs the sweep of a directory, or left it without an end in order; and whether it runs it now.

    Raises OSError.
    """
    try:
        with (sweep / LOCK_FILE).open() as file:
            holds = not _locked(file, fcntl.LOCK_SH, tries=1)
            content = file.read()
    except FileNotFoundError:
        return None, False
    return (_written(content) if content or holds else None), holds


def _locked(file: IO[str], kind: int, tries: int = 3) -> bool:
    """Whether the lock was got. Several tries, as another process may just be looking whether it is held."""
    for _ in range(tries):
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(LOOK_SECONDS)
    return False


def _written(content: str) -> Driver:
    try:
        held = json.loads(content)
        return Driver(str(held["host"]), int(held["pid"]), str(held["since"]))
    except (ValueError, KeyError, TypeError):
        return Driver()

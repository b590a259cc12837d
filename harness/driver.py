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
from datetime import datetime
from pathlib import Path
from typing import IO

LOCK_FILE = "driver.lock"
LOOK_SECONDS = 0.05
"""Longer than another process takes to look whether the lock is held."""


class SweepIsRun(RuntimeError):
    """Another process runs the sweep; the message says which, where and since when."""


@contextmanager
def only_driver(sweep: Path) -> Iterator[None]:
    """Be the only process that runs the sweep of a directory, which must exist. Raises SweepIsRun at once, or OSError."""
    with os.fdopen(os.open(sweep / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644), "r+") as file:
        if not _locked(file, fcntl.LOCK_EX):
            raise SweepIsRun(f"sweep '{sweep.name}' is being run by {_holder(file.read())}")
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


def driver_of(sweep: Path) -> str | None:
    """Which process runs the sweep of a directory, where and since when, in words; None where none does."""
    try:
        with (sweep / LOCK_FILE).open() as file:
            return None if _locked(file, fcntl.LOCK_SH, tries=1) else _holder(file.read())
    except FileNotFoundError:
        return None


def _locked(file: IO[str], kind: int, tries: int = 3) -> bool:
    """Whether the lock was got. Several tries, as another process may just be looking whether it is held."""
    for _ in range(tries):
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(LOOK_SECONDS)
    return False


def _holder(content: str) -> str:
    try:
        held = json.loads(content)
        return f"process {held['pid']} on {held['host']}, since {held['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"

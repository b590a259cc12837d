"""One driver per sweep: the process that hands out its trials and writes its ledger.

The lock is the kernel's (flock), so it ends with the process however that dies, and a clock that jumps changes nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

LOCK_FILE = "driver.lock"


class SweepIsRun(RuntimeError):
    """Another process runs the sweep; the message says which, where and since when."""


@contextmanager
def only_driver(sweep: Path) -> Iterator[None]:
    """Be the only process that runs the sweep of a directory, which must exist. Raises SweepIsRun at once, or OSError."""
    with os.fdopen(os.open(sweep / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SweepIsRun(f"sweep '{sweep.name}' is being run by {_holder(file.read())}") from None
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


def _holder(content: str) -> str:
    try:
        held = json.loads(content)
        return f"process {held['pid']} on {held['host']}, since {held['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"

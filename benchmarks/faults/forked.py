"""Doing something in a process of its own that has everything imported already, and how that process ended."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

CRASHED = 70
"""Exit code of a process in which something was raised."""
POLL_SECONDS = 0.005


def start(do: Callable[[], int], output: Path) -> int:
    """Start a forked process, with a session of its own, that does something and ends with the exit code which that gives.

    What it says is appended to `output`, with the traceback of what it raises. Returns its process id.
    """
    child = os.fork()
    if child == 0:
        _do(do, output)
    return child


def _do(do: Callable[[], int], output: Path) -> None:
    """In the forked process; does not return."""
    code = CRASHED
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for standard in (0, 1, 2):
            os.dup2(descriptor if standard else os.open(os.devnull, os.O_RDONLY), standard)
        sys.stdout = sys.stderr = open(1, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115  as long as the process
        try:
            code = do()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(child: int) -> int | None:
    """The exit code of a child, negative for a signal; None while it runs. To be asked no more once it was given."""
    known, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if known else None


def wait(child: int, seconds: float) -> int | None:
    """Its exit code; None if it runs longer, and then it runs on."""
    end = time.monotonic() + seconds
    while (code := ended(child)) is None and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    return code


def kill(child: int) -> int:
    """Kill a child that runs, and all of its session."""
    os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(do: Callable[[], int], output: Path, seconds: float) -> int:
    """Start it and wait for its exit code; it is killed when it takes longer."""
    child = start(do, output)
    try:
        code = wait(child, seconds)
    except BaseException:
        kill(child)
        raise
    return kill(child) if code is None else code

"""The processes below this one, those that outlive their parent included: what is read of them in /proc."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

SET_CHILD_SUBREAPER = 36  # of prctl(2)


def adopt_orphans() -> None:
    """Let processes that outlive their parent become children of this one. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this process cannot adopt the orphans of what it starts")


def descendants() -> list[Path]:
    """The /proc directories of all processes below this one."""
    children: dict[int, list[int]] = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                parent = int(_after_name(process)[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(process.name))
    found, waiting = [], list(children.get(os.getpid(), []))
    while waiting:
        number = waiting.pop()
        found.append(Path("/proc") / str(number))
        waiting += children.get(number, [])
    return found


def seconds_computed(process: Path) -> tuple[int, float]:
    """When a process was started, in ticks, and for how long it has computed, without its children. Raises OSError."""
    fields = _after_name(process)
    return int(fields[19]), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _after_name(process: Path) -> list[str]:
    """The fields of /proc/PID/stat after the program's name, which may hold anything: from the state on."""
    return (process / "stat").read_text().rpartition(")")[2].split()

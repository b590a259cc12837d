"""How a worker's process ended, by what Ray says and the worker's log shows, and whether the trial or its node is to blame.

Of a process that ended without a word Ray says only that the connection broke. A crash of native code leaves its name and the
Python stack in the worker's log; what leaves nothing was killed. Imports no Ray.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

WORKER_LIVES = 5
"""How often a trial is begun before the death of its worker counts as its own failure."""
LOG_BYTES = 20_000
"""Of the end of a worker's log that are looked at and kept."""
SIGNALS = {"Segmentation fault": "SIGSEGV", "Aborted": "SIGABRT", "Bus error": "SIGBUS", "Illegal instruction": "SIGILL"}
"""What faulthandler calls them."""
NODE_DIED = ("node has died", "node is dead", "node was terminated", "node died", "Owner's node has crashed")
NEVER_RAN = "never ran"
UNAVAILABLE = "temporarily unavailable"
SHORT_OF_MEMORY = ("low on memory", "memory pressure", "OutOfMemory")


@dataclass(frozen=True)
class Worker:
    """What a worker tells of itself when it begins a trial. node: its machine's name; node_id: Ray's; log: a file of that
    machine; oom_kills: of processes that the system had ended there for want of memory."""

    node: str
    node_id: str
    pid: int
    log: str
    oom_kills: int

    def __str__(self) -> str:
        log = f", log {self.log}" if self.log else ""
        return f"process {self.pid} on {self.node}{log}"


@dataclass(frozen=True)
class Death:
    """how: in words. of_node: whether its node went, too. log: what the worker's log ends with, where it can be read.

    begun: whether it ever ran.
    """

    how: str
    of_node: bool
    log: str = ""
    begun: bool = True


def death_of(message: str, worker: Worker | None, alive: Collection[str]) -> Death:
    """What ended a worker. message: Ray's. worker: None if it ended before it told of itself. alive: Ray's ids of nodes.

    While Ray has not seen yet that a node is gone it says that a worker there is unavailable.
    """
    place = f": {worker}" if worker else ""
    lost = UNAVAILABLE in message if worker is None else worker.node_id not in alive
    if lost or any(sign in message for sign in NODE_DIED):
        return Death(f"its node was lost{f': {worker.node}' if worker else ''}", of_node=True)
    if worker is None and NEVER_RAN in message:
        return Death("no worker could be started: the actor never ran", of_node=False, begun=False)
    log = _end_of(worker)
    return Death(f"{_how(message, worker, log)}{place}", of_node=False, log=log)


def _how(message: str, worker: Worker | None, log: str) -> str:
    if any(sign in message for sign in SHORT_OF_MEMORY):
        used = re.search(r"(\S+ used / \S+) limit", message)
        return f"ended by Ray, as its node was short of memory{f' ({used[1]})' if used else ''}"
    if "SIGTERM" in message:
        return "ended by SIGTERM"
    if code := re.search(r"exit code (-?\d+)", message):
        return f"exit code {code[1]}"
    if crashes := re.findall(r"Fatal Python error: (.+)", log):
        crash: str = crashes[-1].strip()
        return SIGNALS.get(crash, crash)
    if UNAVAILABLE in message:
        return "no contact with it any more"
    if "connection error" in message:
        short = worker is not None and worker.node == platform.node() and oom_kills() > worker.oom_kills
        why = "the system was short of memory and ended processes" if short else "as the system does when memory is short"
        return f"killed (SIGKILL; {why})"
    return " ".join(message.split()) or "Ray does not say how"


def _end_of(worker: Worker | None) -> str:
    if worker is None or worker.node != platform.node() or not worker.log:
        return ""
    try:
        with Path(worker.log).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - LOG_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def oom_kills() -> int:
    """How many processes this machine's kernel has ended for want of memory since it was started; 0 where it does not say."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, number = line.partition(" ")
            if name == "oom_kill":
                return int(number)
    return 0

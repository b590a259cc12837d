"""Ends a trial that takes too long, or whose stage goes on no more, from inside its worker, and tells the driver by a file.

What hangs may be native code that never returns and holds Python's lock, so the clock is faulthandler's: a thread of C that
writes the Python stack of every thread to a file and ends the process. Before it may strike, what it would strike for stands in
that file. Imports no Ray.
"""

from __future__ import annotations

import faulthandler
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

LEAST_SECONDS, MOST_SECONDS = 0.01, threading.TIMEOUT_MAX
"""That faulthandler can be set to."""
STRUCK = "Timeout ("
"""How faulthandler begins what it writes when the time is over."""

Limit = Literal["stage", "trial", "stall"]


@dataclass(frozen=True)
class Limits:
    """Seconds that are allowed, None: any number. stage: for a stage; trial: for all its stages; stall: between two reports of
    a stage that runs. They count from where a worker begins a trial, or goes on with one, without what it waits for others."""

    stage: float | None = None
    trial: float | None = None
    stall: float | None = None


@dataclass(frozen=True)
class Struck:
    """A trial that was ended. allowed: seconds. at: what its stage had reported last; stack: of all threads, the innermost call
    first."""

    limit: Limit
    allowed: float
    stage: str | None
    at: Mapping[str, Any]
    stack: str

    @property
    def reason(self) -> str:
        """In words, for the ledger."""
        allowed, where = f"{self.allowed:g} s (--{self.limit}-timeout)", f"{self.stage}{_reached(self.at)}"
        if self.limit == "stall":
            return f"{where} made no progress for {allowed}"
        if self.limit == "stage":
            return f"{where} was stopped after {allowed}"
        return f"stopped after {allowed}" + (f", in {where}" if self.stage else "")


def _reached(line: Mapping[str, Any]) -> str:
    for unit, units in (("epoch", "epochs"), ("batch", "batches")):
        if unit in line:
            return f" (at {unit} {line[unit]} of {line.get(units, '?')})"
    return ""


class Watchdog:
    """A context manager, in which a trial tells what it reports. path: where the driver looks when the worker died."""

    def __init__(self, limits: Limits, path: Path) -> None:
        self.limits, self.path = limits, path
        self.file: int | None = None
        self.stage: str | None = None
        self.at: Mapping[str, Any] = {}
        self.waiting = False
        self.trial_seconds = self.stage_seconds = 0.0
        self.since: float | None = None

    def __enter__(self) -> Self:
        if any(limit is not None for limit in vars(self.limits).values()):
            self.path.unlink(missing_ok=True)
            self.file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._go_on()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._stop()
        if self.file is not None:
            os.close(self.file)
            self.file = None
            with suppress(OSError):
                self.path.unlink()

    @contextmanager
    def told(self, line: Mapping[str, Any]) -> Iterator[None]:
        """A report: nothing counts while the driver takes it, and what it says decides what counts from then on."""
        self._stop()
        try:
            yield
        finally:
            self._take(line)
            self._go_on()

    def _take(self, line: Mapping[str, Any]) -> None:
        if "waits" in line:
            self.waiting = True
        if "stage" not in line:
            return
        self.waiting = False
        stage = None if "made" in line else line["stage"]
        if stage != self.stage:
            self.stage, self.stage_seconds = stage, 0.0
        self.at = {name: line[name] for name in ("epoch", "epochs", "batch", "batches") if name in line}

    def _stop(self) -> None:
        if self.file is None or self.since is None:
            return
        faulthandler.cancel_dump_traceback_later()
        elapsed = time.monotonic() - self.since
        self.trial_seconds += elapsed
        self.stage_seconds += elapsed
        self.since = None

    def _go_on(self) -> None:
        if self.file is None or self.waiting:
            return
        self.since = time.monotonic()
        left: list[tuple[float, Limit, float]] = []
        if self.limits.trial is not None:
            left.append((self.limits.trial - self.trial_seconds, "trial", self.limits.trial))
        if self.limits.stage is not None and self.stage is not None:
            left.append((self.limits.stage - self.stage_seconds, "stage", self.limits.stage))
        if self.limits.stall is not None and self.stage is not None:
            left.append((self.limits.stall, "stall", self.limits.stall))
        if not left:
            return
        seconds, limit, allowed = min(left)
        os.ftruncate(self.file, 0)
        head = {"limit": limit, "allowed": allowed, "stage": self.stage, "at": dict(self.at)}
        os.write(self.file, f"{json.dumps(head)}\n".encode())
        faulthandler.dump_traceback_later(min(max(seconds, LEAST_SECONDS), MOST_SECONDS), file=self.file, exit=True)


def struck(path: Path) -> Struck | None:
    """What a watchdog that ended its process left, and removes it; None where none did."""
    try:
        head, _, rest = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    except OSError:
        return None
    with suppress(OSError):
        path.unlink()
    said, _, stack = rest.partition("\n")
    if not said.startswith(STRUCK):
        return None
    return Struck(**json.loads(head), stack=stack)

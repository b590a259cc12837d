"""Signs of life: what the process that runs a sweep tells of it every few seconds, in a sealed file of the sweep's directory.

It says what the ledger does not hold: which trials run at the moment, how far each is, and how many are to come. Whoever
watches from elsewhere reads it (harness/condition.py); a sweep is continued without it. Imports no Ray, no Optuna, no torch.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.ledger import Outcome
from trainables.checksums import Mismatch, sealed, unsealed
from trainables.files import write_atomically

SIGN_FILE = "status.json"
JOINED_FILES = "status-*.json"
SIGN_SECONDS = 3.0
"""Between two signs."""


class RunningTrial(BaseModel):
    """A trial that runs, at the time of the sign. seconds: for how long it has run; quiet: since its worker told anything.

    label: its row or its parameters, and its seed. node: the machine, None: not told yet. batch: within the epoch, or of what a
    stage without epochs counts.
    """

    model_config = ConfigDict(extra="ignore")

    trial: str
    label: str
    seconds: float
    quiet: float
    node: str | None = None
    stage: str | None = None
    epoch: int | None = None
    epochs: int | None = None
    batch: int | None = None
    batches: int | None = None


class Sign(BaseModel):
    """What a sweep's process tells. total: trials in all, None: not known. ended: trial -> outcome; reused: how many were
    found.

    seconds_left: by its own estimate. occupied_seconds: for how long trials have occupied each device, by this command and
    those before it. search_over: whether its budget holds no more of a search that it confirms. note: what it last said that a
    user should know. over: how it ended, once it has.
    """

    model_config = ConfigDict(extra="ignore")

    at: datetime
    host: str
    pid: int
    command: str
    directory: str = Field(description="where the command was given")
    total: int | None
    ended: dict[str, Outcome]
    reused: int
    running: list[RunningTrial]
    seconds_left: float | None
    occupied_seconds: dict[str, float] = Field(default_factory=dict)
    search_over: bool = False
    note: str | None = None
    over: str | None = None


class Signs:
    """Writes a sign at once, every SIGN_SECONDS, and when the block ends. tell: the fields of a sign that change.

    What cannot be written is left out: nothing depends on it.
    """

    name = SIGN_FILE

    def __init__(self, sweep: Path, command: str, tell: Callable[[], dict[str, Any]]) -> None:
        self.path = sweep / self.name
        self.tell = tell
        self.fixed = {"host": platform.node(), "pid": os.getpid(), "command": command, "directory": str(Path.cwd())}
        self.over = "it ended by an error"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="signs", daemon=True)

    def __enter__(self) -> Self:
        for left in self.left_behind():
            with contextlib.suppress(OSError):
                left.unlink()
        self._write()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._write(over=self.over)

    def left_behind(self) -> list[Path]:
        """By processes that were killed, as they wrote or after they had joined; whoever is still at it writes again."""
        return [*self.path.parent.glob(f".{self.name}.*.new"), *self.path.parent.glob(JOINED_FILES)]

    def _write_on(self) -> None:
        while not self._stop.wait(SIGN_SECONDS):
            self._write()

    def _write(self, over: str | None = None) -> None:
        sign = Sign(at=datetime.now(UTC), over=over, **self.fixed, **self.tell())
        with contextlib.suppress(OSError):
            write_atomically(self.path, sealed(sign.model_dump(mode="json")))


class SignsOfJoined(Signs):
    """Of a process that has joined a sweep: in a file of its own, which is there while it works."""

    def __init__(self, sweep: Path, command: str, tell: Callable[[], dict[str, Any]]) -> None:
        self.name = JOINED_FILES.replace("*", f"{platform.node()}-{os.getpid()}")
        super().__init__(sweep, command, tell)

    def left_behind(self) -> list[Path]:
        """What others left is the driver's to remove."""
        return []

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        super().__exit__(kind, error, traceback)
        with contextlib.suppress(OSError):
            self.path.unlink()


def read_joined(sweep: Path) -> list[Sign]:
    """The last signs of processes that have joined a sweep, of killed ones too. Raises OSError."""
    found = (_read(path) for path in sorted(sweep.glob(JOINED_FILES)))
    return [sign for sign in found if sign is not None]


def read_sign(sweep: Path) -> Sign | None:
    """The last sign of a sweep; None where there is none, or none that can be made sense of. Raises OSError."""
    return _read(sweep / SIGN_FILE)


def _read(path: Path) -> Sign | None:
    try:
        return Sign.model_validate(unsealed(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError, Mismatch, ValidationError):
        return None

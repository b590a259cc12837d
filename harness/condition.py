"""How a sweep is, from what lies on disk alone: whether a process runs it, what runs, what has ended, how it goes on.

Who asks may be on another machine that shares the disk. Nothing is written, and a sweep may run meanwhile. It is judged by the
driver's lock, its signs of life, and the ledger. Imports no Ray, no Optuna, no torch.
"""

from __future__ import annotations

import platform
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from harness.driver import LOCK_FILE, Driver, last_driver
from harness.identity import IDENTITY_FILE
from harness.ledger import FILE_NAME, LedgerError, Outcome, Record, read_records, standing
from harness.signs import SIGN_FILE, RunningTrial, Sign, read_joined, read_sign

SILENT_SECONDS = 60.0
"""Without a sign after which a sweep counts as silent, or as dead where nothing holds its lock."""
ENDED: tuple[Outcome, ...] = ("complete", "pruned", "failed")

State = Literal["running", "silent", "finished", "stopped", "dead"]
"""silent: a process holds the sweep and gives no sign, as it is suspended, or its machine is gone. stopped: it ended in order,
with trials left. dead: its process ended without a word."""


@dataclass(frozen=True)
class Condition:
    """A sweep as it is now. driver: the process that runs it, or ran it last. ended: trials by outcome; total: in all, None
    where that is not known. joined: processes that compute for it, whose trials are among those running. last: its last sign of
    life; age: seconds since then. problem: what could not be read."""

    directory: Path
    state: State
    driver: Driver | None
    sign: Sign | None
    ended: dict[Outcome, int]
    failures: tuple[Record, ...]
    running: tuple[RunningTrial, ...]
    joined: tuple[Driver, ...]
    total: int | None
    last: datetime | None
    age: float | None
    command: str | None
    problem: str | None = None

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def done(self) -> int:
        return sum(self.ended.get(outcome, 0) for outcome in ENDED)

    @property
    def seconds_left(self) -> float | None:
        """By the sweep's own estimate, while it runs."""
        if self.state != "running" or self.sign is None or self.sign.seconds_left is None:
            return None
        return max(self.sign.seconds_left - (self.age or 0.0), 0.0)

    @property
    def continued_by(self) -> str | None:
        """The command that continues it, where that makes sense."""
        if self.state not in ("stopped", "dead") or self.command is None:
            return None
        return f"cd {shlex.quote(self.sign.directory)} && {self.command}" if self.sign else self.command

    def as_json(self) -> dict[str, Any]:
        """Plain data. Times are seconds; what is not known is null."""
        return {
            "name": self.name,
            "directory": str(self.directory),
            "state": self.state,
            "total": self.total,
            "done": self.done,
            **{outcome: self.ended.get(outcome, 0) for outcome in (*ENDED, "interrupted")},
            "running": [trial.model_dump() for trial in self.running],
            "joined": [{"host": one.host, "pid": one.pid} for one in self.joined],
            "seconds_left": self.seconds_left,
            "host": self.driver.host if self.driver else None,
            "pid": self.driver.pid if self.driver else None,
            "last_sign": self.last.isoformat() if self.last else None,
            "seconds_since": self.age,
            "note": self.sign.note if self.sign else None,
            "over": self.sign.over if self.sign else None,
            "command": self.command,
            "continued_by": self.continued_by,
            "problem": self.problem,
        }


@dataclass
class Observer:
    """Looks at sweeps. One that looks again and again reads only the ledgers that have changed."""

    read: dict[Path, tuple[tuple[int, int, int], list[Record]]] = field(default_factory=dict)

    def look(self, directory: Path) -> Condition:
        """How the sweep of a directory is. What cannot be read is its `problem`."""
        problem = None
        driver, holds, sign, records = None, False, None, []
        joined: list[Sign] = []
        try:
            driver, holds = last_driver(directory)
            sign = read_sign(directory)
            joined = [one for one in read_joined(directory) if _age(one) < SILENT_SECONDS]
            records = self._records(directory / FILE_NAME)
        except LedgerError as error:
            problem = str(error)
        except OSError as error:
            problem = f"{error.filename}: {error.strerror}"
        if sign and driver and holds and (driver.host, driver.pid) != (sign.host, sign.pid):
            sign = None  # of an earlier process: this one has not got so far
        return _condition(directory, driver, holds, sign, joined, records, problem)

    def _records(self, path: Path) -> list[Record]:
        """The last record of every trial that stands. Raises LedgerError or OSError."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return []
        state = (status.st_ino, status.st_size, status.st_mtime_ns)
        if path not in self.read or self.read[path][0] != state:
            self.read[path] = state, standing(list({record.trial: record for record in read_records(path)}.values()))
        return self.read[path][1]


def _condition(
    directory: Path,
    driver: Driver | None,
    holds: bool,
    sign: Sign | None,
    joined: Sequence[Sign],
    records: Sequence[Record],
    problem: str | None,
) -> Condition:
    outcomes: dict[str, Outcome] = {record.trial: record.outcome for record in records}
    running: tuple[RunningTrial, ...] = ()
    last = max((when for record in records if (when := _when(record))), default=None)
    if sign is not None:
        outcomes = sign.ended | {record.trial: record.outcome for record in records if _is_new(record, sign)}
        running = tuple(trial for trial in sign.running if trial.trial not in outcomes)
        last = sign.at
    ended = Counter(outcomes.values())
    age = _age(sign) if sign else max((datetime.now(UTC) - last).total_seconds(), 0.0) if last else None
    total = sign.total if sign else None
    of_joined = [
        trial.model_copy(update={"quiet": trial.quiet + _age(one) - (age or 0.0)}) for one in joined for trial in one.running
    ]
    state = _state(holds, driver is not None, sign, age, ended, total)
    return Condition(
        directory=directory,
        state=state,
        driver=driver or (Driver(sign.host, sign.pid) if sign else None),
        sign=sign,
        ended=dict(ended),
        failures=tuple(record for record in records if record.outcome == "failed"),
        running=(*running, *of_joined) if state in ("running", "silent", "dead") else (),
        joined=tuple(Driver(one.host, one.pid) for one in joined),
        total=total,
        last=last,
        age=age,
        command=sign.command if sign else next((record.command for record in reversed(records)), None),
        problem=problem,
    )


def _age(sign: Sign) -> float:
    """Seconds since it was given, by the clocks of both machines."""
    return max((datetime.now(UTC) - sign.at).total_seconds(), 0.0)


def _is_new(record: Record, sign: Sign) -> bool:
    """Whether it tells of an end that the sign does not know yet: of a trial that ran, or had not begun. Others of the ledger
    may be of rows that are gone, or wait to be run again."""
    when = _when(record)
    if when is None or record.trial in sign.ended:
        return False
    began = next((sign.at - timedelta(seconds=one.seconds) for one in sign.running if one.trial == record.trial), sign.at)
    return when > began


def _state(holds: bool, named: bool, sign: Sign | None, age: float | None, ended: Counter[Outcome], total: int | None) -> State:
    """holds: whether a process holds the lock. named: whether one stands in it, which one that ends in order does not leave."""
    fresh = sign is not None and sign.over is None and age is not None and age < SILENT_SECONDS
    if holds:
        return "running" if sign is None or fresh else "silent"
    if sign is None:  # an earlier version wrote none, and does not tell how many trials there are to be
        done = any(ended[outcome] for outcome in ENDED) and not ended["interrupted"]
        return "dead" if named else "finished" if done else "stopped"
    if fresh and sign.host != platform.node():
        return "running"  # not every file system shows a lock to another machine
    if total is not None and sum(ended[outcome] for outcome in ENDED) >= total:
        return "finished"
    return "dead" if sign.over is None else "stopped"


def _when(record: Record) -> datetime | None:
    """When a trial ended; None where that was not written, or by hand and not as a time."""
    try:
        when = datetime.fromisoformat(record.ended or "")
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def sweeps_below(runs_dir: Path) -> list[Path]:
    """The directories of sweeps, in order of their names. Raises OSError."""
    marks = (IDENTITY_FILE, FILE_NAME, LOCK_FILE, SIGN_FILE)
    return sorted(path for path in runs_dir.iterdir() if any((path / mark).is_file() for mark in marks))

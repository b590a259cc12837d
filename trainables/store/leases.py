"""The right to make an artifact, held by one process at a time: a file with a heartbeat (filelock's SoftFileLease).

The lease of a process that died on this host is taken over at once, that of a silent host after `LEASE_SECONDS`, which every
contender measures by its own monotonic clock, so that clocks that differ or jump change nothing. A process that was suspended
for longer wakes up believing that it still holds it: before it writes it has to ask `is_held`.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import LeaseSettingsMismatch, SoftFileLease, Timeout

from trainables.store.errors import StoreError, readable_errors

LEASE_SECONDS = 60.0
POLL_SECONDS = 0.5
CLAIMED = "claimed"
"""An empty file in a claim's directory: since when it is held."""
EMPTY_SECONDS = 2.0
"""After which a lease without content is none that is just being written."""
EXCHANGE_SECONDS = 0.1
"""For which a contender's look at a lease may move it aside, at most."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lease. since: seconds since 1970, by the holder's clock."""

    host: str
    pid: int
    since: float

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {datetime.datetime.fromtimestamp(self.since):%Y-%m-%d %H:%M:%S}"


class Lease:
    """The lease of an artifact's place. token: names this claim, once it is held."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.token = ""
        self._lock = _lock(target)
        self._empty: tuple[tuple[int, int], float] | None = None

    def acquire(self, seconds: float) -> bool:
        """Whether it is held now, after waiting for so long at most. Raises StoreError."""
        with readable_errors(self.target.parent):
            try:
                self._lock.acquire(timeout=seconds)
            except Timeout:
                self._spoil_if_empty()
                return False
            except LeaseSettingsMismatch as error:
                raise StoreError(f"another version of the program is at work in {self.target.parent}: {error}") from error
        self.token = self._lock.token or ""
        return True

    def _spoil_if_empty(self) -> None:
        """After a power cut there may be a file of which the content was lost. Such a one filelock takes for held by an early
        version of itself for ever; one with any content that makes no sense it takes over."""
        with contextlib.suppress(OSError), lease_path(self.target).open("r+b") as file:
            status, now = os.fstat(file.fileno()), time.monotonic()
            state = status.st_ino, status.st_ctime_ns
            if status.st_size or self._empty is None or self._empty[0] != state:
                self._empty = None if status.st_size else (state, now)
            elif now - self._empty[1] >= EMPTY_SECONDS:
                file.write(b"lost")

    def is_held(self) -> bool:
        """Whether the lease is still one's own, by what lies on the disk."""
        for wait in (EXCHANGE_SECONDS, EXCHANGE_SECONDS, 0):
            if self._lock.compromise is not None:
                return False
            owner = self._lock.owner
            if owner is not None and owner.token == self.token:
                return True
            time.sleep(wait)
        return False

    def release(self) -> None:
        """Give it up; one that cannot be taken from the disk lapses by itself."""
        with contextlib.suppress(OSError):
            self._lock.release()


class Watch:
    """Who holds which leases. What nobody refreshes while it is being watched is held by nobody."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[tuple[int, ...], float]] = {}

    def holder(self, target: Path) -> Holder | None:
        """Who holds a lease. One of another host counts as held until it was seen for LEASE_SECONDS without being refreshed."""
        owner = _lock(target).owner
        if owner is None or (owner.hostname == socket.gethostname() and not _runs(owner.pid)):
            return None
        path = lease_path(target)
        try:
            status = path.lstat()
        except OSError:
            return None
        state, now = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns), time.monotonic()
        if (seen := self._seen.get(path)) is None or seen[0] != state:
            seen = self._seen[path] = state, now
        if now - seen[1] >= LEASE_SECONDS:
            return None
        try:
            since = (work_path(target) / str(owner.token) / CLAIMED).stat().st_mtime
        except OSError:
            since = status.st_mtime
        return Holder(owner.hostname, owner.pid, since)


def lease_path(target: Path) -> Path:
    return target.with_name(f".{target.name}.lease")


def work_path(target: Path) -> Path:
    """Where unfinished work on an artifact lies, a directory for each claim, named by its token."""
    return target.with_name(f".{target.name}.work")


def _lock(target: Path) -> SoftFileLease:
    return SoftFileLease(lease_path(target), lease_duration=LEASE_SECONDS, poll_interval=POLL_SECONDS / 5, thread_local=False)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return True

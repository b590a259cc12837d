"""The store as a directory that any number of processes share."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from trainables.files import flush
from trainables.store.artifact import Artifact, published
from trainables.store.errors import DamagedArtifact, StoreError, readable_errors
from trainables.store.leases import POLL_SECONDS, Holder, Lease, Watch, lease_path, work_path
from trainables.store.workplace import Workplace

FIRST_WORD_SECONDS = 30.0
"""After which a process that waits says so for the first time."""
WORD_SECONDS = 60.0
"""Between two times that it says so."""


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)


class Store:
    """Artifacts below one directory, shared by any number of processes. warn: tells the user of damage, in one line."""

    def __init__(self, directory: Path, warn: Callable[[str], None] = _warn) -> None:
        self.directory = Path(directory)
        self.warn = warn
        self._watch = Watch()

    def find(self, kind: str, key: str) -> Artifact | None:
        """The artifact of a stage, or None when it has not been published, or is damaged as far as sizes tell."""
        try:
            return published(self.directory / kind / key)
        except DamagedArtifact:
            return None

    def holder(self, kind: str, key: str) -> Holder | None:
        """Who is making an artifact, or None when nobody holds a live lease."""
        return self._watch.holder(self.directory / kind / key)

    @contextlib.contextmanager
    def claim(
        self, kind: str, key: str, *, on_wait: Callable[[Holder, float], None] | None = None
    ) -> Iterator[Artifact | Workplace]:
        """The artifact, or the exclusive right to make it; waits while another process is making it.

        A damaged artifact is set aside. on_wait: told who is waited for, and for how many seconds already, first after
        FIRST_WORD_SECONDS. Inside, work that another process has taken over raises LeaseLost.
        """
        target = self.directory / kind / key
        with readable_errors(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
        lease = Lease(target)
        artifact = self._awaited(lease, on_wait)
        if artifact is None:
            try:
                artifact = self.settled(target)
                if artifact is None:
                    workplace = Workplace(self, kind, key, lease)
                    workplace.begin()
                    try:
                        yield workplace
                    finally:
                        workplace.end()
            finally:
                lease.release()
        if artifact is not None:
            self._tidy(target)
            yield artifact

    def _tidy(self, target: Path) -> None:
        """Remove what a process that was killed after it had published has left beside the artifact."""
        if not (work_path(target).exists() or lease_path(target).exists()):
            return
        lease = Lease(target)
        with contextlib.suppress(StoreError):
            if lease.acquire(0):
                shutil.rmtree(work_path(target), ignore_errors=True)
                lease.release()

    def _awaited(self, lease: Lease, on_wait: Callable[[Holder, float], None] | None) -> Artifact | None:
        """The artifact as soon as it is there; None as soon as the lease is held."""
        started = time.monotonic()
        word = started + FIRST_WORD_SECONDS
        while True:
            if (artifact := self.find(lease.target.parent.name, lease.target.name)) is not None:
                return artifact
            if lease.acquire(POLL_SECONDS):
                return None
            now = time.monotonic()
            if on_wait is not None and now >= word and (holder := self._watch.holder(lease.target)) is not None:
                word = now + WORD_SECONDS
                on_wait(holder, now - started)

    def find_again(self, target: Path) -> Artifact | None:
        """The artifact at a place, by a listing of its folder: a client of a network file system may remember for half a minute
        that a name was not there."""
        with readable_errors(target.parent, "read"), os.scandir(target.parent) as entries:
            there = any(entry.name == target.name for entry in entries)
        return published(target) if there else None

    def settled(self, target: Path) -> Artifact | None:
        """The whole artifact at a place, or None, and then nothing is there: what is damaged is set aside. Needs the lease."""
        try:
            return self.find_again(target)
        except DamagedArtifact as damage:
            self._move_aside(damage)
            return None

    def set_aside(self, artifact: Artifact) -> None:
        """Move a damaged artifact out of the way, to `.damaged-<key>-<number>` beside it, so that it is made again.

        Nothing happens where another process has done so, or is about to.
        """
        lease = Lease(artifact.directory)
        while True:
            try:
                artifact.verify()
                return
            except DamagedArtifact:
                if not os.path.lexists(artifact.directory):
                    return
            if lease.acquire(POLL_SECONDS):
                break
        try:
            if (found := self.settled(artifact.directory)) is not None:
                found.verify()
        except DamagedArtifact as damage:
            self._move_aside(damage)
        finally:
            lease.release()

    def _move_aside(self, damage: DamagedArtifact) -> None:
        directory = damage.directory
        with readable_errors(directory.parent):
            names = (directory.with_name(f".damaged-{directory.name}-{number}") for number in itertools.count(1))
            aside = next(path for path in names if not os.path.lexists(path))
            directory.rename(aside)
            flush(directory.parent)
        self.warn(f"{damage}: set aside as {aside.name}; it is made again when it is needed")

    def check_writable(self) -> None:
        """Raises StoreError when nothing can be written below the store."""
        with readable_errors(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            probe = self.directory / f".writable-{uuid.uuid4().hex}"
            probe.write_bytes(b"0" * 4096)
            probe.unlink()


def artifacts(store: Path) -> Iterator[tuple[str, Artifact]]:
    """(kind, artifact) of everything published in a store, whole or damaged, in order of kind and key."""
    for path in sorted(Path(store).glob("[!.]*/[!.]*/")):
        yield path.parent.name, Artifact(path)

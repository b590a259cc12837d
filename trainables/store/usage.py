"""What a store holds and who uses it: the artifacts, the trials whose records name them, and rules by which some may go."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.store.artifact import DONE, Artifact
from trainables.store.course import SUFFIX
from trainables.store.directory import artifacts
from trainables.store.errors import DamagedArtifact, readable_errors
from trainables.store.leases import Lease

DAY = 24 * 3600.0


@dataclass
class Ledgers:
    """The records of every sweep beside a store. records: sweep -> its lines that are records; damaged: lines that are not."""

    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    damaged: int = 0

    @classmethod
    def read(cls, runs: Path) -> Ledgers:
        """Of `<runs>/*/ledger.jsonl`. Raises OSError."""
        ledgers = cls()
        for path in sorted(runs.glob("*/ledger.jsonl")):
            records = ledgers.records[path.parent.name] = []
            for line in path.read_bytes().splitlines():
                try:
                    record = json.loads(line)
                    _used(record)
                except (ValueError, TypeError, KeyError, AttributeError):
                    ledgers.damaged += 1
                else:
                    records.append(record)
        return ledgers

    def uses(self) -> dict[tuple[str, str], set[tuple[str, str]]]:
        """(kind, key) -> the (sweep, trial) that name it."""
        uses: dict[tuple[str, str], set[tuple[str, str]]] = {}
        for sweep, records in self.records.items():
            for record in records:
                for artifact in _used(record):
                    uses.setdefault(artifact, set()).add((sweep, record["trial"]))
        return uses

    def best(self, sweep: str, objective: str, count: int) -> set[str]:
        """The trials of a sweep with the highest values, by the last record of each."""
        last = {record["trial"]: record for record in self.records[sweep]}
        values = {trial: record.get("metrics", {}).get(objective) for trial, record in last.items()}
        ranked = sorted((trial for trial in values if values[trial] is not None), key=lambda trial: -values[trial])
        return set(ranked[:count])


def _used(record: dict[str, Any]) -> list[tuple[str, str]]:
    """(kind, key) of the stages of a record; a stage of one of several data sets is called `<kind>/<set>`."""
    record["trial"].strip()
    return [(name.partition("/")[0], key) for name, key in record["stages"].items()]


@dataclass(frozen=True)
class Rules:
    """Which artifacts may go: those to which everything that is given applies. best: of a sweep, all but its best trials'."""

    unreferenced: bool = False
    older_than: float | None = None
    sweep: str | None = None
    best: frozenset[str] = frozenset()

    def select(self, artifact: Artifact, users: set[tuple[str, str]]) -> bool:
        return (
            (not self.unreferenced or not users)
            and (self.older_than is None or time.time() - date_of(artifact) > self.older_than * DAY)
            and (self.sweep is None or self._belongs_to_the_rest(users))
        )

    def _belongs_to_the_rest(self, users: set[tuple[str, str]]) -> bool:
        return bool(users) and all(sweep == self.sweep and trial not in self.best for sweep, trial in users)


def selected(store: Path, ledgers: Ledgers, rules: Rules) -> Iterator[Path]:
    """The directories of the artifacts that the rules select."""
    uses = ledgers.uses()
    for kind, artifact in artifacts(store):
        if rules.select(artifact, uses.get((kind, artifact.key), set())):
            yield artifact.directory


def leftovers(store: Path) -> Iterator[Path]:
    """What was set aside as damaged, and unfinished work: of running stages, too, which their leases guard."""
    yield from sorted((*store.glob("*/.damaged-*"), *store.glob("*/.*.work")))


def rungs(store: Path) -> Iterator[Path]:
    """The states from which more epochs would go on, of every training that has ended."""
    yield from sorted(store.glob(f"*/.*{SUFFIX}/*"))


def lease_of(path: Path) -> Lease:
    """Of an artifact, or of the one that leftovers belong to; of a state of a course one that nobody else asks for."""
    name = path.name
    if path.parent.suffix == SUFFIX:
        return Lease(path.parent.with_name(f"{path.parent.name.removeprefix('.')}-{name}"))
    if name.endswith(".work"):
        name = name[1 : -len(".work")]
    elif name.startswith(".damaged-"):
        name = name.removeprefix(".damaged-").rpartition("-")[0]
    return Lease(path.with_name(name))


def remove(paths: Iterable[Path]) -> list[Path]:
    """Remove directories, each under its lease. Returns those that stay, as others hold theirs. Raises StoreError."""
    stay = []
    for path in paths:
        lease = lease_of(path)
        if not lease.acquire(0):
            stay.append(path)
            continue
        try:
            with readable_errors(path):
                _remove(path)
        finally:
            lease.release()
    return stay


def _remove(path: Path) -> None:
    """An artifact first loses its place, so that none is ever found half removed; the state that it left goes with it."""
    gone = path
    if path.parent.suffix == SUFFIX:
        shutil.rmtree(path)
        with contextlib.suppress(OSError):  # other states are of the same course
            path.parent.rmdir()
        return
    if not path.name.startswith("."):
        if (rung := rung_of(Artifact(path))) is not None:
            _remove(rung)
        gone = path.with_name(f".damaged-{path.name}-removed")
        path.rename(gone)
    shutil.rmtree(gone)


def rung_of(artifact: Artifact) -> Path | None:
    """Where the state is from which more epochs than its own go on; None where there is none, or it cannot be told."""
    try:
        return artifact.rung
    except DamagedArtifact:
        return None


def size_of(directory: Path) -> int:
    """Bytes of all files below, and of an artifact of the state that it left."""
    places = [directory]
    if not directory.name.startswith(".") and directory.parent.suffix != SUFFIX:
        places += filter(None, [rung_of(Artifact(directory))])
    found = [path.stat() for place in places for path in place.rglob("*") if path.is_file()]
    return sum({(one.st_dev, one.st_ino): one.st_size for one in found}.values())  # checkpoints are in both


def date_of(artifact: Artifact) -> float:
    """When it was published, in seconds since 1970."""
    path = artifact.directory / DONE
    return (path if path.exists() else artifact.directory).stat().st_mtime

"""The outcome of every trial: the source of truth of a sweep, one JSON record per line.

`Record` is the written schema (docs/ledger.md). The last record of a trial counts, so a retry or a resumed trial supersedes
what was written before it. Reading tolerates a last line torn by a crash. Any number of processes may append. Every line ends
in a seal, a hash of the rest, so that a changed digit is no other result. What a trial's metrics were after each epoch lies
beside the ledger, a sealed file per trial. Imports no Ray, no Optuna, no W&B.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from trainables.checksums import Mismatch, sealed_line, unsealed_line
from trainables.files import digest, flush, write_atomically

FILE_NAME = "ledger.jsonl"
HISTORIES = "histories"
"""Directory beside a ledger, with a file per trial: metric -> its value after each epoch."""
SET_ASIDE = "ledger.damaged.jsonl"
"""File beside a ledger to which `repair` moves lines that are no records."""
SCHEMA = 5
"""Version of the record; raised when a field comes that older versions of the program refuse."""
SEALED = 3
"""The version from which on every line has a seal."""
NO_RECORD = (ValidationError, Mismatch)
"""What is raised of a line that is no record, or not the one that was written."""

Outcome = Literal["complete", "pruned", "failed", "interrupted"]


_FRACTIONS = ("accuracy", "top1", "top5", "map", "retrieval_r", "knn", "chance")
"""Words that names of metrics hold which are fractions in [0, 1]."""


def is_fraction(metric: str) -> bool:
    """Whether a metric is a fraction that people read in percent: an accuracy, mean average precision, R@k or the probe's."""
    name = metric.partition("/")[2] or metric
    return any(word in name for word in _FRACTIONS)


def scale_of(metric: str) -> int:
    """What a metric is multiplied by where people read it: 100 for a fraction, which is then in percent, else 1."""
    return 100 if is_fraction(metric) else 1


class LedgerError(ValueError):
    """A ledger that cannot be read; the message names file and line."""


class Seconds(BaseModel):
    """Times of one stage in seconds. A stage that was found in the store costs nothing and saves what it once took."""

    model_config = ConfigDict(extra="forbid")

    used: float = Field(ge=0, description="spent by this trial")
    saved: float = Field(ge=0, description="spent earlier by another trial, an interrupted run or a shorter training")


class Record(BaseModel):
    """One trial outcome. Accuracies are fractions in [0, 1], times seconds, sizes bytes."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = Field(default=1, le=SCHEMA, description="version of this schema; 1 where a record has none")
    trial: str = Field(description="identity: hash of recipe, settings, data and seed")
    index: int = Field(ge=0, description="position of the configuration in its sweep; its seeds share it")
    row: str | None = Field(description="label of the paper's row this configuration is, or null")
    space: str
    preset: str
    parameters: dict[str, Any] = Field(description="what the space varied, by setting name")
    settings: dict[str, Any] = Field(description="every setting by its dotted name")
    departures: dict[str, Any] = Field(
        default_factory=dict,
        description="the settings that differ from what the preset gives with the trial's protocol and task",
    )
    data: dict[str, Any] = Field(
        description="per role, pretraining and downstream: data set, fingerprint, classes, videos of each part, missing "
        "(listed but absent), skipped (unreadable)"
    )
    seed: int = Field(ge=0)
    stages: dict[str, str] = Field(description="stage -> key of its artifact in the store")
    metrics: dict[str, float] = Field(
        description="last value of every metric, prefixed by stage; test/ is never shown to a search"
    )
    history: dict[str, list[float]] = Field(
        default_factory=dict,
        description="metric -> its value after each epoch of its stage; kept in a file of its own beside the ledger",
    )
    seconds: dict[str, Seconds] = Field(description="stage -> times")
    extended: dict[str, int] = Field(
        default_factory=dict,
        description="stage -> epochs of a shorter training that it went on from, of stages that did",
    )
    rungs: dict[int, float] = Field(
        default_factory=dict,
        description="of a sweep by halving, epochs -> the objective after a training of so many, by which it went on or not",
    )
    outcome: Outcome
    reason: str | None = Field(description="why it failed or was pruned")
    code: dict[str, str] = Field(
        default_factory=dict,
        description="stage -> hash of the syntax trees of the modules that made it, and whose they are: a commit's, a "
        "version's, or edited",
    )
    ended: str | None = Field(default=None, description="when it ended, UTC, ISO 8601; null in older records")
    versions: dict[str, str] = Field(
        description="protocol, Python, packages, decoder, and of what computed it: device, and node, the machine's name"
    )
    command: str = Field(description="the command that ran it, without secrets")

    @property
    def seconds_alone(self) -> float:
        """What all its stages take where none is found in the store."""
        return sum(spent.used + spent.saved for spent in self.seconds.values())


EVALUATIONS = ("evaluate", "evaluate_student", "fusion", "ensemble")
"""Stages that say of each video which class it shows."""
HOURS = "hours"
"""The name of what a trial costs alone, among metrics."""


def value_of(record: Record, metric: str) -> float | None:
    """A metric of a trial, or its HOURS; None where it has none."""
    if metric == HOURS:
        return record.seconds_alone / 3600
    return record.metrics.get(metric)


_Histories = TypeAdapter(dict[str, list[float]])
_Settings = TypeAdapter(dict[str, Any])


class Ledger:
    """Append-only file of records in a sweep's directory."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME
        self._last: dict[str, Record] = {}
        if self.path.exists():
            for record in read_records(self.path):
                self._last[record.trial] = record

    def records(self) -> list[Record]:
        """The last record of every trial, in order of configuration and seed."""
        return sorted(self._last.values(), key=lambda record: (record.index, record.seed))

    def get(self, trial: str) -> Record | None:
        return self._last.get(trial)

    def append(self, record: Record) -> None:
        """Write a record durably: its history, then one line, flushed to the disk before this returns. Raises OSError."""
        if record.history:
            path = _history_file(self.path, record.trial)
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, sealed_line(record.history))
        line = line_of(record)
        new = not self.path.exists()
        with _locked(self.path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(_whole(file, size))
            file.truncate()
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if new:
            flush(self.path.parent)
        self._last[record.trial] = record.model_copy(update={"history": {}})


def line_of(record: Record) -> bytes:
    """A record, without its history, as it is written. Raises ValueError for numbers that are not finite."""
    return sealed_line({**record.model_dump(exclude={"history"}), "schema_version": SCHEMA})


def _record(line: bytes) -> Record:
    """The record that a line is, its line break aside. Raises NO_RECORD."""
    text = unsealed_line(line if line.endswith(b"\n") else line + b"\n")
    if text is None:
        record = Record.model_validate_json(line)
        if record.schema_version >= SEALED:
            raise Mismatch("has lost its seal")
        return record
    before, begins, rest = text.partition(b', "settings": {')
    inside, ends, after = rest.partition(b'}, "space": ')
    if not ends or b"{" in inside:
        return Record.model_validate_json(text)
    record = Record.model_validate_json(before + begins + ends + after)
    record.settings = _settings(b"{" + inside + b"}")
    return record


@lru_cache(maxsize=64)
def _settings(text: bytes) -> dict[str, Any]:
    """The settings that a sealed line holds: more than half of it, and the same for all seeds of a configuration."""
    return _Settings.validate_json(text)


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """A ledger's file, to read and write, while no other process has it so."""
    while True:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):  # else it was repaired meanwhile: another file
                yield file
                return


def _whole(file: IO[bytes], size: int) -> int:
    """Where the last whole line of a file ends: only such a line ends in a line break, and a crash leaves less.

    A last line that is a record and lacks its line break alone, as editors leave it, is completed.
    """
    end = size
    while end > 0:
        file.seek(end - 1)
        if file.read(1) == b"\n":
            break
        end -= 1
    file.seek(end)
    if end < size and _is_record(file.read(size - end)):
        file.seek(size)
        file.write(b"\n")
        return size + 1
    return end


def _is_record(line: bytes) -> bool:
    try:
        _record(line)
    except NO_RECORD:
        return False
    return True


def read_records(path: Path, *, histories: bool = False) -> list[Record]:
    """All records of a ledger file in order of writing; a torn last line is left out. histories: with those of their epochs.

    Records share the values that they have in common. Raises LedgerError naming the line that is not a record.
    """
    with _no_collection():
        records = _read(path)
    if histories:
        for record in records:
            record.history = record.history or read_history(path, record.trial)
    return records


def _read(path: Path) -> list[Record]:
    records: list[Record] = []
    for number, line in _lines(path):
        try:
            record = _record(line)
        except NO_RECORD as error:
            if not line.endswith(b"\n"):
                break
            raise LedgerError(_problem(path, number, line, error)) from None
        if records:
            _share(records[-1], record)
        records.append(record)
    return records


@contextmanager
def _no_collection() -> Iterator[None]:
    """Of garbage, while objects are made by the million and none is garbage: looking through them is a fifth of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def superseded(records: Sequence[Record]) -> list[Record]:
    """Records of experiments that were run again by other code, or with a later version of a stage, and completed.

    Of those with the same parameters, seed and data, and the same settings as far as both have them, the complete one that
    ended last stands. The others that ended before it are given, in their order: numbers of the same question that nothing
    should be made of.
    """
    questions: dict[str, list[Record]] = {}
    for record in records:
        questions.setdefault(_question(record), []).append(record)
    old: set[int] = set()
    for alike in questions.values():
        for place, record in enumerate(alike if len(alike) > 1 else ()):
            if any(_answers_again(other, record, later=number > place) for number, other in enumerate(alike)):
                old.add(id(record))
    return [record for record in records if id(record) in old]


def standing(records: Sequence[Record]) -> list[Record]:
    """The records without those that are superseded."""
    old = {id(record) for record in superseded(records)}
    return [record for record in records if id(record) not in old]


def _answers_again(other: Record, record: Record, later: bool) -> bool:
    """Whether another record is the answer that stands instead. later: whether it was written later, if no times are known."""
    if other.outcome != "complete" or other.trial == record.trial:
        return False
    if any(other.settings[name] != value for name, value in record.settings.items() if name in other.settings):
        return False
    ended, its_end = other.ended or "", record.ended or ""
    return ended > its_end or (ended == its_end and later)


def _question(record: Record) -> str:
    data = {role: entry.get("fingerprint") for role, entry in record.data.items()}
    return digest([record.preset, record.parameters, record.seed, data, record.versions.get("protocol")])


def read_history(path: Path, trial: str) -> dict[str, list[float]]:
    """Metric -> its value after each epoch, of a trial of the ledger at `path`; nothing where that was not kept.

    A damaged file counts as none, with a warning.
    """
    file = _history_file(path, trial)
    try:
        content = file.read_bytes()
        return _Histories.validate_json(unsealed_line(content) or content)
    except OSError:
        return {}
    except NO_RECORD:
        warnings.warn(f"{file} is damaged: what it says of the epochs is not used", stacklevel=2)
        return {}


def repair(path: Path) -> list[str]:
    """Move the lines of a ledger that are no records to SET_ASIDE beside it, and say what each was.

    Lines of a newer version of the program stay, and so does all else, as it is.
    """
    said: list[str] = []
    with _locked(path):
        kept, removed = [], []
        for number, line in _lines(path):
            try:
                _record(line)
            except NO_RECORD as error:
                if not _is_newer(line):
                    removed.append(line)
                    said.append(_problem(path, number, line, error, advice=""))
                    continue
            kept.append(line if line.endswith(b"\n") else line + b"\n")
        if removed:
            aside = path.with_name(SET_ASIDE)
            before = aside.read_bytes() if aside.exists() else b""
            write_atomically(aside, before + b"".join(line.rstrip(b"\n") + b"\n" for line in removed))
            write_atomically(path, b"".join(kept))
    return said


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        yield from enumerate(file, start=1)


def _history_file(ledger: Path, trial: str) -> Path:
    return ledger.parent / HISTORIES / f"{trial}.json"


def _share(before: Record, record: Record) -> None:
    """Thousands of records of one sweep hold the same settings over and over; what is equal is kept once."""
    fields, its = vars(record), vars(before)
    for name in ("departures", "data", "versions", "code"):
        if fields[name] == its[name]:
            fields[name] = its[name]
    own, other = record.settings, before.settings
    if own is other:
        return
    varied = {name: own[name] for name in before.parameters | record.parameters if name in own}
    alike = other | varied if any(other.get(name) != value for name, value in varied.items()) else other
    if alike == own:
        fields["settings"] = alike
    elif own.keys() == other.keys():
        fields["settings"] = {name: other[name] if other[name] == value else value for name, value in own.items()}


def _is_newer(line: bytes) -> bool:
    try:
        content = json.loads(line)
        return int(content["schema_version"]) > SCHEMA
    except (ValueError, TypeError, KeyError):
        return False


def _problem(path: Path, number: int, line: bytes, error: Exception, advice: str = "; --repair sets it aside") -> str:
    where = f"{path}, line {number}"
    if _is_newer(line):
        return f"{where} was written by a newer version of auxgraph, which is needed to read it"
    if not isinstance(error, ValidationError):
        return f"{where} {error}{advice}"
    said = error.errors()[0]
    field = ".".join(map(str, said["loc"]))
    return f"{where} is not a trial record ({field + ': ' if field else ''}{said['msg']}){advice}"

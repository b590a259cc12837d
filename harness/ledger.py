"""The outcome of every trial: the source of truth of a sweep, one JSON record per line.

`Record` is the written schema (docs/ledger.md). The last record of a trial counts, so a retry or a resumed trial supersedes
what was written before it. Reading tolerates a last line torn by a crash. Imports no Ray, no Optuna, no W&B.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

FILE_NAME = "ledger.jsonl"

Outcome = Literal["complete", "pruned", "failed", "interrupted"]


_FRACTIONS = ("accuracy", "top1", "top5", "map", "retrieval_r", "chance")
"""Words that names of metrics hold which are fractions in [0, 1]."""


def is_fraction(metric: str) -> bool:
    """Whether a metric is a fraction that people read in percent: an accuracy, mean average precision or R@k."""
    name = metric.partition("/")[2] or metric
    return any(word in name for word in _FRACTIONS)


class LedgerError(ValueError):
    """A ledger that cannot be read; the message names file and line."""


class Seconds(BaseModel):
    """Times of one stage in seconds. A stage that was found in the store costs nothing and saves what it once took."""

    model_config = ConfigDict(extra="forbid")

    used: float = Field(ge=0, description="spent by this trial")
    saved: float = Field(ge=0, description="spent earlier by another trial or an interrupted run")


class Record(BaseModel):
    """One trial outcome. Accuracies are fractions in [0, 1], times seconds, sizes bytes."""

    model_config = ConfigDict(extra="forbid")

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
        default_factory=dict, description="metric -> its value after each epoch of its stage"
    )
    seconds: dict[str, Seconds] = Field(description="stage -> times")
    outcome: Outcome
    reason: str | None = Field(description="why it failed or was pruned")
    ended: str | None = Field(default=None, description="when it ended, UTC, ISO 8601; null in older records")
    versions: dict[str, str] = Field(
        description="protocol, Python, packages, decoder, and of what computed it: device, and node, the machine's name"
    )
    command: str = Field(description="the command that ran it, without secrets")


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
        """Write a record durably: one line, flushed to the disk before this returns."""
        line = json.dumps(record.model_dump(), allow_nan=False, ensure_ascii=False, sort_keys=True) + "\n"
        with self.path.open("ab+") as file:
            _drop_torn_line(file)
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self._last[record.trial] = record


def _drop_torn_line(file: IO[bytes]) -> None:
    """Cut what a crash left of the last line; only a line that is whole ends in a line break."""
    size = file.seek(0, os.SEEK_END)
    while size > 0:
        file.seek(size - 1)
        if file.read(1) == b"\n":
            break
        size -= 1
    file.truncate(size)


def read_records(path: Path) -> list[Record]:
    """All records of a ledger file in order of writing; a torn last line is left out.

    Raises LedgerError naming the line that is not a record.
    """
    records = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            records.append(Record.model_validate_json(line))
        except ValidationError as error:
            raise LedgerError(f"{path}, line {number} is not a trial record: {error.errors()[0]['msg']}") from None
    return records

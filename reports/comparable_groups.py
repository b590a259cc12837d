"""Sorts trials into groups whose numbers may stand in one table: same preset, data, protocol and other settings."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.ledger import FILE_NAME, LedgerError, Record, read_records


class DataSet(BaseModel):
    """What a record says of a data set: identity, videos of each part, missing and unreadable ones (name: reason)."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    fingerprint: str
    classes: int
    train: int
    validation: int
    test: int
    missing: int
    skipped: dict[str, str]


@dataclass(frozen=True)
class Group:
    """Trials that differ in seed and in the varied settings only. `data` is by role, `settings` are all the others."""

    preset: str
    data: Mapping[str, DataSet]
    protocol: str
    settings: Mapping[str, Any]
    records: tuple[Record, ...]

    @property
    def roles_of_data(self) -> list[tuple[DataSet, list[str]]]:
        """Every data set once, with the roles it has."""
        roles: dict[tuple[str, str], list[str]] = {}
        for role, data in self.data.items():
            roles.setdefault((data.dataset, data.fingerprint), []).append(role)
        return [(self.data[same[0]], same) for same in roles.values()]

    @property
    def missing_videos(self) -> int:
        """Videos that the split lists name and the copies on disk lack, over all data sets."""
        return sum(data.missing for data, _ in self.roles_of_data)


def sweep_names(runs_directory: Path) -> list[str]:
    """Sweeps below `runs_directory` that have a ledger."""
    return sorted(path.parent.name for path in runs_directory.glob(f"*/{FILE_NAME}"))


def read_trials(runs_directory: Path, sweep: str | None = None) -> list[Record]:
    """The last record of every trial of each sweep (or of one), ordered by sweep, configuration and seed.

    Writes nothing, so a running sweep may be read. Raises LedgerError for a line that is not a record.
    """
    trials = []
    for name in sweep_names(runs_directory):
        if sweep in (None, name):
            last = {record.trial: record for record in read_records(runs_directory / name / FILE_NAME)}
            trials += sorted(last.values(), key=lambda record: (record.index, record.seed, record.trial))
    return trials


def comparable_groups(records: Iterable[Record], varied: Collection[str]) -> list[Group]:
    """Groups of comparable records, ordered by what defines them; only the settings in `varied` may differ in one.

    Raises LedgerError for a record whose data sets are not described.
    """
    members: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        members.setdefault(_identity(record, varied), []).append(record)
    return [_group(members[identity], varied) for identity in sorted(members)]


def _identity(record: Record, varied: Collection[str]) -> tuple[str, ...]:
    fingerprints = {role: (data.dataset, data.fingerprint) for role, data in _data(record).items()}
    return (record.preset, _canonical(fingerprints), _protocol(record), _canonical(_shared(record, varied)))


def _group(records: list[Record], varied: Collection[str]) -> Group:
    first = records[0]
    return Group(first.preset, _data(first), _protocol(first), _shared(first, varied), tuple(records))


def _data(record: Record) -> dict[str, DataSet]:
    try:
        return {role: DataSet.model_validate(entry) for role, entry in sorted(record.data.items())}
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise LedgerError(
            f"trial {record.trial}: its data lacks what docs/ledger.md says ({field}: {problem['msg']})"
        ) from None


def _shared(record: Record, varied: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in sorted(record.settings.items()) if name not in varied}


def _protocol(record: Record) -> str:
    return record.versions.get("protocol", "unknown")


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)

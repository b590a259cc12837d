"""Sorts trials into groups whose numbers may stand in one table: same preset, protocol, data and other settings.

Where a table varies the data sets, its rows have different ones; a group then holds each data set in one version only, so
that a real Kinetics-100 never meets a stand-in, nor a whole copy a partial one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.ledger import FILE_NAME, LedgerError, Record, read_records, standing

LIKE_FOR_LIKE, PUBLISHED = "like_for_like", "published"
CHECKPOINTS = {"auxskd.checkpoint": "auxskd.checkpoints", "pretext.checkpoint": "pretext.checkpoints"}
"""Which checkpoint of a stage is handed on -> how many there are, which is the last."""

Free = Callable[[Record], Collection[str]]
"""Names of settings in which this very record may differ from others."""

_SHARES = {"pretraining": "data.pretraining_share", "downstream": "data.labelled_share"}
"""By role, the setting that says which share of the training videos is used."""

_Version = tuple[tuple[str, str], ...]
"""What a data set's name stands for: data set and fingerprint (more than one only where a record contradicts itself)."""

_Versions = dict[tuple[str, int, float], _Version]
"""By name, split and share."""


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
class UsedSet:
    """A data set as a trial uses it: its role, the name by which the settings ask for it, and what was there; which split
    of it, and which share of its training videos."""

    role: str
    name: str
    data: DataSet
    split: int | None = None
    share: float = 1.0

    @property
    def asked(self) -> tuple[str, int, float]:
        """What the settings ask for; one version of it is in a group."""
        return (self.name, self.split or 1, self.share)

    @property
    def stands_in(self) -> bool:
        """Whether another data set was read in place of the one asked for."""
        return self.data.dataset != self.name


@dataclass(frozen=True)
class Group:
    """Trials that differ in seed and in what a table varies only.

    protocol: `like_for_like` or `published`. version: of how numbers are computed. sets: all data sets, by role and name.
    settings: those that all trials share. departures: those of them that differ from preset and protocol.
    """

    preset: str
    protocol: str
    version: str
    sets: tuple[UsedSet, ...]
    settings: Mapping[str, Any]
    departures: Mapping[str, Any]
    records: tuple[Record, ...]

    @property
    def roles_of_sets(self) -> list[tuple[UsedSet, list[str]]]:
        """Every data set once, with the roles it has."""
        copies: dict[tuple[str, str, str], tuple[UsedSet, list[str]]] = {}
        for used in self.sets:
            copies.setdefault((used.name, used.data.dataset, used.data.fingerprint), (used, []))[1].append(used.role)
        return list(copies.values())

    @property
    def missing_videos(self) -> int:
        """Videos that the split lists name and the copies on disk lack, over all data sets; of several splits the most."""
        copies: dict[str, int] = {}
        for used in self.sets:
            copies[used.data.dataset] = max(used.data.missing, copies.get(used.data.dataset, 0))
        return sum(copies.values())


def sweep_names(runs_directory: Path) -> list[str]:
    """Sweeps below `runs_directory` that have a ledger."""
    return sorted(path.parent.name for path in runs_directory.glob(f"*/{FILE_NAME}"))


def read_trials(runs_directory: Path, sweep: str | None = None) -> list[Record]:
    """The last record of every trial of each sweep (or of one), ordered by sweep, configuration and seed; of trials that were
    run again by other code only the one that stands.

    Writes nothing, so a running sweep may be read. Raises LedgerError for a line that is not a record.
    """
    trials = []
    for name in sweep_names(runs_directory):
        if sweep in (None, name):
            last = {record.trial: record for record in read_records(runs_directory / name / FILE_NAME, histories=True)}
            trials += sorted(last.values(), key=lambda record: (record.index, record.seed, record.trial))
    return standing(trials)


def explicit(record: Record) -> Record:
    """The record with what its settings leave open: the protocol (older ones name none), and which checkpoint is the last."""
    settings, departures = {"protocol": LIKE_FOR_LIKE, **record.settings}, dict(record.departures)
    for chosen, last in CHECKPOINTS.items():
        if chosen in settings and settings[chosen] in (None, settings.get(last)):
            settings[chosen] = settings.get(last)
            departures.pop(chosen, None)
    return record.model_copy(update={"settings": settings, "departures": departures})


def comparable_groups(records: Iterable[Record], varied: Collection[str], free: Free = lambda _: ()) -> list[Group]:
    """Groups of comparable records, ordered by what defines them. In one group differ only the settings in `varied`, and
    those that `free` names for a record.

    Under protocol `published` the settings of methods differ by design; there, what a user set otherwise must be the same.
    A record is in every group whose data sets agree with its own, so a row that needs no Kinetics stands beside each version
    of Kinetics. Raises LedgerError for a record whose data sets are not described.
    """
    alike: dict[tuple[str, ...], list[Record]] = {}
    for record in sorted(map(explicit, records), key=lambda record: (record.trial, record.seed)):
        alike.setdefault(_identity(record, varied, free), []).append(record)
    groups = []
    for identity in sorted(alike):
        groups += [_group(members, varied, free) for members in _consistent(alike[identity])]
    return groups


def _identity(record: Record, varied: Collection[str], free: Free) -> tuple[str, ...]:
    protocol = record.settings["protocol"]
    compared = record.departures if protocol == PUBLISHED else record.settings
    ignored = {*varied, *free(record)}
    others = {name: value for name, value in compared.items() if name not in ignored}
    return (record.preset, protocol, _version(record), _canonical(others))


def _consistent(records: list[Record]) -> list[list[Record]]:
    """The records by versions of their data sets: each name, of each split, stands for one version in a list.

    Versions are joined first come first served, those with the fewest stand-ins first, then in the order of their text.
    """
    asked = [_versions(record) for record in records]
    distinct = {_canonical(sorted(versions.items())): versions for versions in asked}
    joined: list[_Versions] = []
    for key in sorted(distinct, key=lambda key: (_stand_ins(distinct[key]), key)):
        versions = distinct[key]
        fitting = (other for other in joined if all(other.get(name, own) == own for name, own in versions.items()))
        if (fit := next(fitting, None)) is not None:
            fit.update(versions)
        else:
            joined.append(dict(versions))
    return [[record for record, own in zip(records, asked, strict=True) if own.items() <= group.items()] for group in joined]


def _versions(record: Record) -> _Versions:
    versions: dict[tuple[str, int, float], set[tuple[str, str]]] = {}
    for used in used_sets(record):
        versions.setdefault(used.asked, set()).add((used.data.dataset, used.data.fingerprint))
    return {name: tuple(sorted(version)) for name, version in versions.items()}


def _stand_ins(versions: _Versions) -> int:
    return sum(any(dataset != name for dataset, _ in version) for (name, *_), version in versions.items())


def _group(records: list[Record], varied: Collection[str], free: Free) -> Group:
    first = records[0]
    sets = {(used.role, *used.asked): used for record in records for used in used_sets(record)}
    ignored = set(varied).union(*map(free, records))
    shared = {
        name: value
        for name, value in sorted(first.settings.items())
        if name not in ignored and all(name in record.settings and record.settings[name] == value for record in records)
    }
    departed = set.intersection(*(set(record.departures) for record in records))
    return Group(
        first.preset,
        first.settings["protocol"],
        _version(first),
        tuple(sets[key] for key in sorted(sets)),
        shared,
        {name: value for name, value in shared.items() if name in departed},
        tuple(records),
    )


def used_sets(record: Record) -> list[UsedSet]:
    """The data sets of a record; `downstream/<set>` is one of several that finetuning and evaluation go through.

    Raises LedgerError for a record whose data sets are not described.
    """
    used, split = [], record.settings.get("data.split")
    for key, entry in sorted(record.data.items()):
        role, _, name = key.partition("/")
        try:
            data = DataSet.model_validate(entry)
        except ValidationError as error:
            problem = error.errors()[0]
            field = ".".join(map(str, problem["loc"]))
            raise LedgerError(
                f"trial {record.trial}: its data lacks what docs/ledger.md says ({field}: {problem['msg']})"
            ) from None
        asked = name or str(record.settings.get(f"data.{role}", data.dataset))
        share = float(record.settings.get(_SHARES.get(role, ""), 1.0))
        used.append(UsedSet(role, asked, data, split, share))
    return used


def _version(record: Record) -> str:
    return record.versions.get("protocol", "unknown")


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)

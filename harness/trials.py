"""Which trials a sweep has: configurations times seeds, their stages, what is known of them, and what makes a sweep the same.

A sweep's directory holds its ledger and IDENTITY_FILE: what must stay the same when the same command continues it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.ledger import FILE_NAME, Ledger, Record, read_records
from harness.proposals import Configuration, Proposals, Search
from search_spaces.space import Space
from trainables.data import downstream_roles, open_data
from trainables.files import digest, write_atomically
from trainables.pipeline import PROTOCOL, Experiment, Stage, experiment_id, resolve
from trainables.presets import configure
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, flat
from trainables.video.videos import VideoSet

IDENTITY_FILE = "sweep.json"


class SweepError(ValueError):
    """A sweep that cannot run as asked; the message says why and what to do."""


@dataclass(frozen=True)
class Job:
    """One trial: an experiment at a position of the sweep, with its data by role and its stages in an order of running."""

    trial: str
    configuration: Configuration
    experiment: Experiment
    data: Mapping[str, VideoSet]
    stages: tuple[Stage, ...]

    @property
    def name(self) -> str:
        """For people: the paper's row or the position, and the seed."""
        place = self.configuration.row or f"#{self.configuration.index}"
        return f"{place} seed {self.experiment.seed}"


@dataclass(frozen=True)
class Sweep:
    """Everything a sweep command asked for.

    values: what is set over the preset for all trials, by the space and by the user. elsewhere: complete trials of other
    sweeps, by identity, that need not run again. narrowing: parameters of the space that are pinned or narrowed, and to what;
    rows_left_out: how many rows that excludes.
    """

    name: str
    directory: Path
    space: Space
    preset: str
    values: Mapping[str, Any]
    search: Search
    trials: int
    seeds: int
    runtime: Runtime
    command: str
    elsewhere: Mapping[str, Record] = field(default_factory=dict)
    narrowing: Mapping[str, Any] = field(default_factory=dict)
    rows_left_out: int = 0

    def configured(self, parameters: Mapping[str, Any]) -> ExperimentSettings:
        """The settings of a configuration. Raises SettingsError."""
        return configure(self.preset, {**self.values, **parameters})

    def datasets(self) -> dict[str, VideoSet]:
        """Every data set that the space's rows read, or its base where it has none, by name. Raises DataError."""
        sets: dict[str, VideoSet] = {}
        for row in [row.parameters for row in self.space.rows] or [{}]:
            settings = self.configured(row)
            opened = open_data(settings.data, self.runtime)
            sets[settings.data.pretraining] = opened["pretraining"]
            for role, name in zip(downstream_roles(settings.data), settings.data.downstream_sets, strict=True):
                sets[name] = opened[role]
        return sets

    def identity(self) -> dict[str, Any]:
        """What must stay the same when a sweep is continued; trials and seeds may grow."""
        narrowing = {"narrowing": dict(self.narrowing)} if self.narrowing else {}
        return {
            "space": self.space.name,
            "preset": self.preset,
            "search": self.search,
            "settings": flat(self.configured({})),
            "data": {name: videos.fingerprint("train", "validation", "test") for name, videos in self.datasets().items()},
            "protocol": PROTOCOL,
            **narrowing,
        }

    def proposals(self, ledger: Ledger, search: Search | None = None) -> Proposals:
        known = {record.index: record.parameters for record in ledger.records()}
        seed = int(digest([self.space.name, self.preset])[:8], 16)
        return Proposals(self.space, search or self.search, seed, self.trials, known, self.configured)

    def record(self, ledger: Ledger, trial: str) -> Record | None:
        """What is known of a trial; that another sweep completed it counts more than that this one did not."""
        own = ledger.get(trial)
        return own if own is not None and own.outcome == "complete" else self.elsewhere.get(trial, own)

    def jobs(self, configuration: Configuration) -> list[Job]:
        """One job per seed."""
        settings = self.configured(configuration.parameters)
        data = open_data(settings.data, self.runtime)
        jobs = []
        for seed in range(self.seeds):
            experiment = Experiment(settings, seed)
            stages = resolve(experiment, data, self.runtime.weights_fingerprints(), self.runtime.device_name())
            jobs.append(Job(experiment_id(experiment, stages), configuration, experiment, data, stages))
        return jobs

    def settle_identity(self) -> None:
        """Write what the sweep is, or raise SweepError when its name is taken by a sweep with other settings."""
        path = self.directory / IDENTITY_FILE
        mine = json.loads(json.dumps(self.identity()))
        if path.exists():
            other = json.loads(path.read_text(encoding="utf-8"))
            if other != mine:
                changes = "; ".join(_differences(other, mine))
                raise SweepError(f"sweep '{self.name}' was started with other settings ({changes}); use another --name")
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(mine, indent=1, sort_keys=True) + "\n")


def _differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _differences(before.get(key), now.get(key), f"{name}{'.' if name else ''}{key}")
    elif before != now:
        yield f"{name}: {before} then, {now} now"


def complete_trials(runs_dir: Path, own: str) -> dict[str, Record]:
    """Complete trials of the other sweeps below `runs_dir`, by identity. Raises LedgerError."""
    records = [
        record for path in sorted(runs_dir.glob(f"*/{FILE_NAME}")) if path.parent.name != own for record in read_records(path)
    ]
    return {
        record.trial: record
        for record in records
        if record.outcome == "complete" and record.versions.get("protocol") == PROTOCOL
    }

"""What a sweep will run, what is already there, and what it will cost."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.cost import stage_seconds
from harness.ledger import Ledger, Record
from harness.searcher import Configuration, Exhausted, Proposals, Search
from search_spaces.space import Space
from trainables.data import downstream_roles, open_data
from trainables.files import digest
from trainables.pipeline import PROTOCOL, Experiment, Stage, experiment_id, resolve
from trainables.presets import configure
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, flat
from trainables.video.layouts import VideoSet

IDENTITY_FILE = "sweep.json"
OVERHEAD = 1.3
"""Expected hours over the bare networks' hours: decoding, checkpoints, start-up."""


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
    sweeps, by identity, that need not run again.
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
        return {
            "space": self.space.name,
            "preset": self.preset,
            "search": self.search,
            "settings": flat(self.configured({})),
            "data": {name: videos.fingerprint("train", "validation", "test") for name, videos in self.datasets().items()},
            "protocol": PROTOCOL,
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
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(mine, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(temporary, path)


def _differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _differences(before.get(key), now.get(key), f"{name}{'.' if name else ''}{key}")
    elif before != now:
        yield f"{name}: {before} then, {now} now"


@dataclass(frozen=True)
class Plan:
    """Counts of a sweep before it runs. hours: on this machine, with `concurrency` trials at once."""

    trials: int
    trials_complete: int
    stages_to_run: int
    stages_done: int
    stages_naive: int
    hours_low: float
    hours_expected: float
    experiments: tuple[tuple[str, dict[str, Any], bool], ...]


def make_plan(sweep: Sweep, ledger: Ledger, concurrency: int) -> Plan:
    """Which stages the sweep needs and which the store holds. Starts and writes nothing.

    A proposal beyond the fixed rows depends on results; a random draw stands in for it, so its stages count as new.
    """
    store, device = sweep.runtime.open_store(), sweep.runtime.torch_device()
    proposals = sweep.proposals(ledger, search="random" if sweep.search == "tpe" else None)
    stages: dict[str, float] = {}
    trials = complete = naive = 0
    experiments = []
    while True:
        try:
            configuration = proposals.next()
        except Exhausted:
            break
        proposals.close(configuration.index, None)
        known = configuration.row is not None or configuration.index in proposals.known or sweep.search == "grid"
        jobs = sweep.jobs(configuration)
        experiments.append((configuration.row or f"#{configuration.index}", configuration.parameters, known))
        for job in jobs:
            trials += 1
            record = sweep.record(ledger, job.trial)
            complete += record is not None and record.outcome == "complete"
            for stage in job.stages:
                naive += 1
                if stage.key not in stages:
                    done = store.find(stage.kind, stage.key) is not None
                    settings = job.experiment.settings
                    stages[stage.key] = 0.0 if done else stage_seconds(stage, settings, job.data[stage.data], device)
    to_run = sum(seconds > 0 for seconds in stages.values())
    low = sum(stages.values()) / 3600 / concurrency
    return Plan(trials, complete, to_run, len(stages) - to_run, naive, low, low * OVERHEAD, tuple(experiments))

"""Which trials a sweep has: configurations times seeds, their stages, what is known of them, and what makes a sweep the same.

A sweep's directory holds its ledger and IDENTITY_FILE: what must stay the same when the same command continues it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.halving import Rungs
from harness.identity import (
    CONFIRM,
    DIRECTION,
    FURTHER,
    IDENTITY_FILE,
    OBJECTIVE,
    RANGES,
    SEEDS,
    TABLE,
    Confirm,
    is_damaged,
    read_identity,
    write_identity,
)
from harness.ledger import FILE_NAME, Ledger, Record, read_records
from harness.positions import Named, named_configurations, placed
from harness.proposals import Configuration, Proposals
from harness.reuse import Policy, Reuse
from search_spaces.narrowing import drawn, named_or_drawn
from search_spaces.space import Parameters, Space
from trainables.data import downstream_roles, open_data
from trainables.files import digest
from trainables.pipeline import PROTOCOL, Experiment, Stage, experiment_id, resolve
from trainables.presets import configure
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, flat, with_values
from trainables.suggestions import did_you_mean
from trainables.video.videos import VideoSet

ROWS = "configurations"
"""Key in IDENTITY_FILE under which the configurations are that the space names, with their positions."""
ACCUMULATION = "compute.accumulation"
"""The setting that says in how many parts a batch passes a network."""
SHAPING = ("recipe", "protocol", "data.", "evaluation.measures")
"""How names of settings begin that decide which stages an experiment has, and which data."""
WEIGHTS = "weights"
"""Key in IDENTITY_FILE under which the hash of each network's weights is that were given."""
HALVING = "halving"
"""Key in IDENTITY_FILE under which the rungs are of a sweep by halving."""
FRESH = "afresh"
"""Key in IDENTITY_FILE under which it is said of kinds of stage how often they were to be made afresh."""


class SweepError(ValueError):
    """A sweep that cannot run as asked; the message says why and what to do."""


@dataclass(frozen=True)
class Job:
    """One trial: an experiment at a position of the sweep, with its data by role and its stages in an order of running.

    rung: which of a sweep by halving it is to reach, with the experiment and stages of that; None: the whole training.
    """

    trial: str
    configuration: Configuration
    experiment: Experiment
    data: Mapping[str, VideoSet]
    stages: tuple[Stage, ...]
    rung: int | None = None

    @property
    def name(self) -> str:
        """For people: the paper's row or the position, and the seed."""
        return f"{self.place} seed {self.experiment.seed}"

    @property
    def place(self) -> str:
        """Its configuration, for people."""
        return self.configuration.row or f"#{self.configuration.index}"

    @property
    def reads(self) -> dict[str, Any]:
        """The settings that it depends on: that any of its stages reads, or that say which stages and data it has."""
        read = {name for stage in self.stages for name in stage.settings}
        values = flat(self.experiment.settings)
        return {name: value for name, value in values.items() if name in read or name.startswith(SHAPING)}


@dataclass(frozen=True)
class Sweep:
    """Everything a sweep command asked for.

    values: what is set over the preset for all trials, by the space and by the user. elsewhere: complete trials of other
    sweeps, by identity, that need not run again. narrowing: parameters of the space that are pinned or narrowed, and to what;
    rows_left_out: how many rows that excludes. code: which results of other code than the present count.
    fresh: kinds of stage that this command makes afresh. seeds: by which the search judges a configuration. confirm: which are
    then run with more, and how many. rungs: of a sweep by halving.
    """

    name: str
    directory: Path
    space: Space
    preset: str
    values: Mapping[str, Any]
    search: str
    trials: int
    seeds: int
    runtime: Runtime
    command: str
    elsewhere: Mapping[str, Record] = field(default_factory=dict)
    narrowing: Mapping[str, Any] = field(default_factory=dict)
    rows_left_out: int = 0
    code: Policy = "auto"
    fresh: tuple[str, ...] = ()
    confirm: Confirm | None = None
    rungs: Rungs | None = None

    @functools.cached_property
    def reuse(self) -> Reuse:
        """Which results of the store count."""
        return Reuse(self.runtime.open_store(), self.code, self.made_afresh)

    @functools.cached_property
    def made_afresh(self) -> dict[str, int]:
        """How often this sweep was told to make stages afresh, by kind, this time included."""
        before = read_identity(self.directory).get(FRESH, {})
        return {kind: before.get(kind, 0) + (kind in self.fresh) for kind in sorted({*before, *self.fresh})}

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
        """What must stay the same when a sweep is continued; trials, seeds, rows and points of the grid may grow."""
        narrowing = {"narrowing": dict(self.narrowing)} if self.narrowing else {}
        weights = {WEIGHTS: self.runtime.weights_fingerprints()} if self.runtime.weights else {}
        further = {FURTHER: self.space.further} if self.space.further else {}
        halving = {HALVING: asdict(self.rungs)} if self.rungs else {}
        return {
            "space": self.space.name,
            OBJECTIVE: self.space.objective,
            DIRECTION: self.space.direction,
            "lookahead": self.space.lookahead,
            RANGES: drawn(self.space),
            "preset": self.preset,
            "search": self.search,
            "settings": flat(self.configured({})),
            "data": {name: videos.fingerprint("train", "validation", "test") for name, videos in self.datasets().items()},
            "protocol": PROTOCOL,
            **narrowing,
            **further,
            **halving,
            **weights,
        }

    def proposals(self, ledger: Ledger, search: str | None = None) -> Proposals:
        known = _known(ledger)
        seed = int(digest([self.space.name, self.preset])[:8], 16)
        return Proposals(self.space, search or self.search, seed, self.trials, self.named(ledger), known, self.configured)

    def named(self, ledger: Ledger) -> dict[int, Named]:
        """What the space names, by position in this sweep."""
        before = _named_before(read_identity(self.directory))
        return placed(named_configurations(self.space, self.search == "grid"), before, _known(ledger))

    def record(self, ledger: Ledger, trial: str) -> Record | None:
        """What is known of a trial; that another sweep completed it counts more than that this one did not."""
        own = ledger.get(trial)
        return own if own is not None and own.outcome == "complete" else self.elsewhere.get(trial, own)

    @property
    def confirming(self) -> int:
        """How many trials confirm, at first."""
        if self.confirm is None:
            return 0
        rows = min(len(self.space.rows), self.trials)
        return (min(self.confirm.best, self.trials - rows) + rows) * (self.confirm.seeds - self.seeds)

    def to_confirm(self, ledger: Ledger) -> int:
        """How many of these are not complete."""
        there = sum(record.seed >= self.seeds for record in ledger.records() if record.outcome == "complete")
        return max(self.confirming - there, 0)

    def jobs(self, configuration: Configuration, seeds: Iterable[int] | None = None) -> list[Job]:
        """One job per seed: of the search unless others are given."""
        settings = self.configured(configuration.parameters)
        data = open_data(settings.data, self.runtime)
        return [self._job(configuration, Experiment(settings, seed), data) for seed in seeds or range(self.seeds)]

    def divided(self, job: Job, parts: int) -> Job:
        """The same trial with batches in so many parts, and the stages of that."""
        settings = with_values(job.experiment.settings, {ACCUMULATION: parts})
        divided = self._job(job.configuration, Experiment(settings, job.experiment.seed), job.data)
        return replace(divided, trial=job.trial, rung=job.rung)

    def at_rung(self, job: Job, rung: int) -> Job:
        """The same trial, of a sweep by halving, with the epochs of a rung."""
        assert self.rungs is not None
        return self._with_epochs(job, self.rungs.epochs[rung], rung)

    def whole(self, job: Job) -> Job:
        """The same trial with all its epochs."""
        if job.rung is None or self.rungs is None:
            return job
        return self._with_epochs(job, self.rungs.epochs[-1], None)

    def _with_epochs(self, job: Job, epochs: int, rung: int | None) -> Job:
        assert self.rungs is not None
        settings = with_values(job.experiment.settings, {self.rungs.setting: epochs})
        other = self._job(job.configuration, Experiment(settings, job.experiment.seed), job.data)
        return replace(other, trial=job.trial, rung=rung)

    def _job(self, configuration: Configuration, experiment: Experiment, data: Mapping[str, VideoSet]) -> Job:
        device, weights = self.runtime.device_name(), self.runtime.weights_fingerprints()
        stages = resolve(experiment, data, weights, device, self.reuse.settle)
        return Job(experiment_id(experiment, stages), configuration, experiment, data, stages)

    def changes(self) -> list[str]:
        """In words, which configurations the space has gained or lost since the sweep was last started.

        Raises SweepError when its name is taken by a sweep with other settings.
        """
        before, _, named = self._compared()
        return [*_damage(self.directory), *_changes(_named_before(before), named)]

    def settle_identity(self) -> list[str]:
        """The changes, after writing down what the sweep is. Raises SweepError as `changes` does."""
        before, mine, named = self._compared()
        confirmed = Confirm.written_in(before)
        confirm = self.confirm or (confirmed if confirmed and self.seeds <= confirmed.first else None)
        content = {
            **mine,
            "data": {**before.get("data", {}), **mine["data"]},
            **({WEIGHTS: {**before.get(WEIGHTS, {}), **mine.get(WEIGHTS, {})}} if WEIGHTS in before or WEIGHTS in mine else {}),
            ROWS: [{"position": position, **asdict(one)} for position, one in named.items()],
            **({FRESH: self.made_afresh} if self.made_afresh else {}),
            SEEDS: self.seeds,
            TABLE: self.space.table,
            CONFIRM: asdict(confirm) if confirm else None,
        }
        changes = [*_damage(self.directory), *_changes(_named_before(before), named)]
        if confirmed and not confirm:
            changes.append(
                f"searched with {self.seeds} seeds, {confirmed.first} before: what was confirmed with seeds the search had "
                "not seen counts as any other, until --confirm is given again"
            )
        write_identity(self.directory, content)
        return changes

    def _compared(self) -> tuple[dict[str, Any], dict[str, Any], dict[int, Named]]:
        """What was written when the sweep was last started, its identity as it would be written now, and what is named."""
        before, ledger = read_identity(self.directory), Ledger(self.directory)
        mine: dict[str, Any] = json.loads(json.dumps(self.identity()))
        _check_same(self.name, before or _told_by_records(ledger), mine)
        self._check_fresh()
        return before, mine, self.named(ledger)

    def configurations(self) -> list[Configuration]:
        """Those that the space names; of a space that names none, one that it may draw."""
        labels = [row.label for row in self.space.rows]
        named = enumerate(named_or_drawn(self.space))
        return [Configuration(place, dict(one), labels[place] if place < len(labels) else None) for place, one in named]

    def _check_fresh(self) -> None:
        """Raises SweepError for kinds of stage that the sweep does not have."""
        if not self.fresh:
            return
        kinds = sorted({stage.kind for one in self.configurations() for stage in self.jobs(one)[0].stages})
        for kind in self.fresh:
            if kind not in kinds:
                near = did_you_mean(kind, kinds)
                raise SweepError(f"--fresh {kind}: sweep '{self.name}' has no such stage; it has {', '.join(kinds)}{near}")


def _known(ledger: Ledger) -> dict[int, Parameters]:
    return {record.index: record.parameters for record in ledger.records()}


def _damage(directory: Path) -> Iterator[str]:
    if is_damaged(directory):
        yield (
            f"{directory / IDENTITY_FILE} is damaged: which configuration lies where is told by the ledger's records, and what "
            "--fresh made before is not known any more"
        )


def _told_by_records(ledger: Ledger) -> dict[str, Any]:
    """What the records of a sweep tell of it, should the file that says so be lost."""
    return next(({"space": record.space, "preset": record.preset} for record in ledger.records()), {})


def _named_before(written: Mapping[str, Any]) -> dict[int, Named] | None:
    if ROWS not in written:
        return None
    return {row["position"]: Named(row["label"], row["parameters"], row["added"]) for row in written[ROWS]}


def _check_same(name: str, before: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    """Data sets that only one of the two reads are no difference, as a row may have come or gone, nor are weights that only one
    was given, and settings that only one of two versions of the program has."""
    names = before.keys() & mine.keys() | ({"narrowing", FURTHER, HALVING} if "settings" in before else set())
    then: dict[str, Any] = {key: before.get(key) for key in names}
    now: dict[str, Any] = {key: mine.get(key) for key in names}
    for key in names & {"data", "settings", WEIGHTS}:
        both = before[key].keys() & mine[key].keys()
        then[key], now[key] = ({name: content[key][name] for name in both} for content in (before, mine))
    if then != now:
        changes = "; ".join(_differences(then, now))
        raise SweepError(
            f"sweep '{name}' was started with other settings ({changes}); use another --name: what is the same is found in the "
            "store and costs nothing"
        )


def _changes(before: Mapping[int, Named] | None, now: Mapping[int, Named]) -> Iterator[str]:
    for position, one in now.items():
        if before is not None and position not in before:
            yield f"new in the space: {one.label or one.parameters}, at position {position}"
    for position, one in (before or {}).items():
        if position not in now:
            yield f"no longer in the space: {one.label or one.parameters}; its records stay, as those of a proposal"


def _differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _differences(before.get(key), now.get(key), f"{name}{'.' if name else ''}{key}")
    elif before != now:
        yield f"{name}: {before} then, {now} now"


def seeds_of_search(directory: Path) -> int:
    """With how many seeds a sweep's search judges a configuration, as it was last started: with one where it was not."""
    if SEEDS in (written := read_identity(directory)):
        return int(written[SEEDS])
    if is_damaged(directory) or not (records := Ledger(directory).records()):
        return 1
    seeds: dict[int, set[int]] = {}
    for record in records:
        seeds.setdefault(record.index, set()).add(record.seed)
    return min(map(len, seeds.values()))


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

"""Stages and wall-clock of several tables swept into one store, over a harness in which every trial computes all it needs.

    python benchmarks/sharing.py
    python benchmarks/sharing.py --table graph/table2 --naive-trials 4

Both sides run the tables one after the other and in turns, from empty stores, with the same trials and as many at once:

- shared: as `harness/sweep.py --table ID` does, all into one directory, so that a stage runs once and a trial that two tables
  have in common runs once;
- naive: each trial with a store of its own, and a trial that hands on the n-th checkpoint of a pretraining trains no longer
  than up to it.

Clips are generated and decoded before. The share of the stages that sharing leaves is given by number and by time, where a
stage weighs the seconds that the naive side spent on it (docs/benchmarks.md). W&B is off on both sides.

With `--naive-trials N` only N trials of each table run on the naive side, evenly spread over its rows. The seconds of the
others are the sums of their stages' on the shared side, and the naive wall-clock is all these seconds with every place
always busy and nothing on top: less than it would be.

On two cores about 12 minutes for the three tables of auxSKD; for graph/table2 a quarter of an hour with `--naive-trials 4`, an
hour without.
"""

from __future__ import annotations

import functools
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import typer
from rich.console import Console

from benchmarks.comparison import Figure, show
from harness.bookkeeper import Bookkeeper
from harness.executor import run_trial, run_trials
from harness.ledger import Ledger, Record
from harness.progress import Progress
from harness.proposals import Exhausted
from harness.request import Request
from harness.tracking import Tracker
from harness.trials import Job, Sweep
from trainables.data import open_data
from trainables.pipeline import Stage
from trainables.runtime import Runtime, cores
from trainables.settings import ExperimentSettings, Pretraining, parse_assignment, validated, with_values

TABLES = ("auxskd/table2", "auxskd/table4", "auxskd/figure4-left")
"""What figure4-right shows is part of these."""
TOLERANCE = 1.05
"""Of the wall-clock, over the naive one times the share of stages; for tables whose wall-clock has no bound of its own."""
WALL_CLOCK = {"graph/table2": 0.35}
"""Of the wall-clock over the naive one, where a table is swept for itself."""
Trainable = Callable[[dict[str, Any]], None]


def main(
    tables: Annotated[list[str] | None, typer.Option("--table", help=f"repeatable; default: {', '.join(TABLES)}")] = None,
    preset: Annotated[str, typer.Option(help="whose embedded clips take the place of the data sets")] = "demo",
    set_values: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, any setting; repeatable")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="trials at once; default: one per core")] = None,
    naive_trials: Annotated[
        int | None, typer.Option(min=1, help="of each table, that run without sharing; default: all")
    ] = None,
) -> None:
    """Run the tables with and without sharing."""
    at_once = concurrency or cores()
    chosen = tables or list(TABLES)
    bound = WALL_CLOCK.get(chosen[0]) if len(chosen) == 1 else None
    shared: list[Swept] = []
    naive: list[Swept] = []
    with tempfile.TemporaryDirectory(prefix="auxgraph-") as scratch:
        asked = Asked(preset, dict(map(parse_assignment, set_values or [])), Path(scratch) / "cache")
        for table in chosen:
            asked.fill_cache(table)
        for number, table in enumerate(chosen):
            shared.append(run(asked.sweep(table, Path(scratch) / "shared"), at_once, Bookkeeper, run_trial))
            alone = asked.sweep(table, Path(scratch) / f"naive{number}")
            chosen_rows = _part(alone, naive_trials) if naive_trials else alone
            naive.append(run(chosen_rows, at_once, NaiveBookkeeper, naive_trial))
    title = f"{', '.join(chosen)}, preset {preset}, {at_once} trials at once"
    show(
        "sharing",
        title,
        figures(total(shared), total(naive), at_once, bound),
        preset=preset,
        tables=chosen,
        naive_trials=[len(swept.jobs) for swept in naive],
        seconds_by_table={"shared": [swept.seconds for swept in shared], "naive": [swept.seconds for swept in naive]},
    )


def figures(shared: Swept, measured: Swept, at_once: int, bound: float | None = None) -> list[Figure]:
    """What both sides ran and how long they took, with the targets.

    measured: the trials of the naive side that ran. bound: of the wall-clock over the naive one. Raises RuntimeError when a
    naive trial shared a stage.
    """
    if len(measured.spent) != sum(len(job.stages) for job in measured.jobs):
        raise RuntimeError("a naive trial found a stage that another one had computed")
    sampled = len(measured.jobs) < len(shared.jobs)
    naive = whole(measured, shared, at_once) if sampled else measured
    least = len({spent.key for spent in naive.spent})
    share = least_seconds(naive.spent) / naive.busy
    ran, ratio = len(shared.spent), shared.seconds / naive.seconds
    found = [
        Figure("stages run, shared / each once", ran, "stages", ran / least, at_most=1.0),
        Figure("stages run, shared / naive", ran, "stages", ran / len(naive.spent)),
        Figure("seconds of stages, each once / naive", share * naive.busy, "s", share),
        Figure("wall-clock, shared / naive", shared.seconds, "s", ratio, at_most=bound),
        Figure(
            "wall-clock, shared / (naive x share of stages)",
            shared.seconds,
            "s",
            ratio * len(naive.spent) / ran,
            at_most=TOLERANCE if bound is None else None,
        ),
        Figure("wall-clock, shared / (naive x share of seconds)", shared.seconds, "s", ratio / share),
        Figure("trials computing at a time, shared", shared.busy / shared.seconds, ""),
        Figure("trials computing at a time, naive", measured.busy / measured.seconds, ""),
    ]
    if sampled:
        alike = sum(_seconds_on(shared, job, stage) for job in measured.jobs for stage in job.stages)
        found.append(Figure("seconds of a stage, naive trials that ran / shared", measured.busy, "s", measured.busy / alike))
    return found


def whole(measured: Swept, shared: Swept, at_once: int) -> Swept:
    """The naive side with all trials, of which those in `measured` ran: in as little time as it could take."""
    ran = Counter(job.trial for job in measured.jobs)
    spent = list(measured.spent)
    for job in shared.jobs:
        if ran[job.trial]:
            ran[job.trial] -= 1
            continue
        for stage in job.stages:
            epochs = _epochs(stage, up_to_checkpoint(job.experiment.settings))
            spent.append(Spent(stage.key, epochs, _seconds_on(shared, job, stage)))
    return Swept(sum(one.seconds for one in spent) / at_once, shared.jobs, spent)


def _seconds_on(shared: Swept, job: Job, stage: Stage) -> float:
    """Seconds that the shared side spent on a stage; where the trial needs fewer epochs of it, that share of them."""
    trained = _epochs(stage, job.experiment.settings)
    needed = _epochs(stage, up_to_checkpoint(job.experiment.settings)) / trained if trained else 1.0
    return needed * shared.seconds_of[stage.key]


@dataclass(frozen=True)
class Asked:
    """The preset of the tables, its changes, and where clips are."""

    preset: str
    changes: Mapping[str, Any]
    cache: Path

    def sweep(self, table: str, runs_dir: Path) -> Sweep:
        """The sweep of a table below `runs_dir`, where its store is too, without what other sweeps there have completed."""
        return Request(
            space=None,
            table=table,
            preset=self.preset,
            changes=self.changes,
            stand_ins={},
            search="tpe",
            trials=None,
            seeds=1,
            name=None,
            runs_dir=runs_dir,
        ).sweep(Runtime(runs_dir / "store", self.cache, device="cpu"))

    def fill_cache(self, table: str) -> None:
        """Generate a table's clips and decode their frames."""
        sweep = self.sweep(table, self.cache)
        for row in sweep.space.rows:
            settings = sweep.configured(row.parameters)
            for videos in open_data(settings.data, sweep.runtime).values():
                everything = [*videos.train, *videos.validation, *videos.test]
                sweep.runtime.open_cache(settings.data.cache_format).fill(
                    everything, (settings.video.height, settings.video.width)
                )


def _part(sweep: Sweep, trials: int) -> Sweep:
    """The sweep of so many of its rows, evenly spread."""
    rows = sweep.space.rows
    count = min(trials, len(rows))
    chosen = tuple(rows[number * len(rows) // count] for number in range(count))
    return replace(sweep, space=replace(sweep.space, rows=chosen, trials=count), trials=count)


@dataclass(frozen=True)
class Spent:
    """Seconds that a trial spent on a stage. epochs: how many the stage trained, 0 where it does not train."""

    key: str
    epochs: int
    seconds: float


@dataclass(frozen=True)
class Swept:
    """What one or several sweeps took: wall-clock, their trials, and every stage that was computed."""

    seconds: float
    jobs: Sequence[Job]
    spent: Sequence[Spent]

    @property
    def busy(self) -> float:
        """Seconds of all stages together."""
        return sum(spent.seconds for spent in self.spent)

    @functools.cached_property
    def seconds_of(self) -> dict[str, float]:
        """By key the seconds spent on a stage."""
        seconds: dict[str, float] = {}
        for spent in self.spent:
            seconds[spent.key] = seconds.get(spent.key, 0.0) + spent.seconds
        return seconds


def total(sweeps: Sequence[Swept]) -> Swept:
    """All sweeps as one."""
    return Swept(
        sum(swept.seconds for swept in sweeps),
        [job for swept in sweeps for job in swept.jobs],
        [spent for swept in sweeps for spent in swept.spent],
    )


def run(sweep: Sweep, at_once: int, bookkeeper: type[Bookkeeper], trainable: Trainable) -> Swept:
    """Run a sweep. Raises RuntimeError when a trial did not complete."""
    jobs = list(trials(sweep))
    begin = time.perf_counter()
    records = {record.trial: record for record in _records(sweep, len(jobs), at_once, bookkeeper, trainable)}
    seconds = time.perf_counter() - begin
    return Swept(seconds, jobs, [spent for job in jobs if job.trial in records for spent in _spent(job, records[job.trial])])


def trials(sweep: Sweep) -> Iterator[Job]:
    """The trials of a table's rows."""
    proposals = sweep.proposals(Ledger(sweep.directory))
    while True:
        try:
            yield from sweep.jobs(proposals.next())
        except Exhausted:
            return


def _records(sweep: Sweep, total: int, at_once: int, bookkeeper: type[Bookkeeper], trainable: Trainable) -> list[Record]:
    sweep.settle_identity()
    ledger = Ledger(sweep.directory)
    with Progress(sweep.name, total, sweep.space.objective, str(sweep.directory), Console(stderr=True)) as progress:
        books = bookkeeper(sweep, ledger, Tracker(), progress, retry_failed=False)
        run_trials(books, concurrency=at_once, gpus_per_trial=0, address=None, trainable=trainable)
    for record in ledger.records():
        if record.outcome != "complete":
            raise RuntimeError(f"{sweep.name}, {record.row}: {record.outcome}, {record.reason}")
    return ledger.records()


def _spent(job: Job, record: Record) -> Iterator[Spent]:
    settings = up_to_checkpoint(job.experiment.settings)
    for stage in job.stages:
        if record.seconds[stage.name].used > 0:
            yield Spent(stage.key, _epochs(stage, settings), record.seconds[stage.name].used)


def _epochs(stage: Stage, settings: ExperimentSettings) -> int:
    schedule = stage.declared.schedule
    return int(getattr(settings, schedule).epochs) if schedule else 0


class NaiveBookkeeper(Bookkeeper):
    """Lets a trial start whatever others compute, as it waits for nothing of theirs."""

    def choose(self, queue: Sequence[Job], running: Collection[Job]) -> Job | None:
        return queue[0] if queue else None


def naive_trial(config: dict[str, Any]) -> None:
    """A trial as a harness runs it that shares nothing: with a store of its own."""
    settings = up_to_checkpoint(validated(config["settings"])).model_dump()
    store = str(Path(config["runtime"]["store"]) / config["trial"])
    run_trial({**config, "settings": settings, "runtime": {**config["runtime"], "store": store}})


def up_to_checkpoint(settings: ExperimentSettings) -> ExperimentSettings:
    """The settings with pretraining no longer than up to the checkpoint that is handed on."""
    changes: dict[str, Any] = {}
    for name in ("auxskd", "pretext"):
        stage: Pretraining = getattr(settings, name)
        if stage.checkpoint is not None:
            epochs = stage.checkpoint_epoch(stage.checkpoint)
            changes |= {f"{name}.epochs": epochs, f"{name}.checkpoints": 1, f"{name}.checkpoint": None}
    return with_values(settings, changes)


def least_seconds(spent: Sequence[Spent]) -> float:
    """Seconds of all stages when each is computed once: the mean over the trials that trained it longest."""
    longest: dict[str, int] = {}
    for one in spent:
        longest[one.key] = max(one.epochs, longest.get(one.key, 0))
    times: dict[str, list[float]] = {}
    for one in spent:
        if one.epochs == longest[one.key]:
            times.setdefault(one.key, []).append(one.seconds)
    return sum(map(statistics.fmean, times.values()))


if __name__ == "__main__":
    typer.run(main)

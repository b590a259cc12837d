"""The state of a sweep while it runs: which trials wait, which run, how they ended. Imports no Ray.

A worker asks for its `next` trial; what becomes of the trial is told to `started`, `epoch`, `stopped` and `ended`, and turned
into a ledger record, a W&B run and lines on the console. A worker goes by any name that no other running trial's worker has.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

from harness.ledger import Ledger, Outcome, Record, Seconds
from harness.progress import Progress
from harness.proposals import Configuration, Exhausted, Waiting
from harness.tracking import Tracker
from harness.trials import Job, Sweep
from trainables.data import describe
from trainables.pipeline import PROTOCOL, named_metrics, with_means
from trainables.presets import departures
from trainables.settings import flat
from trainables.video.decoding import decoder_versions

PACKAGES = ("torch", "numpy", "ray", "optuna", "wandb")
WORKER_LIVES = 5
"""How often a trial is begun before the death of its worker counts as its own failure."""
SECONDS = "seconds/"
"""Prefix of a trial's last report under which the times of its stages are."""

Ending = Literal["returned", "stopped", "died", "interrupted"]
"""What ended a trial: itself, a scheduler, the death of its workers, or the end of the sweep."""


def verdict(ending: Ending, last: Mapping[str, Any]) -> tuple[Outcome, str | None]:
    """What a trial counts as, and why unless it is complete. last: what it reported last; its own outcome in there decides."""
    if ending == "interrupted":
        return "interrupted", "the sweep was interrupted"
    if ending == "died":
        return "failed", f"its worker died {WORKER_LIVES} times"
    if "outcome" in last:
        return last["outcome"], None if last["outcome"] == "complete" else last.get("reason") or "it gave no reason"
    when = f"after epoch {last['epoch']} of stage {last['stage']}" if {"epoch", "stage"} <= last.keys() else "before any epoch"
    if ending == "stopped":
        return "pruned", f"the scheduler stopped it {when}"
    return "failed", f"it ended without an outcome {when}"


@dataclass
class _Assigned:
    """The trial that a worker was given."""

    job: Job
    started: bool = False
    stopped: bool = False


@dataclass
class Bookkeeper:
    """Hands out the trials of a sweep that still have to run, and records what becomes of them."""

    sweep: Sweep
    ledger: Ledger
    tracker: Tracker
    progress: Progress
    retry_failed: bool

    def __post_init__(self) -> None:
        self.proposals = self.sweep.proposals(self.ledger)
        self.exhausted = False
        self.queue: list[Job] = []
        self.assigned: dict[str, _Assigned] = {}
        self.open: set[str] = set()
        self.seeds: dict[int, list[Job]] = {}
        self.unsettled: set[int] = set()
        self.versions = _versions()

    def is_complete(self) -> bool:
        """Whether nothing runs and nothing is left to run."""
        self._fill_queue()
        return self.exhausted and not self.queue and not self.assigned

    def next(self, worker: str) -> dict[str, Any] | None:
        """What the worker's next trial consists of, as plain data, or None when it has to wait. Raises Exhausted."""
        self._fill_queue()
        job = self.choose(self.queue, [assigned.job for assigned in self.assigned.values()])
        if job is None:
            if self.exhausted and not self.queue:
                raise Exhausted
            return None
        self.queue.remove(job)
        self.assigned[worker] = _Assigned(job)
        return {
            "trial": job.trial,
            "index": job.configuration.index,
            "seed": job.experiment.seed,
            "settings": job.experiment.settings.model_dump(),
            "runtime": self.sweep.runtime.as_config(),
        }

    def choose(self, queue: Sequence[Job], running: Collection[Job]) -> Job | None:
        """The first trial of the queue that would not wait for a stage that a running trial is to compute."""
        store = self.sweep.runtime.open_store()
        computing = {
            stage.key
            for job in running
            for stage in job.stages
            if stage.declared.random and store.find(stage.kind, stage.key) is None
        }
        return next((job for job in queue if not any(stage.key in computing for stage in job.stages)), None)

    def started(self, worker: str) -> None:
        """The worker begins its trial, or begins it again after an earlier worker died."""
        assigned = self.assigned[worker]
        assigned.started = True
        job = assigned.job
        configuration, seed = job.configuration, job.experiment.seed
        self.progress.trial_started(job.trial, f"#{configuration.index}", configuration.parameters, seed, configuration.row)
        config = flat(job.experiment.settings) | {"seed": seed, "preset": self.sweep.preset, "trial": job.trial}
        self.tracker.start(job.trial, job.name, config, [self.sweep.space.name, self.sweep.preset])

    def epoch(self, worker: str, metrics: dict[str, Any]) -> None:
        """The worker's trial has ended an epoch: `stage`, `epoch`, `epochs`, and metrics prefixed by their stage."""
        job = self.assigned[worker].job
        self.progress.epoch(job.trial, metrics)
        stage = next(stage for stage in job.stages if stage.name == metrics["stage"])
        if stage.declared.schedule is None:  # its rounds are no epochs, which are counted through
            return
        numbers = {name: value for name, value in metrics.items() if "/" in name}
        self.tracker.log(job.trial, _global_epoch(job, metrics["stage"], metrics["epoch"]), numbers)

    def stopped(self, worker: str) -> None:
        """A scheduler lets the worker's trial end after what it reported last."""
        self.assigned[worker].stopped = True

    def ended(self, worker: str, last: Mapping[str, Any] | None) -> None:
        """The worker's trial has ended: with what it reported last, or None when its workers died too often."""
        assigned = self.assigned.pop(worker)
        ending: Ending = "died" if last is None else "stopped" if assigned.stopped else "returned"
        self._record(assigned.job, ending, last or {})
        self._close_settled()

    def interrupt(self) -> None:
        """The sweep ends now: record what was running."""
        running = sorted((one.job for one in self.assigned.values() if one.started), key=lambda job: job.trial)
        self.assigned.clear()
        for job in running:
            self._record(job, "interrupted", {})

    def settled(self, index: int) -> tuple[bool, float | None]:
        """Whether all seeds of a configuration have ended, and the mean objective over those that completed."""
        jobs = self.seeds[index]
        if any(job.trial in self.open for job in jobs):
            return False, None
        records = [self.sweep.record(self.ledger, job.trial) for job in jobs]
        values = [
            record.metrics[self.sweep.space.objective]
            for record in records
            if record is not None and record.outcome == "complete" and self.sweep.space.objective in record.metrics
        ]
        return True, sum(values) / len(values) if values else None

    def _fill_queue(self) -> None:
        """Queue the trials of every configuration that can be proposed by now."""
        while not self.exhausted:
            try:
                configuration = self.proposals.next()
            except Waiting:
                return
            except Exhausted:
                self.exhausted = True
                self.progress.total_changed(len(self.seeds) * self.sweep.seeds)
                return
            self._queue_seeds(configuration)
            self._close_settled()

    def _queue_seeds(self, configuration: Configuration) -> None:
        """Queue the seeds of a configuration that still have to run, and show those that have ended before."""
        self.seeds[configuration.index] = self.sweep.jobs(configuration)
        self.unsettled.add(configuration.index)
        for job in self.seeds[configuration.index]:
            record = self.sweep.record(self.ledger, job.trial)
            if record is not None and self._stands(record):
                self.progress.trial_ended(record, record.metrics.get(self.sweep.space.objective))
            elif job.trial not in self.open:  # else another configuration that is the same experiment runs it already
                self.open.add(job.trial)
                self.queue.append(job)

    def _stands(self, record: Record) -> bool:
        return record.outcome in ("complete", "pruned") or (record.outcome == "failed" and not self.retry_failed)

    def _close_settled(self) -> None:
        for index in sorted(self.unsettled):
            settled, value = self.settled(index)
            if settled:
                self.unsettled.remove(index)
                self.proposals.close(index, value)

    def _record(self, job: Job, ending: Ending, last: Mapping[str, Any]) -> None:
        outcome, reason = verdict(ending, last)
        seconds = {name.removeprefix(SECONDS): spent for name, spent in last.items() if name.startswith(SECONDS)}
        device = {"device": str(last["device"])} if "device" in last else {}
        stages: dict[str, str] = {}
        metrics: dict[str, float] = {}
        history: dict[str, list[float]] = {}
        store = self.sweep.runtime.open_store()
        for stage in job.stages:
            artifact = store.find(stage.kind, stage.key)
            if artifact is not None:
                stages[stage.name] = stage.key
                metrics |= named_metrics(stage, artifact.done["metrics"])
                for line in artifact.history():
                    numbers = {name: value for name, value in line.items() if "/" in name}
                    for name, value in named_metrics(stage, numbers).items():
                        history.setdefault(name, []).append(value)
        metrics = with_means(metrics)
        record = Record(
            trial=job.trial,
            index=job.configuration.index,
            row=job.configuration.row,
            space=self.sweep.space.name,
            preset=self.sweep.preset,
            parameters=job.configuration.parameters,
            settings=flat(job.experiment.settings),
            departures=departures(job.experiment.settings, self.sweep.preset),
            data={role: describe(videos) for role, videos in job.data.items()},
            seed=job.experiment.seed,
            stages=stages,
            metrics=metrics,
            history=history,
            seconds={kind: Seconds(used=used, saved=saved) for kind, (used, saved) in seconds.items()},
            outcome=outcome,
            reason=reason,
            versions=self.versions | device,
            command=self.sweep.command,
        )
        self.ledger.append(record)
        self.open.discard(job.trial)
        self.tracker.finish(job.trial, outcome, metrics)
        self.progress.trial_ended(record, metrics.get(self.sweep.space.objective))


def _global_epoch(job: Job, name: str, epoch: int) -> int:
    """Epochs of the recipe's stages counted through, so that W&B's steps only grow, also when a trial is resumed."""
    before = 0
    for stage in job.stages:
        if stage.name == name:
            break
        if schedule := stage.declared.schedule:
            before += int(getattr(job.experiment.settings, schedule).epochs)
    return before + epoch


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "protocol": PROTOCOL}
    versions |= {package: metadata.version(package) for package in PACKAGES}
    return versions | decoder_versions()

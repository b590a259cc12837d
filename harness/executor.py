"""Runs the trials of a sweep with Ray Tune: resources, reused actors, failures, a cluster's address.

Ray's own state is thrown away: what a sweep knows is its ledger and its store, and starting it again continues it. A worker
that dies is replaced and its trial goes on from the store's last checkpoint. An error that a trial explains (unreadable data,
a loss that became NaN, a full disk) ends that trial as `failed` with the reason and is not tried again by itself.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any

import ray
from ray import tune

from harness.ledger import Ledger, Outcome, Record, Seconds
from harness.planner import Job, Sweep
from harness.progress import Progress
from harness.searcher import Configuration, StudySearcher
from harness.tracking import Tracker
from trainables.data import describe
from trainables.pipeline import PROTOCOL, Experiment, named_metrics, run_experiment, with_means
from trainables.presets import departures
from trainables.runtime import Runtime
from trainables.settings import flat, validated
from trainables.stages.training import NonFiniteLoss
from trainables.store import StoreError
from trainables.video.decoding import decoder_versions
from trainables.video.layouts import DataError

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "numpy", "ray", "optuna", "wandb")
WORKER_LIVES = 5
NODE_CHECK_SECONDS = 5.0
SECONDS = "seconds/"
"""Prefix of a trial's last report under which the times of its stages are."""
OBJECT_STORE_BYTES = 100 * 2**20
QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_RESULT_BUFFER_LENGTH": "0",
    "TUNE_MAX_PENDING_TRIALS_PG": "8",
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
}


def run_trial(config: dict[str, Any]) -> None:
    """One trial, in a Ray worker. Reports each epoch, then how it ended; test metrics stay in the store."""
    experiment = Experiment(validated(config["settings"]), config["seed"])
    runtime = Runtime.from_config(config["runtime"])
    try:
        result = run_experiment(experiment, runtime, tune.report)
    except (DataError, StoreError, NonFiniteLoss) as error:
        tune.report({"outcome": "failed", "reason": str(error)})
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        tune.report({"outcome": "failed", "reason": f"{type(error).__name__}: {error} ({place})"})
    else:
        tune.report(
            {
                "outcome": "complete",
                "device": runtime.device_name(),
                **{f"{SECONDS}{kind}": [spent.used, spent.saved] for kind, spent in result.seconds.items()},
                **{name: value for name, value in result.metrics.items() if not name.startswith("test/")},
            }
        )


@dataclass
class Bookkeeper:
    """Turns what happens to trials into ledger records, W&B runs and lines on the console."""

    sweep: Sweep
    ledger: Ledger
    tracker: Tracker
    progress: Progress
    retry_failed: bool

    def __post_init__(self) -> None:
        self.handed_out: dict[str, Job] = {}
        self.running: set[str] = set()
        self.seeds: dict[int, list[Job]] = {}
        self.open: set[str] = set()
        self.versions = _versions()

    def jobs(self, configuration: Configuration) -> list[dict[str, Any]]:
        """Configs of the seeds of a configuration that still have to run."""
        jobs = self.sweep.jobs(configuration)
        self.seeds[configuration.index] = jobs
        configs = []
        for job in jobs:
            record = self.sweep.record(self.ledger, job.trial)
            if record is not None and self._stands(record):
                self.progress.trial_ended(record, record.metrics.get(self.sweep.space.objective))
                continue
            if job.trial in self.open:  # another configuration that is the same experiment runs it already
                continue
            self.open.add(job.trial)
            self.handed_out[job.trial] = job
            configs.append(
                {
                    "trial": job.trial,
                    "index": configuration.index,
                    "seed": job.experiment.seed,
                    "settings": job.experiment.settings.model_dump(),
                    "runtime": self.sweep.runtime.as_config(),
                }
            )
        return configs

    def _stands(self, record: Record) -> bool:
        return record.outcome in ("complete", "pruned") or (record.outcome == "failed" and not self.retry_failed)

    def report_if_complete(self) -> bool:
        """Whether every trial of the sweep has ended before; if so they are all shown as found."""
        proposals = self.sweep.proposals(self.ledger)
        if any(index not in proposals.known for index in range(len(proposals.fixed), proposals.size)):
            return False
        found = []
        for _ in range(proposals.size):
            for job in self.sweep.jobs(proposals.next()):
                record = self.sweep.record(self.ledger, job.trial)
                if record is None or not self._stands(record):
                    return False
                found.append(record)
        for record in found:
            self.progress.trial_ended(record, record.metrics.get(self.sweep.space.objective))
        return True

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

    def choose(self, queue: Sequence[dict[str, Any]], running: Collection[dict[str, Any]]) -> dict[str, Any] | None:
        """The first config in the queue that would not wait for a stage that a running trial is to compute."""
        store = self.sweep.runtime.open_store()
        computing = {
            stage.key
            for config in running
            for stage in self.handed_out[config["trial"]].stages
            if stage.declared.random and store.find(stage.kind, stage.key) is None
        }
        for config in queue:
            if not any(stage.key in computing for stage in self.handed_out[config["trial"]].stages):
                return config
        return None

    def started(self, trial: str) -> None:
        self.running.add(trial)
        job = self.handed_out[trial]
        configuration, seed = job.configuration, job.experiment.seed
        self.progress.trial_started(trial, f"#{configuration.index}", configuration.parameters, seed, configuration.row)
        config = flat(job.experiment.settings) | {
            "seed": job.experiment.seed,
            "preset": self.sweep.preset,
            "trial": trial,
        }
        self.tracker.start(trial, job.name, config, [self.sweep.space.name, self.sweep.preset])

    def epoch(self, trial: str, metrics: dict[str, Any]) -> None:
        self.progress.epoch(trial, metrics)
        job = self.handed_out[trial]
        stage = next(stage for stage in job.stages if stage.name == metrics["stage"])
        if stage.declared.schedule is None:  # its rounds are no epochs, which are counted through
            return
        numbers = {name: value for name, value in metrics.items() if "/" in name}
        self.tracker.log(trial, _global_epoch(job, metrics["stage"], metrics["epoch"]), numbers)

    def ended(self, config: dict[str, Any], result: dict[str, Any] | None) -> None:
        """A trial ended: with the result it reported last, or None when its worker died too often."""
        job = self.handed_out.pop(config["trial"])
        self.running.discard(job.trial)
        reported = result or {}
        outcome: Outcome = "complete" if reported.get("outcome") == "complete" else "failed"
        reason = None if outcome == "complete" else reported.get("reason") or f"its worker died {WORKER_LIVES} times"
        seconds = {name.removeprefix(SECONDS): spent for name, spent in reported.items() if name.startswith(SECONDS)}
        device = {"device": str(reported["device"])} if "device" in reported else {}
        self._write(job, outcome, reason, seconds, self.versions | device)

    def interrupt(self) -> None:
        """The sweep stops now: record what was running."""
        for trial in sorted(self.running):
            self._write(self.handed_out.pop(trial), "interrupted", "the sweep was interrupted", {}, self.versions)
        self.running.clear()

    def _write(
        self, job: Job, outcome: Outcome, reason: str | None, seconds: dict[str, list[float]], versions: dict[str, str]
    ) -> None:
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
            versions=versions,
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


class ClusterLost(RuntimeError):
    """No node of the Ray cluster is alive any more: Ray itself would wait for ever."""


class Listener(tune.Callback):
    """Passes Ray Tune's events on to the bookkeeper, and sees when there is no cluster left."""

    def __init__(self, books: Bookkeeper, stop: threading.Event) -> None:
        self.books = books
        self.stop = stop
        self.checked = time.monotonic()

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self.stop.is_set():
            raise KeyboardInterrupt
        if time.monotonic() - self.checked > NODE_CHECK_SECONDS:
            self.checked = time.monotonic()
            if not any(node["Alive"] for node in ray.nodes()):  # type: ignore[no-untyped-call]
                raise ClusterLost("no node of the Ray cluster is alive any more")

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles its callbacks to be able to restore a run, which is done from the ledger here."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.books.started(trial.config["trial"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        if "stage" in result and "outcome" not in result:
            self.books.epoch(trial.config["trial"], result)


def run_trials(
    books: Bookkeeper,
    *,
    concurrency: int,
    gpus_per_trial: float,
    address: str | None,
    trainable: Callable[[dict[str, Any]], None] = run_trial,
) -> None:
    """Run what the ledger does not hold yet, each trial by `trainable`.

    Raises KeyboardInterrupt after the workers have ended, and ClusterLost when Ray died.
    """
    sweep = books.sweep
    if books.report_if_complete():
        return
    searcher = StudySearcher(sweep.proposals(books.ledger), books.jobs, books.settled, books.ended, books.choose)
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    scratch = Path(tempfile.mkdtemp(prefix="auxgraph-"))
    try:
        with _interruptible() as stop:
            _connect(address, concurrency, gpus_per_trial)
            tuner = tune.Tuner(
                tune.with_resources(trainable, {"cpu": 1, "gpu": gpus_per_trial}),
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    num_samples=-1,
                    max_concurrent_trials=concurrency,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="sweep",
                    storage_path=str(scratch),
                    callbacks=[Listener(books, stop)],
                    failure_config=tune.FailureConfig(max_failures=WORKER_LIVES - 1),
                    verbose=0,
                ),
            )
            tuner.fit()
            if stop.is_set():
                raise KeyboardInterrupt
    except (KeyboardInterrupt, ClusterLost):
        books.interrupt()
        raise
    finally:
        ray.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)


def _connect(address: str | None, concurrency: int, gpus_per_trial: float) -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)
    if address is not None:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        return
    ray.init(
        num_cpus=concurrency,
        num_gpus=None if gpus_per_trial else 0,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=False,
    )


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt and set the event: what Ray swallows is raised again at its next step."""
    stop = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        stop.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "protocol": PROTOCOL}
    versions |= {package: metadata.version(package) for package in PACKAGES}
    return versions | decoder_versions()

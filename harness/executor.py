"""Runs the trials of a sweep with Ray Tune: resources, reused actors, failures, a cluster's address. Ray is known here only.

Ray's own state is thrown away: what a sweep knows is its ledger and its store, and starting it again continues it. A worker
that dies is replaced and its trial goes on from the store's last checkpoint. An error that a trial explains (unreadable data,
a loss that became NaN, a full disk) ends that trial as `failed` with the reason and is not tried again by itself.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from harness.bookkeeper import SECONDS, WORKER_LIVES, Bookkeeper
from harness.proposals import Exhausted
from harness.trials import SweepError
from trainables.pipeline import Experiment, run_experiment
from trainables.runtime import Runtime
from trainables.settings import validated
from trainables.stages.training import NonFiniteLoss
from trainables.store import StoreError
from trainables.video.videos import DataError

REPOSITORY = Path(__file__).resolve().parents[1]
NODE_CHECK_SECONDS = 5.0
ADDRESS_SECONDS = 10.0
"""How long a cluster's head may take to accept a connection."""
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
    runtime = Runtime.from_config(config["runtime"])  # first: settings may name things in folders that it brings
    experiment = Experiment(validated(config["settings"]), config["seed"])
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


class ClusterLost(RuntimeError):
    """No node of the Ray cluster is alive any more: Ray itself would wait for ever."""


class StudySearcher(Searcher):
    """Ray Tune's way of asking the bookkeeper what runs next, and of telling it how that ended."""

    def __init__(self, books: Bookkeeper) -> None:
        super().__init__()
        self.books = books

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        try:
            return self.books.next(trial_id)
        except Exhausted:
            return Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.books.ended(trial_id, None if error else result or {})

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles its searcher to be able to restore a run, which is done from the ledger here."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """An empty file, for Ray: the ledger is the state."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: the ledger is the state."""


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
        self.books.started(trial.trial_id)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        if "stage" in result and "outcome" not in result:
            self.books.epoch(trial.trial_id, result)
        if result.get(
            "done"
        ):  # Tune says so of a report after which it stops the trial, not of the last one of a trial that ends
            self.books.stopped(trial.trial_id)


def run_trials(
    books: Bookkeeper,
    *,
    concurrency: int,
    gpus_per_trial: float,
    address: str | None,
    trainable: Callable[[dict[str, Any]], None] = run_trial,
) -> None:
    """Run what the ledger does not hold yet, each trial by `trainable`.

    Raises KeyboardInterrupt after the workers have ended, ClusterLost when Ray died, and SweepError for an address without Ray.
    """
    if books.is_complete():
        return
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    scratch = Path(tempfile.mkdtemp(prefix="auxgraph-"))
    try:
        with _interruptible() as stop:
            connect(address, concurrency, gpus_per_trial)
            tuner = tune.Tuner(
                tune.with_resources(trainable, {"cpu": 1, "gpu": gpus_per_trial}),
                tune_config=tune.TuneConfig(
                    search_alg=StudySearcher(books),
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
    except BaseException:  # whatever ends the sweep, what was running has a record
        books.interrupt()
        raise
    finally:
        ray.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)


def connect(address: str | None, concurrency: int, gpus_per_trial: float) -> None:
    """Connect to the cluster at an address, or start one on this machine. Raises SweepError for an address without Ray."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    if address is not None:
        try:
            _require_listener(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, OverflowError, RuntimeError, ValueError) as error:
            raise SweepError(f"--address {address}: no Ray cluster there: {' '.join(str(error).split())}") from None
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


def _require_listener(address: str) -> None:
    """Raises OSError unless something listens at HOST:PORT: Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), ADDRESS_SECONDS).close()


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

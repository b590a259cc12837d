"""Runs the trials of a sweep with Ray Tune: resources, reused actors, failures. But for cluster.py, Ray is known here only.

Ray's own state is thrown away: what a sweep knows is its ledger and its store, and starting it again continues it. A worker
that dies is replaced and its trial goes on from the store's last checkpoint. An error that a trial explains (a loss that became
NaN, a class without videos) ends that trial as `failed` with the reason and is not tried again by itself. One that its
surroundings explain (a full disk, data that are not there on a node) is told as `hindered`, and is no outcome.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import pickle
import platform
import shutil
import socket
import tempfile
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayTaskError
from ray.tune.search import Searcher

from harness.attention import ANSWER_SECONDS, END_SECONDS, ClusterLost, Stop, attend
from harness.bookkeeper import COMPUTED_BY, Bookkeeper, worker_versions
from harness.cluster import Cluster
from harness.deaths import Worker, oom_kills
from harness.hindrances import GivenUp
from harness.patience import Pulse, Words, no_room
from harness.preflight import DRIVER, JOINED, Preflight, Unfit, clear_tokens, offered
from harness.proposals import Exhausted
from harness.watchdog import Limits, Watchdog
from trainables.files import digest
from trainables.pipeline import Expected, Experiment, OtherCode, run_experiment
from trainables.runtime import Runtime
from trainables.settings import validated
from trainables.stages.guard import Collapsed
from trainables.stages.kind import StartError
from trainables.stages.memory import OutOfMemory
from trainables.stages.training import NonFiniteLoss
from trainables.tracebacks import own_frames
from trainables.video.apart import DecoderDied
from trainables.video.dataset import LoaderDied
from trainables.video.handed_on import OPEN_SETS
from trainables.video.videos import DataError

REPOSITORY = Path(__file__).resolve().parents[1]
NODE_CHECK_SECONDS = 5.0
NO_NODE_SECONDS = 60.0
"""For which others may join, once all nodes that could run trials are left out."""
NODE_LABEL = "ray.io/node-id"
"""Ray's label of a node that is its id."""
QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_RESULT_BUFFER_LENGTH": "0",
    "TUNE_MAX_PENDING_TRIALS_PG": "8",
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_worker_niceness": "0",
    "RAY_prestart_worker_first_driver": "0",
}
"""Of Ray and Tune, in the environment: no output, no state of their own; workers as urgent as everything else, and none that is
started before it is known for what, as Tune's trials want others."""


def run_trial(config: dict[str, Any]) -> None:
    """One trial, in a Ray worker. Reports what it makes, each epoch, and last how it ended and what computed it."""
    begun: list[str] = []

    def report(line: dict[str, Any]) -> None:
        if "stage" in line:
            begun.append(line["stage"])
        with watchdog.told(line):
            tune.report(line)

    tune.report({"worker": this_worker()})
    try:
        if config["preflight"] is not None:
            Preflight(**config["preflight"]).check(worker_versions())
        runtime = Runtime.from_config(config["runtime"])  # first: settings may name things in folders that it brings
        experiment = Experiment(validated(config["settings"]), config["seed"])
        versions = worker_versions() | {"device": runtime.device_name(), "node": platform.node()}
        expected = {name: Expected(*code) for name, code in config["code"].items()}
        OPEN_SETS.take_over(config["open_sets"])
    except Exception as error:
        tune.report(how_it_failed(error, False) if isinstance(error, OSError) else unfit(error))
        return
    try:
        with Watchdog(Limits(**config["limits"]), Path(config["stack"])) as watchdog:
            run_experiment(experiment, runtime, report, expected)
        last: dict[str, Any] = {"outcome": "complete"}
    except Exception as error:
        of_node = isinstance(error, OtherCode) and config["preflight"] is not None
        last = unfit(error) if of_node else how_it_failed(error, bool(begun))
    tune.report(last | {f"{COMPUTED_BY}{name}": value for name, value in versions.items()})


def this_worker() -> dict[str, Any]:
    """What the bookkeeper may know of this process before it dies."""
    try:
        log = str(Path("/proc/self/fd/2").readlink())
    except OSError:
        log = ""
    return asdict(Worker(**this_node(), pid=os.getpid(), log=log, oom_kills=oom_kills()))


def this_node() -> dict[str, str]:
    return {"node": platform.node(), "node_id": ray.get_runtime_context().get_node_id()}


def unfit(error: Exception) -> dict[str, Any]:
    """A trial's last report where a node could not do what the driver did when it planned the sweep."""
    kind = "" if isinstance(error, (Unfit, OtherCode)) else f"{type(error).__name__}: "
    return {"outcome": "unfit", "reason": f"{kind}{one_line(error)}", **this_node()}


def how_it_failed(error: Exception, begun: bool) -> dict[str, Any]:
    """A trial's last report after an error. begun: whether any stage was begun or found: before that its data, which were found
    when the sweep was planned, are not at hand."""
    no_data = isinstance(error, DataError) and not isinstance(error, StartError) and not begun
    if isinstance(error, DecoderDied) and begun:  # of this trial's videos, perhaps each time: others go on
        return {"outcome": "failed", "reason": one_line(error)}
    if no_data or isinstance(error, (OSError, LoaderDied, OtherCode)):
        return {"outcome": "hindered", "reason": one_line(error), "errno": getattr(error, "errno", None)}
    if isinstance(error, OutOfMemory):
        return {"outcome": "failed", "reason": one_line(error), "parts": error.parts}
    if isinstance(error, (DataError, NonFiniteLoss, Collapsed)):
        return {"outcome": "failed", "reason": one_line(error)}
    said = "".join(traceback.format_exception(error))
    own = own_frames(error) or traceback.extract_tb(error.__traceback__)
    place = f" ({Path(own[-1].filename).name}:{own[-1].lineno}, in {own[-1].name})" if own else ""
    return {"outcome": "failed", "reason": f"{type(error).__name__}: {one_line(error)}{place}", "traceback": said}


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


class StudySearcher(Searcher):
    """Ray Tune's way of asking the bookkeeper what runs next, and of telling it how that ended.

    preflight: what each node is to be asked before its trials, as arguments of a Preflight; None where all are this machine's.
    """

    def __init__(self, books: Bookkeeper, stop: Stop, scratch: Path, preflight: dict[str, Any] | None) -> None:
        super().__init__()
        self.books = books
        self.stop = stop
        self.scratch = scratch
        self.preflight = preflight

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        try:
            with self.stop.booking(Exhausted):
                given = self.books.next(trial_id)
                return given and {**given, "open_sets": OPEN_SETS.hand_on(self.scratch), "preflight": self.preflight}
        except Exhausted:
            return Searcher.FINISHED
        return None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """An error is known to the Listener only."""
        if not error:
            with self.stop.booking():
                self.books.ended(trial_id, result or {})

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles its searcher to be able to restore a run, which is done from the ledger here."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """An empty file, for Ray: the ledger is the state."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: the ledger is the state."""


class Listener(tune.Callback):
    """Passes Ray Tune's events on to the bookkeeper, and sees when there is no cluster left, or none that runs the trials.

    asked: resources that a trial asks for.
    """

    def __init__(self, books: Bookkeeper, stop: Stop, pulse: Pulse, asked: Mapping[str, float]) -> None:
        self.books = books
        self.stop = stop
        self.pulse = pulse
        self.asked = asked
        self.checked = self.able = time.monotonic()
        self.idle = Words()

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.stop.check()
        self.books.check_budget()
        self.pulse.beat()
        self.tell_what_is_waited_for({trial.status for trial in trials})
        if time.monotonic() - self.checked > NODE_CHECK_SECONDS:
            self.checked = time.monotonic()
            alive = living_nodes()
            if not alive:
                raise ClusterLost("no node of the Ray cluster is alive any more")
            able = {name for name, has in alive.items() if all(has.get(what, 0) >= n for what, n in self.asked.items())}
            if not self.books.left_out or able - self.books.left_out.keys():
                self.able = self.checked
            elif self.checked - self.able >= NO_NODE_SECONDS:
                raise GivenUp(f"no node is left to run trials: {'; '.join(self.books.left_out.values())}")

    def tell_what_is_waited_for(self, states: Collection[str]) -> None:
        """Of resources, where trials wait and none runs."""
        if "RUNNING" in states or "PENDING" not in states:
            self.idle.begin()
        elif (seconds := self.idle.due()) is not None:
            nodes = list(living_nodes().values())
            why = no_room(self.asked, nodes, ray.available_resources())  # type: ignore[no-untyped-call]
            self.pulse.say(f"no trial has begun for {seconds:.0f} s: {why}")

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles its callbacks to be able to restore a run, which is done from the ledger here."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        with self.stop.booking():
            self.books.started(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        error, alive = error_of(trial), answering_nodes()
        with self.stop.booking():
            if isinstance(error, RayTaskError):
                last = {"outcome": "failed", "reason": one_line(error.cause), "traceback": str(error)}
                self.books.ended(trial.trial_id, last)
            else:
                self.books.died(trial.trial_id, str(error), alive)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        with self.stop.booking():
            if "outcome" not in result:
                self.books.reported(trial.trial_id, result)
            if result.get("done"):  # of a report after which Tune stops the trial, not of the last one of a trial that ends
                self.books.stopped(trial.trial_id)


def living_nodes() -> dict[str, dict[str, float]]:
    """The resources of the nodes of the Ray cluster that are alive, by their ids."""
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]


def answering_nodes() -> set[str]:
    """The ids of the nodes whose raylet answers: Ray itself takes seconds to see that a node is gone."""
    answering = set()
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        with contextlib.suppress(OSError):
            if node["Alive"]:
                socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), ANSWER_SECONDS).close()
                answering.add(node["NodeID"])
    return answering


def error_of(trial: Any) -> Exception | str:
    """With what a trial of Tune's ended, which keeps it in files."""
    try:
        with Path(trial.pickled_error_file).open("rb") as file:
            error: Exception = pickle.load(file)
            return error
    except Exception:
        return Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""


def found_there(trainable: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """The trainable, imported by the worker itself, which says so where it cannot."""
    module, name = trainable.__module__, trainable.__qualname__
    if module == "__main__":
        return trainable

    def start(config: dict[str, Any]) -> None:  # is sent as it is: what it uses beyond Ray is not there when it is needed
        try:
            found = getattr(importlib.import_module(module), name)
        except Exception as error:
            node = {"node": platform.node(), "node_id": ray.get_runtime_context().get_node_id()}
            tune.report({"outcome": "unfit", "reason": f"{type(error).__name__}: {error}", **node})
            return
        found(config)

    return start


def run_trials(
    books: Bookkeeper,
    *,
    concurrency: int,
    gpus_per_trial: float,
    address: str | None,
    trainable: Callable[[dict[str, Any]], None] = run_trial,
) -> None:
    """Run what the ledger does not hold yet, each trial by `trainable`.

    Raises KeyboardInterrupt for a signal, ClusterLost when Ray died, GivenUp when trials cannot run, BudgetSpent when they may
    not any more, and SweepError for an address without Ray. Whatever ends it, what was running has a record.
    """
    if books.is_driver:
        clear_scratch(books.sweep.directory)
        clear_tokens(books.sweep)
    with Pulse("preparing trials", books.progress.note) as pulse:
        if not books.is_complete():
            asked = {"CPU": books.sweep.runtime.cores_of_a_trial, "GPU": gpus_per_trial}
            _run(books, concurrency, asked, Cluster(address), trainable, pulse)


def new_scratch(sweep: Path) -> Path:
    """An empty directory for what Ray writes, of the driver of a sweep."""
    return Path(tempfile.mkdtemp(prefix=_scratch_prefix(sweep)))


def clear_scratch(sweep: Path) -> None:
    """Remove what killed drivers of a sweep have left on this machine. Its caller is the only one now."""
    for left in Path(tempfile.gettempdir()).glob(f"{_scratch_prefix(sweep)}*"):
        shutil.rmtree(left, ignore_errors=True)


def _scratch_prefix(sweep: Path) -> str:
    return f"auxgraph-{digest(str(sweep.absolute()))}-"


def _run(
    books: Bookkeeper,
    concurrency: int,
    asked: dict[str, float],
    cluster: Cluster,
    trainable: Callable[[dict[str, Any]], None],
    pulse: Pulse,
) -> None:
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # it takes a trial that goes on with another worker for lost
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    stop = Stop()
    scratch = new_scratch(books.sweep.directory) if books.is_driver else Path(tempfile.mkdtemp(prefix="auxgraph-"))

    def work() -> None:
        try:
            pulse.follow(f"connecting to Ray at {cluster.address}" if cluster.address else "starting Ray")
            cluster.connect(concurrency * int(asked["CPU"]), asked["GPU"], scratch)
            stop.end_seconds = END_SECONDS
            pulse.follow("handing out trials")
            role = DRIVER if books.is_driver else JOINED
            with offered(books.sweep, worker_versions(), role) if cluster.address else contextlib.nullcontext() as preflight:
                searcher = StudySearcher(books, stop, scratch, preflight)
                _tuner(searcher, Listener(books, stop, pulse, asked), trainable, concurrency).fit()
            stop.check()
            if not books.is_complete():
                raise ClusterLost("Ray Tune has ended before the sweep has")
        except BaseException as error:
            stop.check()
            stop.because(error)
            raise
        finally:
            cluster.let_go()
            stop.ends_by = time.monotonic() + END_SECONDS
            gc.collect()  # what is left of Ray's objects ends here, not in another thread while Ray shuts down
            ray.shutdown()

    try:
        attend(work, stop, cluster.doors)
    except BaseException:
        stop.close_books()
        books.interrupt()
        raise
    finally:
        cluster.end_processes()
        shutil.rmtree(scratch, ignore_errors=True)


def _tuner(
    searcher: StudySearcher, listener: Listener, trainable: Callable[[dict[str, Any]], None], concurrency: int
) -> tune.Tuner:
    asked = listener.asked

    def resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        left_out = config["left_out"]
        where: dict[str, Any] = {"bundle_label_selector": [{NODE_LABEL: f"!in({','.join(left_out)})"}]} if left_out else {}
        return tune.PlacementGroupFactory([dict(asked)], **where)

    return tune.Tuner(
        tune.with_resources(found_there(trainable), resources),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,
            max_concurrent_trials=concurrency,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=str(searcher.scratch),
            callbacks=[listener],
            failure_config=tune.FailureConfig(max_failures=0),
            verbose=0,
        ),
    )

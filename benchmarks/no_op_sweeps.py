"""The sweeps that `trial_overhead.py` compares: trials that report and compute nothing, by AuxGraph and by stock Tune.

A module of its own, so that Ray's workers can import it. Both sides run two trials at a time; every trial reports
`EPOCHS` epochs of `METRICS` and leaves one finished W&B run on the disk (offline), which is counted before times are
returned: the seconds from the start of the sweep to the end of each trial, and last to the end of the last W&B run.
"""

from __future__ import annotations

import io
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.air.integrations.wandb import WandbLoggerCallback
from rich.console import Console

from harness.bookkeeper import Bookkeeper
from harness.executor import run_trials
from harness.ledger import Ledger, Record
from harness.progress import Progress
from harness.tracking import Tracker
from harness.trials import Sweep
from harness.wandb_runs import WandbRuns
from search_spaces.space import find_space
from trainables.data import open_data
from trainables.pipeline import Experiment, Made, resolve
from trainables.runtime import Runtime
from trainables.settings import validated
from trainables.store import Workplace

AT_ONCE = 2
EPOCHS = 5
METRICS = {"auxskd/loss": 1.0, "auxskd/accuracy": 0.5, "auxskd/seconds": 2.0}
PATIENCE = 600.0
"""Seconds that W&B gets to finish after the last trial."""
FEW_CLIPS = {
    "data.embedded.classes": 6,
    "data.embedded.train": 1,
    "data.embedded.validation": 1,
    "data.embedded.test": 1,
    "data.embedded.height": 16,
    "data.embedded.width": 16,
    "evaluation.measures": ("finetune",),
}


def no_op_trial(config: dict[str, Any]) -> None:
    """What `run_trial` does around an experiment, without the experiment: its last stage is claimed and left empty."""
    experiment = Experiment(validated(config["settings"]), config["seed"])
    runtime = Runtime.from_config(config["runtime"])
    *before, target = resolve(experiment, open_data(experiment.settings.data, runtime))
    for stage in before:
        tune.report({"stage": stage.name, "made": asdict(Made(stage.key, {}, {}, 0.0, 0.0))})
    with runtime.open_store().claim(target.kind, target.key) as workplace:
        assert isinstance(workplace, Workplace), "every trial of the sweep is another experiment"
        for epoch in range(1, EPOCHS + 1):
            tune.report({"stage": "auxskd", "epoch": epoch, "epochs": EPOCHS, **METRICS})
        workplace.publish(settings={}, metrics={"validation/top1": 0.5})
    tune.report({"stage": target.name, "made": asdict(Made(target.key, {"validation/top1": 0.5}, {}, 0.0, 0.0))})
    tune.report({"outcome": "complete"})


class NotingProgress(Progress):
    """The live console, and the times at which trials ended."""

    ends: list[float]

    def trial_ended(self, record: Record, objective: float | None) -> None:
        super().trial_ended(record, objective)
        self.ends.append(time.perf_counter())


class NotingCallback(tune.Callback):
    """The times at which trials ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.ends.append(time.perf_counter())


def auxgraph_times(trials: int, directory: Path) -> list[float]:
    """A sweep of space `temperatures`, with TPE after the paper's rows. Ray's end counts, as it is part of `run_trials`."""
    runtime = Runtime(store=directory / "store", cache=directory / "cache", device="cpu")
    space = find_space("temperatures")
    values = {**space.base, **FEW_CLIPS}
    command = "python benchmarks/trial_overhead.py"
    sweep = Sweep("no-op", directory / "no-op", space, "demo", values, "tpe", trials, 1, runtime, command)
    notes: list[str] = []
    begin = time.perf_counter()
    sweep.settle_identity()
    ledger = Ledger(sweep.directory)
    tracker = Tracker([WandbRuns("offline", sweep.directory, sweep.name, on_warning=notes.append)])
    console = Console(file=io.StringIO())
    with NotingProgress(sweep.name, trials, space.objective, str(sweep.directory), console) as progress:
        progress.ends = []
        books = Bookkeeper(sweep, ledger, tracker, progress, retry_failed=False)
        run_trials(books, concurrency=AT_ONCE, gpus_per_trial=0, address=None, trainable=no_op_trial)
        tracker.close(PATIENCE)
    ends = [*progress.ends, time.perf_counter()]
    complete = sum(record.outcome == "complete" for record in ledger.records())
    _check(trials, complete, directory, notes)
    return [end - begin for end in ends]


def stock_times(trials: int, directory: Path) -> list[float]:
    """A sweep by `tune.Tuner` and `WandbLoggerCallback` with their defaults, but without Tune's tables and Ray's end."""
    os.environ["WANDB_MODE"] = "offline"
    os.environ["WANDB_SILENT"] = "true"

    def trial(config: dict[str, Any]) -> None:
        for _ in range(EPOCHS):
            tune.report(METRICS)

    noting = NotingCallback()
    begin = time.perf_counter()
    ray.init(num_cpus=AT_ONCE, num_gpus=0, include_dashboard=False, log_to_driver=False)
    names = find_space("temperatures").rows[0].parameters
    results = tune.Tuner(
        trial,
        param_space={name: tune.loguniform(0.005, 0.5) for name in names},
        tune_config=tune.TuneConfig(num_samples=trials),
        run_config=tune.RunConfig(
            name="no-op",
            storage_path=str(directory),
            callbacks=[WandbLoggerCallback(project="auxgraph", dir=str(directory)), noting],
            verbose=0,
        ),
    ).fit()
    ends = [*noting.ends, time.perf_counter()]
    ray.shutdown()
    _check(trials, len(results) - results.num_errors, directory, [str(error) for error in results.errors])
    return [end - begin for end in ends]


def _check(trials: int, complete: int, directory: Path, problems: list[str]) -> None:
    """Raises RuntimeError unless every trial completed and left a W&B run: nothing else is worth timing."""
    runs = len(list(directory.rglob("offline-run-*/run-*.wandb")))
    if complete != trials or runs != trials:
        raise RuntimeError(f"{complete} of {trials} trials completed, {runs} W&B runs were written; {problems}")

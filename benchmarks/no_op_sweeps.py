"""The two sweeps that `trial_overhead.py` compares: trials that report and compute nothing, run by AuxGraph and by stock Tune.

A module of its own, so that Ray's workers can import it. Both sides run two trials at a time; every trial reports
`EPOCHS` epochs of `METRICS` and leaves one finished W&B run on the disk (offline), which is counted before a time is returned.
"""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.air.integrations.wandb import WandbLoggerCallback
from rich.console import Console

from harness.executor import Bookkeeper, run_trials
from harness.ledger import Ledger
from harness.planner import Sweep
from harness.progress import Progress
from harness.tracking import Tracker
from search_spaces.space import find_space
from trainables.pipeline import Experiment, resolve
from trainables.runtime import Runtime, open_data
from trainables.settings import preset, validated, with_values

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
}


def no_op_trial(config: dict[str, Any]) -> None:
    """What `run_trial` does around an experiment, without the experiment: its last stage is claimed and left empty."""
    experiment = Experiment(validated(config["settings"]), config["seed"])
    runtime = Runtime.from_config(config["runtime"])
    target = resolve(experiment, open_data(experiment.settings.data, runtime))
    with runtime.open_store().claim(target.kind, target.key) as workplace:
        for epoch in range(1, EPOCHS + 1):
            tune.report({"stage": "auxskd", "epoch": epoch, "epochs": EPOCHS, **METRICS})
        workplace.publish(settings={}, metrics={"validation/top1": 0.5}, seconds=0.0, history=[])
    tune.report({"outcome": "complete", "seconds": {target.kind: [0.0, 0.0]}})


def auxgraph_seconds(trials: int, directory: Path) -> float:
    """Seconds of a whole sweep of space `temperatures` (TPE after the paper's rows), from its start to the last W&B run."""
    settings = with_values(preset("demo"), FEW_CLIPS)
    runtime = Runtime(store=directory / "store", cache=directory / "cache", device="cpu")
    space = find_space("temperatures")
    data = open_data(settings.data, runtime)
    command = "python benchmarks/trial_overhead.py"
    sweep = Sweep("no-op", directory / "no-op", space, "demo", settings, "tpe", trials, 1, runtime, data, command)
    notes: list[str] = []
    begin = time.perf_counter()
    sweep.settle_identity()
    ledger = Ledger(sweep.directory)
    tracker = Tracker("offline", sweep.directory, sweep.name, on_warning=notes.append)
    with Progress(sweep.name, trials, space.objective, str(sweep.directory), Console(file=io.StringIO())) as progress:
        books = Bookkeeper(sweep, ledger, tracker, progress, retry_failed=False)
        run_trials(books, concurrency=AT_ONCE, gpus_per_trial=0, address=None, trainable=no_op_trial)
        tracker.close(PATIENCE)
    seconds = time.perf_counter() - begin
    complete = sum(record.outcome == "complete" for record in ledger.records())
    _check(trials, complete, directory, notes)
    return seconds


def stock_seconds(trials: int, directory: Path) -> float:
    """Seconds of a whole sweep by `tune.Tuner` and `WandbLoggerCallback` with their defaults, but without Tune's tables."""
    os.environ["WANDB_MODE"] = "offline"
    os.environ["WANDB_SILENT"] = "true"

    def trial(config: dict[str, Any]) -> None:
        for _ in range(EPOCHS):
            tune.report(METRICS)

    begin = time.perf_counter()
    ray.init(num_cpus=AT_ONCE, num_gpus=0, include_dashboard=False, log_to_driver=False)
    space = find_space("temperatures")
    names = space.rows[0].parameters
    results = tune.Tuner(
        trial,
        param_space={name: tune.loguniform(0.005, 0.5) for name in names},
        tune_config=tune.TuneConfig(num_samples=trials),
        run_config=tune.RunConfig(
            name="no-op",
            storage_path=str(directory),
            callbacks=[WandbLoggerCallback(project="auxgraph", dir=str(directory))],
            verbose=0,
        ),
    ).fit()
    ray.shutdown()
    seconds = time.perf_counter() - begin
    _check(trials, len(results) - results.num_errors, directory, [str(error) for error in results.errors])
    return seconds


def _check(trials: int, complete: int, directory: Path, problems: list[str]) -> None:
    """Raises RuntimeError unless every trial completed and left a W&B run: nothing else is worth timing."""
    runs = len(list(directory.rglob("offline-run-*/run-*.wandb")))
    if complete != trials or runs != trials:
        raise RuntimeError(f"{complete} of {trials} trials completed, {runs} W&B runs were written; {problems}")

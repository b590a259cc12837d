"""A trial as a plain Python call, and the programs of `peers.py` that run some: what users write who have no harness.

A trial is a file FILE.json with settings, seed and directories; what it gave is written to FILE.result. A module of its own, so
that other processes can import it; Optuna and Ray are imported where they are used, as a shell loop needs neither.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path

from trainables.pipeline import Experiment, run_experiment
from trainables.runtime import Runtime
from trainables.settings import validated


def trial(file: Path) -> dict[str, float]:
    """Run the trial of a file, into a store of its own; its metrics are also written down."""
    asked = json.loads(file.read_text())
    runtime = Runtime(store=file.with_suffix(".store"), cache=Path(asked["cache"]), device="cpu")
    metrics = run_experiment(Experiment(validated(asked["settings"]), asked["seed"]), runtime, lambda line: None).metrics
    file.with_suffix(".result").write_text(json.dumps(metrics))
    return metrics


def command() -> None:
    """`python -c "from benchmarks.peer_trials import command; command()" FILE`."""
    trial(Path(sys.argv[1]))


def plain_optuna(folder: Path, at_once: int, objective: str) -> None:
    """Several processes of one study in a journal file, as Optuna's tutorial on parallelisation has them."""
    study = _study(folder)
    files = _files(folder)
    for number in range(len(files)):
        study.enqueue_trial({"trial": number})
    with multiprocessing.Pool(at_once) as pool:
        pool.starmap(_one_more, [(folder, objective)] * len(files), chunksize=1)


def _study(folder: Path):  # type: ignore[no-untyped-def]
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return optuna.create_study(study_name="peers", storage=storage, direction="maximize", load_if_exists=True)


def _one_more(folder: Path, objective: str) -> None:
    files = _files(folder)

    def value(asked):  # type: ignore[no-untyped-def]
        return trial(files[asked.suggest_int("trial", 0, len(files) - 1)])[objective]

    _study(folder).optimize(value, n_trials=1)


def stock_tune(folder: Path, at_once: int, objective: str) -> None:
    """`tune.Tuner` over the files, a core for each trial, with Tune's and Ray's defaults, but for its printed tables."""
    import ray
    from ray import tune

    def trainable(config: dict[str, str]) -> None:
        tune.report(trial(Path(config["file"])))

    ray.init(num_cpus=at_once, log_to_driver=False)
    results = tune.Tuner(
        trainable,
        param_space={"file": tune.grid_search([str(file) for file in _files(folder)])},
        tune_config=tune.TuneConfig(metric=objective, mode="max"),
        run_config=tune.RunConfig(name="peers", storage_path=str(folder / "tune"), verbose=0),
    ).fit()
    if results.num_errors:
        raise RuntimeError(str(results.errors))


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))

"""A stage that is interrupted after every batch ends in the same bytes as one that is not, whatever it trains."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from trainables.pipeline import Result, Stage
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, with_values
from trainables.stages import training
from trainables.store import Artifact, Store

RunStage = Callable[..., Artifact]
MOST_RUNS = 30


class Ran(Protocol):
    """Experiments that ran (conftest.py)."""

    store: Path
    results: dict[str, Result]
    stages: list[tuple[Stage, Any]]
    settings: dict[str, ExperimentSettings]

    def weights(self, name: str) -> tuple[Any, ...]: ...


class Interrupted(Exception):
    """Ends a run, as a signal would."""


def content(artifact: Artifact) -> dict[str, Any]:
    """What a stage left, but for the time that it took."""
    found: dict[str, Any] = {path.name: path.read_bytes() for path in artifact.directory.iterdir() if path.name != "done.json"}
    return found | {"metrics": artifact.done["metrics"]}


def in_single_steps(patched: pytest.MonkeyPatch, run: Callable[[], Artifact]) -> tuple[Artifact, int]:
    """What a stage leaves whose every run is interrupted in its second step, and how many runs that took."""
    train_step = training.train_step
    for runs in range(1, MOST_RUNS):
        steps = 0

        def counted(*arguments: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == 2:
                raise Interrupted
            return train_step(*arguments)

        patched.setattr(training, "train_step", counted)
        try:
            return run(), runs
        except Interrupted:
            pass
        finally:
            patched.setattr(training, "train_step", train_step)
    raise AssertionError(f"{MOST_RUNS} runs of a step each did not suffice: some step was not kept")


def test_every_stage_that_trains_equals_an_uninterrupted_one_to_the_bit(
    variety: Ran, clips: Path, run_stage: RunStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, checkpoints, history and metrics of every stage of every form of experiment: auxSKD and RSPNet with momentum
    encoders and banks, tasks with dropout and random negatives, finetuning that keeps the best epoch, students with running
    gains, learned edges and teachers that answer live."""
    schedules = {stage.key: stage.declared.schedule for stage, _ in variety.stages}
    seen: set[str] = set()
    for experiment, settings in variety.settings.items():
        place = Runtime(variety.store, clips, weights=variety.weights(experiment), device="cpu", save_every=0)
        for name, key in variety.results[experiment].stages.items():
            schedule = schedules[key]
            if schedule is None or key in seen:
                continue
            seen.add(key)
            whole = Store(variety.store).find(name, key)
            assert whole is not None
            resumed, runs = in_single_steps(
                monkeypatch, functools.partial(run_stage, name, settings, place, f"{experiment}-{name}")
            )
            assert runs == 2 * getattr(settings, schedule).epochs, (experiment, name)
            assert content(resumed) == content(whole), (experiment, name)
    assert len(seen) > 20


def test_every_training_that_is_extended_equals_one_in_one_go_to_the_bit(
    variety: Ran, clips: Path, run_stage: RunStage
) -> None:
    """Of the same stages, an epoch fewer first: what they left, to the last value of the history.

    Cosine schedules begin anew, and tracking, whose negatives get harder towards the end; what starts from a stage of the same
    schedule has another start.
    """
    stages = {stage.key: stage for stage, _ in variety.stages}
    extended, anew = set[str](), set[str]()
    for experiment, settings in variety.settings.items():
        place = Runtime(variety.store, clips, weights=variety.weights(experiment), device="cpu")
        for name, key in variety.results[experiment].stages.items():
            stage = stages[key]
            setting = f"{stage.declared.schedule}.epochs"
            its_start = any(setting in source.readable for source in stage.inputs.values())
            if stage.epochs is None or its_start or key in extended | anew:
                continue
            (anew if stage.course is None else extended).add(key)
            epochs = max(stage.epochs, 2)
            short, long = (with_values(settings, {setting: number}) for number in (epochs - 1, epochs))
            whole = Store(variety.store).find(name, key) if epochs == stage.epochs else run_stage(name, long, place)
            assert whole is not None
            place_of_both = f"{experiment}-{name}-extended"
            run_stage(name, short, place, place_of_both)
            lines: list[dict[str, Any]] = []
            longer = run_stage(name, long, place, place_of_both, report=lines.append)
            assert content(longer) == content(whole), (experiment, name)
            run = [line["epoch"] for line in lines if "epoch" in line]
            assert run == ([epochs] if key in extended else [*range(1, epochs + 1)]), (experiment, name)
            assert longer.done.get("extended_from") == (epochs - 1 if key in extended else None)
    assert {stages[key].kind for key in anew} == {"tracking", "pretext", "student"}
    teachers = {f"{task}{end}" for task in ("sorting", "ego_motion", "prediction") for end in ("", "_classifier")}
    alone = {"auxskd", "pretext", "finetune", "student", "vgg_classifier", "tracking_classifier"}
    assert {stages[key].kind for key in extended} >= teachers | alone


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("experiment", ["vcop", "live"])
def test_the_number_of_loader_processes_changes_nothing_of_it(
    variety: Ran, clips: Path, run_stage: RunStage, monkeypatch: pytest.MonkeyPatch, experiment: str, workers: int
) -> None:
    """Of stages with dropout, against what one process gave in one go."""
    name = {"vcop": "pretext", "live": "student"}[experiment]
    place = Runtime(variety.store, clips, device="cpu", save_every=0, workers=workers)
    whole = Store(variety.store).find(name, variety.results[experiment].stages[name])
    assert whole is not None
    assert content(run_stage(name, variety.settings[experiment], place)) == content(whole), "uninterrupted"
    resumed, _ = in_single_steps(monkeypatch, functools.partial(run_stage, name, variety.settings[experiment], place, "parts"))
    assert content(resumed) == content(whole)


def test_killed_loader_processes_are_replaced_and_nothing_changes(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], run_stage: RunStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them by SIGKILL, in the middle of the second and of the ninth of twelve updates."""
    values = {"recipe": "scratch", "finetune.epochs": 1, "finetune.clips_per_video": 5, "finetune.dropout": 0.5}
    settings = with_values(tiny, values)
    whole = run_stage("finetune", settings, runtime())
    train_step, steps, killed = training.train_step, 0, []

    def killing(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps in (2, 9):
            for process in multiprocessing.active_children():
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
            time.sleep(0.2)  # for the signal of their death to arrive
        return train_step(*arguments)

    monkeypatch.setattr(training, "train_step", killing)
    lines: list[dict[str, Any]] = []
    artifact = run_stage("finetune", settings, runtime(workers=2), report=lines.append)
    assert steps == 12
    assert len(killed) == len(set(killed)) == 4
    assert content(artifact) == content(whole)
    assert [line["epoch"] for line in lines if "epoch" in line] == [1]

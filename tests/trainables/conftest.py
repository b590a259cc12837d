"""Four teachers and a student of graph distillation, trained once for all tests that look at them; a stage's work, and running
it alone; videos that are on no disk."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainables import pipeline
from trainables.data import open_data
from trainables.pipeline import Experiment, Result, Stage, resolve, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings
from trainables.stages.work import Work
from trainables.store import Artifact, Store, Workplace
from trainables.video.layouts import Video


@pytest.fixture(scope="session")
def taught(tiny_graph: ExperimentSettings, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The store in which the tiny distillation of seed 0 has run, which no test changes, and what it gave."""
    store = tmp_path_factory.mktemp("taught") / "store"
    place = Runtime(store=store, cache=clips, device="cpu")
    return store, run_experiment(Experiment(tiny_graph, 0), place, lambda line: None)


@pytest.fixture
def after_teachers(taught: tuple[Path, Result], runtime: Callable[..., Runtime]) -> Callable[..., Runtime]:
    """Makes a Runtime whose store holds a copy of the teachers and of all that they left, but no student."""

    def make(store: str = "store", **changes: object) -> Runtime:
        place = runtime(store, **changes)
        shutil.copytree(taught[0], place.store, ignore=shutil.ignore_patterns("student", "evaluate_student"))
        return place

    return make


def stage_and_work(name: str, settings: ExperimentSettings, place: Runtime) -> tuple[Stage, Work]:
    """A stage of an experiment of seed 0, and its work, with the inputs that the runtime's store holds."""
    data = open_data(settings.data, place)
    stages = {stage.name: stage for stage in resolve(Experiment(settings, 0), data, place.weights_fingerprints())}
    stage, store = stages[name], place.open_store()
    found = {role: store.find(source.kind, source.key) for role, source in stage.inputs.items()}
    inputs = {role: artifact for role, artifact in found.items() if artifact is not None}
    return stage, pipeline.work_of(stage, settings, data[stage.data], inputs, place)


@pytest.fixture
def work_of() -> Callable[[str, ExperimentSettings, Runtime], Work]:
    """Makes the work of a stage of an experiment of seed 0, its inputs from the runtime's store."""
    return lambda name, settings, place: stage_and_work(name, settings, place)[1]


@pytest.fixture
def run_stage(tmp_path: Path) -> Callable[..., Artifact]:
    """Runs a stage of an experiment of seed 0, with changes to its work; it publishes into a store of its own, each time into
    another one but where `store` names it."""
    numbers = itertools.count()

    def run(name: str, settings: ExperimentSettings, place: Runtime, store: str | None = None, **changes: Any) -> Artifact:
        stage, work = stage_and_work(name, settings, place)
        published = tmp_path / "published" / (store or str(next(numbers)))
        workplace = Workplace(Store(published), stage.kind, stage.key)
        return pipeline.run_stage(stage, replace(work, workplace=workplace, **changes), workplace)

    return run


@pytest.fixture(scope="session")
def video() -> Callable[..., Video]:
    """Makes a video of so many frames that is on no disk."""
    return lambda frames, name="a.avi": Video(name, Path(name), 0, "a", frames)

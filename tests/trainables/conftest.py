"""Four teachers and a student of graph distillation, trained once for all tests that look at them, and the work of a stage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trainables.data import open_data
from trainables.pipeline import Experiment, Result, resolve, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings
from trainables.stages.work import Work
from trainables.store import Workplace


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


@pytest.fixture
def work_of(tmp_path: Path) -> Callable[[str, ExperimentSettings, Runtime], Work]:
    """Makes the work of a stage of an experiment of seed 0, its inputs from the runtime's store; it publishes below the test's
    directory."""

    def make(name: str, settings: ExperimentSettings, place: Runtime) -> Work:
        data = open_data(settings.data, place)
        stages = {stage.name: stage for stage in resolve(Experiment(settings, 0), data, place.weights_fingerprints())}
        stage, store = stages[name], place.open_store()
        inputs = {role: store.find(source.kind, source.key) for role, source in stage.inputs.items()}
        return Work(
            kind=stage.kind,
            settings=settings,
            seed=stage.seed,
            videos=data[stage.data],
            inputs={role: artifact for role, artifact in inputs.items() if artifact is not None},
            workplace=Workplace(Runtime(tmp_path / "published", place.cache).open_store(), stage.kind, stage.key),
            cache=place.open_cache(),
            device=place.torch_device(),
            workers=place.workers,
            report=lambda line: None,
            weights=dict(place.weights),
        )

    return make

"""Experiments that run once for all tests that look at them: a distillation, and one of every form that there is; a stage's
work, and running it alone; videos that are on no disk."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from trainables import pipeline
from trainables.data import open_data
from trainables.pipeline import Experiment, Result, Stage, resolve, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, Readable, with_values
from trainables.stages.work import Work
from trainables.store import Artifact, Store, Workplace
from trainables.video.videos import Video

VARIETY: dict[str, dict[str, Any]] = {
    "scratch": {"recipe": "scratch"},
    "imported": {"recipe": "imported", "evaluation.measures": ["as_given", "linear_probe"]},
    "vspp": {},
    "video_pace": {"pretext.task": "video_pace", "pretext.checkpoints": 2, "pretext.checkpoint": 1},
    "vcop": {
        "pretext.task": "vcop",
        "vcop.clips": 2,
        "vcop.interval": 4,  # 2 * 8 + 4 frames, of the 20 there are
        "vcop.head_width": 8,
        "backbone.family": "r3d",
        "video.pixels": "bgr_255",
    },
    "rspnet": {
        "pretext.task": "rspnet",
        "rspnet.memory_bank": 7,  # which batches of 5 do not divide
        "rspnet.projection": 8,
        "pretext.schedule": "cosine",
        "augmentation.crop_area": [0.4, 1.0],
        "augmentation.grey_probability": 0.5,
        "augmentation.jitter_per": "clip",
    },
    "c3d": {
        "recipe": "pretext",
        "backbone.family": "c3d",
        "video.height": 20,
        "video.width": 20,
        "video.crop": 16,
        "video.pixels": "rgb_motion",
        "finetune.keep": "best",
        "evaluation.average": "logits",
    },
    "distillation": {},
    "live": {"teachers.outputs": "live", "student.keep": "best"},
    "sinkhorn": {
        "teachers.tasks": "sorting+tracking",
        "graph.distance": "sinkhorn",
        "graph.edges": "learned_global",
        "graph.targets": "mixed",
    },
    "mmgd": {
        "teachers.tasks": "sorting+tracking",
        "graph.representation": "none",
        "graph.distance": "cosine",
        "graph.edges": "learned",
    },
    "samples": {"teachers.tasks": "prediction", "graph.representation": "single", "graph.gain_of": "sample"},
    "one_sided": {
        "teachers.tasks": "prediction",
        "graph.logits": "average",
        "graph.representation": "none",
        "graph.kd": "one_sided",
    },
    "classes": {
        "teachers.tasks": "prediction",
        "graph.representation": "none",
        "graph.distance": "class_em",
        "graph.ground": "prototypes",
    },
    "kd": {"teachers.tasks": "prediction", "graph.logits": "average", "graph.representation": "none"},
    "single": {"teachers.tasks": "prediction", "graph.logits": "none", "graph.representation": "single"},
    "fusion": {
        "recipe": "fusion",
        "ego_motion.objective": "contrastive",
        "prediction.stride": 2,
        "prednet.features": "all",
        "video.pixels": "rgb_motion",
        "sorting.channel_splitting": "off",
        "sorting.tuples": "patches",
        "sorting.pair": "difference",
        "sorting.layers": 2,
    },
    "transform": {
        "recipe": "fusion",
        "teachers.tasks": "ego_motion",
        "ego_motion.objective": "transform",
        "ego_motion.bins": 2,
    },
    "ensemble": {
        "recipe": "ensemble",
        "teachers.tasks": "sorting+tracking",
        "teacher_finetune.freeze": True,
        "teacher_finetune.transferred_layers": 1,
    },
    "student": {"recipe": "student", "student.schedule": "cosine"},
    "selffer": {
        "recipe": "fusion",
        "teachers.tasks": "sorting+prediction",
        "teacher_finetune.transferred_from": "classifier",
        "teacher_finetune.transferred_layers": 1,
    },
    "student_selffer": {"recipe": "student", "student.transferred_layers": 2, "student.freeze": True},
    "labels": {"recipe": "student", "student.views": "bank"},
    "compression": {"recipe": "student", "evaluation.measures": ["compression"]},
    "imported_teachers": {
        "recipe": "fusion",
        "teachers.tasks": "sorting+prediction",
        "teacher_finetune.transferred_from": "imported",
    },
}
"""Experiments by name, as changes of the tiny settings: of those of graph distillation from `distillation` on."""


FROM = {
    "imported": [("r2plus1d", "scratch", "finetune")],
    "imported_teachers": [("vgg", "fusion", "sorting_classifier"), ("prednet", "fusion", "prediction")],
}
"""By experiment the networks that start from a file, and which stage of which other experiment left it."""


class RunsCode:
    """An object whose unpickling would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@dataclass(frozen=True)
class Ran:
    """Experiments that ran in one store. stages: every stage that was made, with the settings that it could read and did.

    settings: of the experiments, by name.
    """

    store: Path
    results: dict[str, Result]
    stages: list[tuple[Stage, Readable]]
    settings: dict[str, ExperimentSettings]

    def weights(self, name: str) -> tuple[Any, ...]:
        """The files that an experiment starts from, for its Runtime."""
        return tuple(self.left(*of) for of in FROM.get(name, ()))

    def run(self, name: str, settings: ExperimentSettings, cache: Path) -> None:
        """Weights are those that the experiments of FROM left before."""

        def noting(stage: Stage, *arguments: Any) -> Work:
            work = made(stage, *arguments)
            self.stages.append((stage, work.settings._readable))
            return work

        made = pipeline.work_of
        self.settings[name] = settings
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(pipeline, "work_of", noting)
            place = Runtime(store=self.store, cache=cache, weights=self.weights(name), device="cpu")
            self.results[name] = run_experiment(Experiment(settings, 0), place, lambda line: None)

    def left(self, network: str, name: str, stage: str) -> tuple[str, Path]:
        """The network, and the file with its weights that a stage of an experiment left."""
        return network, self.store / stage / self.results[name].stages[stage] / "weights.safetensors"


@pytest.fixture(scope="session")
def first_distillation(tiny_graph: ExperimentSettings, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    ran = Ran(tmp_path_factory.mktemp("taught") / "store", {}, [], {})
    ran.run("distillation", tiny_graph, clips)
    return ran


@pytest.fixture(scope="session")
def taught(first_distillation: Ran) -> tuple[Path, Result]:
    """The store in which the tiny distillation of seed 0 has run, which no test changes, and what it gave."""
    return first_distillation.store, first_distillation.results["distillation"]


@pytest.fixture(scope="session")
def variety(
    first_distillation: Ran,
    tiny: ExperimentSettings,
    tiny_graph: ExperimentSettings,
    clips: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ran:
    """All experiments of VARIETY, of seed 0, which between them have every kind of stage."""
    store = tmp_path_factory.mktemp("variety") / "store"
    shutil.copytree(first_distillation.store, store)
    ran = Ran(store, dict(first_distillation.results), list(first_distillation.stages), dict(first_distillation.settings))
    names = list(VARIETY)
    for name in names:
        if name not in ran.results:
            base = tiny if names.index(name) < names.index("distillation") else tiny_graph
            ran.run(name, with_values(base, VARIETY[name]), clips)
    return ran


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
        workplace.code, workplace.course = stage.code.digest, stage.course
        return pipeline.run_stage(stage, replace(work, workplace=workplace, **changes))

    return run


@pytest.fixture(scope="session")
def video() -> Callable[..., Video]:
    """Makes a video of so many frames that is on no disk."""
    return lambda frames, name="a.avi": Video(name, Path(name), 0, "a", frames)

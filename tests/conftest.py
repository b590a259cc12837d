"""An experiment that runs in about a second, and directories for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

from trainables.pipeline import Result
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, with_values

hypothesis.settings.register_profile("no deadline", deadline=None)  # how fast a machine is, is no property
hypothesis.settings.load_profile("no deadline")

TINY: dict[str, Any] = {
    "data.embedded.classes": 6,
    "data.embedded.train": 2,
    "data.embedded.validation": 1,
    "data.embedded.test": 1,
    "data.embedded.frames": 20,
    "data.embedded.height": 16,
    "data.embedded.width": 16,
    "data.labelled_share": 1.0,
    "video.clip_frames": 8,
    "video.height": 16,
    "video.width": 16,
    "video.crop": 12,
    "backbone.depth": 10,
    "backbone.width": 4,
    "auxskd.epochs": 2,
    "auxskd.batch_size": 5,
    "auxskd.memory_bank": 16,
    "auxskd.projection": 8,
    "auxskd.predictor_hidden": 8,
    "pretext.epochs": 2,
    "pretext.batch_size": 5,
    "pretext.clips_per_video": 1,
    "pretext.validation_clips": 1,
    "pretext.checkpoints": 1,
    "finetune.epochs": 2,
    "finetune.batch_size": 5,
    "finetune.learning_rate": 3e-3,
    "finetune.dropout": 0.2,
    "frozen.clips": 2,
    "evaluation.clips": 2,
}

TINY_GRAPH: dict[str, Any] = {
    **TINY,
    "recipe": "distillation",
    "evaluation.measures": ["finetune"],
    "vgg.channels": [4, 4, 6, 6, 6],
    "vgg.convolutions": [1, 1, 1, 1, 1],
    "vgg.pooled_layers": [2, 3],
    "vgg.conv1_filter": 3,
    "vgg.conv1_stride": 1,
    "vgg.cells": 1,
    "vgg.hidden": 8,
    "vgg.dropout": 0.1,
    "vgg.batch_norm": True,
    "prednet.targets": [3, 4],
    "prednet.representations": [4, 6],
    "prednet.side": 8,
    "alexnet.channels": [4, 6, 6, 6, 6],
    "alexnet.conv1_filter": 3,
    "alexnet.conv1_stride": 1,
    "alexnet.hidden": 8,
    "alexnet.dropout": 0.1,
    "alexnet.batch_norm": True,
    "sorting.frames": 3,
    "sorting.spacing": 2,
    "sorting.crop_jitter": 1,
    "sorting.pair_units": 8,
    "ego_motion.close_frames": 2,
    "ego_motion.top_channels": [4, 4],
    "ego_motion.top_units": 8,
    "tracking.frames": 8,
    "tracking.tracks_per_video": 2,
    "tracking.units": 8,
    "teacher_finetune.epochs": 1,
    "teacher_finetune.batch_size": 5,
    "views.views": 2,
    "views.prednet_layer": 2,
    "student.epochs": 3,
    "student.batch_size": 5,
    "graph.sketch": 8,
}
for _task in ("sorting", "ego_motion", "tracking", "prediction"):
    _smallest = {"epochs": 1, "batch_size": 5, "clips_per_video": 1, "validation_clips": 1}
    TINY_GRAPH |= {f"{_task}.{name}": value for name, value in _smallest.items()}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Torch in one thread, as a CPU's Runtime has it anyway: tiny networks take many times as long in several."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_values() -> dict[str, Any]:
    """Settings by dotted name that make everything small: 6 classes, 2 training videos each, 2 epochs per stage."""
    return dict(TINY)


@pytest.fixture(scope="session")
def tiny() -> ExperimentSettings:
    return with_values(ExperimentSettings(), TINY)


@pytest.fixture(scope="session")
def tiny_graph_values() -> dict[str, Any]:
    """The same for graph distillation: four teachers of one epoch, a bank of two views, a student of three epochs."""
    return dict(TINY_GRAPH)


@pytest.fixture(scope="session")
def tiny_graph() -> ExperimentSettings:
    return with_values(ExperimentSettings(), TINY_GRAPH)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory that all tests share: the tiny embedded clips are drawn once."""
    return tmp_path_factory.mktemp("clips")


@pytest.fixture
def runtime(tmp_path: Path, clips: Path) -> Callable[..., Runtime]:
    """Makes a Runtime with a store of its own below the test's directory."""

    def make(store: str = "store", **changes: Any) -> Runtime:
        return Runtime(**{"store": tmp_path / store, "cache": clips, "device": "cpu", **changes})

    return make


@pytest.fixture(scope="session")
def contents() -> Callable[[Path, Result], dict[str, bytes]]:
    """Gives every file that the stages of an experiment left in a store, as `<stage>/<file>`; of their times nothing."""

    def read(store: Path, result: Result) -> dict[str, bytes]:
        found = {}
        for name, key in result.stages.items():
            for path in sorted((store / name.partition("/")[0] / key).iterdir()):
                found[f"{name}/{path.name}"] = path.read_bytes()
                if path.name == "done.json":
                    found[f"{name}/{path.name}"] = json.dumps(json.loads(path.read_bytes())["metrics"]).encode()
        return found

    return read

"""What a kind of stage declares, in its own file: what it does, what it reads, and what it costs.

What a stage reads of the settings and which parts of its data enters its key, and it is given nothing else of them. A change
that makes old artifacts wrong raises `version`: their keys then no longer match.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from trainables.settings import ExperimentSettings, Optimisation, SettingsError, is_import_path
from trainables.stages.work import Outcome, Training, Work
from trainables.video.videos import PARTS, DataError, VideoSet

FRAME_SIZE = ("video.height", "video.width", "video.crop", "data.decoder", "data.verify", "data.cache_format")
CLIPS = (*FRAME_SIZE, "video.clip_frames")
"""Settings that clips of consecutive frames depend on, before a network gives them the form in which it takes pixels."""

ARITHMETIC = (
    "compute.precision",
    "compute.channels_last",
    "compute.compile",
    "compute.cuda_graphs",
    "compute.tf32",
    "compute.cudnn_benchmark",
    "compute.deterministic",
)
"""Of a network's passes; stages that train it on batches in parts read all of `compute`."""

LABELLED = ("train", "validation")


class Counts(NamedTuple):
    """Videos of each part of a stage's data set."""

    train: int
    validation: int
    test: int

    @classmethod
    def of(cls, videos: VideoSet) -> Counts:
        return cls(*(len(videos.part(part)) for part in PARTS))


@dataclass(frozen=True)
class Cost:
    """What a stage computes: clips through a network (BACKBONE or an encoder's name), forward only and forward and backward.

    seconds: what it takes beside that, on one core. kept: bytes that it leaves beside a network's weights.
    """

    network: str = ""
    forward: float = 0.0
    trained: float = 0.0
    seconds: float = 0.0
    kept: float = 0.0


NEGLIGIBLE = Cost(seconds=1e-3)


class StartError(DataError):
    """What a stage is to start from was not given, or is of another network: no trial of the experiment can run, anywhere."""


@dataclass(frozen=True)
class Kind:
    """A kind of stage.

    run: gives what came out, or what is to be trained. reads: dotted names of the settings, or groups of them, that it depends
    on, given all settings of an experiment. parts: what it reads of its data set. cost: given the settings and the numbers of
    videos. schedule: the group with its epochs, of stages that train. knows_end: whether what an epoch computes depends on how
    many there are, beside its learning rate. random: whether the seed matters; else all seeds share
    one. of_device: whether it measures the device. plugged_in: things from outside the package that it is made of, with their
    versions, by import path. starts_from: given the settings, the network whose weights a user gives and it starts from.
    check: given the settings, the files with such weights and its data set, raises StartError for what would end the stage
    later; it is asked before the first stage of an experiment. check_videos: given the settings and its data set, raises
    DataError where no video can take part. where: what declares `reads`, for messages.
    """

    name: str
    version: int
    run: Callable[[Work], Training | Outcome]
    reads: Callable[[ExperimentSettings], tuple[str, ...]]
    parts: tuple[str, ...]
    cost: Callable[[ExperimentSettings, Counts], Cost]
    schedule: str | None = None
    knows_end: bool = False
    random: bool = True
    of_device: bool = False
    plugged_in: Mapping[str, int] = field(default_factory=dict)
    starts_from: Callable[[ExperimentSettings], str | None] = lambda settings: None
    check: Callable[[ExperimentSettings, Mapping[str, Path], VideoSet], None] = lambda settings, files, videos: None
    check_videos: Callable[[ExperimentSettings, VideoSet], None] = lambda settings, videos: None
    where: str = ""


def identity(thing: Any) -> dict[str, int]:
    """Import path and version of a class from outside the package; nothing for its own, which the stages' versions cover.

    Raises SettingsError for a class that no import path leads to.
    """
    if thing.__module__.partition(".")[0] == "trainables":
        return {}
    path = f"{thing.__module__}:{thing.__qualname__}"
    if thing.__module__ == "__main__" or not is_import_path(path):
        raise SettingsError(f"{path} cannot be told from others: keys need a class at the top of a module to import")
    return {path: thing.version}


def trained_by(settings: ExperimentSettings, group: str, model: type[Optimisation] | None = None) -> tuple[str, ...]:
    """The settings of a training stage's group that training depends on; of a `model` that the group extends only its own.

    Which checkpoint is handed on is not among them: it is the next stage's choice. Whether a collapse ends it is, how the
    optimiser computes, and what of its randomness follows the seed.
    """
    values: Optimisation = getattr(settings, group)
    fields = (model or type(values)).model_fields
    own = (f"{group}.{name}" for name in fields if name not in (*values.unread(), "checkpoint"))
    return ("compute.guard", "compute.fused", "seeds", *own)


def supervised_cost(network: str, group: str) -> Callable[[ExperimentSettings, Counts], Cost]:
    """Of training a classifier on all training videos, validated on a clip of each validation video."""

    def cost(settings: ExperimentSettings, videos: Counts) -> Cost:
        optimisation: Optimisation = getattr(settings, group)
        epochs = optimisation.epochs
        return Cost(network, epochs * videos.validation, epochs * videos.train * optimisation.clips_per_video)

    return cost

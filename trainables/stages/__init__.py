"""The kinds of stage. Each reads some groups of settings and some parts of its data; both enter its key.

A new kind is a new file with a `run(Work) -> Artifact` and a line here. Raise `version` when a change makes old artifacts
wrong: their keys then no longer match.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trainables.distillation.student import settings_read
from trainables.pretext import TASKS
from trainables.settings import ExperimentSettings
from trainables.stages import (
    auxskd,
    compression,
    ensemble,
    evaluate,
    features,
    finetune,
    fusion,
    linear_probe,
    pretext,
    retrieval,
    student,
    teacher,
    teacher_classifier,
    tracks,
    views,
)
from trainables.stages.work import Work
from trainables.store import Artifact
from trainables.teachers import TEACHERS
from trainables.video.layouts import PARTS


@dataclass(frozen=True)
class Kind:
    """A kind of stage. groups: settings it reads, by dotted prefix; parts: what it reads of its data set.

    further: prefixes that it reads only with some settings. schedule: the group with its epochs, of stages that train.
    random: whether the seed matters; else all seeds share one. of_device: whether it measures the device.
    """

    run: Callable[[Work], Artifact]
    version: int
    groups: tuple[str, ...]
    parts: tuple[str, ...]
    further: Callable[[ExperimentSettings], tuple[str, ...]] | None = None
    schedule: str | None = None
    random: bool = True
    of_device: bool = False

    def reads(self, settings: ExperimentSettings) -> tuple[str, ...]:
        """Dotted prefixes of all settings that the stage depends on."""
        return self.groups if self.further is None else self.groups + self.further(settings)


def _of_pretext_task(settings: ExperimentSettings) -> tuple[str, ...]:
    return TASKS[settings.pretext.task].reads


def _of_views(settings: ExperimentSettings) -> tuple[str, ...]:
    return TASKS[settings.pretext.task].reads_for_views


def _of_graphs(settings: ExperimentSettings) -> tuple[str, ...]:
    return settings_read(settings) if settings.recipe == "distillation" else ()


_CLIPS = ("video", "compute")
_NETWORK = (*_CLIPS, "backbone")
_TRAINING = (*_NETWORK, "augmentation")
_LABELLED = ("train", "validation")
_FRAMES = (*_CLIPS, "frames")
_TRACKS = (
    "video.height",
    "video.width",
    "tracking.frames",
    "tracking.patch",
    "tracking.tracks_per_video",
    "tracking.least_motion",
)
_SCORES = ("evaluation.clips", "evaluation.average")

KINDS: dict[str, Kind] = {
    "auxskd": Kind(auxskd.run, 1, (*_TRAINING, "auxskd", "pretext.task"), ("train",), _of_views, "auxskd"),
    "pretext": Kind(pretext.run, 1, (*_TRAINING, "pretext"), _LABELLED, _of_pretext_task, "pretext"),
    "finetune": Kind(finetune.run, 1, (*_TRAINING, "finetune"), _LABELLED, schedule="finetune"),
    "evaluate": Kind(evaluate.run, 2, (*_NETWORK, "finetune.dropout", *_SCORES), ("validation", "test")),
    "features": Kind(features.run, 1, (*_NETWORK, "frozen"), PARTS),
    "linear_probe": Kind(linear_probe.run, 1, (), PARTS),
    "retrieval": Kind(retrieval.run, 1, (), PARTS),
    "tracks": Kind(tracks.run, 1, _TRACKS, _LABELLED, random=False),
    "fusion": Kind(fusion.run, 1, (), PARTS),
    "ensemble": Kind(ensemble.run, 1, (), PARTS),
    "student": Kind(student.run, 1, (*_FRAMES, "augmentation", "alexnet", "student"), _LABELLED, _of_graphs, "student"),
    "evaluate_student": Kind(evaluate.run_student, 1, (*_FRAMES, "alexnet", *_SCORES), ("validation", "test")),
    "compression": Kind(compression.run, 1, (*_FRAMES, "vgg", "prednet", "alexnet"), PARTS, random=False, of_device=True),
}
for _task, _teacher in TEACHERS.items():
    _encoder = (*_CLIPS, _teacher.encoder)
    _of_clips = (*_encoder, "frames") if _teacher.encoder == "vgg" else _encoder
    KINDS |= {
        _task: Kind(teacher.run, 1, (*_encoder, "augmentation", _task), _LABELLED, schedule=_task),
        _task + teacher_classifier.SUFFIX: Kind(
            teacher_classifier.run, 1, (*_of_clips, "augmentation", "teacher_finetune"), _LABELLED, schedule="teacher_finetune"
        ),
        _task + views.SUFFIX: Kind(
            views.run,
            1,
            (*_of_clips, "augmentation", "views.views", "views.stored", f"views.{_teacher.encoder}_layer", _SCORES[0]),
            PARTS,
        ),
    }

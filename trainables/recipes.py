"""Recipes: which stages make an experiment and what feeds what.

A recipe gives the last stages of an experiment; each names the stages it needs. `Build` makes a stage from its kind, the role
of the video set it reads and its inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

from trainables.data import downstream_roles
from trainables.settings import GRAPH_RECIPES, ExperimentSettings, SettingsError
from trainables.stages import (
    auxskd,
    compression,
    ensemble,
    evaluate,
    features,
    finetune,
    fusion,
    imported,
    linear_probe,
    retrieval,
    self_supervised,
    student,
    teacher_classifier,
    tracks,
    view_bank,
)
from trainables.stages.kind import Kind
from trainables.tasks import BACKBONE, SelfSupervisedTask, find_task

PRETRAINING = "pretraining"
OF_FEATURES = {"linear_probe": linear_probe.KIND, "retrieval": retrieval.KIND}
OF_TEACHERS = {"fusion": fusion.KIND, "ensemble": ensemble.KIND}
S = TypeVar("S")


class Build(Protocol[S]):
    """Makes a stage."""

    def __call__(self, kind: Kind, role: str, **inputs: S) -> S: ...


def last_stages(settings: ExperimentSettings, build: Build[S]) -> list[S]:
    """The stages that give the experiment's results, one for each measure and downstream set.

    Raises SettingsError for a task that cannot be found.
    """
    recipe = _graph_distillation if settings.recipe in GRAPH_RECIPES else _auxskd
    return list(recipe(settings, build))


def _auxskd(settings: ExperimentSettings, build: Build[S]) -> Iterator[S]:
    pretrained: dict[str, S] = {}
    if settings.recipe == "imported":
        pretrained["imported"] = build(imported.kind_of(BACKBONE), PRETRAINING)
    elif settings.recipe != "scratch":
        task = find_task(settings.pretext.task)
        before = {"auxskd": build(auxskd.kind_of(task), PRETRAINING)} if settings.recipe == "auxskd_pretext" else {}
        pretrained["pretext"] = build(self_supervised.kind_of(task), PRETRAINING, **before)
    for role in downstream_roles(settings.data):
        for measure in settings.evaluation.measures:
            if measure == "finetune":
                yield build(evaluate.KIND, role, finetuned=build(finetune.KIND, role, **pretrained))
            elif measure == "as_given":
                yield build(evaluate.KIND, role, finetuned=build(imported.KIND_OF_CLASSIFIER, role))
            else:
                yield build(OF_FEATURES[measure], role, features=build(features.KIND, role, **pretrained))


def _graph_distillation(settings: ExperimentSettings, build: Build[S]) -> Iterator[S]:
    for role in downstream_roles(settings.data):
        for measure in settings.evaluation.measures:
            yield build(compression.KIND, role) if measure == "compression" else _accuracy(settings, build, role)


def _accuracy(settings: ExperimentSettings, build: Build[S], role: str) -> S:
    tasks = tuple(map(find_task, settings.teachers.names))
    if settings.recipe in OF_TEACHERS:
        return build(OF_TEACHERS[settings.recipe], role, **_teachers(settings, build, role))
    if settings.recipe == "student":
        alone = build(student.kind_of(), role)
        if settings.student.transferred_layers is not None:
            alone = build(student.KIND_OF_SELFFER, role, student=alone)
        return build(evaluate.KIND_OF_STUDENT, role, student=alone)
    live = settings.teachers.outputs == "live"
    taught = build(student.kind_of(tasks, live), role, **_teachers(settings, build, role, live))
    return build(evaluate.KIND_OF_STUDENT, role, student=taught)


def _teachers(settings: ExperimentSettings, build: Build[S], role: str, live: bool = False) -> dict[str, S]:
    """By task what each teacher says of the view bank, or the finetuned teachers themselves. Raises SettingsError."""
    teachers: dict[str, S] = {}
    for task in map(find_task, settings.teachers.names):
        if task.name in teachers:
            raise SettingsError(f"teachers.tasks: two tasks are called {task.name}; one from elsewhere needs another name")
        start = {} if settings.teacher_finetune.from_scratch else _start(settings, task, build, role)
        classifier = build(teacher_classifier.kind_of(task), role, **start)
        teachers[task.name] = classifier if live else build(view_bank.kind_of(task), role, **{task.name: classifier})
    return teachers


def _start(settings: ExperimentSettings, task: type[SelfSupervisedTask], build: Build[S], role: str) -> dict[str, S]:
    """What the layers of a teacher start from: its encoder after its task, a classifier of the same network, or a file."""
    match settings.teacher_finetune.transferred_from:
        case "imported":
            return {"imported": build(imported.kind_of(task.encoder), PRETRAINING)}
        case "classifier":
            return {task.name: build(teacher_classifier.kind_from_scratch(task.encoder), role)}
    mined = {"tracks": build(tracks.KIND, PRETRAINING)} if task.needs_tracks(settings) else {}
    return {task.name: build(self_supervised.kind_of(task), PRETRAINING, **mined)}

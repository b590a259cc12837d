"""Recipes: which stages make an experiment and what feeds what.

A recipe gives the last stages of an experiment; each names the stages it needs. `Build` makes a stage from its kind, the role
of the video set it reads and its inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

from trainables.data import downstream_roles
from trainables.settings import GRAPH_RECIPES, ExperimentSettings
from trainables.stages.teacher_classifier import SUFFIX as CLASSIFIER
from trainables.stages.views import SUFFIX as VIEWS
from trainables.teachers import TEACHERS

PRETRAINING = "pretraining"
S = TypeVar("S")


class Build(Protocol[S]):
    """Makes a stage."""

    def __call__(self, kind: str, role: str, **inputs: S) -> S: ...


def last_stages(settings: ExperimentSettings, build: Build[S]) -> list[S]:
    """The stages that give the experiment's results, one for each measure and downstream set."""
    recipe = _graph_distillation if settings.recipe in GRAPH_RECIPES else _auxskd
    return list(recipe(settings, build))


def _auxskd(settings: ExperimentSettings, build: Build[S]) -> Iterator[S]:
    pretrained: dict[str, S] = {}
    if settings.recipe == "auxskd_pretext":
        pretrained["pretext"] = build("pretext", PRETRAINING, auxskd=build("auxskd", PRETRAINING))
    elif settings.recipe == "pretext":
        pretrained["pretext"] = build("pretext", PRETRAINING)
    for role in downstream_roles(settings.data):
        for measure in settings.evaluation.measures:
            if measure == "finetune":
                yield build("evaluate", role, finetuned=build("finetune", role, **pretrained))
            else:
                yield build(measure, role, features=build("features", role, **pretrained))


def _graph_distillation(settings: ExperimentSettings, build: Build[S]) -> Iterator[S]:
    for role in downstream_roles(settings.data):
        for measure in settings.evaluation.measures:
            yield build("compression", role) if measure == "compression" else _accuracy(settings, build, role)


def _accuracy(settings: ExperimentSettings, build: Build[S], role: str) -> S:
    if settings.recipe in ("fusion", "ensemble"):
        return build(settings.recipe, role, **_teachers(settings, build, role))
    taught_live = settings.teachers.outputs == "live"
    teachers = _teachers(settings, build, role, taught_live) if settings.recipe == "distillation" else {}
    return build("evaluate_student", role, student=build("student", role, **teachers))


def _teachers(settings: ExperimentSettings, build: Build[S], role: str, live: bool = False) -> dict[str, S]:
    """By task what each teacher says of the view bank, or the finetuned teachers themselves."""
    found: dict[str, S] = {}
    for task in settings.teachers.names:
        tracks = {"tracks": build("tracks", PRETRAINING)} if TEACHERS[task].needs_tracks else {}
        classifier = build(task + CLASSIFIER, role, **{task: build(task, PRETRAINING, **tracks)})
        found[task] = classifier if live else build(task + VIEWS, role, **{task: classifier})
    return found

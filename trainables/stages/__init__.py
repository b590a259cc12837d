"""The kinds of stage. Each is a file that ends in its own declaration: `KIND`, or `kind_of` a task."""

from __future__ import annotations

from trainables.settings import PRETEXT_TASKS, TEACHER_TASKS
from trainables.stages import (
    auxskd,
    compression,
    ensemble,
    evaluate,
    features,
    finetune,
    fusion,
    linear_probe,
    retrieval,
    self_supervised,
    student,
    teacher_classifier,
    tracks,
    view_bank,
)
from trainables.stages.kind import Kind
from trainables.tasks import find_task


def all_kinds() -> list[Kind]:
    """Every kind of stage of both papers, those of every task of the package."""
    pretext_tasks = tuple(map(find_task, PRETEXT_TASKS))
    teachers = tuple(map(find_task, TEACHER_TASKS))
    of_task = (self_supervised.kind_of, teacher_classifier.kind_of, view_bank.kind_of)
    single = (finetune, evaluate, features, linear_probe, retrieval, tracks, fusion, ensemble, compression)
    return [
        *(kind_of(task) for task in pretext_tasks for kind_of in (auxskd.kind_of, self_supervised.kind_of)),
        *(kind_of(task) for task in teachers for kind_of in of_task),
        *(module.KIND for module in single),
        evaluate.KIND_OF_STUDENT,
        student.kind_of(),
        *(student.kind_of(teachers, live) for live in (False, True)),
    ]

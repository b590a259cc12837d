"""Which layers of a network carry over to classification (graph distillation, Sec. 5.2, after Yosinski et al. 2014).

A network's first n layers start from another one and the others fresh. AnB: a teacher's from its self-supervised encoder. BnB,
the selffer network: a teacher's, or the student's, from the same network trained from scratch on the same labels. What frozen
layers lose of BnB is what splitting a network between co-adapted layers costs; what AnB loses beyond it is how special the
layers are to the task. Each teacher is judged by itself. VGG's selffer rows serve the three tasks that have one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from search_spaces.space import Parameters, Row, Space, Suggest

RECIPE, TASKS, FROM = "recipe", "teachers.tasks", "teacher_finetune.transferred_from"
LAYERS, FREEZE = "teacher_finetune.transferred_layers", "teacher_finetune.freeze"
STUDENT_LAYERS, STUDENT_FREEZE = "student.transferred_layers", "student.freeze"
LAYERS_OF = {"sorting": 5, "ego_motion": 5, "tracking": 5, "prediction": 4}
"""Of the teachers' networks: VGG and PredNet."""
NETWORKS = {"VGG": "sorting", "PredNet": "prediction"}
"""With a task whose teacher is one; of the task itself nothing is used."""
STUDENT_LAYERS_THERE_ARE = 5
HOW = {True: "frozen", False: "finetuned"}


def _suggest(trial: Suggest) -> Parameters:
    if trial.suggest_categorical(RECIPE, ("fusion", "student")) == "student":
        layers = trial.suggest_int(STUDENT_LAYERS, 0, STUDENT_LAYERS_THERE_ARE)
        return {
            RECIPE: "student",
            STUDENT_LAYERS: layers,
            STUDENT_FREEZE: trial.suggest_categorical(STUDENT_FREEZE, (True, False)),
        }
    return {
        RECIPE: "fusion",
        TASKS: trial.suggest_categorical(TASKS, tuple(LAYERS_OF)),
        FROM: trial.suggest_categorical(FROM, ("task", "classifier")),
        LAYERS: trial.suggest_int(LAYERS, 0, max(LAYERS_OF.values())),
        FREEZE: trial.suggest_categorical(FREEZE, (True, False)),
    }


def _teacher(task: str, start: str, layers: int, freeze: bool) -> Parameters:
    return {RECIPE: "fusion", TASKS: task, FROM: start, LAYERS: layers, FREEZE: freeze}


def _student(layers: int, freeze: bool) -> Parameters:
    return {RECIPE: "student", STUDENT_LAYERS: layers, STUDENT_FREEZE: freeze}


def _rows() -> Iterator[Row]:
    for task, most in LAYERS_OF.items():
        for layers, freeze in itertools.product(range(1, most + 1), HOW):
            yield Row(f"{task}: conv1-{layers} {HOW[freeze]}", _teacher(task, "task", layers, freeze))
    for network, task in NETWORKS.items():
        yield Row(f"{network} from scratch", _teacher(task, "classifier", 0, False))
        for layers, freeze in itertools.product(range(1, LAYERS_OF[task] + 1), HOW):
            yield Row(f"{network} selffer: conv1-{layers} {HOW[freeze]}", _teacher(task, "classifier", layers, freeze))
    yield Row("student from scratch", _student(0, False))
    for layers, freeze in itertools.product(range(1, STUDENT_LAYERS_THERE_ARE + 1), HOW):
        yield Row(f"student selffer: conv1-{layers} {HOW[freeze]}", _student(layers, freeze))


ROWS = tuple(_rows())
SPACE = Space(
    name="transferability",
    summary="layers of a network that start from another, frozen or finetuned (graph distillation, Sec. 5.2)",
    rows=ROWS,
    suggest=_suggest,
    grid=lambda: [dict(row.parameters) for row in ROWS],
    base={RECIPE: "fusion"},
    trials=len(ROWS),
)

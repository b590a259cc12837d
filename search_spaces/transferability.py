"""Which layers of a teacher carry over to classification (graph distillation, Sec. 5.2, after Yosinski et al. 2014).

A teacher's first n layers start from its self-supervised encoder and the others fresh. Frozen, what is lost against finetuning
is how special to the task those layers are, and what splitting the network costs. Each teacher is judged by itself.
"""

from __future__ import annotations

import itertools

from search_spaces.space import Parameters, Row, Space, Suggest
from trainables.settings import TEACHER_TASKS

TASKS, LAYERS, FREEZE = "teachers.tasks", "teacher_finetune.transferred_layers", "teacher_finetune.freeze"
MOST_LAYERS = 5
"""Of VGG; PredNet has four, and five are all of them."""


def _suggest(trial: Suggest) -> Parameters:
    return {
        TASKS: trial.suggest_categorical(TASKS, TEACHER_TASKS),
        LAYERS: trial.suggest_int(LAYERS, 0, MOST_LAYERS),
        FREEZE: trial.suggest_categorical(FREEZE, (False, True)),
    }


def _parameters(task: str, layers: int, freeze: bool) -> Parameters:
    return {TASKS: task, LAYERS: layers, FREEZE: freeze}


SPACE = Space(
    name="transferability",
    summary="layers of a teacher that start from its task, frozen or finetuned (graph distillation, Sec. 5.2)",
    base={"recipe": "fusion"},
    rows=tuple(
        Row(f"{task}: conv1-{layers} {'frozen' if freeze else 'finetuned'}", _parameters(task, layers, freeze))
        for task, layers, freeze in itertools.product(TEACHER_TASKS, range(1, MOST_LAYERS + 1), (True, False))
    ),
    suggest=_suggest,
    grid=lambda: [_parameters(*values) for values in itertools.product(TEACHER_TASKS, range(MOST_LAYERS + 1), (False, True))],
    trials=2 * MOST_LAYERS * len(TEACHER_TASKS),
)

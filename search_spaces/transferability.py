"""Which layers of a teacher carry over to classification (graph distillation, Sec. 5.2, after Yosinski et al. 2014).

A teacher's first n layers start from its self-supervised encoder and the others fresh. Frozen, what is lost against finetuning
is how special to the task those layers are, and what splitting the network costs. Each teacher is judged by itself.
"""

from __future__ import annotations

import itertools

from search_spaces.space import Parameters, Row, Space, Suggest

TASKS, LAYERS, FREEZE = "teachers.tasks", "teacher_finetune.transferred_layers", "teacher_finetune.freeze"
LAYERS_OF = {"sorting": 5, "ego_motion": 5, "tracking": 5, "prediction": 4}
"""Of the teachers' networks: VGG and PredNet."""


def _suggest(trial: Suggest) -> Parameters:
    return {
        TASKS: trial.suggest_categorical(TASKS, tuple(LAYERS_OF)),
        LAYERS: trial.suggest_int(LAYERS, 1, max(LAYERS_OF.values())),
        FREEZE: trial.suggest_categorical(FREEZE, (True, False)),
    }


def _rows() -> tuple[Row, ...]:
    return tuple(
        Row(f"{task}: conv1-{layers} {'frozen' if freeze else 'finetuned'}", {TASKS: task, LAYERS: layers, FREEZE: freeze})
        for task, most in LAYERS_OF.items()
        for layers, freeze in itertools.product(range(1, most + 1), (True, False))
    )


SPACE = Space(
    name="transferability",
    summary="layers of a teacher that start from its task, frozen or finetuned (graph distillation, Sec. 5.2)",
    base={"recipe": "fusion"},
    rows=_rows(),
    suggest=_suggest,
    grid=lambda: [dict(row.parameters) for row in _rows()],
    trials=len(_rows()),
)

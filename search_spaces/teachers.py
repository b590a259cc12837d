"""Which teachers teach: every set of two or more of the four (graph distillation, Sec. 3, on their complementarity).

All four, the paper's, first. Each teacher is trained once, whatever sets it is in.
"""

from __future__ import annotations

import itertools

from search_spaces.space import Parameters, Row, Space, Suggest
from trainables.settings import TEACHER_TASKS

TASKS = "teachers.tasks"
SETS = tuple(
    "+".join(tasks) for size in range(len(TEACHER_TASKS), 1, -1) for tasks in itertools.combinations(TEACHER_TASKS, size)
)


def _suggest(trial: Suggest) -> Parameters:
    return {TASKS: trial.suggest_categorical(TASKS, SETS)}


SPACE = Space(
    name="teachers",
    summary="every set of two or more of the four teachers (graph distillation, Sec. 3)",
    base={"recipe": "distillation"},
    rows=tuple(Row(tasks, {TASKS: tasks}) for tasks in SETS),
    suggest=_suggest,
    grid=lambda: [{TASKS: tasks} for tasks in SETS],
    trials=len(SETS),
)

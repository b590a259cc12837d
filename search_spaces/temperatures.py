"""Teacher and student temperature of auxSKD (auxSKD paper, Table 3).

The paper's seven rows first (R(2+1)D, VSPP, auxSKD on; UCF101 top-1 between 74.9 and 76.3), then both temperatures freely
over a log range. At preset demo a trial takes about 20 s on one core and the rows lie within each other's noise.
"""

from __future__ import annotations

import itertools

from search_spaces.paper_tables import table_rows
from search_spaces.space import Parameters, Space, Suggest

TEACHER, STUDENT = "auxskd.teacher_temperature", "auxskd.student_temperature"
GRID = (0.01, 0.02, 0.05, 0.07, 0.1)


def _suggest(trial: Suggest) -> Parameters:
    return {name: trial.suggest_float(name, 0.005, 0.5, log=True) for name in (TEACHER, STUDENT)}


def _grid() -> list[Parameters]:
    return [{TEACHER: teacher, STUDENT: student} for teacher, student in itertools.product(GRID, GRID)]


SPACE = Space(
    name="temperatures",
    summary="teacher and student temperature of auxSKD (Table 3)",
    base={"recipe": "auxskd_pretext", "pretext.task": "vspp"},
    rows=table_rows("auxskd/table3"),
    suggest=_suggest,
    grid=_grid,
    table="auxskd/table3",
    trials=10,
)

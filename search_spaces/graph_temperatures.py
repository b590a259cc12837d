"""Temperatures of graph distillation: T_k of teachers' predictions (Eq. 6) and of vertices (Eq. 8), T of the edges (Eq. 10).

The paper gives no value. The default first, then all temperatures of teachers alike, then freely.
"""

from __future__ import annotations

from search_spaces.space import Parameters, Row, Space, Suggest

TEACHERS = tuple(f"graph.{task}_temperature" for task in ("sorting", "ego_motion", "tracking", "prediction"))
VERTICES, EDGES = "graph.vertex_temperature", "graph.representation_edge_temperature"
ALIKE = (1.0, 2.0, 4.0, 8.0)


def _parameters(teachers: float, vertices: float = 0.5, edges: float = 1.0) -> Parameters:
    return dict.fromkeys(TEACHERS, teachers) | {VERTICES: vertices, EDGES: edges}


def _suggest(trial: Suggest) -> Parameters:
    found = {name: trial.suggest_float(name, 1.0, 10.0, log=True) for name in TEACHERS}
    found[VERTICES] = trial.suggest_float(VERTICES, 0.1, 5.0, log=True)
    found[EDGES] = trial.suggest_float(EDGES, 0.1, 10.0, log=True)
    return found


SPACE = Space(
    name="graph_temperatures",
    summary="temperatures of teachers, vertices and edges (graph distillation, Eqs. 6, 8 and 10)",
    base={"recipe": "distillation"},
    rows=tuple(Row(f"T_k = {value:g}", _parameters(value)) for value in (2.0, 1.0, 4.0, 8.0)),
    suggest=_suggest,
    grid=lambda: [_parameters(teachers, vertices) for teachers in ALIKE for vertices in (0.2, 0.5, 2.0)],
)

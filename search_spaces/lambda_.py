"""lambda, the weight of imitation against labels (graph distillation, Eq. 2).

The paper's 0.6 first, then any value; the ends are labels alone and teachers alone. Teachers are trained once for all of them.
"""

from __future__ import annotations

from search_spaces.space import Parameters, Row, Space, Suggest

LAMBDA = "graph.imitation_weight"
GRID = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def _suggest(trial: Suggest) -> Parameters:
    return {LAMBDA: trial.suggest_float(LAMBDA, 0.0, 1.0, step=0.05)}


SPACE = Space(
    name="lambda",
    summary="lambda, the weight of imitation against labels (graph distillation, Eq. 2)",
    base={"recipe": "distillation"},
    rows=(Row("paper", {LAMBDA: 0.6}),),
    suggest=_suggest,
    grid=lambda: [{LAMBDA: value} for value in GRID],
)

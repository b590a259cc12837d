"""Weights of VSPP's two losses: alpha of the speed, beta of the segment (auxSKD paper, Eq. 5).

The paper says that alpha = beta = 1 worked best and gives no other value; first that, then either alone (Table 4), then freely.
"""

from __future__ import annotations

import itertools

from search_spaces.space import Parameters, Row, Space, Suggest

ALPHA, BETA = "vspp.speed_weight", "vspp.segment_weight"
GRID = (0.0, 0.25, 0.5, 1.0, 2.0)


def _suggest(trial: Suggest) -> Parameters:
    alpha = trial.suggest_float(ALPHA, 0.0, 2.0, step=0.25)
    return {ALPHA: alpha, BETA: trial.suggest_float(BETA, 0.0 if alpha else 0.25, 2.0, step=0.25)}


def _grid() -> list[Parameters]:
    return [{ALPHA: alpha, BETA: beta} for alpha, beta in itertools.product(GRID, GRID) if alpha or beta]


SPACE = Space(
    name="loss_weights",
    summary="alpha and beta of VSPP's speed and segment loss (Eq. 5)",
    base={"recipe": "pretext", "pretext.task": "vspp"},
    rows=(
        Row("paper", {ALPHA: 1.0, BETA: 1.0}),
        Row("speed only", {ALPHA: 1.0, BETA: 0.0}),
        Row("segment only", {ALPHA: 0.0, BETA: 1.0}),
    ),
    suggest=_suggest,
    grid=_grid,
)

"""How much unlabelled video the teachers learn from (graph distillation, Sec. 5.6 and Figure 4 b).

Each share is part of the larger ones. Labelled videos stay as they are.
"""

from __future__ import annotations

from search_spaces.space import Parameters, Row, Space, Suggest

SHARE = "data.pretraining_share"
SHARES = (0.25, 0.5, 0.75, 1.0)


def _suggest(trial: Suggest) -> Parameters:
    return {SHARE: trial.suggest_float(SHARE, 0.05, 1.0, step=0.05)}


SPACE = Space(
    name="data_volume",
    summary="share of the unlabelled videos that teachers learn from (graph distillation, Figure 4 b)",
    base={"recipe": "distillation"},
    rows=tuple(Row(f"{share:.0%}", {SHARE: share}) for share in SHARES),
    suggest=_suggest,
    grid=lambda: [{SHARE: share} for share in SHARES],
    figure="graph/figure4b",
    trials=len(SHARES),
)

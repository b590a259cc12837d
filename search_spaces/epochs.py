"""How long VSPP is pretrained, with and without auxSKD before it (auxSKD paper, Figure 4 left).

The learning rate does not depend on the number of epochs, so 10, 20, 30 and 40 epochs are four checkpoints of one run: with
each seed two pretrainings serve all eight configurations. They are the quarters of `pretext.epochs`; as in the paper with
`--preset paper --set pretext.epochs=40`, which `--table auxskd/figure4-left` sets by itself.
"""

from __future__ import annotations

from search_spaces.paper_tables import table_rows
from search_spaces.space import Parameters, Space, Suggest

CHECKPOINTS = 4
ROWS = table_rows("auxskd/figure4-left")


def _suggest(trial: Suggest) -> Parameters:
    return {
        "pretext.checkpoint": trial.suggest_int("pretext.checkpoint", 1, CHECKPOINTS),
        "recipe": trial.suggest_categorical("recipe", ("pretext", "auxskd_pretext")),
    }


SPACE = Space(
    name="epochs",
    summary="pretraining epochs with and without auxSKD, from the checkpoints of one run (Figure 4 left)",
    base={"pretext.task": "vspp", "pretext.checkpoints": CHECKPOINTS},
    rows=ROWS,
    suggest=_suggest,
    grid=lambda: [dict(row.parameters) for row in ROWS],
    table="auxskd/figure4-left",
    figure="auxskd/figure4-left",
    trials=len(ROWS),
)

"""Finetuning: learning rate, epochs and how many leading layers stay as they were pretrained (auxSKD paper, Sec. 4.2).

All configurations share one pretraining per seed. First the paper's values, then all convolutions frozen, then freely.
"""

from __future__ import annotations

import itertools

from search_spaces.space import Parameters, Row, Space, Suggest

RATE, EPOCHS, FROZEN = "finetune.learning_rate", "finetune.epochs", "finetune.frozen_layers"
ALL_LAYERS = 5


def _suggest(trial: Suggest) -> Parameters:
    return {
        RATE: trial.suggest_float(RATE, 1e-4, 1e-1, log=True),
        EPOCHS: trial.suggest_int(EPOCHS, 5, 50, step=5),
        FROZEN: trial.suggest_int(FROZEN, 0, ALL_LAYERS),
    }


SPACE = Space(
    name="finetune",
    summary="learning rate, epochs and frozen layers of finetuning",
    base={"finetune.step_epochs": 6},
    rows=(
        Row("paper", {RATE: 3e-3, EPOCHS: 25, FROZEN: 0}),
        Row("last layer only", {RATE: 3e-3, EPOCHS: 25, FROZEN: ALL_LAYERS}),
    ),
    suggest=_suggest,
    grid=lambda: [
        {RATE: rate, EPOCHS: 25, FROZEN: frozen} for rate, frozen in itertools.product((1e-3, 3e-3, 1e-2, 3e-2), range(6))
    ],
)

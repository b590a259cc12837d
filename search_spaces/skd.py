"""What auxSKD is made of: memory bank, teacher momentum, projection, predictor and views (auxSKD paper, Sec. 4.2).

First the paper's values and those of the released code, then freely. The paper says of all of them "we select our parameters
empirically" and gives no other numbers. A bank larger than the clips of all epochs is never filled and keeps random anchors.
"""

from __future__ import annotations

from search_spaces.space import Parameters, Row, Space, Suggest

BANK, MOMENTUM, PROJECTION = "auxskd.memory_bank", "auxskd.teacher_momentum", "auxskd.projection"
LAYERS, HIDDEN, VIEWS = "auxskd.predictor_layers", "auxskd.predictor_hidden", "auxskd.views"
BANKS = (128, 512, 2048, 4096, 8192, 15360, 16384, 65536)


def _suggest(trial: Suggest) -> Parameters:
    return {
        BANK: trial.suggest_categorical(BANK, BANKS),
        MOMENTUM: trial.suggest_categorical(MOMENTUM, (0.9, 0.98, 0.99, 0.996, 0.999, 0.9999)),
        PROJECTION: trial.suggest_categorical(PROJECTION, (32, 64, 128, 256)),
        LAYERS: trial.suggest_categorical(LAYERS, (2, 3)),
        HIDDEN: trial.suggest_categorical(HIDDEN, (128, 256, 512, 1024, 2048)),
        VIEWS: trial.suggest_categorical(VIEWS, ("independent", "distinct")),
    }


PAPER: Parameters = {
    BANK: 16384,
    MOMENTUM: 0.999,
    PROJECTION: 128,
    LAYERS: 3,
    HIDDEN: 1024,
    VIEWS: "independent",
}

SPACE = Space(
    name="skd",
    summary="memory bank, momentum, projection, predictor and views of auxSKD",
    base={"recipe": "auxskd_pretext", "pretext.task": "vspp"},
    rows=(Row("paper", PAPER), Row("released code", {**PAPER, BANK: 15360, LAYERS: 2, VIEWS: "distinct"})),
    suggest=_suggest,
    grid=lambda: [{**PAPER, BANK: bank, MOMENTUM: momentum} for bank in BANKS for momentum in (0.9, 0.99, 0.999)],
)

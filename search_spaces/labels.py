"""What self-supervision is worth where labels are few: methods by the share of the training videos that have labels.

    python harness/sweep.py --space labels --seeds 5

Pretraining sees all videos of its set, whatever the share. In the rows an epoch of finetuning sees so many clips of each
labelled video that all shares take as many steps. `--set data.labelled_draw=1` labels other videos.
"""

from __future__ import annotations

import itertools

from search_spaces.recipes import RECIPES
from search_spaces.space import Parameters, Row, Space, Suggest

SHARE, RECIPE, CLIPS = "data.labelled_share", "recipe", "finetune.clips_per_video"
SHARES = (0.05, 0.1, 0.25, 1.0)


def _point(share: float, recipe: str) -> Parameters:
    return {SHARE: share, CLIPS: round(1 / share), RECIPE: recipe}


def _suggest(trial: Suggest) -> Parameters:
    return {
        SHARE: trial.suggest_categorical(SHARE, SHARES),
        CLIPS: trial.suggest_int(CLIPS, 1, round(1 / min(SHARES))),
        RECIPE: trial.suggest_categorical(RECIPE, tuple(RECIPES.values())),
    }


ROWS = tuple(
    Row(f"{label}, {share:.0%} of the labels", _point(share, recipe))
    for share, (label, recipe) in itertools.product(SHARES, RECIPES.items())
)

SPACE = Space(
    name="labels",
    summary="random initialisation, a pretext task, auxSKD before it, by the share of videos that have labels",
    rows=ROWS,
    suggest=_suggest,
    grid=lambda: [dict(row.parameters) for row in ROWS],
    trials=len(ROWS),
)

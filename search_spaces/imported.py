"""What the network of a file is worth on a data set, `--weights NETWORK=FILE`: finetuned, frozen, and against random weights.

    python harness/sweep.py --space imported --weights r2plus1d=r2plus1d_18.pth --data ucf101=UCF-101 --preset paper

Form and pixels of the network are those of the file. `--set evaluation.measures=[as_given] --set recipe=imported` asks what its
own last layer says of the data set that it was trained for.
"""

from __future__ import annotations

import itertools

from search_spaces.space import Parameters, Row, Space, Suggest

RECIPE, FROZEN = "recipe", "finetune.frozen_layers"
RECIPES, ALL_LAYERS = ("imported", "scratch"), 5


def _suggest(trial: Suggest) -> Parameters:
    return {
        RECIPE: trial.suggest_categorical(RECIPE, RECIPES),
        FROZEN: trial.suggest_int(FROZEN, 0, ALL_LAYERS),
    }


SPACE = Space(
    name="imported",
    summary="the network of --weights: finetuned as a whole, its last layer alone, and random weights in its place",
    base={RECIPE: "imported"},
    rows=(
        Row("weights of the file", {RECIPE: "imported", FROZEN: 0}),
        Row("its last layer alone", {RECIPE: "imported", FROZEN: ALL_LAYERS}),
        Row("random weights", {RECIPE: "scratch", FROZEN: 0}),
    ),
    suggest=_suggest,
    grid=lambda: [{RECIPE: recipe, FROZEN: frozen} for recipe, frozen in itertools.product(RECIPES, range(ALL_LAYERS + 1))],
    trials=3,
)

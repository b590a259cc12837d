"""On what it depends how much self-supervision is worth: labels, domain gap, granularity of the classes, and the method.

    python harness/sweep.py --space sensitivity --seeds 5
    python harness/sweep.py --space sensitivity --set data.pretraining_domain=null --set data.embedded.classes=8  # labels alone
    python harness/sweep.py --space sensitivity --search grid --trials 96                                         # all of them

The factors of "How Severe is Benchmark-Sensitivity in Video Self-Supervised Learning?" (ECCV 2022), on the embedded clips: the
share of the videos that have labels, in what the clips of pretraining differ from those of finetuning, and how fine the classes
are (of eight, one is to and fro of another). The rows leave the middle in one factor at a time, each with and without
self-supervision. Pretraining sees all videos; an epoch of finetuning so many clips of each labelled one that all shares take as
many steps. `--set data.labelled_draw=1` labels other videos.
"""

from __future__ import annotations

import itertools
from typing import Any

from search_spaces.recipes import RECIPES
from search_spaces.space import Parameters, Row, Space, Suggest

SHARE, CLIPS, GAP, CLASSES, RECIPE = (
    "data.labelled_share",
    "finetune.clips_per_video",
    "data.pretraining_domain",
    "data.embedded.classes",
    "recipe",
)
SHARES, GAPS, GRANULARITIES = (0.1, 0.25, 0.5, 1.0), (None, "appearance", "pace", "motions"), (6, 8)
MIDDLE: Parameters = {SHARE: 0.25, GAP: None, CLASSES: 8}
OTHERS: tuple[tuple[str, Any, str], ...] = (
    *((SHARE, share, f"{share:.0%} of the labels") for share in SHARES if share != MIDDLE[SHARE]),
    *((GAP, gap, f"{gap} apart") for gap in GAPS if gap != MIDDLE[GAP]),
    (CLASSES, 6, "6 classes"),
)
POINTS = {"middle": MIDDLE} | {label: {**MIDDLE, name: value} for name, value, label in OTHERS}


def _with_method(point: Parameters, recipe: str) -> Parameters:
    return {SHARE: point[SHARE], CLIPS: round(1 / point[SHARE]), GAP: point[GAP], CLASSES: point[CLASSES], RECIPE: recipe}


def _suggest(trial: Suggest) -> Parameters:
    return {
        SHARE: trial.suggest_categorical(SHARE, SHARES),
        CLIPS: trial.suggest_int(CLIPS, 1, round(1 / min(SHARES))),
        GAP: trial.suggest_categorical(GAP, GAPS),
        CLASSES: trial.suggest_categorical(CLASSES, GRANULARITIES),
        RECIPE: trial.suggest_categorical(RECIPE, tuple(RECIPES.values())),
    }


def _grid() -> list[Parameters]:
    points = itertools.product(SHARES, GAPS, GRANULARITIES, RECIPES.values())
    return [_with_method({SHARE: share, GAP: gap, CLASSES: classes}, recipe) for share, gap, classes, recipe in points]


ROWS = tuple(
    Row(f"{method}, {label}", _with_method(point, recipe))
    for (label, point), (method, recipe) in itertools.product(POINTS.items(), RECIPES.items())
)

SPACE = Space(
    name="sensitivity",
    summary="what self-supervision is worth by share of labels, domain gap of pretraining and granularity of classes",
    rows=ROWS,
    suggest=_suggest,
    grid=_grid,
    trials=len(ROWS),
)

"""Pretext tasks with and without auxSKD before them, by backbone (the comparison of the auxSKD paper's Table 1, rows 16 to 29).

Runs on whatever data there are, under one recipe (`protocol: like_for_like`), or each task under its authors' own
(`--set protocol=published`, meant for preset paper).
"""

from __future__ import annotations

import itertools

from search_spaces.space import Parameters, Row, Space, Suggest

TASKS = {"VSPP": "vspp", "VideoPace": "video_pace", "VCOP": "vcop", "RSPNet": "rspnet"}
RECIPES = {"": "pretext", " + auxSKD": "auxskd_pretext"}
FAMILIES = {"R(2+1)D": "r2plus1d", "R3D": "r3d"}


def _suggest(trial: Suggest) -> Parameters:
    return {
        "pretext.task": trial.suggest_categorical("pretext.task", tuple(TASKS.values())),
        "recipe": trial.suggest_categorical("recipe", tuple(RECIPES.values())),
        "backbone.family": trial.suggest_categorical("backbone.family", (*FAMILIES.values(), "c3d")),
    }


ROWS = tuple(
    Row(
        f"{task}{recipe} / {family}",
        {"pretext.task": TASKS[task], "recipe": RECIPES[recipe], "backbone.family": FAMILIES[family]},
    )
    for family, task, recipe in itertools.product(FAMILIES, TASKS, RECIPES)
)

SPACE = Space(
    name="pretext",
    summary="VSPP, VideoPace, VCOP and RSPNet, with and without auxSKD, by backbone (Table 1)",
    rows=ROWS,
    suggest=_suggest,
    grid=lambda: [dict(row.parameters) for row in ROWS],
    trials=len(ROWS),
)

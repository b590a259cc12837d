"""What each stage adds: random initialisation, a pretext task, auxSKD before it (the comparison under auxSKD paper's Table 2).

The task is VSPP, or what `--set pretext.task` says. Three configurations; more --seeds say whether they differ. docs/results.md
has a run on real clips.
"""

from __future__ import annotations

from search_spaces.space import Parameters, Row, Space, Suggest

RECIPES = {"random initialisation": "scratch", "pretext task": "pretext", "auxSKD + pretext task": "auxskd_pretext"}


def _suggest(trial: Suggest) -> Parameters:
    return {"recipe": trial.suggest_categorical("recipe", tuple(RECIPES.values()))}


SPACE = Space(
    name="recipes",
    summary="random initialisation, a pretext task, auxSKD before it: what each stage adds",
    rows=tuple(Row(label, {"recipe": recipe}) for label, recipe in RECIPES.items()),
    suggest=_suggest,
    grid=lambda: [{"recipe": recipe} for recipe in RECIPES.values()],
    trials=len(RECIPES),
)

"""What each stage adds: random initialisation, VSPP, and auxSKD before VSPP (the comparison under auxSKD paper's Table 2).

Three configurations; more --seeds say whether they differ. docs/results.md has a run on real clips.
"""

from __future__ import annotations

from search_spaces.space import Parameters, Row, Space, Suggest

RECIPES = {"random initialisation": "scratch", "VSPP": "pretext", "auxSKD + VSPP": "auxskd_pretext"}


def _suggest(trial: Suggest) -> Parameters:
    return {"recipe": trial.suggest_categorical("recipe", tuple(RECIPES.values()))}


SPACE = Space(
    name="recipes",
    summary="random initialisation, VSPP, auxSKD + VSPP: what each stage adds",
    rows=tuple(Row(label, {"recipe": recipe}) for label, recipe in RECIPES.items()),
    suggest=_suggest,
    grid=lambda: [{"recipe": recipe} for recipe in RECIPES.values()],
    trials=len(RECIPES),
)

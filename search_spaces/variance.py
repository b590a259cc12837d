"""Where the differences between seeds come from: one configuration many times, each time with one source of variance alone.

    python harness/sweep.py --space variance --seeds 10
    python reports/variance.py

The configuration is what preset and `--set` say. A source that does not vary has the random numbers of `seeds.others`.
"""

from __future__ import annotations

from search_spaces.space import Parameters, Row, Space, Suggest
from trainables.settings import SOURCES, USUAL_SOURCES

VARY = "seeds.vary"
ROWS = (Row("all that follows a seed", {VARY: USUAL_SOURCES}), *(Row(f"{source} alone", {VARY: source}) for source in SOURCES))


def _suggest(trial: Suggest) -> Parameters:
    return {VARY: trial.suggest_categorical(VARY, (USUAL_SOURCES, *SOURCES))}


SPACE = Space(
    name="variance",
    summary="one configuration, with each source of variance alone: initial weights, order, clips, noise, rounding",
    rows=ROWS,
    suggest=_suggest,
    grid=lambda: [dict(row.parameters) for row in ROWS],
    trials=len(ROWS),
)

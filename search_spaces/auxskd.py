"""auxSKD on or off, by backbone and pretraining set (auxSKD paper, Table 2).

The paper's eight rows (auxSKD adds 1.2 to 6.7 points), each finetuned on UCF101 and on HMDB51 from one pretraining, and judged
by the mean over both; then the combinations that the paper leaves out.
"""

from __future__ import annotations

import itertools

from search_spaces.paper_tables import table_rows
from search_spaces.space import Parameters, Row, Space, Suggest

CHOICES = {
    "backbone.family": ("r2plus1d", "r3d", "c3d"),
    "data.pretraining": ("ucf101", "kinetics100", "kinetics400"),
    "recipe": ("pretext", "auxskd_pretext"),
}


def _suggest(trial: Suggest) -> Parameters:
    return {name: trial.suggest_categorical(name, choices) for name, choices in CHOICES.items()}


def _grid() -> list[Parameters]:
    return [dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())]


def _rows() -> tuple[Row, ...]:
    """The rows of Table 2, whose two measures are one trial here."""
    rows: dict[str, Row] = {}
    for row in table_rows("auxskd/table2"):
        label = row.label.partition(" -> ")[0]
        rows[label] = Row(label, {name: row.parameters[name] for name in CHOICES})
    return tuple(rows.values())


SPACE = Space(
    name="auxskd",
    summary="auxSKD on or off, by backbone and pretraining set (Table 2)",
    base={"pretext.task": "vspp", "data.downstream": "ucf101+hmdb51"},
    rows=_rows(),
    suggest=_suggest,
    grid=_grid,
    table="auxskd/table2",
    trials=8,
)

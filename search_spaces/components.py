"""What each component of graph distillation adds: the rows of its Table 2, on whatever data there are.

`--table graph/table2` runs the same rows on the table's own data sets. The teachers are trained once for all rows but the
controls, whose classifiers start from scratch.
"""

from __future__ import annotations

import itertools
from typing import Any

from search_spaces.paper_tables import table_rows
from search_spaces.space import Parameters, Row, Space, Suggest
from search_spaces.teaching import ALL, LAYERS, NONE

OF_DATA = "data."


def _rows() -> tuple[Row, ...]:
    """The rows of Table 2, whose measures differ in their data only."""
    rows: dict[str, Row] = {}
    for row in table_rows("graph/table2"):
        label = row.label.partition(" -> ")[0]
        rows[label] = Row(label, {name: value for name, value in row.parameters.items() if not name.startswith(OF_DATA)})
    return tuple(rows.values())


ROWS = _rows()
FORMS = {"graph.logits": ("none", "average", "graph"), "graph.representation": ("none", "single", "graph")}
OF_LOGITS_GRAPH = {
    "graph.distance": ("em", "class_em", "cosine"),
    "graph.sample_cost": (0.2, 0.0),
    "graph.edges": ("gain", "learned"),
}
DISTANCES = (("em", 0.2), ("em", 0.0), ("class_em", 0.2), ("cosine", 0.2))
"""And their cost of samples, which is of `em` alone."""


def _suggest(trial: Suggest) -> Parameters:
    choices: dict[str, tuple[Any, ...]] = {"recipe": ("fusion", "ensemble", "distillation"), LAYERS: (ALL, NONE)}
    found: Parameters = {name: trial.suggest_categorical(name, values) for name, values in choices.items()}
    if found["recipe"] == "distillation":
        found |= {name: trial.suggest_categorical(name, values) for name, values in (FORMS | OF_LOGITS_GRAPH).items()}
    return found


def _grid() -> list[Parameters]:
    """Every form of the two losses but none at all, of teachers that start from their tasks; distance, its cost of samples and
    edges vary with a logits graph. Then the controls."""
    found: list[Parameters] = [{"recipe": "fusion"}, {"recipe": "ensemble"}]
    for logits, representation in itertools.product(*FORMS.values()):
        form = {"recipe": "distillation", "graph.logits": logits, "graph.representation": representation}
        distances, edges = (DISTANCES, OF_LOGITS_GRAPH["graph.edges"]) if logits == "graph" else (DISTANCES[:1], ("gain",))
        if (logits, representation) != ("none", "none"):
            found += [
                {**form, "graph.distance": distance, "graph.sample_cost": cost, "graph.edges": kind}
                for (distance, cost), kind in itertools.product(distances, edges)
            ]
    controls = [dict(row.parameters) for row in ROWS if row.parameters[LAYERS] == NONE]
    return [*(point | {LAYERS: ALL} for point in found), *controls]


SPACE = Space(
    name="components",
    summary="fusion, ensemble, KD, and every form of the two graphs: the rows of graph distillation's Table 2",
    rows=ROWS,
    suggest=_suggest,
    grid=_grid,
    table="graph/table2",
    trials=len(ROWS),
)

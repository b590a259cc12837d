"""Which graphs teach the student, and how they are made (graph distillation, Secs. 4.2 and 4.3).

Conditional: lambda, edges, their temperature and the distance belong to the logits graph; weight, edges, sketch and kernel to
the representation graph. At least one of the two is on: without the logits graph nothing is left to ask about the other. The
paper's own form first, each graph alone next.
"""

from __future__ import annotations

import itertools

from search_spaces.space import Parameters, Row, Space, Suggest

GRAPHS = {"G_l + G_r": ("graph", "graph"), "G_l": ("graph", "none"), "G_r": ("none", "graph")}
EDGES = ("gain", "learned", "uniform")
DISTANCES = ("em", "sinkhorn", "kl", "cosine", "l2")
VERTEX_EDGES = ("vertex", "dimension", "uniform")
SKETCHES = (64, 128, 256, 512)
LOGITS = {"graph.imitation_weight": 0.6, "graph.edges": "gain", "graph.edge_temperature": 0.1, "graph.distance": "em"}
MAPS = {
    "graph.representation_weight": 1.0,
    "graph.representation_edges": "vertex",
    "graph.sketch": 128,
    "graph.bandwidth": "median",
}


def _suggest(trial: Suggest) -> Parameters:
    logits = trial.suggest_categorical("graph.logits", ("graph", "none"))
    found: Parameters = {"graph.logits": logits}
    if logits == "graph":
        found["graph.representation"] = trial.suggest_categorical("graph.representation", ("graph", "none"))
        found["graph.imitation_weight"] = trial.suggest_float("graph.imitation_weight", 0.1, 0.9)
        found["graph.distance"] = trial.suggest_categorical("graph.distance", DISTANCES)
        found["graph.edges"] = trial.suggest_categorical("graph.edges", EDGES)
        if found["graph.edges"] != "uniform":
            found["graph.edge_temperature"] = trial.suggest_float("graph.edge_temperature", 0.01, 10.0, log=True)
    if found.get("graph.representation", "graph") == "graph":
        found["graph.representation_edges"] = trial.suggest_categorical("graph.representation_edges", VERTEX_EDGES)
        found["graph.sketch"] = trial.suggest_categorical("graph.sketch", SKETCHES)
        found["graph.bandwidth"] = trial.suggest_categorical("graph.bandwidth", ("median", 0.01, 0.1, 1.0))
        found["graph.representation_weight"] = trial.suggest_float("graph.representation_weight", 0.1, 10.0, log=True)
    return found


def _parameters(logits: str, representation: str, **changes: str) -> Parameters:
    found: Parameters = {"graph.logits": logits}
    found |= {"graph.representation": representation, **LOGITS} if logits == "graph" else {}
    found |= MAPS if representation == "graph" else {}
    return found | changes


def _grid() -> list[Parameters]:
    """Every form of the graphs with every distance and kind of edge, other values as in the rows."""
    found = [_parameters(*GRAPHS["G_r"])]
    for name, distance, edges in itertools.product(("G_l + G_r", "G_l"), DISTANCES, EDGES):
        parameters = _parameters(*GRAPHS[name], **{"graph.distance": distance, "graph.edges": edges})
        if edges == "uniform":
            del parameters["graph.edge_temperature"]
        found.append(parameters)
    return found


SPACE = Space(
    name="graph",
    summary="logits graph and representation graph: edges, distance, sketch, kernel, weights (graph distillation, Sec. 4)",
    base={"recipe": "distillation", "graph.representation": "graph"},
    rows=tuple(Row(label, _parameters(*graphs)) for label, graphs in GRAPHS.items()),
    suggest=_suggest,
    grid=_grid,
)

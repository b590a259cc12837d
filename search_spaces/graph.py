"""Which graphs teach the student, and how they are made (graph distillation, Secs. 4.2 and 4.3).

Conditional: lambda, edges, targets and the distance belong to the logits graph, the cost of samples to transport, the sign to
gains; its share of the gradient at the start, edges, sketch and kernel to the representation graph. At least one of the two is
on: without the logits graph nothing is left to ask about the other. The paper's own form first, each graph alone next, then
other readings of Eqs. 4 and 5.
"""

from __future__ import annotations

import itertools

from search_spaces.space import Parameters, Row, Space, Suggest

GRAPHS = {"G_l + G_r": ("graph", "graph"), "G_l": ("graph", "none"), "G_r": ("none", "graph")}
EDGES = ("gain", "learned", "learned_global", "uniform")
TEMPERATURES = {"gain": 0.1, "learned": 8.0, "learned_global": 0.1}
DISTANCES = ("em", "sinkhorn", "class_em", "kl", "cosine", "l2")
TRANSPORT = ("em", "sinkhorn")
SAMPLE_COST = 0.2
SIGNS = ("imitated_well", "imitated_badly")
GAINS_OF = ("running_means", "sample")
TARGETS = ("own", "mixed")
VERTEX_EDGES = ("vertex", "dimension", "uniform")
SKETCHES = (64, 128, 256, 512)
READINGS: dict[str, Parameters] = {
    "without a cost of samples": {"graph.sample_cost": 0.0},
    "between classes": {"graph.distance": "class_em"},
    "gains of what is imitated badly": {"graph.gain_sign": "imitated_badly"},
    "gains of each sample": {"graph.gain_of": "sample"},
    "mixed targets": {"graph.targets": "mixed"},
}
"""Of G_l by itself."""
MAPS = {
    "graph.representation_share": 0.5,
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
        if found["graph.distance"] in TRANSPORT:
            found["graph.sample_cost"] = trial.suggest_float("graph.sample_cost", 0.0, 1.5, step=0.05)
        if found["graph.edges"] != "uniform":
            found["graph.edge_temperature"] = trial.suggest_float("graph.edge_temperature", 0.01, 10.0, log=True)
        if found["graph.edges"] == "gain":
            found["graph.gain_sign"] = trial.suggest_categorical("graph.gain_sign", SIGNS)
            found["graph.gain_of"] = trial.suggest_categorical("graph.gain_of", GAINS_OF)
        if found["graph.edges"] != "learned":
            found["graph.targets"] = trial.suggest_categorical("graph.targets", TARGETS)
    if found.get("graph.representation", "graph") == "graph":
        found["graph.representation_edges"] = trial.suggest_categorical("graph.representation_edges", VERTEX_EDGES)
        found["graph.sketch"] = trial.suggest_categorical("graph.sketch", SKETCHES)
        found["graph.bandwidth"] = trial.suggest_categorical("graph.bandwidth", ("median", 0.01, 0.1, 1.0))
        found["graph.representation_share"] = trial.suggest_float("graph.representation_share", 0.05, 5.0, log=True)
    return found


def _logits(distance: str = "em", edges: str = "gain") -> Parameters:
    """What is asked about a logits graph with these, as in the first row."""
    found: Parameters = {"graph.imitation_weight": 0.6, "graph.distance": distance, "graph.edges": edges}
    found |= {"graph.sample_cost": SAMPLE_COST} if distance in TRANSPORT else {}
    found |= {"graph.edge_temperature": TEMPERATURES[edges]} if edges != "uniform" else {}
    found |= {"graph.gain_sign": SIGNS[0], "graph.gain_of": GAINS_OF[0]} if edges == "gain" else {}
    found |= {"graph.targets": TARGETS[0]} if edges != "learned" else {}
    return found


def _parameters(logits: str, representation: str, distance: str = "em", edges: str = "gain") -> Parameters:
    found: Parameters = {"graph.logits": logits}
    found |= {"graph.representation": representation, **_logits(distance, edges)} if logits == "graph" else {}
    return found | (MAPS if representation == "graph" else {})


def _readings() -> list[Row]:
    found = []
    for label, change in READINGS.items():
        own = _parameters(*GRAPHS["G_l"], distance=str(change.get("graph.distance", "em")))
        found.append(Row(f"G_l, {label}", {**own, **change}))
    return found


def _grid() -> list[Parameters]:
    """Every form of the graphs with every distance and kind of edge, other values as in the rows; then the readings of G_l."""
    forms = itertools.product(("G_l + G_r", "G_l"), DISTANCES, EDGES)
    found = [_parameters(*GRAPHS["G_r"]), *(_parameters(*GRAPHS[name], distance, edges) for name, distance, edges in forms)]
    return [*found, *(dict(row.parameters) for row in _readings() if row.parameters not in found)]


SPACE = Space(
    name="graph",
    summary="logits graph and representation graph: edges, distance, sketch, kernel, weights (graph distillation, Sec. 4)",
    base={"recipe": "distillation", "graph.representation": "graph", "graph.representation_weight": "balanced"},
    rows=(*(Row(label, _parameters(*graphs)) for label, graphs in GRAPHS.items()), *_readings()),
    suggest=_suggest,
    grid=_grid,
)

"""The student with the graphs it is taught by, and which settings that depends on (graph distillation, Eqs. 2 to 10)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.distillation.logits_graph import AveragedPredictions, LogitsGraph
from trainables.distillation.representation_graph import RepresentationGraph
from trainables.models.encoder import Encoder, Outputs
from trainables.settings import ExperimentSettings, GraphSettings
from trainables.teachers import TEACHERS

_LOGITS = {
    "none": (),
    "average": ("graph.imitation_weight", "graph.student_temperature"),
    "graph": (
        "graph.imitation_weight",
        "graph.student_temperature",
        "graph.distance",
        "graph.edges",
        "graph.vertices",
    ),
}
_EDGES = {
    "uniform": (),
    "learned": ("graph.edge_temperature", "graph.prior_weight"),
    "gain": ("graph.edge_temperature", "graph.gain_momentum"),
}
_MAPS = ("graph.representation_weight", "graph.student_layer", "graph.vertex_temperature", "graph.bandwidth")
_REPRESENTATION = {
    "none": (),
    "single": _MAPS,
    "graph": (*_MAPS, "graph.sketch", "graph.representation_edges", "graph.representation_edge_temperature"),
}


def settings_read(settings: ExperimentSettings) -> tuple[str, ...]:
    """The settings of the group `graph` that the student depends on, those of parts that are off left out.

    With live teachers also which of their layers are imitated; a bank has its own layers' maps.
    """
    graph, tasks = settings.graph, settings.teachers.names
    temperatures = tuple(f"graph.{task}_temperature" for task in tasks) if graph.logits != "none" else ()
    asked = settings.teachers.outputs == "live" and graph.representation != "none"
    layers = sorted({f"views.{TEACHERS[task].encoder}_layer" for task in tasks}) if asked else ()
    return (
        "graph.logits",
        "graph.representation",
        *_LOGITS[graph.logits],
        *(_EDGES[graph.edges] if graph.logits == "graph" else ()),
        *(("graph.sinkhorn_regularisation",) if (graph.logits, graph.distance) == ("graph", "sinkhorn") else ()),
        *temperatures,
        *_REPRESENTATION[graph.representation],
        *layers,
    )


class TaughtStudent(nn.Module):
    """A student and the graphs between it and its teachers. What the graphs learn and remember is part of its state.

    channels: of each teacher's map, in the order of `tasks`.
    """

    def __init__(self, student: Encoder, settings: GraphSettings, tasks: Sequence[str], channels: Sequence[int]) -> None:
        super().__init__()
        self.student = student
        self.settings = settings
        logits = {"none": None, "average": AveragedPredictions, "graph": LogitsGraph}[settings.logits]
        self.logits_graph = None if logits is None else logits(settings, tasks)
        self.representation_graph = None if settings.representation == "none" else RepresentationGraph(settings, channels)

    def loss(self, clips: Tensor, targets: Tensor, logits: Tensor, maps: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """(1 - lambda) CE + lambda L_logits + weight L_representation of clips (B, 3, K, H, W) with labels targets (B,).

        logits: (teachers, B, classes); maps: of each teacher (B, C, h, w). Without a logits loss lambda counts as 0.
        """
        outputs: Outputs = self.student.outputs(clips, self.settings.student_layer)
        hard = F.cross_entropy(outputs.logits.float(), targets)
        metrics = {"hard_loss": hard.detach(), "accuracy": (outputs.logits.detach().argmax(1) == targets).float()}
        total = hard
        if self.logits_graph is not None:
            imitation, found = self.logits_graph(outputs.logits.float(), logits)
            weight = self.settings.imitation_weight
            total = (1 - weight) * hard + weight * imitation
            metrics |= {"logits_loss": imitation.detach(), **found}
        if self.representation_graph is not None:
            difference, found = self.representation_graph(outputs.map.float(), maps)
            total = total + self.settings.representation_weight * difference
            metrics |= {"representation_loss": difference.detach(), **found}
        return total, metrics

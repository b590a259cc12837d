"""The student with the graphs it is taught by (graph distillation, Eqs. 2 to 10)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.distillation.logits_graph import AveragedPredictions, LogitsGraph
from trainables.distillation.representation_graph import RepresentationGraph
from trainables.models.encoder import Encoder, Outputs
from trainables.settings import GraphSettings

FIRST_LAYER = 1
"""Whose map is given where no graph asks for a map."""


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
        layer = FIRST_LAYER if self.representation_graph is None else self.settings.student_layer
        outputs: Outputs = self.student.outputs(clips, layer)
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

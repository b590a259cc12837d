"""The student with the graphs it is taught by (graph distillation, Eqs. 2 to 10)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.distillation.averaged import AveragedPredictions
from trainables.distillation.logits_graph import LogitsGraph
from trainables.distillation.representation_graph import RepresentationGraph
from trainables.distillation.teachers import Answers, Teachers
from trainables.models.encoder import Encoder, Outputs
from trainables.settings import GraphSettings

FIRST_LAYER = 1
"""Whose map is given where no graph asks for a map."""


class TaughtStudent(nn.Module):
    """A student and the graphs between it and its teachers. What the graphs learn and remember is part of its state."""

    logits_graph: LogitsGraph | AveragedPredictions | None

    def __init__(self, student: Encoder, settings: GraphSettings, teachers: Teachers) -> None:
        super().__init__()
        self.student = student
        self.settings = settings
        self.logits_graph = None
        if settings.logits == "graph":
            self.logits_graph = LogitsGraph(settings, teachers, student.prototypes.shape[1])
        elif settings.logits == "average":
            self.logits_graph = AveragedPredictions(settings, teachers)
        self.representation_graph = None
        if settings.representation != "none":
            self.representation_graph = RepresentationGraph(settings, teachers.channels)

    def loss(self, clips: Tensor, targets: Tensor, answers: Answers) -> tuple[Tensor, dict[str, Tensor]]:
        """(1 - lambda) CE + lambda L_logits + weight L_representation of clips (B, 3, K, H, W) with labels targets (B,).

        Without a logits loss lambda counts as 0.
        """
        layer = FIRST_LAYER if self.representation_graph is None else self.settings.student_layer
        outputs: Outputs = self.student.outputs(clips, layer)
        hard = F.cross_entropy(outputs.logits.float(), targets)
        metrics = {"hard_loss": hard.detach(), "accuracy": (outputs.logits.detach().argmax(1) == targets).float()}
        total = hard
        if self.logits_graph is not None:
            imitation, found = self.logits_graph(outputs, answers, targets)
            total = self._of_labels_and_logits(hard, imitation)
            metrics |= {"logits_loss": imitation.detach(), **found}
        if self.representation_graph is not None:
            difference, found = self.representation_graph(outputs.map.float(), answers.maps)
            total = total + self.settings.representation_weight * difference
            metrics |= {"representation_loss": difference.detach(), **found}
        return total, metrics

    def _of_labels_and_logits(self, hard: Tensor, imitation: Tensor) -> Tensor:
        """Eq. 2, or the sum of which Sec. 4.2 speaks."""
        if self.settings.total == "sum":
            return hard + imitation
        weight = self.settings.imitation_weight
        return (1 - weight) * hard + weight * imitation

"""The student with the graphs it is taught by (graph distillation, Eqs. 2 to 10)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.distillation.averaged import AveragedPredictions
from trainables.distillation.logits_graph import LogitsGraph
from trainables.distillation.representation_graph import RepresentationGraph
from trainables.distillation.shares import SMALLEST, Balance, gradient_norm
from trainables.distillation.teachers import Answers, Teachers
from trainables.models.encoder import Encoder, Outputs
from trainables.settings import GraphSettings

FIRST_LAYER = 1
"""Whose map is given where no graph asks for a map."""


class TaughtStudent(nn.Module):
    """A student and the graphs between it and its teachers. What the graphs learn and remember is part of its state."""

    logits_graph: LogitsGraph | AveragedPredictions | None
    representation_graph: RepresentationGraph | None
    balance: Balance | None

    def __init__(self, student: Encoder, settings: GraphSettings, teachers: Teachers) -> None:
        super().__init__()
        self.student = student
        self.settings = settings
        self.logits_graph = None
        if settings.logits == "graph":
            self.logits_graph = LogitsGraph(settings, teachers, student.prototypes.shape[1])
        elif settings.logits == "average":
            self.logits_graph = AveragedPredictions(settings, teachers)
        self.representation_graph = self.balance = None
        if settings.representation != "none":
            self.representation_graph = RepresentationGraph(settings, teachers.channels)
        if settings.is_balanced:
            self.balance = Balance(settings.representation_share)

    def loss(
        self, clips: Tensor, targets: Tensor, answers: Answers, measured: bool = False
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(1 - lambda) CE + lambda L_logits + weight L_representation of clips (B, 3, K, H, W) with labels targets (B,).

        Without a logits loss lambda counts as 0. measured: metrics also have `share_logits` and `share_representation`, the
        norm of the gradient of each of these parts, weighted, over that of CE, at the weights of the imitated layer or, where
        there is none, of the last one; and `representation_weight` where it is balanced.
        """
        layer = FIRST_LAYER if self.representation_graph is None else self.settings.student_layer
        # What was compiled may give up what several gradients need.
        with torch.compiler.set_stance("force_eager") if measured else nullcontext():
            outputs: Outputs = self.student.outputs(clips, layer)
        hard = F.cross_entropy(outputs.logits.float(), targets)
        metrics = {"hard_loss": hard.detach(), "accuracy": (outputs.logits.detach().argmax(1) == targets).float()}
        total, parts = hard, dict[str, Tensor]()
        imitated = None if self.logits_graph is None else self.logits_graph.start(outputs, answers, targets)
        compared = None
        if self.representation_graph is not None:
            compared = self.representation_graph(outputs.map.float(), answers.maps)
        if imitated is not None:
            imitation, found = imitated()
            of_labels, of_logits = self._weights()
            parts["logits"] = of_logits * imitation
            total = of_labels * hard + parts["logits"]
            metrics |= {"logits_loss": imitation.detach(), **found}
        if compared is not None:
            difference, found = compared
            parts["representation"] = self._representation_weight(difference, hard) * difference
            total = total + parts["representation"]
            metrics |= {"representation_loss": difference.detach(), **found}
        if measured:
            metrics |= self._shares(parts, hard)
        return total, metrics

    def _weights(self) -> tuple[float, float]:
        """Of the cross entropy and the logits loss: Eq. 2, or the sum of which Sec. 4.2 speaks."""
        if self.settings.total == "sum":
            return 1.0, 1.0
        return 1 - self.settings.imitation_weight, self.settings.imitation_weight

    def _representation_weight(self, difference: Tensor, hard: Tensor) -> Tensor | float:
        if self.balance is None:
            return float(self.settings.representation_weight)
        weight: Tensor = self.balance(difference, hard, self._imitating())
        return weight

    def _shares(self, parts: Mapping[str, Tensor], hard: Tensor) -> dict[str, Tensor]:
        whole = gradient_norm(hard, self._imitating()).clamp_min(SMALLEST)
        shares = {f"share_{name}": gradient_norm(part, self._imitating()) / whole for name, part in parts.items()}
        return shares if self.balance is None else {**shares, "representation_weight": self.balance.weight.clone()}

    def _imitating(self) -> list[nn.Parameter]:
        """The weights at which parts of the loss are compared."""
        if self.representation_graph is None:
            return list(self.student.classifier[-1].parameters())
        return list(self.student.layers()[self.settings.student_layer - 1].parameters())

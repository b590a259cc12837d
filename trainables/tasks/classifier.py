"""What the tasks that are classifications have in common: linear heads on a clip's features, and cross entropy."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models import Backbone


class ClipClassifier(nn.Module):
    """A backbone and one linear head for each thing that is asked about a clip. classes: number of answers by name."""

    def __init__(self, backbone: Backbone, classes: Mapping[str, int]) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict({name: nn.Linear(backbone.features, number) for name, number in classes.items()})

    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        """Logits (B, classes) by name, from clips (B, 1, 3, K, H, W)."""
        features = self.backbone(clips.flatten(0, 1))
        return {name: head(features) for name, head in self.heads.items()}


def cross_entropies(logits: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Cross entropy (B,) of each name in `logits`, and the metrics `NAME_loss` and `NAME_accuracy`, (B,) each."""
    losses = {name: F.cross_entropy(value.float(), labels[name], reduction="none") for name, value in logits.items()}
    metrics = {f"{name}_loss": value.detach() for name, value in losses.items()}
    for name, value in logits.items():
        metrics[f"{name}_accuracy"] = (value.detach().argmax(1) == labels[name]).to(torch.float32)
    return losses, metrics

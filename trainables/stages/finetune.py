"""Supervised finetuning of the whole network on the downstream data set (Sec. 4.2).

Starts from the pretrained or imported convolutions, or from random ones (the baseline), with a new last layer. Leaves the
network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from torch import Tensor, nn

from trainables.models import BACKBONE, make_backbone, network_reads
from trainables.models.weights import convolution_weights, load_convolutions
from trainables.settings import ExperimentSettings
from trainables.stages.kind import CLIPS, LABELLED, Kind, supervised_cost, trained_by
from trainables.stages.supervised import classifier_training
from trainables.stages.work import Training, Work

IN_CLASSIFIER = (("network.fc.1.", "fc."), ("network.", ""))
"""How names of weights begin in a Classifier, whose last layer is behind a dropout, and in its network alone."""


class Classifier(nn.Module):
    """Backbone with dropout before its last layer: clips (B, 3, K, H, W) to logits (B, classes).

    Its first `finetune.frozen_layers` layers get no gradient and keep their batch-norm statistics.
    """

    def __init__(self, settings: ExperimentSettings, classes: int) -> None:
        super().__init__()
        self.network = make_backbone(settings.backbone, classes)
        self.network.add_module("fc", nn.Sequential(nn.Dropout(settings.finetune.dropout), self.network.fc))
        self.frozen_layers = settings.finetune.frozen_layers
        for layer in self.network.layers()[: self.frozen_layers]:
            layer.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for layer in self.network.layers()[: self.frozen_layers]:
            layer.eval()
        return self

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.network(clips)
        return logits


def named_in_classifier(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a backbone with a last layer by the names that they have in a Classifier."""
    return {_renamed(name, [(alone, within) for within, alone in IN_CLASSIFIER]): value for name, value in weights.items()}


def named_in_backbone(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The other way round."""
    return {_renamed(name, IN_CLASSIFIER): value for name, value in weights.items()}


def _renamed(name: str, beginnings: Sequence[tuple[str, str]]) -> str:
    old, new = next(pair for pair in beginnings if name.startswith(pair[0]))
    return new + name.removeprefix(old)


def run(work: Work) -> Training:
    settings, finetune = work.settings, work.settings.finetune
    with work.seeded(BACKBONE):
        backbone = make_backbone(settings.backbone)
    with work.seeded("finetune/head"):
        classifier = Classifier(settings, len(work.videos.classes))
    load_convolutions(classifier.network, work.start() or convolution_weights(backbone))
    work.on_device(classifier)
    parts = settings.compute.accumulation
    return classifier_training(work, classifier, finetune, settings.video, finetune.keep, parts=parts)


def _reads(settings: ExperimentSettings) -> tuple[str, ...]:
    return (*trained_by(settings, "finetune"), *network_reads(BACKBONE, settings), *CLIPS, "compute", "augmentation")


KIND = Kind("finetune", 3, run, _reads, LABELLED, supervised_cost(BACKBONE, "finetune"), schedule="finetune", where=__name__)

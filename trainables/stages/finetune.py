"""Supervised finetuning of the whole network on the downstream data set (Sec. 4.2).

Starts from the pretrained convolutions, or from random ones (the baseline), with a new last layer. Leaves the network.
"""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from trainables.models import BACKBONE, make_backbone, network_reads
from trainables.models.weights import convolution_weights, load_convolutions
from trainables.settings import ExperimentSettings
from trainables.stages.kind import CLIPS, LABELLED, Kind, supervised_cost, trained_by
from trainables.stages.supervised import classifier_training
from trainables.stages.work import Training, Work


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


def run(work: Work) -> Training:
    settings, finetune = work.settings, work.settings.finetune
    with work.seeded(BACKBONE):
        backbone = make_backbone(settings.backbone)
    with work.seeded("finetune/head"):
        classifier = Classifier(settings, len(work.videos.classes))
    start = work.pretrained("pretext") if "pretext" in work.inputs else convolution_weights(backbone)
    load_convolutions(classifier.network, start)
    work.on_device(classifier)
    parts = settings.compute.accumulation
    return classifier_training(work, classifier, finetune, settings.video, finetune.keep, parts=parts)


def _reads(settings: ExperimentSettings) -> tuple[str, ...]:
    return (*trained_by(settings, "finetune"), *network_reads(BACKBONE, settings), *CLIPS, "compute", "augmentation")


KIND = Kind("finetune", 3, run, _reads, LABELLED, supervised_cost(BACKBONE, "finetune"), schedule="finetune", where=__name__)

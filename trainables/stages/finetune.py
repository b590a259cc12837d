"""Supervised finetuning of the whole network on the downstream data set (Sec. 4.2).

Starts from the pretrained convolutions, or from random ones (the baseline), with a new last layer. Leaves the network.
"""

from __future__ import annotations

import functools
from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models import make_backbone
from trainables.models.backbone import convolution_weights, load_convolutions, place
from trainables.settings import ExperimentSettings
from trainables.stages.work import Means, Work, train
from trainables.store import Artifact
from trainables.video.dataset import Batch, ClipDataset, ClipLoader, network_clips
from trainables.video.sampling import by_length, consecutive_clip, uniform_clips


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


def run(work: Work) -> Artifact:
    settings, finetune = work.settings, work.settings.finetune
    length = settings.video.clip_frames
    with work.seeded("backbone"):
        backbone = make_backbone(settings.backbone)
    with work.seeded("finetune/head"):
        classifier = Classifier(settings, len(work.videos.classes))
    start = work.pretrained("pretext") if "pretext" in work.inputs else convolution_weights(backbone)
    load_convolutions(classifier.network, start)
    place(classifier, work.device, settings.compute)

    def forward(batch: Batch) -> tuple[Tensor, Tensor]:
        clips = network_clips(batch, settings.video, work.device)
        return classifier(clips.flatten(0, 1)), batch["target"].to(work.device)

    def step(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        logits, targets = forward(batch)
        return F.cross_entropy(logits, targets), {"accuracy": (logits.detach().argmax(1) == targets).float()}

    def validate() -> dict[str, float]:
        means = Means()
        for batch in validation.epoch(0):
            with work.autocast():
                logits, targets = forward(batch)
            losses = F.cross_entropy(logits, targets, reduction="none")
            means.add({"val_loss": losses, "val_top1": (logits.argmax(1) == targets).float()})
        return means.result()

    training = ClipLoader(
        ClipDataset(
            work.videos.train,
            by_length(functools.partial(consecutive_clip, length=length)),
            work.cache,
            settings.video,
            settings.augmentation,
            seed=work.seed,
            stream="finetune/train",
            clips_per_video=finetune.clips_per_video,
        ),
        finetune.batch_size,
        training=True,
        workers=work.workers,
    )
    validation = ClipLoader(
        ClipDataset(
            work.videos.validation,
            by_length(lambda frames, rng: uniform_clips(frames, length, 1)),
            work.cache,
            settings.video,
            None,
            seed=0,
            stream="finetune/validation",
        ),
        finetune.batch_size,
        training=False,
        workers=0,
    )
    keep_best = "val_top1" if finetune.keep == "best" else None
    trained = train(work, classifier, training, finetune, step, validate=validate, keep_best=keep_best)
    weights = trained.best or classifier.state_dict()
    return work.workplace.publish(
        settings=settings.model_dump(),
        metrics=trained.last,
        seconds=trained.seconds,
        history=trained.history,
        tensors={"weights": {name: value.cpu() for name, value in weights.items()}},
    )

"""The primary pretraining stage: a pretext task, from auxSKD's convolutions when there are any, else from scratch.

Validated on clips of the held-out videos, the same ones after every epoch and for every seed. Leaves the convolutions.
"""

from __future__ import annotations

from torch import Tensor, nn

from trainables.models.resnet3d import VideoResNet, convolution_weights, load_convolutions, to_channels_last
from trainables.pretext import TASKS
from trainables.stages.work import Means, Work, train
from trainables.store import Artifact
from trainables.video.dataset import Batch, ClipDataset, ClipLoader, network_clips


def run(work: Work) -> Artifact:
    settings, pretext = work.settings, work.settings.pretext
    task = TASKS[pretext.task](settings)
    with work.seeded("backbone"):
        backbone = VideoResNet(settings.backbone)
    if "auxskd" in work.inputs:
        load_convolutions(backbone, work.inputs["auxskd"].weights())
    with work.seeded("pretext/heads"):
        network = nn.ModuleDict({"backbone": backbone, "heads": task.heads(backbone.features)})
    to_channels_last(network, work.device)

    def step(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        clips = network_clips(batch, settings.video, work.device)
        features = network["backbone"](clips.flatten(0, 1))
        labels = {name: value.to(work.device) for name, value in batch.items() if value.dim() == 1}
        return task.loss(network["heads"](features), labels)

    def validate() -> dict[str, float]:
        means = Means()
        for batch in validation.epoch(0):
            with work.autocast():
                loss, metrics = step(batch)
            means.add({"loss": loss.expand(len(batch["target"])), **metrics})
        return {f"val_{name}": value for name, value in means.result().items()}

    training = ClipLoader(
        ClipDataset(
            work.videos.train,
            task.sample,
            work.cache,
            settings.video,
            settings.augmentation,
            seed=work.seed,
            stream="pretext/train",
            clips_per_video=pretext.clips_per_video,
        ),
        pretext.batch_size,
        training=True,
        workers=work.workers,
    )
    validation = ClipLoader(
        ClipDataset(
            work.videos.validation,
            task.sample,
            work.cache,
            settings.video,
            None,
            seed=0,
            stream="pretext/validation",
            clips_per_video=pretext.validation_clips,
        ),
        pretext.batch_size,
        training=False,
        workers=0,
    )
    trained = train(work, network, training, pretext, step, validate=validate)
    return work.workplace.publish(
        settings=settings.model_dump(),
        metrics=trained.last,
        seconds=trained.seconds,
        history=trained.history,
        weights=convolution_weights(backbone),
    )

"""The auxiliary pretraining stage: similarity-based distillation between two views of each video (Sec. 3.1).

Leaves the student's convolutions; projection, predictor and teacher are dropped (Sec. 4.2).
"""

from __future__ import annotations

import functools

from torch import Tensor

from trainables.distillation.similarity import SimilarityDistillation
from trainables.models import make_backbone
from trainables.models.backbone import convolution_weights, place
from trainables.pretext import TASKS
from trainables.stages.work import Work, train
from trainables.store import Artifact
from trainables.video.dataset import Batch, ClipDataset, ClipLoader, network_clips
from trainables.video.sampling import by_length


def run(work: Work) -> Artifact:
    settings, auxskd = work.settings, work.settings.auxskd
    task = TASKS[settings.pretext.task](settings)
    dataset = ClipDataset(
        work.videos.train,
        by_length(task.views),
        work.cache,
        settings.video,
        settings.augmentation,
        seed=work.seed,
        stream="auxskd/train",
        clips_per_video=auxskd.clips_per_video,
    )
    with work.seeded("backbone"):
        backbone = make_backbone(settings.backbone)
    with work.seeded("auxskd/heads"):
        network = SimilarityDistillation(backbone, auxskd)
    place(network, work.device, settings.compute)

    def step(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        views = network_clips(batch, settings.video, work.device)
        loss, metrics = network(views[:, 0], views[:, 1])
        return loss, metrics

    loader = ClipLoader(dataset, auxskd.batch_size, training=True, workers=work.workers)
    trained = train(work, network, loader, auxskd, step, weights=functools.partial(convolution_weights, network.backbone))
    return work.workplace.publish(
        settings=settings.model_dump(),
        metrics=trained.last,
        seconds=trained.seconds,
        history=trained.history,
        tensors={"weights": convolution_weights(network.backbone)},
    )

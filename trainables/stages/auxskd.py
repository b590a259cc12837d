"""The auxiliary pretraining stage: similarity-based distillation between two views of each video (Sec. 3.1).

Leaves the student's convolutions; projection, predictor and teacher are dropped (Sec. 4.2).
"""

from __future__ import annotations

import functools

from torch import Tensor

from trainables.distillation.similarity import SimilarityDistillation
from trainables.models import BACKBONE, make_backbone, network_reads
from trainables.models.weights import convolution_weights
from trainables.settings import ExperimentSettings
from trainables.stages.kind import CLIPS, LABELLED, Cost, Counts, Kind, identity, trained_by
from trainables.stages.probe import clips_looked_at, probe_of
from trainables.stages.work import Training, Work
from trainables.tasks import SelfSupervisedTask
from trainables.video.dataset import Batch, ClipDataset


def run(task_type: type[SelfSupervisedTask], work: Work) -> Training:
    settings, auxskd = work.settings, work.settings.auxskd
    task = task_type(settings)
    dataset = ClipDataset(
        work.videos.train,
        task.views,
        work.cache,
        settings.video,
        settings.augmentation,
        seed=work.seed_of("clips"),
        order_seed=work.seed_of("order"),
        stream="auxskd/train",
        clips_per_video=auxskd.clips_per_video,
    )
    with work.seeded(BACKBONE):
        backbone = make_backbone(settings.backbone)
    with work.seeded("auxskd/heads"):
        network = SimilarityDistillation(backbone, auxskd)
    work.on_device(network)

    def clips(batch: Batch) -> Tensor:
        return work.clips(batch, settings.video)

    def step(clips: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss, metrics = network(clips[:, 0], clips[:, 1])
        return loss, metrics

    loader = work.loader(dataset, auxskd.batch_size, training=True)
    weights = functools.partial(convolution_weights, network.backbone)
    probe = probe_of(work, network.backbone)
    return Training(network, loader, auxskd, clips, step, weights, probe=probe, parts=settings.compute.accumulation)


@functools.cache
def kind_of(task: type[SelfSupervisedTask]) -> Kind:
    """With the views of this task: whatever else of it differs, auxSKD is shared."""

    def reads(settings: ExperimentSettings) -> tuple[str, ...]:
        return (
            "pretext.task",
            *trained_by(settings, "auxskd"),
            *task.reads_for_views(settings),
            *network_reads(BACKBONE, settings),
            *CLIPS,
            "compute",
            "augmentation",
        )

    def cost(settings: ExperimentSettings, videos: Counts) -> Cost:
        epochs, clips = settings.auxskd.epochs, videos.train * settings.auxskd.clips_per_video
        probed = clips_looked_at(videos.validation, clips, epochs)
        return Cost(BACKBONE, epochs * clips + probed, epochs * clips)

    return Kind(
        "auxskd",
        2,
        functools.partial(run, task),
        reads,
        LABELLED,
        cost,
        schedule="auxskd",
        plugged_in=identity(task),
        where=f"`reads_for_views` of {task.__module__}.{task.__qualname__}, or in trainables/stages/auxskd.py",
    )

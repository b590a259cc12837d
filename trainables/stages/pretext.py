"""The primary pretraining stage: a pretext task, from auxSKD's convolutions when there are any, else from scratch.

Validated on clips of the held-out videos, the same ones after every epoch and for every seed. Leaves the convolutions.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from torch import Tensor

from trainables.models import make_backbone
from trainables.models.backbone import convolution_weights, load_convolutions, place
from trainables.pretext import TASKS, PretextTask
from trainables.stages.work import Means, Work, train
from trainables.store import Artifact
from trainables.video.dataset import Batch, ClipDataset, ClipLoader, network_clips
from trainables.video.layouts import DataError, Video
from trainables.video.sampling import by_length


def run(work: Work) -> Artifact:
    settings, pretext = work.settings, work.settings.pretext
    task = TASKS[pretext.task](settings)
    with work.seeded("backbone"):
        backbone = make_backbone(settings.backbone)
    if "auxskd" in work.inputs:
        load_convolutions(backbone, work.pretrained("auxskd"))
    with work.seeded("pretext/heads"):
        network = task.network(backbone, "auxskd" in work.inputs)
    place(network, work.device, settings.compute)

    def step(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        clips = network_clips(batch, settings.video, work.device)
        labels = {name: value.to(work.device) for name, value in batch.items() if value.dim() == 1}
        return task.loss(network, clips, labels)

    def validate() -> dict[str, float]:
        means = Means()
        for batch in validation.epoch(0):
            with work.autocast():
                loss, metrics = step(batch)
            means.add({"loss": loss.expand(len(batch["target"])), **metrics})
        return {f"val_{name}": value for name, value in means.result().items()}

    long_enough = functools.partial(_long_enough, task)
    training = ClipLoader(
        ClipDataset(
            long_enough(work.videos.train),
            by_length(task.sample),
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
            long_enough(work.videos.validation),
            by_length(task.sample),
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
    handed_on = functools.partial(convolution_weights, backbone)
    trained = train(work, network, training, pretext, step, validate=validate, weights=handed_on)
    excluded = sum(video.frames < task.minimum_frames for video in (*work.videos.train, *work.videos.validation))
    return work.workplace.publish(
        settings=settings.model_dump(),
        metrics=trained.last | {"pretext/excluded_videos": float(excluded)},
        seconds=trained.seconds,
        history=trained.history,
        tensors={"weights": handed_on()},
    )


def _long_enough(task: PretextTask, videos: Sequence[Video]) -> list[Video]:
    kept = [video for video in videos if video.frames >= task.minimum_frames]
    if videos and not kept:
        raise DataError(
            f"{task.settings.pretext.task} needs {task.minimum_frames} frames, and none of {len(videos)} videos is as long"
        )
    return kept

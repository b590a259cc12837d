"""Training a classifier of clips on labelled videos, validated on one clip per video: what all supervised stages share."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.settings import Optimisation, VideoSettings
from trainables.stages.work import Means, Step, Training, Work
from trainables.video.dataset import Batch, ClipDataset, ClipLoader
from trainables.video.sampling import consecutive_clip, uniform_clips


def classifier_training(
    work: Work,
    network: nn.Module,
    optimisation: Optimisation,
    video: VideoSettings,
    keep: str,
    *,
    step: Step | None = None,
    first_step: Step | None = None,
    stream: str | None = None,
    views: int | None = None,
    classifier: nn.Module | None = None,
    parts: int = 1,
) -> Training:
    """Train `network` and hand on the weights of its `classifier` (the network itself by default).

    The classifier takes clips (B, 3, K, H, W) in the form of `video` and gives logits (B, classes). step: a loss other than
    cross entropy. stream, views: the clips of a view bank instead of new ones in every epoch. keep: `last`, or `best` by
    validation top-1. first_step, parts: as of Training.
    """
    judged = classifier or network

    def clips_of(batch: Batch) -> Tensor:
        return work.clips(batch, video)

    def cross_entropy_step(clips: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        logits, targets = judged(clips.flatten(0, 1)), batch["target"]
        return F.cross_entropy(logits, targets), {"accuracy": (logits.detach().argmax(1) == targets).float()}

    def validate(classifier: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        means = Means()
        for batch in batches:
            targets = batch["target"]
            with work.autocast():
                logits = classifier(clips_of(batch).flatten(0, 1))
            losses = F.cross_entropy(logits, targets, reduction="none")
            means.add({"val_loss": losses, "val_top1": (logits.argmax(1) == targets).float()})
        return means.result()

    def weights() -> dict[str, Tensor]:
        return {name: value.cpu() for name, value in judged.state_dict().items()}

    training = training_clips(work, stream or f"{work.kind}/train", optimisation.clips_per_video)
    return Training(
        network,
        work.loader(training, optimisation.batch_size, training=True, views=views),
        optimisation,
        clips_of,
        step or cross_entropy_step,
        weights,
        validation=_validation_loader(work, optimisation),
        validate=validate,
        judged=judged,
        keep_best="val_top1" if keep == "best" else None,
        parts=parts,
        first_step=first_step,
    )


def training_clips(work: Work, stream: str, clips_per_video: int = 1) -> ClipDataset:
    """A random clip of consecutive frames of every training video, augmented; the same ones for the same stream and epoch."""
    return ClipDataset(
        work.videos.train,
        functools.partial(consecutive_clip, length=work.settings.video.clip_frames),
        work.cache,
        work.settings.video,
        work.settings.augmentation,
        seed=work.seed_of("clips"),
        order_seed=work.seed_of("order"),
        stream=stream,
        clips_per_video=clips_per_video,
    )


def _validation_loader(work: Work, optimisation: Optimisation) -> ClipLoader:
    dataset = ClipDataset(
        work.videos.validation,
        functools.partial(uniform_clips, length=work.settings.video.clip_frames, clips=1),
        work.cache,
        work.settings.video,
        None,
        seed=0,
        stream=f"{work.kind}/validation",
    )
    return work.loader(dataset, optimisation.batch_size, training=False)

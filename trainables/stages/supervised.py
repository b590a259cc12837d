"""Training a classifier of clips on labelled videos, validated on one clip per video: what all supervised stages share."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.settings import Optimisation, VideoSettings
from trainables.stages.work import Means, Work, train
from trainables.store import Artifact
from trainables.video.dataset import Batch, ClipDataset, ClipLoader, network_clips
from trainables.video.sampling import by_length, consecutive_clip, uniform_clips

Step = Callable[[Batch], tuple[Tensor, dict[str, Tensor]]]


def train_classifier(
    work: Work,
    network: nn.Module,
    optimisation: Optimisation,
    video: VideoSettings,
    keep: str,
    *,
    step: Step | None = None,
    stream: str | None = None,
    views: int | None = None,
    classifier: nn.Module | None = None,
) -> Artifact:
    """Train `network` and leave the weights of its `classifier` (the network itself by default).

    The classifier takes clips (B, 3, K, H, W) in the form of `video` and gives logits (B, classes). step: a loss other than
    cross entropy. stream, views: the clips of a view bank instead of new ones in every epoch. keep: `last`, or `best` by
    validation top-1.
    """
    judged = classifier or network

    def logits_of(batch: Batch) -> Tensor:
        logits: Tensor = judged(clips_of(work, batch, video))
        return logits

    def cross_entropy_step(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        logits, targets = logits_of(batch), batch["target"].to(work.device)
        return F.cross_entropy(logits, targets), {"accuracy": (logits.detach().argmax(1) == targets).float()}

    def validate() -> dict[str, float]:
        means = Means()
        for batch in validation.epoch(0):
            targets = batch["target"].to(work.device)
            with work.autocast():
                logits = logits_of(batch)
            losses = F.cross_entropy(logits, targets, reduction="none")
            means.add({"val_loss": losses, "val_top1": (logits.argmax(1) == targets).float()})
        return means.result()

    validation = validation_loader(work, optimisation)
    trained = train(
        work,
        network,
        training_loader(work, optimisation, stream or f"{work.kind}/train", views),
        optimisation,
        step or cross_entropy_step,
        validate=validate,
        keep_best="val_top1" if keep == "best" else None,
    )
    state = trained.best or network.state_dict()
    prefix = next(name for name, module in network.named_modules() if module is judged)
    prefix = prefix and f"{prefix}."
    return work.workplace.publish(
        settings=work.settings.model_dump(),
        metrics=trained.last,
        seconds=trained.seconds,
        history=trained.history,
        tensors={
            "weights": {name.removeprefix(prefix): value.cpu() for name, value in state.items() if name.startswith(prefix)}
        },
    )


def clips_of(work: Work, batch: Batch, video: VideoSettings) -> Tensor:
    """The clips (B, 3, K, H, W) of a batch with one clip per sample."""
    return network_clips(batch, video, work.device).flatten(0, 1)


def training_clips(work: Work, stream: str, clips_per_video: int = 1) -> ClipDataset:
    """A random clip of consecutive frames of every training video, augmented; the same ones for the same stream and epoch."""
    return ClipDataset(
        work.videos.train,
        by_length(functools.partial(consecutive_clip, length=work.settings.video.clip_frames)),
        work.cache,
        work.settings.video,
        work.settings.augmentation,
        seed=work.seed,
        stream=stream,
        clips_per_video=clips_per_video,
    )


def training_loader(work: Work, optimisation: Optimisation, stream: str, views: int | None) -> ClipLoader:
    dataset = training_clips(work, stream, optimisation.clips_per_video)
    return ClipLoader(dataset, optimisation.batch_size, training=True, workers=work.workers, views=views)


def validation_loader(work: Work, optimisation: Optimisation) -> ClipLoader:
    length = work.settings.video.clip_frames
    dataset = ClipDataset(
        work.videos.validation,
        by_length(lambda frames, rng: uniform_clips(frames, length, 1)),
        work.cache,
        work.settings.video,
        None,
        seed=0,
        stream=f"{work.kind}/validation",
    )
    return ClipLoader(dataset, optimisation.batch_size, training=False, workers=0)

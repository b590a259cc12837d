"""Pretraining on unlabelled videos, validated on clips of the held-out ones: what pretext tasks and teachers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from trainables.settings import AugmentationSettings, Pretraining, VideoSettings
from trainables.stages.work import Means, Work, train
from trainables.store import Artifact
from trainables.video.dataset import Batch, ClipDataset, ClipLoader, network_clips
from trainables.video.layouts import DataError, Video
from trainables.video.sampling import ClipSampler

Loss = Callable[[nn.Module, Tensor, Mapping[str, Tensor]], tuple[Tensor, dict[str, Tensor]]]


def pretrain(
    work: Work,
    network: nn.Module,
    optimisation: Pretraining,
    sampler: ClipSampler,
    loss: Loss,
    handed_on: Callable[[], dict[str, Tensor]],
    *,
    validation_clips: int,
    video: VideoSettings,
    augmentation: AugmentationSettings,
    usable: Callable[[Video], bool],
    needs: str,
) -> Artifact:
    """Train `network` on samples of all usable videos and leave what `handed_on` gives.

    The clips that validate are the same ones after every epoch and for every seed. needs: what an unusable video lacks.
    Raises DataError when no video of a part can be used.
    """

    def step(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        clips = network_clips(batch, video, work.device)
        labels = {name: value.to(work.device) for name, value in batch.items() if value.dim() == 1}
        return loss(network, clips, labels)

    def validate() -> dict[str, float]:
        means = Means()
        for batch in validation.epoch(0):
            with work.autocast():
                mean, metrics = step(batch)
            means.add({"loss": mean.expand(len(batch["target"])), **metrics})
        return {f"val_{name}": value for name, value in means.result().items()}

    def kept(videos: Sequence[Video]) -> list[Video]:
        found = [video for video in videos if usable(video)]
        if videos and not found:
            raise DataError(f"{needs}, and none of {len(videos)} videos has that")
        return found

    training = ClipLoader(
        ClipDataset(
            kept(work.videos.train),
            sampler,
            work.cache,
            video,
            augmentation,
            seed=work.seed,
            stream=f"{work.kind}/train",
            clips_per_video=optimisation.clips_per_video,
        ),
        optimisation.batch_size,
        training=True,
        workers=work.workers,
    )
    validation = ClipLoader(
        ClipDataset(
            kept(work.videos.validation),
            sampler,
            work.cache,
            video,
            None,
            seed=0,
            stream=f"{work.kind}/validation",
            clips_per_video=validation_clips,
        ),
        optimisation.batch_size,
        training=False,
        workers=0,
    )
    trained = train(work, network, training, optimisation, step, validate=validate, weights=handed_on)
    excluded = sum(not usable(video) for video in (*work.videos.train, *work.videos.validation))
    return work.workplace.publish(
        settings=work.settings.model_dump(),
        metrics=trained.last | {f"{work.kind}/excluded_videos": float(excluded)},
        seconds=trained.seconds,
        history=trained.history,
        tensors={"weights": handed_on()},
    )

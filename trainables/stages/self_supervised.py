"""Pretraining on a self-supervised task: the pretext task of the backbone, or the task of one of graph distillation's teachers.

The backbone starts from auxSKD's convolutions where there are any. Leaves the convolutions of the task's encoder.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from torch import Tensor, nn

from trainables.models import BACKBONE, make_network, network_reads
from trainables.models.weights import convolution_weights, load_convolutions
from trainables.settings import ExperimentSettings, SelfSupervisedSettings
from trainables.stages.kind import ARITHMETIC, CLIPS, FRAME_SIZE, LABELLED, Cost, Counts, Kind, identity, trained_by
from trainables.stages.probe import clips_looked_at, probe_of
from trainables.stages.work import Means, Training, Work
from trainables.tasks import SelfSupervisedTask
from trainables.tasks.tracks import unpack
from trainables.video.dataset import ON_HOST, Batch, ClipDataset, ClipLoader
from trainables.video.videos import DataError, Video, VideoSet


def run(task_type: type[SelfSupervisedTask], work: Work) -> Training:
    """Raises DataError when no video of a part can take part in the task."""
    settings, of_backbone = work.settings, task_type.encoder == BACKBONE
    tracks = unpack(work.inputs["tracks"].tensors("tracks"), _all_videos(work)) if task_type.needs_tracks(settings) else None
    task = task_type(settings, tracks)
    with work.seeded(BACKBONE if of_backbone else f"{work.kind}/encoder"):
        encoder = make_network(task.encoder, settings)
    pretrained = "auxskd" in work.inputs
    if pretrained:
        load_convolutions(encoder, work.pretrained("auxskd"))
    with work.seeded(f"{work.kind}/heads"):
        network = task.network(encoder, pretrained)
    work.on_device(network)
    video = settings.video if of_backbone else encoder.seen(settings.video)

    def clips(batch: Batch) -> Tensor:
        return work.clips(batch, video)

    def labels(batch: Batch) -> dict[str, Tensor]:
        return {name: value for name, value in batch.items() if value.dim() == 1 and name not in ON_HOST}

    def step(clips: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return task.loss(network, clips, labels(batch))

    def validate(judged: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        means = Means()
        for batch in batches:
            with work.autocast():
                mean, metrics = task.loss(judged, clips(batch), labels(batch))
            means.add({"loss": mean.expand(len(batch["target"])), **metrics})
        return {f"val_{name}": value for name, value in means.result().items()}

    def validated() -> Iterator[tuple[Tensor, Mapping[str, Tensor]]]:
        for batch in work.batches(validation):
            yield clips(batch), labels(batch)

    training, validation = _training_loader(work, task), _validation_loader(work, task)
    excluded = sum(not task.usable(video) for video in _all_videos(work))
    return Training(
        network,
        training,
        task.optimisation,
        clips,
        step,
        functools.partial(convolution_weights, encoder),
        validation=validation,
        validate=validate,
        probe=probe_of(work, encoder) if of_backbone else None,
        metrics={f"{work.kind}/val_{name}_chance": level for name, level in task.chance.items()}
        | {f"{work.kind}/val_{name}_baseline": value for name, value in task.baseline(validated()).items()}
        | {f"{work.kind}/excluded_videos": float(excluded)},
        parts=1 if task.compares_samples else settings.compute.accumulation,
    )


def _all_videos(work: Work) -> tuple[Video, ...]:
    return (*work.videos.train, *work.videos.validation)


def _usable(task: SelfSupervisedTask, videos: Sequence[Video]) -> list[Video]:
    usable = [video for video in videos if task.usable(video)]
    if videos and not usable:
        longest = max(video.frames for video in videos)
        valid = f"; the longest has {longest} frames{task.valid_for(longest)}" if longest < task.minimum_frames else ""
        raise DataError(f"{task.needs}, and none of {len(videos)} videos has that{valid}")
    return usable


def _training_loader(work: Work, task: SelfSupervisedTask) -> ClipLoader:
    clips = ClipDataset(
        _usable(task, work.videos.train),
        task.sample,
        work.cache,
        work.settings.video,
        task.augmentation,
        seed=work.seed_of("clips"),
        order_seed=work.seed_of("order"),
        stream=f"{work.kind}/train",
        clips_per_video=task.optimisation.clips_per_video,
    )
    return work.loader(clips, task.optimisation.batch_size, training=True)


def _validation_loader(work: Work, task: SelfSupervisedTask) -> ClipLoader:
    """The same clips after every epoch and for every seed."""
    clips = ClipDataset(
        _usable(task, work.videos.validation),
        task.sample,
        work.cache,
        work.settings.video,
        None,
        seed=0,
        stream=f"{work.kind}/validation",
        clips_per_video=task.optimisation.validation_clips,
    )
    return work.loader(clips, task.optimisation.batch_size, training=False)


@functools.cache
def kind_of(task: type[SelfSupervisedTask]) -> Kind:
    """`pretext` for a task of the backbone, else the stage of the task's own name."""

    def reads(settings: ExperimentSettings) -> tuple[str, ...]:
        group = task.schedule()
        chosen = ("pretext.task",) if task.encoder == BACKBONE else ()
        schedule = trained_by(settings, group, SelfSupervisedSettings)
        return (
            *chosen,
            *schedule,
            *task.reads(settings),
            *network_reads(task.encoder, settings),
            *(CLIPS if task.encoder == BACKBONE else FRAME_SIZE),
            *(ARITHMETIC if task.compares_samples else ("compute",)),
            "augmentation",
        )

    def cost(settings: ExperimentSettings, videos: Counts) -> Cost:
        made = task(settings)
        optimisation = made.optimisation
        samples = videos.train * optimisation.clips_per_video
        probed = clips_looked_at(videos.validation, samples, optimisation.epochs) if task.encoder == BACKBONE else 0
        clips = made.clips_of_a_sample * optimisation.epochs
        validated = clips * videos.validation * optimisation.validation_clips
        return Cost(task.encoder, validated + probed, clips * samples)

    def check_videos(settings: ExperimentSettings, videos: VideoSet) -> None:
        if not task.needs_tracks(settings):
            made = task(settings)
            for part in (videos.train, videos.validation):
                _usable(made, part)

    name = "pretext" if task.encoder == BACKBONE else task.name
    return Kind(
        name,
        4,
        functools.partial(run, task),
        reads,
        LABELLED,
        cost,
        schedule=task.schedule(),
        knows_end=task.knows_end,
        plugged_in=identity(task),
        check_videos=check_videos,
        where=f"`reads` of {task.__module__}.{task.__qualname__}, or in trainables/stages/self_supervised.py",
    )

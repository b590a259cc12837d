"""Evaluation of a trained network: clips spread evenly over each video, centre crop, predictions averaged (auxSKD, Sec. 4.2).

Validation decides a search; test is computed here once per finetuned network and only ever reported.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from trainables.models import BACKBONE, make_encoder, network_reads
from trainables.settings import ExperimentSettings
from trainables.stages import pictures
from trainables.stages.answers import answers, hardest
from trainables.stages.finetune import Classifier
from trainables.stages.kind import ARITHMETIC, CLIPS, Cost, Counts, Kind
from trainables.stages.metrics import confusion_matrix, measure_videos
from trainables.stages.work import Outcome, Work
from trainables.store import Artifact
from trainables.video.dataset import Batch, ClipDataset
from trainables.video.sampling import uniform_clips
from trainables.video.videos import Video

VIDEOS_PER_BATCH = 4
_PARTS = ("validation", "test")
HARDEST = 8
"""Test videos of which pictures are kept."""


def run(work: Work) -> Outcome:
    """Of a finetuned backbone."""
    return _evaluated(work, Classifier(work.settings, len(work.videos.classes)), work.inputs["finetuned"])


def run_student(work: Work) -> Outcome:
    """Of graph distillation's student."""
    return _evaluated(work, make_encoder("alexnet", work.settings, len(work.videos.classes)), work.inputs["student"])


def _evaluated(work: Work, network: nn.Module, trained: Artifact) -> Outcome:
    classes = work.videos.classes
    network.load_state_dict(trained.tensors())
    network = work.for_evaluation(network)
    metrics: dict[str, float] = {}
    confusion: dict[str, list[list[int]]] = {}
    said: dict[str, tuple[Tensor, Sequence[Video]]] = {}
    for part in _PARTS:
        videos = work.videos.part(part)
        scores = predict(work, network, videos)
        said[part] = scores, videos
        metrics |= measure_videos(scores, videos, len(classes), part)
        targets = torch.tensor([video.label for video in videos])
        confusion[part] = confusion_matrix(scores.argmax(1), targets, len(classes)).tolist()
    files = {"confusion.json": {"classes": list(classes), "rows are true classes": True, **confusion}}
    numbers = hardest(*said["test"], HARDEST)
    strips = pictures.film_strips(work, [work.videos.test[number] for number in numbers])
    return Outcome(
        metrics,
        tensors={pictures.FILE: {"hardest": strips, "hardest_numbers": torch.tensor(numbers)}},
        files={**files, **answers(classes, said)},
    )


@torch.no_grad()
def predict(work: Work, network: nn.Module, videos: Sequence[Video]) -> Tensor:
    """Averaged predictions (videos, classes) over `evaluation.clips` clips of each video."""
    evaluation = work.settings.evaluation
    averages = []
    for logits in outputs_of_videos(work, network, videos, evaluation.clips):
        scores = logits.softmax(-1) if evaluation.average == "softmax" else logits
        averages.append(scores.mean(1).cpu())
    return torch.cat(averages)


def outputs_of_videos(work: Work, network: nn.Module, videos: Sequence[Video], clips: int) -> Iterator[Tensor]:
    """What the network gives for `clips` clips spread evenly over each video, centre crop: (videos of a batch, clips, C)."""
    for batch in clips_of_videos(work, videos, clips):
        pixels = work.clips(batch, work.settings.video)
        with work.autocast():
            outputs = network(pixels.flatten(0, 1)).float().reshape(*pixels.shape[:2], -1)
        yield outputs


def clips_of_videos(work: Work, videos: Sequence[Video], clips: int) -> Iterator[Batch]:
    """Batches of `clips` clips spread evenly over each video, centre crop, in the order of the videos."""
    video = work.settings.video
    dataset = ClipDataset(
        videos,
        functools.partial(uniform_clips, length=video.clip_frames, clips=clips),
        work.cache,
        video,
        None,
        seed=0,
        stream=work.kind,
    )
    return work.batches(work.loader(dataset, VIDEOS_PER_BATCH, training=False))


_SCORES = ("evaluation.clips", "evaluation.average")


def _reads(settings: ExperimentSettings) -> tuple[str, ...]:
    return (*network_reads(BACKBONE, settings), *CLIPS, *ARITHMETIC, "finetune.dropout", *_SCORES)


def _reads_of_student(settings: ExperimentSettings) -> tuple[str, ...]:
    return (*network_reads("alexnet", settings, of_clips=True), *CLIPS, *ARITHMETIC, *_SCORES)


def _cost(network: str, settings: ExperimentSettings, videos: Counts) -> Cost:
    return Cost(network, (videos.validation + videos.test) * settings.evaluation.clips)


KIND = Kind("evaluate", 3, run, _reads, _PARTS, functools.partial(_cost, BACKBONE), where=__name__)
KIND_OF_STUDENT = Kind(
    "evaluate_student", 2, run_student, _reads_of_student, _PARTS, functools.partial(_cost, "alexnet"), where=__name__
)

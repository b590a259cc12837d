"""Features of a frozen backbone, pretrained or random: what the linear probe and retrieval are made of.

Leaves for each part `<part>` (videos, clips, C) of clips spread evenly over the video, centre crop, and `<part>_targets`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.models import BACKBONE, Backbone, make_backbone, network_reads
from trainables.models.weights import load_convolutions
from trainables.settings import ExperimentSettings
from trainables.stages.evaluate import outputs_of_videos
from trainables.stages.kind import ARITHMETIC, CLIPS, Cost, Counts, Kind
from trainables.stages.work import Outcome, Work
from trainables.video.videos import PARTS, Video


def run(work: Work) -> Outcome:
    with work.seeded(BACKBONE):
        backbone = make_backbone(work.settings.backbone)
    if start := work.start():
        load_convolutions(backbone, start)
    backbone = work.for_evaluation(backbone)
    tensors: dict[str, Tensor] = {}
    for part in PARTS:
        videos = work.videos.part(part)
        tensors[part] = extract(work, backbone, videos)
        tensors[f"{part}_targets"] = torch.tensor([video.label for video in videos])
    return Outcome({}, tensors={"features": tensors})


@torch.no_grad()
def extract(work: Work, backbone: Backbone, videos: Sequence[Video]) -> Tensor:
    """Features (videos, clips, C) of `frozen.clips` clips of each video."""
    return torch.cat([found.cpu() for found in outputs_of_videos(work, backbone, videos, work.settings.frozen.clips)])


def _reads(settings: ExperimentSettings) -> tuple[str, ...]:
    return (*network_reads(BACKBONE, settings), *CLIPS, *ARITHMETIC, "frozen.clips")


def _cost(settings: ExperimentSettings, videos: Counts) -> Cost:
    return Cost(BACKBONE, sum(videos) * settings.frozen.clips)


KIND = Kind("features", 2, run, _reads, PARTS, _cost, where=__name__)

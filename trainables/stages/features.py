"""Features of a frozen backbone, pretrained or random: what the linear probe and retrieval are made of.

Leaves for each part `<part>` (videos, clips, C) of clips spread evenly over the video, centre crop, and `<part>_targets`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.models import Backbone, make_backbone
from trainables.models.backbone import load_convolutions, place
from trainables.stages.evaluate import outputs_of_videos
from trainables.stages.work import Work
from trainables.store import Artifact
from trainables.video.layouts import PARTS, Video


def run(work: Work) -> Artifact:
    started = time.monotonic()
    with work.seeded("backbone"):
        backbone = make_backbone(work.settings.backbone)
    if "pretext" in work.inputs:
        load_convolutions(backbone, work.pretrained("pretext"))
    place(backbone, work.device, work.settings.compute)
    backbone.eval()
    tensors: dict[str, Tensor] = {}
    for part in PARTS:
        videos = work.videos.part(part)
        tensors[part] = extract(work, backbone, videos)
        tensors[f"{part}_targets"] = torch.tensor([video.label for video in videos])
    return work.workplace.publish(
        settings=work.settings.model_dump(),
        metrics={},
        seconds=time.monotonic() - started,
        history=[],
        tensors={"features": tensors},
    )


@torch.no_grad()
def extract(work: Work, backbone: Backbone, videos: Sequence[Video]) -> Tensor:
    """Features (videos, clips, C) of `frozen.clips` clips of each video."""
    return torch.cat([found.cpu() for found in outputs_of_videos(work, backbone, videos, work.settings.frozen.clips)])

"""What a stage will cost: clips through its networks times the measured seconds of one clip on this machine."""

from __future__ import annotations

import functools
import time

import numpy as np
import torch

from trainables.models import make_backbone
from trainables.models.backbone import place
from trainables.pipeline import Stage
from trainables.pretext import TASKS
from trainables.settings import BackboneSettings, ComputeSettings, ExperimentSettings
from trainables.video.layouts import PARTS, VideoSet

PROBE_CLIPS = 4
LONG_VIDEO = 10_000
NEGLIGIBLE = 1e-3


@functools.lru_cache(maxsize=8)
def clip_seconds(backbone: BackboneSettings, frames: int, crop: int, device: torch.device) -> tuple[float, float]:
    """Seconds of one clip: (forward, forward and backward), the better of two measurements on a few clips."""
    network = make_backbone(backbone, classes=10)
    place(network, device, ComputeSettings())
    clips = torch.zeros(PROBE_CLIPS, 3, frames, crop, crop, device=device)
    forward, both = float("inf"), float("inf")
    for _ in range(2):
        started = time.perf_counter()
        loss = network(clips).sum()
        _wait(device)
        forward = min(forward, time.perf_counter() - started)
        loss.backward()
        _wait(device)
        both = min(both, time.perf_counter() - started)
    return forward / PROBE_CLIPS, both / PROBE_CLIPS


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def stage_seconds(stage: Stage, settings: ExperimentSettings, videos: VideoSet, device: torch.device) -> float:
    """Seconds that the networks of a stage compute on its videos; decoding and start-up come on top."""
    forward, both = clip_seconds(settings.backbone, settings.video.clip_frames, settings.video.crop, device)
    train, validation, test = (len(videos.part(part)) for part in PARTS)
    auxskd, pretext, finetune = settings.auxskd, settings.pretext, settings.finetune
    clips_of_a_sample = len(TASKS[pretext.task](settings).sample(LONG_VIDEO, np.random.default_rng(0)).indices)
    seconds = {
        "auxskd": auxskd.epochs * train * auxskd.clips_per_video * (both + forward),
        "pretext": clips_of_a_sample
        * pretext.epochs
        * (train * pretext.clips_per_video * both + validation * pretext.validation_clips * forward),
        "finetune": finetune.epochs * (train * finetune.clips_per_video * both + validation * forward),
        "evaluate": (validation + test) * settings.evaluation.clips * forward,
        "features": (train + validation + test) * settings.frozen.clips * forward,
    }
    return seconds.get(stage.kind, NEGLIGIBLE)

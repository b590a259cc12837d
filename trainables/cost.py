"""What a stage will cost: clips through its networks times the measured seconds of one clip on this machine."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping

import torch

from trainables.models.resnet3d import VideoResNet, to_channels_last
from trainables.settings import BackboneSettings, ExperimentSettings
from trainables.video.layouts import VideoSet

PROBE_CLIPS = 4


@functools.lru_cache(maxsize=8)
def clip_seconds(backbone: BackboneSettings, frames: int, crop: int, device: torch.device) -> tuple[float, float]:
    """Seconds of one clip: (forward, forward and backward), the better of two measurements on a few clips."""
    network = VideoResNet(backbone, classes=10)
    to_channels_last(network, device)
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


def stage_seconds(kind: str, settings: ExperimentSettings, data: Mapping[str, VideoSet], device: torch.device) -> float:
    """Seconds that the networks of a stage compute; decoding and start-up come on top."""
    forward, both = clip_seconds(settings.backbone, settings.video.clip_frames, settings.video.crop, device)
    source, target = data["pretraining"], data["downstream"]
    if kind == "auxskd":
        return settings.auxskd.epochs * len(source.train) * settings.auxskd.clips_per_video * (both + forward)
    if kind == "pretext":
        validation = len(source.validation) * settings.pretext.validation_clips * forward
        return settings.pretext.epochs * (len(source.train) * settings.pretext.clips_per_video * both + validation)
    if kind == "finetune":
        return settings.finetune.epochs * (
            len(target.train) * settings.finetune.clips_per_video * both + len(target.validation) * forward
        )
    return (len(target.validation) + len(target.test)) * settings.evaluation.clips * forward

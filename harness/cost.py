"""What a stage will cost: the clips that it takes through its network, times the measured seconds of one on this machine."""

from __future__ import annotations

import functools
import time

import torch

from trainables.models import make_network
from trainables.models.device import on_device, wait_for
from trainables.pipeline import Stage
from trainables.settings import ComputeSettings, ExperimentSettings, groups_alone
from trainables.stages.kind import Counts
from trainables.stages.memory import OutOfMemory, memory_of, within_memory
from trainables.video.videos import VideoSet

PROBE_CLIPS = 4
PROBE_CLASSES = 10


def stage_seconds(stage: Stage, settings: ExperimentSettings, videos: VideoSet, device: torch.device) -> float:
    """Seconds that a stage computes on its videos; decoding and start-up come on top."""
    cost = stage.declared.cost(settings, Counts.of(videos))
    if not cost.network:
        return cost.seconds
    forward, both = clip_seconds(cost.network, settings, device)
    return cost.seconds + cost.forward * forward + cost.trained * both


def clip_seconds(network: str, settings: ExperimentSettings, device: torch.device) -> tuple[float, float]:
    """Seconds of one clip: (forward, forward and backward), the better of two measurements on a few clips.

    network: BACKBONE, or an encoder's name. Settings that it does not depend on cause no new measurement. Raises OutOfMemory.
    """
    plain = groups_alone(settings, "video", "frames", network)
    return within_memory(
        lambda: _measured(network, plain, device),
        lambda: OutOfMemory(
            f"{network}: {PROBE_CLIPS} clips of it, by which its cost is measured, are too much for {memory_of(device)}"
        ),
    )


@functools.lru_cache(maxsize=32)
def _measured(network: str, settings: ExperimentSettings, device: torch.device) -> tuple[float, float]:
    module = make_network(network, settings, PROBE_CLASSES)
    on_device(module, device, ComputeSettings())
    frames, side = settings.video.clip_frames, settings.video.crop
    clips = torch.zeros(PROBE_CLIPS, 3, frames, side, side, device=device)
    forward, both = float("inf"), float("inf")
    for _ in range(2):
        started = time.perf_counter()
        loss = module(clips).sum()
        wait_for(device)
        forward = min(forward, time.perf_counter() - started)
        loss.backward()
        wait_for(device)
        both = min(both, time.perf_counter() - started)
    return forward / PROBE_CLIPS, both / PROBE_CLIPS

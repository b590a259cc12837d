"""How much of the disk a sweep will take, before it starts: weights, what teachers say of clips, and decoded frames."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.filesize import decimal

from harness.trials import Job
from trainables.models import make_network
from trainables.pipeline import Stage
from trainables.settings import ExperimentSettings, Optimisation, groups_alone
from trainables.stages.kind import Counts
from trainables.store import Store
from trainables.video.compressed import SHARE
from trainables.video.videos import PARTS, VideoSet

STATE = 3
"""Copies of a network in the state of its training: weights, the optimiser's averages, the best weights so far."""
PIXEL_BYTES = 3


@dataclass(frozen=True)
class Needed:
    """Bytes: of stages that are to run, with their training states; of frames at most; and what is free where they are kept."""

    stages: int
    frames: int
    free: int

    @property
    def fits(self) -> bool:
        return self.stages + self.frames <= self.free

    def __str__(self) -> str:
        stages, frames, free = map(decimal, (self.stages, self.frames, self.free))
        return f"disk: {stages} for stages to run, up to {frames} for decoded frames; {free} are free"


def needed(jobs: Iterable[Job], store: Store, cache_bytes: int, at_once: int, keeps_states: bool = True) -> Needed:
    """What the trials' stages that the store does not hold will take, with so many of them running at once.

    keeps_states: whether their states stay when they have ended.

    Frames that are decoded by now count again: what they take is not known without looking at every file.
    """
    sizes: dict[str, int] = {}
    states: dict[str, int] = {}
    frames: dict[tuple[str, int, int], int] = {}
    looked_at: set[tuple[str, int, int]] = set()
    for job in jobs:
        settings = job.experiment.settings
        size = (settings.video.height, settings.video.width)
        for stage in job.stages:
            if stage.key in sizes or store.find(stage.kind, stage.key) is not None:
                continue
            videos = job.data[stage.data]
            sizes[stage.key], states[stage.key] = _stage_bytes(stage, settings, videos)
            if (stage.fingerprint, *size) not in looked_at:  # sets may be large, and are those of many stages
                looked_at.add((stage.fingerprint, *size))
                frames |= _frames(videos, *size, SHARE if settings.data.cache_format == "jpeg" else 1.0)
    of_states = sum(sorted(states.values())[0 if keeps_states else -at_once :])
    return Needed(sum(sizes.values()) + of_states, min(cache_bytes, sum(frames.values())), _free(store.directory))


def _stage_bytes(stage: Stage, settings: ExperimentSettings, videos: VideoSet) -> tuple[int, int]:
    """Of what it leaves, and of its state while it trains. Nothing where code from elsewhere fails: its trial says how."""
    try:
        cost = stage.declared.cost(settings, Counts.of(videos))
        if stage.declared.schedule is None or not cost.network:
            return int(cost.kept), 0
        network = _network_bytes(cost.network, groups_alone(settings, "video", "frames", cost.network))
    except Exception:
        return 0, 0
    schedule: Optimisation = getattr(settings, stage.declared.schedule)
    return int(cost.kept) + network * getattr(schedule, "checkpoints", 1), STATE * network


@functools.lru_cache(maxsize=32)
def _network_bytes(network: str, settings: ExperimentSettings) -> int:
    """Of the weights and the statistics of a network, without its last layer."""
    with torch.device("meta"):  # takes no memory
        return sum(values.nbytes for values in make_network(network, settings).state_dict().values())


def _frames(videos: VideoSet, height: int, width: int, share: float) -> dict[tuple[str, int, int], int]:
    """By video and size of its frames the bytes that they take in the cache. share: of those of pixels."""
    everything = (video for part in PARTS for video in videos.part(part))
    return {(video.name, height, width): int(share * video.frames * height * width * PIXEL_BYTES) for video in everything}


def _free(directory: Path) -> int:
    """Where the directory is, or will be."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    return shutil.disk_usage(there).free

"""How much of the disk a sweep will take, before it starts: weights, what teachers say of clips, and decoded frames."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

from harness.trials import Job
from trainables.models import make_network
from trainables.pipeline import Stage
from trainables.settings import ExperimentSettings, Optimisation
from trainables.stages.kind import Counts
from trainables.store import Store
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


def needed(jobs: Iterable[Job], store: Store, cache_bytes: int, at_once: int) -> Needed:
    """What the trials' stages that the store does not hold will take, with so many of them running at once.

    Frames that are decoded by now count again: what they take is not known without looking at every file.
    """
    sizes: dict[str, int] = {}
    states: dict[str, int] = {}
    frames: dict[tuple[str, int, int], int] = {}
    for job in jobs:
        for stage in job.stages:
            if stage.key in sizes or store.find(stage.kind, stage.key) is not None:
                continue
            videos = job.data[stage.data]
            sizes[stage.key], states[stage.key] = _stage_bytes(stage, job.experiment.settings, videos)
            frames |= _frames(job.experiment.settings, videos)
    running = sum(sorted(states.values())[-at_once:])
    return Needed(sum(sizes.values()) + running, min(cache_bytes, sum(frames.values())), _free(store.directory))


def _stage_bytes(stage: Stage, settings: ExperimentSettings, videos: VideoSet) -> tuple[int, int]:
    """Of what it leaves, and of its state while it trains."""
    cost = stage.declared.cost(settings, Counts(*(len(videos.part(part)) for part in PARTS)))
    if stage.declared.schedule is None or not cost.network:
        return int(cost.kept), 0
    schedule: Optimisation = getattr(settings, stage.declared.schedule)
    network = network_bytes(cost.network, settings)
    return int(cost.kept) + network * getattr(schedule, "checkpoints", 1), STATE * network


def network_bytes(network: str, settings: ExperimentSettings) -> int:
    """Of the weights and the statistics of a network, without its last layer."""
    groups = ("video", "frames", network)
    return _network_bytes(network, ExperimentSettings().model_copy(update={name: getattr(settings, name) for name in groups}))


@functools.lru_cache(maxsize=32)
def _network_bytes(network: str, settings: ExperimentSettings) -> int:
    return sum(values.nbytes for values in make_network(network, settings).state_dict().values())


def _frames(settings: ExperimentSettings, videos: VideoSet) -> dict[tuple[str, int, int], int]:
    """By video and size of its frames the bytes that they take in the cache."""
    height, width = settings.video.height, settings.video.width
    everything = (video for part in PARTS for video in videos.part(part))
    return {(video.name, height, width): video.frames * height * width * PIXEL_BYTES for video in everything}


def _free(directory: Path) -> int:
    """Where the directory is, or will be."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    return shutil.disk_usage(there).free

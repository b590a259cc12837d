"""Where an experiment runs: directories, device, workers. None of it changes a result, so none of it is in a stage's key."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainables.settings import DataSettings
from trainables.store import Store
from trainables.video.cache import FrameCache
from trainables.video.embedded import embedded_videos
from trainables.video.inventory import take_inventory
from trainables.video.layouts import DataSource, VideoSet, read_videos

DEFAULT_CACHE_BYTES = 8 * 2**30


@dataclass(frozen=True)
class Runtime:
    """store: artifacts. cache: decoded frames (at most `cache_bytes`), frame counts and the embedded clips.

    sources: where each named data set lies. device: a torch device or "auto". workers: processes that load clips.
    """

    store: Path
    cache: Path
    sources: tuple[tuple[str, DataSource], ...] = ()
    cache_bytes: int = DEFAULT_CACHE_BYTES
    device: str = "auto"
    workers: int = 0

    def open_store(self) -> Store:
        return Store(self.store)

    def open_cache(self) -> FrameCache:
        return FrameCache(self.cache / "frames", self.cache_bytes)

    def torch_device(self) -> torch.device:
        """The device; on a CPU torch is held to one thread, so that results do not depend on the number of cores."""
        name = ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device
        if name == "cpu":
            torch.set_num_threads(1)
        return torch.device(name)

    def as_config(self) -> dict[str, Any]:
        """Plain data from which `from_config` makes this again in another process."""
        return {
            "store": str(self.store),
            "cache": str(self.cache),
            "sources": [
                [name, str(source.root) if source.root else None, str(source.splits) if source.splits else None]
                for name, source in self.sources
            ],
            "cache_bytes": self.cache_bytes,
            "device": self.device,
            "workers": self.workers,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Runtime:
        sources = tuple(
            (name, DataSource(Path(root) if root else None, Path(splits) if splits else None))
            for name, root, splits in config["sources"]
        )
        return cls(**{**config, "store": Path(config["store"]), "cache": Path(config["cache"]), "sources": sources})


def open_data(data: DataSettings, runtime: Runtime) -> dict[str, VideoSet]:
    """The video sets of the `pretraining` and `downstream` roles, frame counts known and unreadable files left out.

    Raises DataError.
    """
    return {
        "pretraining": _open(data.pretraining, data, runtime.cache, runtime.sources),
        "downstream": _open(data.downstream, data, runtime.cache, runtime.sources),
    }


@functools.lru_cache(maxsize=8)
def _open(dataset: str, data: DataSettings, cache: Path, sources: tuple[tuple[str, DataSource], ...]) -> VideoSet:
    if dataset == "embedded":
        videos = embedded_videos(data.embedded, cache)
    else:
        source = dict(sources).get(dataset, DataSource(None, None))
        videos = read_videos(dataset, source, split=data.split, validation_fraction=data.validation_fraction)
    return take_inventory(videos, cache)


def describe(videos: VideoSet) -> dict[str, Any]:
    """What the ledger keeps of a video set: identity and counts, no path."""
    return {
        "dataset": videos.dataset,
        "fingerprint": videos.fingerprint("train", "validation", "test"),
        "classes": len(videos.classes),
        "train": len(videos.train),
        "validation": len(videos.validation),
        "test": len(videos.test),
        "missing": videos.missing,
        "skipped": {skipped.name: skipped.reason for skipped in videos.skipped},
    }


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0))

"""Where an experiment runs: directories, device, workers. None of it changes a result, so none of it is in a stage's key."""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trainables.settings import DataSettings, EmbeddedSettings
from trainables.store import Store
from trainables.video.cache import FrameCache
from trainables.video.embedded import embedded_videos
from trainables.video.inventory import take_inventory
from trainables.video.layouts import DataError, DataSource, VideoSet, join_videos, read_videos

DEFAULT_CACHE_BYTES = 8 * 2**30


@dataclass(frozen=True)
class Runtime:
    """store: artifacts. cache: decoded frames (at most `cache_bytes`), frame counts and the embedded clips.

    sources: where each named data set lies. stand_ins: (name, other): other sets joined by +, or the embedded clips, are read
    in its place. weights: (network, file) with weights to start from. device: a torch device or "auto". workers: processes
    that load clips.
    """

    store: Path
    cache: Path
    sources: tuple[tuple[str, DataSource], ...] = ()
    stand_ins: tuple[tuple[str, str], ...] = ()
    weights: tuple[tuple[str, Path], ...] = ()
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

    def device_name(self) -> str:
        """What computes: a GPU's name, or `cpu`."""
        device = self.torch_device()
        return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type

    def weights_fingerprints(self) -> dict[str, str]:
        """Hash of the content of each file with weights, by network."""
        return {network: _file_hash(path) for network, path in self.weights}

    def as_config(self) -> dict[str, Any]:
        """Plain data from which `from_config` makes this again in another process."""
        return {
            "store": str(self.store),
            "cache": str(self.cache),
            "sources": [
                [name, str(source.root) if source.root else None, str(source.splits) if source.splits else None]
                for name, source in self.sources
            ],
            "stand_ins": [list(pair) for pair in self.stand_ins],
            "weights": [[network, str(path)] for network, path in self.weights],
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
        stand_ins = tuple((name, other) for name, other in config["stand_ins"])
        weights = tuple((network, Path(path)) for network, path in config["weights"])
        paths = {"store": Path(config["store"]), "cache": Path(config["cache"])}
        return cls(**{**config, **paths, "sources": sources, "stand_ins": stand_ins, "weights": weights})


@functools.lru_cache
def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def downstream_roles(data: DataSettings) -> tuple[str, ...]:
    """`downstream` for a single downstream set, else `downstream/<set>` for each."""
    names = data.downstream_sets
    return ("downstream",) if len(names) == 1 else tuple(f"downstream/{name}" for name in names)


def open_data(data: DataSettings, runtime: Runtime) -> dict[str, VideoSet]:
    """The video sets by role, frame counts known and unreadable files left out: `pretraining` (several sets joined), and
    `downstream`, or `downstream/<set>` where there are several.

    Raises DataError.
    """

    def opened(dataset: str, supervised: bool = False) -> VideoSet:
        how = (data.split, data.validation_fraction, data.embedded)
        return _open(dataset, *how, runtime.cache, runtime.sources, runtime.stand_ins, supervised)

    def beside_others(dataset: str) -> VideoSet:
        videos = opened(dataset)
        return videos if videos.dataset == dataset else replace(videos, dataset=f"{videos.dataset} for {dataset}")

    names = data.pretraining_sets
    joined = opened(names[0]) if len(names) == 1 else join_videos([beside_others(name) for name in names])
    sets = {"pretraining": share_of(joined, data.pretraining_share)}
    for role, name in zip(downstream_roles(data), data.downstream_sets, strict=True):
        sets[role] = opened(name, supervised=True)
        if not sets[role].labelled:
            raise DataError(f"data.downstream = {name}: its videos have no labels, so it serves for pretraining only")
        for part in ("validation", "test"):
            if not any(video.labels for video in sets[role].part(part)):
                raise DataError(f"data.downstream = {name}: no labelled {part} videos that can be used; results come from them")
    return sets


def share_of(videos: VideoSet, share: float) -> VideoSet:
    """The set with a share of its training videos, at least two, drawn by their names: a smaller share is part of a larger."""
    if share == 1:
        return videos
    kept = max(2, round(share * len(videos.train)))
    drawn = sorted(videos.train, key=lambda video: hashlib.sha256(video.name.encode()).digest())[:kept]
    names = {video.name for video in drawn}
    return replace(videos, train=tuple(video for video in videos.train if video.name in names))


@functools.lru_cache(maxsize=32)
def _open(
    dataset: str,
    split: int,
    validation_fraction: float,
    embedded: EmbeddedSettings,
    cache: Path,
    sources: tuple[tuple[str, DataSource], ...],
    stand_ins: tuple[tuple[str, str], ...],
    supervised: bool,
) -> VideoSet:
    """One set, whatever sets it is read beside: the rows of a table that share a set read it once."""
    name = dict(stand_ins).get(dataset, dataset)
    if "+" in name:
        how = (split, validation_fraction, embedded)
        return join_videos([_open(part, *how, cache, sources, (), supervised) for part in name.split("+")])
    if name == "embedded":
        videos = embedded_videos(stand_in(embedded, dataset), cache)
    else:
        source = dict(sources).get(name, DataSource(None, None))
        one_split = name == "ccv" or name.startswith("kinetics")  # whichever split the other sets are read in
        its_split = 1 if one_split else split
        videos = read_videos(name, source, split=its_split, validation_fraction=validation_fraction)
    return take_inventory(videos, cache, supervised=supervised)


def stand_in(settings: EmbeddedSettings, dataset: str) -> EmbeddedSettings:
    """The embedded clips that take a data set's place: other clips for each, in something like the sets' proportions.

    kinetics400 has all classes, and kinetics100 the same videos of the fewest classes; hmdb51 is half as large as ucf101.
    """
    few, all_classes = 6, 10
    changes: dict[str, dict[str, int]] = {
        "ucf101": {"seed": settings.seed + 1},
        "hmdb51": {"seed": settings.seed + 2, "train": max(1, settings.train // 2)},
        "kinetics400": {"seed": settings.seed + 3, "classes": all_classes},
        "kinetics100": {"seed": settings.seed + 3, "classes": few},
        "ccv": {"seed": settings.seed + 4},
    }
    return settings.model_copy(update=changes.get(dataset, {}))


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

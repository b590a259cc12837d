"""Where an experiment runs: directories, device, workers. None of it changes a result, so none of it is in a stage's key."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainables.settings import folders_in_use, use_folders
from trainables.store import Store
from trainables.video.cache import FrameCache
from trainables.video.compressed import Form
from trainables.video.videos import DataSource

DEFAULT_CACHE_BYTES = 8 * 2**30
DEFAULT_SAVE_EVERY = 300.0
CUBLAS_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
"""Memory in which cuBLAS gives the same bits from run to run. A process reads it once, whatever its stages are."""


@dataclass(frozen=True)
class Runtime:
    """store: artifacts. cache: decoded frames (at most `cache_bytes`), frame counts and the embedded clips.

    sources: where each named data set lies. stand_ins: (name, other): other sets joined by +, or the embedded clips, are read
    in its place. weights: (network, file) with weights to start from. device: a torch device or "auto". workers: processes
    that load clips; spare_core: whether a core is free for a thread that reads the next batch where there are none. save_every:
    seconds after which a stage saves its state, also in the middle of an epoch. keep_states: whether the state at the end of a
    training stays, so that more epochs go on from there.
    """

    store: Path
    cache: Path
    sources: tuple[tuple[str, DataSource], ...] = ()
    stand_ins: tuple[tuple[str, str], ...] = ()
    weights: tuple[tuple[str, Path], ...] = ()
    cache_bytes: int = DEFAULT_CACHE_BYTES
    device: str = "auto"
    workers: int = 0
    spare_core: bool = False
    save_every: float = DEFAULT_SAVE_EVERY
    keep_states: bool = True

    def open_store(self) -> Store:
        return Store(self.store)

    def open_cache(self, form: Form = "raw") -> FrameCache:
        """form: in which frames are kept."""
        return FrameCache(self.cache / "frames", self.cache_bytes, form)

    @property
    def reads_ahead(self) -> bool:
        """Whether a thread reads the next batch."""
        return self.spare_core and self.workers == 0

    @property
    def cores_of_a_trial(self) -> int:
        """What a trial keeps busy: itself and what loads its clips."""
        return 1 + self.workers + self.reads_ahead

    def torch_device(self) -> torch.device:
        """The device; on a CPU torch is held to one thread, so that results do not depend on the number of cores, and memory
        that it frees is kept for it. To be asked before a GPU computes anything, when it is too late for CUBLAS_WORKSPACE."""
        name = ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device
        if name == "cpu":
            torch.set_num_threads(1)
            keep_freed_memory()
        elif name.startswith("cuda"):
            os.environ.setdefault(*CUBLAS_WORKSPACE)
        return torch.device(name)

    def device_name(self) -> str:
        """What computes: a GPU's name, or `cpu`."""
        device = self.torch_device()
        return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type

    def weights_fingerprints(self) -> dict[str, str]:
        """Hash of the content of each file with weights, by network."""
        return {network: _file_hash(path) for network, path in self.weights}

    def as_config(self) -> dict[str, Any]:
        """Plain data from which `from_config` makes this again in another process, with the same folders on its import path."""
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
            "spare_core": self.spare_core,
            "save_every": self.save_every,
            "keep_states": self.keep_states,
            "folders": folders_in_use(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Runtime:
        config = dict(config)
        use_folders(config.pop("folders"))
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


KEPT_BLOCK = 2**30
"""Bytes of the largest block of memory that is kept for reuse once it is freed, and of what is kept unused beside."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


@functools.cache
def keep_freed_memory() -> None:
    """Let this process keep memory that it frees, where the C library is glibc. It would hand large blocks back at once, and a
    step that asks for the same ones again would spend a tenth of its time on pages that the system clears anew."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, KEPT_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BLOCK)


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0))

"""What a node of a cluster must have in common with the process that planned a sweep, looked at there before each trial.

A node that differs is left out, with the reason, before it costs a trial: one with other versions of what computes numbers, one
that does not share the directories of the sweep, one on which videos are not there or others.
"""

from __future__ import annotations

import contextlib
import platform
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.trials import Sweep
from trainables.files import digest
from trainables.video.videos import PARTS, VideoSet

VIDEOS = 32
"""How many of a data set are looked at, evenly spread over it."""
DIRECTORY = -1
"""Instead of bytes, of a video that is a directory of images."""
DRIVER, JOINED = "driver", "joined"
MISSING = (FileNotFoundError, NotADirectoryError)
"""What says that a path is not there; other errors may pass, and hinder a trial."""


class Unfit(RuntimeError):
    """This node cannot run trials of the sweep; the message says why."""


@dataclass(frozen=True)
class Preflight:
    """versions: of what computes numbers. tokens: files in directories of the sweep while it runs, and what is in them. videos:
    of each data set the bytes of some, by path.
    """

    versions: Mapping[str, str]
    tokens: Mapping[str, str]
    videos: Mapping[str, Mapping[str, int]]

    def check(self, versions: Mapping[str, str]) -> None:
        """Raises Unfit where this node, which has `versions`, differs, and OSError where that cannot be told."""
        here = _comparable(versions)
        for name, planned in self.versions.items():
            if here.get(name) != planned:
                raise Unfit(f"it has {name} {here.get(name, 'not at all')}, and the sweep was planned with {planned}")
        for path, content in self.tokens.items():
            if _read(Path(path)) != content:
                raise Unfit(f"its {Path(path).parent} is not that of the sweep: all nodes need to share this directory")
        for dataset, videos in self.videos.items():
            for path, planned_bytes in videos.items():
                if (found := _bytes(Path(path))) != planned_bytes:
                    is_there = "is another one there" if found is not None else "is not there"
                    raise Unfit(f"data {dataset}: {path} {is_there}")


@contextlib.contextmanager
def offered(sweep: Sweep, versions: Mapping[str, str], role: str = DRIVER) -> Iterator[dict[str, Any]]:
    """The arguments of a Preflight, as plain data, that holds meanwhile. Raises DataError and OSError.

    versions: of what computes numbers here. role: DRIVER or JOINED.
    """
    cache = sweep.runtime.cache
    tokens = {}
    videos = {name: _some(videos, cache) for name, videos in sweep.datasets().items()}
    try:
        for directory in _directories(sweep):
            directory.mkdir(parents=True, exist_ok=True)
            path = directory / f"{_prefix(sweep, role)}{secrets.token_hex(8)}"
            tokens[str(path)] = secrets.token_hex(16)
            path.write_text(tokens[str(path)])
        yield {"versions": _comparable(versions), "tokens": tokens, "videos": videos}
    finally:
        for written in tokens:
            with contextlib.suppress(OSError):
                Path(written).unlink()


def clear_tokens(sweep: Sweep) -> None:
    """Remove what killed drivers have left. Its caller is the only driver now; others may have joined the sweep."""
    for directory in _directories(sweep):
        for left in directory.glob(f"{_prefix(sweep, DRIVER)}*"):
            left.unlink(missing_ok=True)


def _directories(sweep: Sweep) -> tuple[Path, Path]:
    return sweep.directory, sweep.runtime.store


def _prefix(sweep: Sweep, role: str) -> str:
    return f".planned-here-{digest(str(sweep.directory.absolute()))}-{role}-"


def _comparable(versions: Mapping[str, str]) -> dict[str, str]:
    """By which numbers differ: of Python its minor version, of others without what says for which device they are built."""
    public = {name: version.partition("+")[0] for name, version in versions.items()}
    return public | {"python": ".".join(public["python"].split(".")[:2]), "machine": platform.machine()}


def _some(videos: VideoSet, cache: Path) -> dict[str, int]:
    """But for the embedded clips, which a node makes itself."""
    paths = [video.path for part in PARTS for video in videos.part(part) if not video.path.is_relative_to(cache)]
    spread = paths[:: max(1, -(-len(paths) // VIDEOS))]
    return {str(path): found for path in spread if (found := _bytes(path)) is not None}


def _bytes(path: Path) -> int | None:
    """None where nothing is. Raises OSError."""
    with contextlib.suppress(*MISSING):
        return DIRECTORY if path.is_dir() else path.stat().st_size
    return None


def _read(path: Path) -> str | None:
    with contextlib.suppress(*MISSING):
        return path.read_text()
    return None

"""Large video sets that a process has opened, handed on to others on its machine.

These then read one file, instead of lists, directories and an inventory, and look at no video: they see the set as the process
saw it that planned what they compute. A file counts only if it has the content that was handed on with its path.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from trainables.video.videos import PARTS, Skipped, Video, VideoSet

LARGE = 1000
"""Videos from which on a set is handed on: opening so many takes a twentieth of a second."""
_COLUMNS = tuple(field.name for field in fields(Video))
_PLAIN = ("dataset", "classes", "missing", "labelled", "notes")


class OpenSets:
    """The sets that this process has opened and those that were handed on to it, by what they were opened for."""

    def __init__(self) -> None:
        self._waiting: dict[str, VideoSet] = {}
        self._files: dict[str, tuple[str, str]] = {}

    def opened(self, key: str, videos: VideoSet) -> None:
        """Remember a set that was opened here."""
        if sum(len(videos.part(part)) for part in PARTS) >= LARGE:
            self._waiting[key] = videos

    def hand_on(self, directory: Path) -> dict[str, tuple[str, str]]:
        """By key the path and hash of a file for each set; those opened since the last time are written to a directory.

        One that cannot be written is opened by others themselves.
        """
        while self._waiting:
            key, videos = self._waiting.popitem()
            content = _written(videos)
            path = directory / f"{key}.json"
            with suppress(OSError):
                path.write_bytes(content)
                self._files[key] = str(path), hashlib.sha256(content).hexdigest()
        return dict(self._files)

    def take_over(self, files: dict[str, tuple[str, str]]) -> None:
        """Remember what another process has handed on."""
        self._files.update(files)

    def find(self, key: str) -> VideoSet | None:
        """The set that was handed on; None where there is none, or its file is gone or another."""
        path, expected = self._files.get(key, ("", ""))
        with suppress(OSError):
            content = Path(path).read_bytes() if path else b""
            if path and hashlib.sha256(content).hexdigest() == expected:
                return _read(content)
        return None


OPEN_SETS = OpenSets()


def _written(videos: VideoSet) -> bytes:
    content: dict[str, Any] = {name: getattr(videos, name) for name in _PLAIN}
    content["skipped"] = [(one.name, one.reason) for one in videos.skipped]
    content["fingerprints"] = list(videos.fingerprints.items())
    for part in PARTS:
        content[part] = {name: [getattr(video, name) for video in videos.part(part)] for name in _COLUMNS}
    return json.dumps(content, default=os.fspath).encode()


def _read(content: bytes) -> VideoSet:
    read = json.loads(content)
    plain: dict[str, Any] = {name: read[name] for name in _PLAIN}
    plain |= {name: tuple(value) for name, value in plain.items() if isinstance(value, list)}
    parts: dict[str, Any] = {part: _videos(read[part]) for part in PARTS}
    videos = VideoSet(**plain, **parts, skipped=tuple(Skipped(*one) for one in read["skipped"]))
    videos.fingerprints.update({tuple(named): found for named, found in read["fingerprints"]})
    return videos


def _videos(columns: dict[str, list[Any]]) -> tuple[Video, ...]:
    columns["path"] = list(map(Path, columns["path"]))
    columns["others"] = list(map(tuple, columns["others"]))
    for name in ("group", "decoder"):
        columns[name] = list(map(sys.intern, columns[name]))
    return tuple(Video(*values) for values in zip(*(columns[name] for name in _COLUMNS), strict=True))

"""What a video consists of on disk, a file or a directory of frames: its size and times, and the hash of its content."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from trainables.video.frame_folders import frame_files


class Identity(NamedTuple):
    """How many bytes there are, and when content and inode were last written, in ns; of a directory the sums over its frames
    and itself, so that no change of one of them goes unnoticed."""

    bytes: int
    modified: int
    changed: int


def identity(path: Path) -> Identity:
    """Raises OSError; a frame that cannot be looked at counts for nothing."""
    status = path.stat()
    own = Identity(status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if not stat.S_ISDIR(status.st_mode):
        return own
    frames = list(_statuses(path))
    return Identity(
        sum(one.st_size for one in frames),
        own.modified + sum(one.st_mtime_ns for one in frames),
        own.changed + sum(one.st_ctime_ns for one in frames),
    )


def content_hash(path: Path) -> str:
    """32 hex digits that identify the bytes of a file, or the names and bytes of all frames of a directory. Read once while
    the process lives and nothing changes. Raises OSError; a frame that cannot be read counts as such.
    """
    return _content_hash(path, identity(path))


@lru_cache(maxsize=65536)
def _content_hash(path: Path, _: Identity) -> str:
    if not path.is_dir():
        return _of_file(path)[:32]
    digest = hashlib.sha256()
    for name in frame_files(path):
        digest.update(json.dumps([os.fsencode(name).hex(), _of_frame(path / name)]).encode())
    return digest.hexdigest()[:32]


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_frame(path: Path) -> str:
    try:
        return _of_file(path)
    except OSError:
        return ""


def _statuses(directory: Path) -> Iterator[os.stat_result]:
    for name in frame_files(directory):
        try:
            yield (directory / name).stat()
        except OSError:
            continue

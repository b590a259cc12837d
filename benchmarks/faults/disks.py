"""Small disks that are mounted for a while: to be cut off from their power, or to become full. Needs root."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faults.figure import NotHere

SHUTDOWN = 0x8004587D
"""FS_IOC_SHUTDOWN: the file system stops at once."""
WITHOUT_FLUSHING = 2
"""What had not reached the disk is dropped, of the journal too."""
EXT4_BYTES = 256 * 2**20


class CutDisk:
    """An ext4 file system in a file, mounted at `place`."""

    def __init__(self, image: Path, place: Path, options: str) -> None:
        self.image = image
        self.place = place
        self.options = ",".join(filter(None, ["loop", options]))

    def cut(self) -> None:
        """As when its power is cut and it starts again: what was not flushed is lost, then the journal is replayed."""
        directory = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, SHUTDOWN, struct.pack("I", WITHOUT_FLUSHING))
        finally:
            os.close(directory)
        unmount(self.place)
        self.mount()

    def mount(self) -> None:
        _mount("-o", self.options, str(self.image), str(self.place))


@contextlib.contextmanager
def cut_disk(home: Path, options: str) -> Iterator[CutDisk]:
    """One in a directory. Raises NotHere where that cannot be."""
    if os.geteuid() or shutil.which("mkfs.ext4") is None:
        raise NotHere("needs root and mkfs.ext4, for ext4 in a file")
    disk = CutDisk(home / "image", home / "disk", options)
    disk.place.mkdir()
    with disk.image.open("wb") as file:
        file.truncate(EXT4_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(disk.image)], check=True)
    try:
        disk.mount()
        yield disk
    finally:
        unmount(disk.place)
        disk.image.unlink()


@contextlib.contextmanager
def small_disk(place: Path, size: int) -> Iterator[None]:
    """A file system in memory of so many bytes. Raises NotHere where that cannot be."""
    if os.geteuid():
        raise NotHere("needs root, for a small disk of its own")
    place.mkdir(parents=True)
    try:
        _mount("-t", "tmpfs", "-o", f"size={size}", "none", str(place))
        yield
    finally:
        unmount(place)


def _mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotHere(f"mount: {done.stderr.strip()}")


def unmount(place: Path) -> None:
    """Also what processes still have open; nothing where nothing is mounted."""
    if place.is_mount() and subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode:
        subprocess.run(["umount", "-l", str(place)], check=True)

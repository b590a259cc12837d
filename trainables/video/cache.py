"""Decoded frames on disk, up to a bound: a video is decoded once and then read at the speed of the page cache.

One `.npy` of shape (frames, height, width, 3), uint8, per video and frame size, or a file of JPEG images one behind the other
(`data.cache_format`, trainables/video/compressed.py). Its name is a hash of the video's content, the frame size and the
decoder with its rules: the same bytes share an entry wherever they lie, changed ones have another. A `.json` beside it has a
checksum of each frame, which is compared when a process first reads the frame; a damaged entry is removed, with a warning, and
decoded again. Files are mapped into memory, so that all processes share the pages; those of a long video are let go after each
clip. Beyond the bound only the frames asked for are decoded. What the cache holds stays: clips are drawn uniformly at random,
and evicting for the next one would only thrash. Only entries that no process has touched for an hour make room for new ones.

The bound covers all entries in the directory, whoever wrote them. Each process adds what it writes to the size that it
found at its first write, so several processes that fill the cache together may exceed the bound by what the others
wrote since.
"""

import contextlib
import hashlib
import io
import json
import math
import mmap
import os
import resource
import threading
import time
import warnings
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.files import digest, replacing, write_atomically
from trainables.video.apart import DecoderDied
from trainables.video.compressed import QUALITY, Form, compress, expand
from trainables.video.contents import content_hash
from trainables.video.decoding import RULES, Frames, Window, cut, decode_in_order, probe, read_clips
from trainables.video.pixels import Mask, Pixels
from trainables.video.videos import Video

Progress = Callable[[int, int], None]
Indices = Sequence[int] | NDArray[np.int64]

_OPEN_MAPS = max(64, min(2**14, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4))  # Linux allows 65,530 of a process
_SUFFIXES = {"raw": ".npy", "jpeg": ".jpegs"}
_MOST = 0.5  # of the bytes of pixels, which are reserved for JPEG images until they are there
_LONG = 2**26  # bytes of an entry, above which its pages are let go
_STALE = 3600.0  # seconds without a touch after which an entry may be removed
_PATIENCE = 600.0  # seconds between two touches of an entry in use, and between two searches for stale ones


@dataclass
class _Entry:
    """A video's frames as mapped from disk, the mask of those that show another frame, and when it was touched.

    stored: of each frame the bytes on disk. checksums: crc32 of each when it was stored. checked: those that were seen to
    agree with them.
    """

    path: Path
    mapped: mmap.mmap
    stored: Pixels | Sequence[Pixels]
    replaced: Mask
    checksums: NDArray[np.uint32]
    checked: Mask
    touched: float

    def is_sound(self, places: NDArray[np.int64]) -> bool:
        """Whether these frames are as they were stored; each is looked at once."""
        for place in np.unique(places[~self.checked[places]]):
            if zlib.crc32(self.stored[place]) != self.checksums[place]:
                return False
            self.checked[place] = True
        return True

    def read(self, places: NDArray[np.int64], window: Window | None, expanded: dict[int, Pixels]) -> Frames:
        """expanded: by place the JPEG images that were expanded already, to which it adds."""
        replaced = int(self.replaced[places].sum())
        if isinstance(self.stored, np.ndarray):
            return Frames(np.asarray(cut(self.stored, window)[places]), replaced)
        for place in {*places.tolist()} - expanded.keys():
            expanded[place] = expand(self.stored[place].data)
        return Frames(np.concatenate([cut(expanded[place][None], window) for place in places.tolist()]), replaced)


class FrameCache:
    """Frames of videos, from disk where they were stored before. Safe to use from threads and to send to workers.

    `directory` None: nothing is kept. `limit_bytes` bounds the directory. A directory that is full or cannot be
    written to switches storing off, with one warning, and reading goes on. form: in which frames are kept.
    """

    def __init__(self, directory: Path | None, limit_bytes: int, form: Form = "raw") -> None:
        self.directory = directory
        self.limit_bytes = limit_bytes
        self.form = form
        self._open: OrderedDict[tuple[Video, tuple[int, int]], _Entry] = OrderedDict()
        self._used: int | None = None
        self._searched = -math.inf
        self._storing = limit_bytes > 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return FrameCache, (self.directory, self.limit_bytes, self.form)

    def read(self, video: Video, indices: Sequence[int], size: tuple[int, int], window: Window | None = None) -> Frames:
        """`read_frames` of the video's file: the same pixels, or those of its JPEG images, from the cache where it holds them.

        A video that the cache does not hold is decoded whole and stored, if the bound allows. Raises as `read_frames`.
        """
        return self.read_clips(video, [indices], size, [window])[0]

    def read_clips(
        self, video: Video, clips: Sequence[Indices], size: tuple[int, int], windows: Sequence[Window | None]
    ) -> list[Frames]:
        """`read` of several clips of a video, each with its window: what is not held is decoded once for all of them."""
        entry = self._entry(video, size)
        if entry is None:
            return read_clips(video.path, clips, size, windows, decoder=video.decoder or None, form=self.form)
        read: list[Frames] = []
        expanded: dict[int, Pixels] = {}
        for indices, window in zip(clips, windows, strict=True):
            places = np.asarray(indices, dtype=np.int64)
            if places.size == 0 or places.min() < 0 or places.max() >= len(entry.stored):
                raise IndexError(f"frames {list(indices)} of {video.name}, a video of {len(entry.stored)} frames")
            if not entry.is_sound(places):
                warnings.warn(f"frame cache: {entry.path} is damaged; its video is decoded again", stacklevel=2)
                with self._lock:
                    self._open.pop((video, size), None)
                self._remove(entry.path)
                return read_clips(video.path, clips, size, windows, decoder=video.decoder or None, form=self.form)
            read.append(entry.read(places, window, expanded))
        if len(entry.mapped) > _LONG:
            entry.mapped.madvise(mmap.MADV_DONTNEED)
        return read

    def fill(self, videos: Sequence[Video], size: tuple[int, int], progress: Progress | None = None) -> None:
        """Store the frames of `videos` as far as the bound allows; `progress(done, total)` after each."""
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            for done, _ in enumerate(pool.map(lambda video: self._entry(video, size), videos), start=1):
                if progress is not None:
                    progress(done, len(videos))

    def _entry(self, video: Video, size: tuple[int, int]) -> _Entry | None:
        """The entry of a video: open, on disk, or stored now. None if it is not held and there is no room for it."""
        if self.directory is None:
            return None
        with self._lock:
            entry = self._open.get((video, size))
            if entry is not None:
                self._open.move_to_end((video, size))
        if entry is None:
            known = _probed(video)
            path = self.directory / f"{_key(known, size, self.form)}{_SUFFIXES[self.form]}"
            entry = self._load(path, (known.frames, *size, 3)) or self._store(path, known, size)
            if entry is None:
                return None
            with self._lock:
                self._open[video, size] = entry
                while len(self._open) > _OPEN_MAPS:
                    self._open.popitem(last=False)
        if time.monotonic() - entry.touched > _PATIENCE:
            entry.touched = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(entry.path)
        return entry

    def _load(self, path: Path, shape: tuple[int, int, int, int]) -> _Entry | None:
        """The entry from disk; one that was cut off or holds something else is removed."""
        try:
            with path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            beside = json.loads(_sidecar(path).read_text(encoding="utf-8"))
            facts = [beside["replaced"], beside["checksums"], *([beside["ends"]] if self.form == "jpeg" else [])]
            if digest(facts) != beside["digest"] or len(beside["checksums"]) != shape[0]:
                raise ValueError(f"{_sidecar(path)}: damaged")
            is_jpeg = self.form == "jpeg"
            stored: Pixels | Sequence[Pixels] = _images(mapped, beside["ends"]) if is_jpeg else _array(mapped, shape)
            checksums = np.asarray(beside["checksums"], dtype=np.uint32)
            checked, replaced = np.zeros((2, shape[0]), dtype=np.bool_)
            replaced[np.asarray(beside["replaced"], dtype=np.int64)] = True
        except OSError:
            return None
        except (ValueError, EOFError, IndexError, TypeError, KeyError, OverflowError):
            self._remove(path)
            return None
        return _Entry(path, mapped, stored, replaced, checksums, checked, touched=-math.inf)

    def _store(self, path: Path, video: Video, size: tuple[int, int]) -> _Entry | None:
        reserved = int(video.frames * size[0] * size[1] * 3 * (_MOST if self.form == "jpeg" else 1))
        if not self._make_room(reserved):
            return None
        shape = (video.frames, *size, 3)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                if self.form == "raw":
                    file.write(_header(shape))
                replaced, checksums, ends = [], [], []
                for place, (image, other) in enumerate(
                    decode_in_order(video.path, range(video.frames), size, decoder=video.decoder)
                ):
                    content = compress(image) if self.form == "jpeg" else image.tobytes()
                    file.write(content)
                    checksums.append(zlib.crc32(content))
                    ends.append(file.tell())
                    if other:
                        replaced.append(place)
                beside: dict[str, Any] = {"replaced": replaced, "checksums": checksums}
                beside |= {"ends": ends} if self.form == "jpeg" else {}
                write_atomically(_sidecar(path), json.dumps({**beside, "digest": digest(list(beside.values()))}))
        except DecoderDied:
            self._take_back(reserved)
            raise
        except OSError as error:
            self._stop_storing(error)
            return None
        if self.form == "jpeg":
            self._take_back(reserved - ends[-1])
        return self._load(path, shape)

    def _take_back(self, bytes_: int) -> None:
        """What was reserved and not needed."""
        with self._lock:
            if self._used is not None:
                self._used -= bytes_

    def _stop_storing(self, error: OSError) -> None:
        with self._lock:
            first, self._storing = self._storing, False
        if first:
            warnings.warn(
                f"frame cache {self.directory}: {error.strerror or error}; frames are no longer stored, "
                "videos that are not in the cache are decoded each time",
                stacklevel=2,
            )

    def _make_room(self, needed: int) -> bool:
        """Whether `needed` more bytes are within the bound; if so they count against it from now on."""
        with self._lock:
            if not self._storing or needed > self.limit_bytes:
                return False
            if self._used is None:
                self._used = sum(status.st_size for _, status in self._files())
            if self._used + needed > self.limit_bytes and time.monotonic() - self._searched > _PATIENCE:
                self._searched = time.monotonic()
                self._used -= self._evict(self._used + needed - self.limit_bytes)
            if self._used + needed > self.limit_bytes:
                return False
            self._used += needed
            return True

    def _evict(self, wanted: int) -> int:
        """Remove files that nobody touched for an hour, oldest first, to free `wanted` bytes: the bytes freed."""
        freed = 0
        for path, status in sorted(self._files(), key=lambda file: file[1].st_mtime):
            if freed >= wanted or time.time() - status.st_mtime < _STALE:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                freed += status.st_size
                _sidecar(path).unlink(missing_ok=True)
        return freed

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        """Entries and left-over temporary files; those that another process removes meanwhile are left out."""
        assert self.directory is not None
        found = []
        with contextlib.suppress(OSError):
            for path in self.directory.iterdir():
                if path.suffix in (*_SUFFIXES.values(), ".new"):
                    with contextlib.suppress(OSError):
                        found.append((path, path.stat()))
        return found

    def _remove(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            size = path.stat().st_size
            path.unlink()
            self._take_back(size)


def _probed(video: Video) -> Video:
    """The video with frames, decoder and content, also where no inventory was taken."""
    if not (video.frames and video.decoder):
        found = probe(video.path)
        video = replace(video, frames=found.frames, decoder=found.decoder)
    return video if video.content else replace(video, content=content_hash(video.path))


def _key(video: Video, size: tuple[int, int], form: Form) -> str:
    identity = [video.content, video.frames, *size, video.decoder, RULES, *([form, QUALITY] if form == "jpeg" else [])]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]


def _array(mapped: mmap.mmap, shape: tuple[int, int, int, int]) -> Pixels:
    """The frames in a file of pixels. Raises ValueError for other pixels, and for one that was cut off."""
    header = _header(shape)
    if mapped[: len(header)] != header or len(mapped) != len(header) + math.prod(shape):
        raise ValueError(f"not {shape}, or cut off")
    return np.frombuffer(mapped, dtype=np.uint8, offset=len(header)).reshape(shape)


def _images(mapped: mmap.mmap, ends: Sequence[int]) -> Sequence[Pixels]:
    """The bytes of each image in a file of them. Raises ValueError for one that was cut off."""
    if len(mapped) != ends[-1]:
        raise ValueError(f"{len(mapped)} bytes, not {ends[-1]}")
    return np.split(np.frombuffer(mapped, dtype=np.uint8), ends[:-1])


def _header(shape: tuple[int, ...]) -> bytes:
    """How a file of so many pixels begins: compared as it is, as numpy's reader fails in many ways on a damaged one."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


def _sidecar(path: Path) -> Path:
    """Where the places of replaced frames are kept, and the checksums of all."""
    return path.with_suffix(".json")

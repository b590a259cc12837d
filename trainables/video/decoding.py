"""Frames out of videos: the same pixels for the same file and frame, whatever was read before.

`probe(path)` says how many frames are there, by counting packets and decoding the last one, or all of a file where that is not
sound; `read_frames(path, indices, size)` gives the frames asked for. PyAV reads all files: it begins at the key frame before a
frame where that gives the same frame as decoding from the first one, and converts only the frames asked for
(trainables/video/sequence.py). decord reads those that it reads exactly, if it is asked for (trainables/video/with_decord.py).

A directory of images is a video, too (`frame_folders`): PyAV decodes only the images asked for.

A frame that cannot be decoded is replaced by the nearest earlier one that can (at the beginning: by the first) and
counted. Decoders conceal damage, and what follows it inherits the traces (grey, after a lost key frame): so a frame
that the decoder fails on or flags as corrupt takes with it all frames after it up to the next key frame. A video ends
with its last sound frame: one that was cut off, or damaged after its last key frame, has the frames before that.
Only damage that decodes without any error (noise may, in H.264) is seen by no decoder and stays.

Frames are resized by torch (bilinear with antialiasing, on uint8), each for itself, whichever decoder read them and
whether the frame cache is used or not, so that all ways to a frame agree to the bit. One thread decodes.
"""

import contextlib
import importlib.metadata
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainables.video import with_decord
from trainables.video.compressed import Form, as_read
from trainables.video.contents import Identity, identity
from trainables.video.images import probe_images, read_images
from trainables.video.pixels import DecodingError, Mask, Pixels, converter
from trainables.video.sequence import Astray, Timeline, read, sound_frames
from trainables.video.shown import Shown

Window = tuple[int, int, int, int]
Verify = Literal["frames", "packets"]

RULES = 1  # raised with every change of what a file decodes to: kept inventories and caches of other rules are not used


@dataclass(frozen=True)
class Probe:
    """What a video holds: the frames that can be decoded, their size in pixels, and the decoder that reads it.

    shown: a digest of some of the frames, the same for files that decode to the same; "" where only packets were asked for.
    """

    frames: int
    height: int
    width: int
    decoder: str
    shown: str


@dataclass(frozen=True)
class Frames:
    """Frames as uint8 RGB of shape (n, height, width, 3), and how many of the n show another frame in their place."""

    pixels: Pixels
    replaced: int


def probe(path: Path, decoder: str = "pyav", verify: Verify = "frames") -> Probe:
    """What a file, or a directory of frames, holds. Raises DecodingError with the reason where no frame can be decoded.

    decoder: the one that is asked for; with `decord`, PyAV reads what it does not read exactly, for which all of a file is
    decoded. verify: `frames`: up to the last sound frame; of a sound file three frames are decoded, each from the key frame
    before it. `packets`: as many as there are packets, or images; only the first is decoded, unless it is damaged or packets do
    not say where frames are. The answer is kept while the process lives and nothing changes.
    """
    try:
        found = identity(path)
    except OSError as error:
        raise DecodingError(f"cannot be read: {error.strerror}") from None
    if found.bytes == 0 and not path.is_dir():
        raise DecodingError("empty file")
    return _probe(path, found, decoder, verify)


def read_frames(
    path: Path,
    indices: Sequence[int],
    size: tuple[int, int],
    window: Window | None = None,
    *,
    decoder: str | None = None,
) -> Frames:
    """The frames `indices` (in any order, repeats allowed), resized to `size` (height, width), cut to `window`.

    The aspect ratio is not kept (the papers resize to 128x171). `window` is (top, left, height, width) after resizing.
    `decoder` is the one that `probe` found; PyAV if none is given. Raises DecodingError if nothing can be
    decoded, IndexError for a frame that the file does not have.
    """
    return read_clips(path, [indices], size, [window], decoder=decoder)[0]


def read_clips(
    path: Path,
    clips: Sequence[Sequence[int] | NDArray[np.int64]],
    size: tuple[int, int],
    windows: Sequence[Window | None],
    *,
    decoder: str | None = None,
    form: Form = "raw",
) -> list[Frames]:
    """`read_frames` of several clips, each with its window: a frame that several of them show is decoded once.

    form: in which they would be kept, which changes what is read.
    """
    needed, places = np.unique(np.concatenate([np.asarray(clip, dtype=np.int64) for clip in clips]), return_inverse=True)
    pixels, replaced = _decode(path, needed, size, decoder, form)
    parts = np.split(places, np.cumsum([len(clip) for clip in clips])[:-1])
    return [Frames(cut(pixels, window)[part], int(replaced[part].sum())) for part, window in zip(parts, windows, strict=True)]


def read_all(path: Path, size: tuple[int, int]) -> Frames:
    """All frames of a file, resized to `size` (height, width). Raises DecodingError."""
    found = probe(path)
    return read_frames(path, range(found.frames), size, decoder=found.decoder)


def decode(path: Path, indices: Sequence[int], size: tuple[int, int], *, decoder: str | None = None) -> tuple[Pixels, Mask]:
    """`read_frames` with the places that show another frame: pixels (n, height, width, 3) and a mask (n,)."""
    needed, places = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
    pixels, replaced = _decode(path, needed, size, decoder)
    return pixels[places], replaced[places]


def _decode(
    path: Path,
    needed: NDArray[np.int64],
    size: tuple[int, int],
    decoder: str | None,
    form: Form = "raw",
) -> tuple[Pixels, Mask]:
    """The frames `needed` (rising)."""
    if needed.size == 0 or needed[0] < 0:
        raise IndexError(f"frames {needed.tolist()}; expected at least one, counted from 0")
    pixels = np.empty((needed.size, *size, 3), dtype=np.uint8)
    replaced = np.zeros(needed.size, dtype=np.bool_)
    for place, (image, other) in enumerate(decode_in_order(path, needed, size, decoder=decoder)):
        pixels[place], replaced[place] = as_read(image, form), other
    return pixels, replaced


def decode_in_order(
    path: Path, indices: Sequence[int] | NDArray[np.int64], size: tuple[int, int], *, decoder: str | None = None
) -> Iterator[tuple[Pixels, bool]]:
    """Of each of the frames `indices` (rising) its pixels (height, width, 3) and whether they are another frame's.

    Holds few frames at a time, whatever the length of the video. Raises as `read_frames`.
    """
    needed = np.asarray(indices, dtype=np.int64)
    if path.is_dir():
        _expect_pyav()
        yield from read_images(path, needed, size)
        return
    done = 0
    if decoder == "decord" and _installed("decord"):
        for image in with_decord.read(path, needed, size):
            yield image, False
            done += 1
    if done < needed.size:
        _expect_pyav()
        yield from read(path, needed[done:], size)


def cut(pixels: Pixels, window: Window | None) -> Pixels:
    """The `window` (top, left, height, width) of frames (n, height, width, 3). Raises ValueError if it sticks out."""
    if window is None:
        return pixels
    top, left, height, width = window
    if min(top, left) < 0 or top + height > pixels.shape[1] or left + width > pixels.shape[2]:
        raise ValueError(f"window {window} sticks out of frames of {pixels.shape[1]}x{pixels.shape[2]}")
    return pixels[:, top : top + height, left : left + width]


def decoder_versions() -> dict[str, str]:
    """The installed decoders and their versions, for the record of a trial."""
    return {name: importlib.metadata.version(package) for name, package in _PACKAGES.items() if _installed(name)}


_PACKAGES = {"decord": "decord", "pyav": "av"}


@cache
def _installed(decoder: str) -> bool:
    return importlib.util.find_spec(_PACKAGES[decoder]) is not None


@lru_cache(maxsize=65536)
def _probe(path: Path, _: Identity, decoder: str, verify: Verify) -> Probe:
    _expect_pyav()
    if path.is_dir():
        found = probe_images(path, all_of_them=verify == "frames")
        return Probe(found.frames, found.height, found.width, "pyav", found.shown)
    timeline = Timeline(path)
    if decoder == "pyav" and (sound := _probe_sound(path, timeline, verify)):
        return sound
    return _probe_all(path, timeline, decoder)


def _probe_sound(path: Path, timeline: Timeline, verify: Verify) -> Probe | None:
    """What a file holds of which the frames looked at are sound, the last one among them unless only packets count; None of
    another."""
    digest = Shown(timeline.places)
    looked_at = np.asarray(digest.places if verify == "frames" else digest.places[:1], dtype=np.int64)
    if not looked_at.size or not timeline.tells_places:
        return None
    sizes: list[tuple[int, int]] = []
    for group, needed in timeline.runs(looked_at):
        wanted = needed.tolist()

        def take(place: int, frame: Any) -> tuple[tuple[int, int], str]:
            return (frame.height, frame.width), digest.take(place, frame)

        with contextlib.suppress(Astray), contextlib.closing(sound_frames(path, timeline, take, group)) as frames:
            for place, (size, seen) in frames:
                if place == wanted[0]:
                    digest.add(place, seen)
                    sizes.append(size)
                    wanted.pop(0)
                if not wanted or place > wanted[0]:
                    break
        if wanted:
            return None
    return Probe(timeline.places, *sizes[0], "pyav", digest.of(timeline.places) if verify == "frames" else "")


def _probe_all(path: Path, timeline: Timeline, decoder: str) -> Probe:
    """What a file holds by decoding all of it. Raises DecodingError."""
    digest = Shown(timeline.places)
    compared = {timeline.places // 2, timeline.places - 1}
    samples: dict[int, Pixels] = {}
    compares = decoder == "decord" and _installed("decord") and timeline.closed
    count, last, shape = 0, -1, (0, 0)
    convert = converter()

    def take(place: int, frame: Any) -> tuple[tuple[int, int], str, Pixels | None]:
        fits = compares and with_decord.fits(timeline.places, frame.height * frame.width)
        pixels = convert(frame) if fits and place in compared else None
        return (frame.height, frame.width), digest.take(place, frame), pixels

    for place, (size, seen, pixels) in sound_frames(path, timeline, take):
        count, last = count + 1, place
        shape = shape if count > 1 else size
        digest.add(place, seen)
        if pixels is not None:
            samples[place] = pixels
    if count == 0:
        raise DecodingError("no frame can be decoded")
    exact = count == timeline.places and len(samples) == len(compared) and with_decord.agrees(path, count, samples)
    return Probe(last + 1, *shape, decoder="decord" if exact else "pyav", shown=digest.of(last + 1))


def _expect_pyav() -> None:
    if not _installed("pyav"):
        raise DecodingError("PyAV is not installed; install it with: pip install av")

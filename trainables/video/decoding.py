"""Frames out of videos: the same pixels for the same file and frame, whatever was read before.

`probe(path)` decodes a file once, without converting to RGB, and says how many frames are there and which decoder reads
them exactly; `read_frames(path, indices, size)` gives the frames asked for. The decoders:

- *decord* seeks to the frames asked for. That is exact only in files without damage and without frames that are shown
  before the key frame they follow in the file (open groups of pictures, as MPEG-4 and MPEG-2 with B-frames have them):
  in others it was seen to give other frames after a seek than in sequence, and in damaged ones to raise or to repeat
  frames, depending on what was read before. So `probe` chooses it only for files without either, in which it has also
  been seen to give the frames that PyAV gives in sequence.
  It decodes ahead of what is asked for and keeps it: 400 frames of 1080 lines were seen to take 2.5 GB. So it reads no
  video of which that may be much.
- *PyAV* decodes in sequence from the first frame and converts only the frames asked for (decoding is some ten times
  cheaper than conversion). It is exact in every file and reads all the others, and all where decord is not installed.

A directory of images is a video, too (`frame_folders`): PyAV decodes only the images asked for.

A frame that cannot be decoded is replaced by the nearest earlier one that can (at the beginning: by the first) and
counted. Decoders conceal damage, and what follows it inherits the traces (grey, after a lost key frame): so a frame
that the decoder fails on or flags as corrupt takes with it all frames after it up to the next key frame. A video ends
with its last sound frame: one that was cut off, or damaged after its last key frame, has the frames before that.
Only damage that decodes without any error (noise may, in H.264) is seen by no decoder and stays.

Frames are resized by torch (bilinear with antialiasing, on uint8), each for itself, whichever decoder read them and
whether the frame cache is used or not, so that all ways to a frame agree to the bit. One thread decodes.
"""

import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.video import room
from trainables.video.contents import Identity, identity
from trainables.video.images import probe_images, read_images
from trainables.video.pixels import DecodingError, Mask, Pixels, converter, resize
from trainables.video.sequence import Timeline, length_and_pixels, read_in_sequence, sound_frames
from trainables.video.shown import Shown

Window = tuple[int, int, int, int]

RULES = 1  # raised with every change of what a file decodes to: kept inventories and caches of other rules are not used
_BLOCK = 4 * 2**20  # bytes of frames that decord hands over at a time, in the size of the source, at least one: faster than 64
_AHEAD = 2000  # frames that decord may have decoded ahead
_DECORD_BYTES = 2**27  # of all frames of a video that it reads, unless they are small
_SMALL = 100_000  # pixels in a frame
_FRAMES_IN_PYAV = 20  # about, that a decoder holds
_AGREEMENT = 8  # levels by which the decoders may differ in a pixel: their conversions were seen to differ by 2


@dataclass(frozen=True)
class Probe:
    """What a video holds: the frames that can be decoded, their size in pixels, and the decoder that is exact.

    shown: a digest of some of the frames, the same for files that decode to the same.
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


def probe(path: Path) -> Probe:
    """What a file, or a directory of frames, holds. Raises DecodingError with the reason where no frame can be decoded.

    Decodes all of it the first time; the answer is kept while the process lives and nothing changes.
    """
    try:
        found = identity(path)
    except OSError as error:
        raise DecodingError(f"cannot be read: {error.strerror}") from None
    if found.bytes == 0 and not path.is_dir():
        raise DecodingError("empty file")
    return _probe(path, found)


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
    `decoder` is the one that `probe` found, which is asked if none is given. Raises DecodingError if nothing can be
    decoded, IndexError for a frame that the file does not have.
    """
    pixels, replaced = decode(path, indices, size, decoder=decoder)
    return Frames(cut(pixels, window), int(replaced.sum()))


def read_all(path: Path, size: tuple[int, int]) -> Frames:
    """All frames of a file, resized to `size` (height, width). Raises DecodingError."""
    found = probe(path)
    return read_frames(path, range(found.frames), size, decoder=found.decoder)


def decode(path: Path, indices: Sequence[int], size: tuple[int, int], *, decoder: str | None = None) -> tuple[Pixels, Mask]:
    """`read_frames` with the places that show another frame: pixels (n, height, width, 3) and a mask (n,)."""
    needed, places = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
    if needed.size == 0 or needed[0] < 0:
        raise IndexError(f"frames {list(indices)}; expected at least one, counted from 0")
    pixels = np.empty((needed.size, *size, 3), dtype=np.uint8)
    replaced = np.zeros(needed.size, dtype=np.bool_)
    for place, (image, other) in enumerate(decode_in_order(path, needed, size, decoder=decoder)):
        pixels[place], replaced[place] = image, other
    return pixels[places], replaced[places]


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
    if (decoder or probe(path).decoder) == "decord":
        for image in _read_with_decord(path, needed, size):
            yield image, False
            done += 1
    if done < needed.size:
        _expect_pyav()
        yield from read_in_sequence(path, needed[done:], size)


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
def _probe(path: Path, _: Identity) -> Probe:
    if path.is_dir():
        _expect_pyav()
        found = probe_images(path)
        return Probe(found.frames, found.height, found.width, "pyav", found.shown)
    _expect_pyav()
    timeline = Timeline(path)
    digest = Shown(timeline.places)
    compared = {timeline.places // 2, timeline.places - 1}
    samples: dict[int, Pixels] = {}
    compares = _installed("decord") and timeline.closed
    count, last, shape = 0, -1, (0, 0)
    convert = converter()

    def take(place: int, frame: Any) -> tuple[tuple[int, int], str, Pixels | None]:
        fits = compares and _fits_decord(timeline.places, frame.height * frame.width)
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
    exact = count == timeline.places and len(samples) == len(compared) and _decord_agrees(path, count, samples)
    return Probe(last + 1, *shape, decoder="decord" if exact else "pyav", shown=digest.of(last + 1))


def _expect_pyav() -> None:
    if not _installed("pyav"):
        raise DecodingError("PyAV is not installed; install it with: pip install av")


def _read_with_decord(path: Path, needed: NDArray[np.int64], size: tuple[int, int]) -> Iterator[Pixels]:
    """The frames `needed` (rising); ends where decord fails on the file, at once where it is not there."""
    if not _installed("decord"):
        return
    try:
        with room.of_pixels(_weight_in_decord(path)):
            reader = _decord_reader(path)
            if needed[-1] >= len(reader):
                raise IndexError(f"frame {needed[-1]} of a video of {len(reader)} frames")
            start, count = 0, 1  # the first frame says how large they are
            while start < needed.size:
                block = reader.get_batch(needed[start : start + count].tolist()).asnumpy()
                yield from resize(block, size)
                start, count = start + len(block), max(1, _BLOCK // block[0].nbytes)
    except _decord_errors():
        return


def _fits_decord(frames: int, pixels: int) -> bool:
    return pixels <= _SMALL or 3 * frames * pixels <= _DECORD_BYTES


@lru_cache(maxsize=65536)
def _weight_in_decord(path: Path) -> int:
    """The pixels in a frame of a video that takes as much in PyAV as this one in decord."""
    if not _installed("pyav"):
        return 0
    frames, pixels = length_and_pixels(path)
    return min(frames or _AHEAD, _AHEAD) * pixels // _FRAMES_IN_PYAV


def _decord_errors() -> tuple[type[Exception], ...]:
    from decord import DECORDError

    return RuntimeError, DECORDError


def _decord_reader(path: Path) -> Any:
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    return decord.VideoReader(os.fspath(path), num_threads=1)


def _decord_agrees(path: Path, frames: int, samples: dict[int, Pixels]) -> bool:
    """Whether decord, seeking back and forth, gives the `samples` (place -> RGB) that sequential decoding gave."""
    with room.of_pixels(_weight_in_decord(path)):
        try:
            reader = _decord_reader(path)
            return len(reader) == frames and all(
                _alike(reader[place].asnumpy(), pixels) for place, pixels in sorted(samples.items(), reverse=True)
            )
        except _decord_errors():
            return False
        finally:
            reader = None


def _alike(found: Pixels, expected: Pixels) -> bool:
    if found.shape != expected.shape:
        return False
    return bool((np.maximum(found, expected) - np.minimum(found, expected)).max() <= _AGREEMENT)

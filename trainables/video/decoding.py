"""Frames out of videos: the same pixels for the same file and frame, whatever was read before.

`probe(path)` decodes a file once, without converting to RGB, and says how many frames are there and which decoder reads
them exactly; `read_frames(path, indices, size)` gives the frames asked for. The decoders:

- *decord* seeks to the frames asked for. That is exact only in files without damage and without frames that are shown
  before the key frame they follow in the file (open groups of pictures, as MPEG-4 and MPEG-2 with B-frames have them):
  in others it was seen to give other frames after a seek than in sequence, and in damaged ones to raise or to repeat
  frames, depending on what was read before. So `probe` chooses it only for files without either, in which it has also
  been seen to give the frames that PyAV gives in sequence.
- *PyAV* decodes in sequence from the first frame and converts only the frames asked for (decoding is some ten times
  cheaper than conversion). It is exact in every file and reads all the others, those of very large frames among them,
  and all where decord is not installed.

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
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.video.contents import Identity, identity
from trainables.video.images import probe_images, read_images
from trainables.video.pixels import DecodingError, Mask, Pixels, converter, resize

Window = tuple[int, int, int, int]

RULES = 1  # raised with every change of what a file decodes to: kept inventories and caches of other rules are not used
_BLOCK = 64 * 2**20  # bytes of frames that decord hands over at a time, in the size of the source; at least one frame
_DECORD_PIXELS = 2**22  # in a frame; at 3840x2160 decord alone was seen to take more than half a gigabyte
_AGREEMENT = 8  # levels by which the decoders may differ in a pixel: their conversions were seen to differ by 2


@dataclass(frozen=True)
class Probe:
    """What a video holds: the frames that can be decoded, their size in pixels, and the decoder that is exact."""

    frames: int
    height: int
    width: int
    decoder: str


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
        yield from _read_with_pyav(path, needed[done:], size)


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
        return Probe(*probe_images(path), decoder="pyav")
    timeline = _Timeline(path)
    samples: dict[int, Pixels] = {}
    wanted = {timeline.places // 2, timeline.places - 1}
    count, last, shape = 0, -1, (0, 0)
    convert = converter()
    for place, frame in _decodable(path, timeline):
        count, last = count + 1, place
        shape = shape if count > 1 else (frame.height, frame.width)
        if place in wanted and shape[0] * shape[1] <= _DECORD_PIXELS:
            samples[place] = convert(frame)
    if count == 0:
        raise DecodingError("no frame can be decoded")
    sound = timeline.closed and count == timeline.places and len(samples) == len(wanted)
    exact = sound and _installed("decord") and _decord_agrees(path, count, samples)
    return Probe(last + 1, *shape, decoder="decord" if exact else "pyav")


class _Spot(NamedTuple):
    """Where a packet is: its place in the order of showing and in the order of the file, and its group of pictures."""

    place: int
    order: int
    group: int


class _Timeline:
    """What the packets of a file say before anything is decoded.

    `places` is the number of places for frames. `spots` gives the spot of each presentation time, or is empty where the
    packets have no distinct times (then places are counted as frames come out). `closed` says that no packet is shown
    before the key frame that precedes it in the file, and that all packets could be read.
    """

    def __init__(self, path: Path) -> None:
        times: list[int | None] = []
        groups: list[int] = []
        self.closed, key = True, None
        with _open(path) as container:
            for packet in _packets(container, container.streams.video[0]):
                if packet is None:
                    self.closed = False
                elif packet.size:
                    times.append(packet.pts)
                    groups.append((groups[-1] if groups else 0) + packet.is_keyframe)
                    key = packet.pts if packet.is_keyframe else key
                    if key is None or packet.pts is None or packet.pts < key:
                        self.closed = False
        known = {time: order for order, time in enumerate(times) if time is not None}
        self.places = len(times)
        self.spots: dict[int, _Spot] = {}
        if len(known) == len(times):
            self.spots = {time: _Spot(place, known[time], groups[known[time]]) for place, time in enumerate(sorted(known))}

    def spot(self, time: int | None, key: bool, last: _Spot) -> _Spot | None:
        """Where a packet or frame of this presentation time is, which comes out after `last`; None if nowhere."""
        if not self.spots:
            return _Spot(last.place + 1, last.order + 1, last.group + key)
        return None if time is None else self.spots.get(time)


def _expect_pyav() -> None:
    if not _installed("pyav"):
        raise DecodingError("PyAV is not installed; install it with: pip install av")


def _open(path: Path) -> Any:
    _expect_pyav()
    import av

    try:
        container = av.open(str(path))
    except (av.FFmpegError, ValueError, UnicodeError):
        raise DecodingError("not a readable video: another kind of file, or cut off before its index") from None
    if not container.streams.video:
        container.close()
        raise DecodingError("no video stream")
    return container


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """The packets of a stream, the last one empty (it empties the decoder); None where reading fails, which ends it."""
    import av

    try:
        yield from container.demux(stream)
    except av.FFmpegError:
        yield None


def _decoded(container: Any, stream: Any) -> Iterator[tuple[Any, list[Any] | None]]:
    """Each packet with the frames that the decoder hands over after it, in the order of showing; None if it fails."""
    import av

    for packet in _packets(container, stream):
        try:
            yield packet, stream.codec_context.decode(packet)
        except av.FFmpegError:
            yield packet, None


def _decodable(path: Path, timeline: _Timeline) -> Iterator[tuple[int, Any]]:
    """(place, frame) of all frames of a file that can be decoded from sound ones, in rising order of places."""
    damage = _Damage()
    last = _Spot(-1, -1, 0)
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        for packet, frames in _decoded(container, stream):
            if frames is None and packet is not None:
                failed = timeline.spot(packet.pts, packet.is_keyframe, last)
                if failed is not None:
                    damage.at(failed)
            for frame in frames or ():
                spot = timeline.spot(frame.pts, frame.key_frame, last)
                if spot is None or spot.place <= last.place:
                    continue
                last = spot
                if frame.is_corrupt:
                    damage.at(spot)
                yield from damage.settle(spot, frame)
    yield from damage.rest()


class _Damage:
    """Keeps back frames that depend on damaged ones.

    Frames come in the order of showing, but depend on frames before them in the order of the file, some of which are
    shown later (those around B-frames). So a frame is let go when all before it in the file have come out or failed.
    """

    def __init__(self) -> None:
        self._first: dict[int, int] = {}  # group of pictures -> order of its first damaged packet
        self._held: deque[tuple[_Spot, Any]] = deque()
        self._settled: set[int] = set()
        self._frontier = 0  # every order below has come out or failed

    def at(self, spot: _Spot) -> None:
        """The packet at `spot` is damaged."""
        self._first[spot.group] = min(spot.order, self._first.get(spot.group, spot.order))
        self._settled.add(spot.order)

    def settle(self, spot: _Spot, frame: Any) -> Iterator[tuple[int, Any]]:
        """Take in the next frame shown and let go those that are now known to be sound, as (place, frame)."""
        self._held.append((spot, frame))
        self._settled.add(spot.order)
        if frame.key_frame:
            self._frontier = max(self._frontier, spot.order)
        while self._frontier in self._settled:
            self._settled.remove(self._frontier)
            self._frontier += 1
        while self._held and self._held[0][0].order < self._frontier:
            yield from self._let_go()

    def rest(self) -> Iterator[tuple[int, Any]]:
        """The sound frames among those still kept back, at the end of the file."""
        while self._held:
            yield from self._let_go()

    def _let_go(self) -> Iterator[tuple[int, Any]]:
        spot, frame = self._held.popleft()
        if spot.group not in self._first or spot.order < self._first[spot.group]:
            yield spot.place, frame


def _read_with_pyav(path: Path, needed: NDArray[np.int64], size: tuple[int, int]) -> Iterator[tuple[Pixels, bool]]:
    """The frames `needed` (rising), and of each whether it shows another frame."""
    timeline = _Timeline(path)
    convert = converter()
    done, shown, source = 0, -1, None
    for place, frame in _decodable(path, timeline):
        while done < needed.size and needed[done] < place:
            yield resize(convert(source or frame)[None], size)[0], bool(needed[done] != shown)
            done += 1
        shown, source = place, frame
        if done == needed.size:
            return
    if source is None:
        raise DecodingError("no frame can be decoded")
    if needed[-1] >= max(timeline.places, shown + 1):
        raise IndexError(f"frame {needed[-1]} of a video of {max(timeline.places, shown + 1)} frames")
    for left in range(done, needed.size):
        yield resize(convert(source)[None], size)[0], bool(needed[left] != shown)


def _read_with_decord(path: Path, needed: NDArray[np.int64], size: tuple[int, int]) -> Iterator[Pixels]:
    """The frames `needed` (rising); ends where decord fails on the file, at once where it is not there."""
    if not _installed("decord"):
        return
    try:
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


def _decord_errors() -> tuple[type[Exception], ...]:
    from decord import DECORDError

    return RuntimeError, DECORDError


def _decord_reader(path: Path) -> Any:
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    return decord.VideoReader(os.fspath(path), num_threads=1)


def _decord_agrees(path: Path, frames: int, samples: dict[int, Pixels]) -> bool:
    """Whether decord, seeking back and forth, gives the `samples` (place -> RGB) that sequential decoding gave."""
    try:
        reader = _decord_reader(path)
        if len(reader) != frames:
            return False
        for place in sorted(samples, reverse=True):
            found = reader[place].asnumpy()
            if found.shape != samples[place].shape:
                return False
            if (np.maximum(found, samples[place]) - np.minimum(found, samples[place])).max() > _AGREEMENT:
                return False
    except _decord_errors():
        return False
    return True

"""Frames of a video file by PyAV, decoded in sequence from the first one: sound ones apart from those that damage reached.

What is wanted of a frame is taken from it when the decoder hands it over, and nothing else is kept: a frame of 8K may take a
hundred megabytes, and several wait until it is known whether what they depend on is sound.
"""

import contextlib
import ctypes
from collections import deque
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from trainables.video import room
from trainables.video.pixels import DecodingError, Pixels, converter, resize

_LARGE = 2**21  # pixels in a frame
Taken = TypeVar("Taken")


class _Spot(NamedTuple):
    """Where a packet is: its place in the order of showing and in the order of the file, and its group of pictures."""

    place: int
    order: int
    group: int


class Timeline:
    """What the packets of a file say before anything is decoded.

    `places` is the number of places for frames. `spots` gives the spot of each presentation time, or is empty where the
    packets have no distinct times (then places are counted as frames come out). `closed` says that no packet is shown
    before the key frame that precedes it in the file, and that all packets could be read. `pixels` are those of a frame.
    """

    def __init__(self, path: Path) -> None:
        times: list[int | None] = []
        groups: list[int] = []
        self.closed, key = True, None
        with _open(path) as container:
            stream = container.streams.video[0]
            self.pixels = stream.codec_context.width * stream.codec_context.height
            for packet in _packets(container, stream):
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


def _open(path: Path) -> Any:
    import av

    try:
        container = av.open(str(path))
    except (av.FFmpegError, ValueError, UnicodeError):
        raise DecodingError("not a readable video: another kind of file, or cut off before its index") from None
    if not container.streams.video:
        container.close()
        raise DecodingError("no video stream")
    return container


def length_and_pixels(path: Path) -> tuple[int, int]:
    """The frames of a file as its head says, 0 where it does not, and the pixels in one. Raises DecodingError."""
    with _open(path) as container:
        stream = container.streams.video[0]
        return stream.frames, stream.codec_context.width * stream.codec_context.height


def _give_back() -> None:
    """Let the system have the memory of a decoder that is gone, which glibc keeps for each thread."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


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


def sound_frames(path: Path, timeline: Timeline, take: Callable[[int, Any], Taken]) -> Generator[tuple[int, Taken], None, None]:
    """Of all frames of a file that can be decoded from sound ones, in rising order: the place and `take(place, frame)`."""
    with room.of_pixels(timeline.pixels):
        try:
            yield from _sound_frames(path, timeline, take)
        finally:
            if timeline.pixels > _LARGE:
                _give_back()


def _sound_frames(
    path: Path, timeline: Timeline, take: Callable[[int, Any], Taken]
) -> Generator[tuple[int, Taken], None, None]:
    damage = _Damage[Taken]()
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
            while frames:
                frame = frames.pop(0)
                spot = timeline.spot(frame.pts, frame.key_frame, last)
                if spot is None or spot.place <= last.place:
                    continue
                last = spot
                if frame.is_corrupt:
                    damage.at(spot)
                key, taken = frame.key_frame, take(spot.place, frame)
                del frame  # before the next is decoded
                yield from damage.settle(spot, key, taken)
    yield from damage.rest()


class _Damage(Generic[Taken]):
    """Keeps back frames that depend on damaged ones.

    Frames come in the order of showing, but depend on frames before them in the order of the file, some of which are
    shown later (those around B-frames). So a frame is let go when all before it in the file have come out or failed.
    """

    def __init__(self) -> None:
        self._first: dict[int, int] = {}  # group of pictures -> order of its first damaged packet
        self._held: deque[tuple[_Spot, Taken]] = deque()
        self._settled: set[int] = set()
        self._frontier = 0  # every order below has come out or failed

    def at(self, spot: _Spot) -> None:
        """The packet at `spot` is damaged."""
        self._first[spot.group] = min(spot.order, self._first.get(spot.group, spot.order))
        self._settled.add(spot.order)

    def settle(self, spot: _Spot, key: bool, taken: Taken) -> Iterator[tuple[int, Taken]]:
        """Take in what was taken of the next frame shown; let go, with its place, what is now known to be of sound ones."""
        self._held.append((spot, taken))
        self._settled.add(spot.order)
        if key:
            self._frontier = max(self._frontier, spot.order)
        while self._frontier in self._settled:
            self._settled.remove(self._frontier)
            self._frontier += 1
        while self._held and self._held[0][0].order < self._frontier:
            yield from self._let_go()

    def rest(self) -> Iterator[tuple[int, Taken]]:
        """The sound frames among those still kept back, at the end of the file."""
        while self._held:
            yield from self._let_go()

    def _let_go(self) -> Iterator[tuple[int, Taken]]:
        spot, taken = self._held.popleft()
        if spot.group not in self._first or spot.order < self._first[spot.group]:
            yield spot.place, taken


def read_in_sequence(path: Path, needed: NDArray[np.int64], size: tuple[int, int]) -> Iterator[tuple[Pixels, bool]]:
    """The frames `needed` (rising), resized to `size`, and of each whether it shows another frame: the nearest sound one before
    it, at the beginning the first. Raises DecodingError, IndexError.

    Only needed frames are converted. Where another has to stand in for one of them, the file is decoded once more for it.
    """
    timeline = Timeline(path)
    stand_in = -1
    while needed.size:
        read, stand_in = yield from _read_until_another(path, timeline, needed, size, stand_in)
        needed = needed[read:]


def _read_until_another(
    path: Path, timeline: Timeline, needed: NDArray[np.int64], size: tuple[int, int], stand_in: int
) -> Generator[tuple[Pixels, bool], None, tuple[int, int]]:
    """`read_in_sequence` until a frame lacks that is neither of `needed` nor `stand_in`: how many were read, and that frame."""
    wanted, convert = {*needed.tolist(), stand_in}, converter()

    def take(place: int, frame: Any) -> Pixels | None:
        return resize(convert(frame)[None], size)[0] if place in wanted else None

    done = 0
    before: tuple[int, Pixels | None] = (-1, None)
    with contextlib.closing(sound_frames(path, timeline, take)) as frames:
        for found in frames:
            while needed[done] <= found[0]:
                place, image = found if needed[done] == found[0] or before[0] < 0 else before
                if image is None:
                    return done, place
                yield image, bool(needed[done] != place)
                done += 1
                if done == needed.size:
                    return done, -1
            before = found
    place, image = before
    if place < 0:
        raise DecodingError("no frame can be decoded")
    if needed[-1] >= max(timeline.places, place + 1):
        raise IndexError(f"frame {needed[-1]} of a video of {max(timeline.places, place + 1)} frames")
    if image is None:
        return done, place
    for _ in needed[done:]:
        yield image, True
    return needed.size, -1

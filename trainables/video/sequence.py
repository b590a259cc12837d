"""Frames of a video file by PyAV: sound ones apart from those that damage reached, the same from wherever decoding begins.

What is wanted of a frame is taken from it when the decoder hands it over, and nothing else is kept: a frame of 8K may take a
hundred megabytes, and several wait until it is known whether what they depend on is sound.

Decoding begins at the key frame before what is wanted where no packet of the file is shown before the key frame that it
follows, all have times, and a seek finds the packets that the file was seen to have. Whatever is not found sound there is read
in sequence from the first frame, which alone says what stands in for a damaged one.
"""

import contextlib
import ctypes
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Container, Generator, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from trainables.video import room
from trainables.video.apart import frames_apart
from trainables.video.contents import Identity, identity
from trainables.video.pixels import DecodingError, Pixels, converter, resize

_LARGE = 2**21  # pixels in a frame
_APART = 25_000_000
"""Bytes in a frame, those of 4K of ten bits: a decoder may hold seventeen, which are 600 MB with what it keeps of each, beside
torch's 250."""
_SMALL = 100_000  # pixels in a frame, up to which frames are resized together
_TOGETHER = 2**20  # bytes of frames that are resized together, in the size of the source: what a cache holds
_UNKNOWN = 24  # bits of a pixel of which nothing is known
_WORTH = 12  # packets that are decoded for nothing rather than to open the file once more
Taken = TypeVar("Taken")


class _Spot(NamedTuple):
    """Where a packet is: its place in the order of showing and in the order of the file, and its group of pictures."""

    place: int
    order: int
    group: int


class Timeline:
    """What the packets of a file say before anything is decoded.

    `places` is the number of places for frames. `timed` says whether packets have distinct presentation times, which tell the
    spot of a frame (else places are counted as frames come out). `closed` says that no packet is shown before the key frame
    that precedes it in the file, and that all packets could be read to their ends. `pixels` and `bytes` are those of a frame.
    """

    def __init__(self, path: Path) -> None:
        times: list[int | None] = []
        groups: list[int] = []
        self._sizes = array("i")
        self._keys = array("i", [0])  # by group the order of its key frame; of 0 the first packet
        self.closed, key = True, None
        with _open(path) as container:
            stream = container.streams.video[0]
            self.pixels = stream.codec_context.width * stream.codec_context.height
            format_ = stream.codec_context.format
            self.bytes = self.pixels * (format_.padded_bits_per_pixel if format_ else _UNKNOWN) // 8
            for packet in _packets(container, stream):
                if packet is None:
                    self.closed = False
                elif packet.size:
                    if packet.is_corrupt:  # cut off
                        self.closed = False
                    if packet.is_keyframe:
                        self._keys.append(len(times))
                        key = packet.pts
                    times.append(packet.pts)
                    groups.append(len(self._keys) - 1)
                    self._sizes.append(packet.size)
                    if key is None or packet.pts is None or packet.pts < key:
                        self.closed = False
        known = {time: order for order, time in enumerate(times) if time is not None}
        self.places = len(times)
        self.timed = 0 < len(known) == len(times)
        self._times = array("q", sorted(known) if self.timed else [])
        self._orders = array("i", map(known.__getitem__, self._times))
        self._groups = array("i", (groups[order] for order in self._orders))

    @property
    def tells_places(self) -> bool:
        """Whether it is known of every frame where it is, and from which key frame on it can be decoded."""
        return self.closed and self.timed

    def spot(self, time: int | None, key: bool, last: _Spot) -> _Spot | None:
        """Where a packet or frame of this presentation time is, which comes out after `last`; None if nowhere."""
        if not self.timed:
            return _Spot(last.place + 1, last.order + 1, last.group + key)
        place = -1 if time is None else bisect_left(self._times, time)
        if not 0 <= place < self.places or self._times[place] != time:
            return None
        return _Spot(place, self._orders[place], self._groups[place])

    def runs(self, needed: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """The frames `needed` (rising) in parts, and of each the group at whose key frame decoding begins; 0: in sequence."""
        if not self.tells_places or needed[-1] >= self.places:
            yield 0, needed
            return
        orders, groups = (np.frombuffer(values, dtype=np.int32)[needed] for values in (self._orders, self._groups))
        keys = np.frombuffer(self._keys, dtype=np.int32)[groups]
        begins = np.flatnonzero(np.concatenate([[True], keys[1:] - orders[:-1] > _WORTH]))
        for begin, end in zip(begins, [*begins[1:], needed.size], strict=True):
            yield (int(groups[begin]) if keys[begin] > _WORTH else 0), needed[begin:end]

    def key_time(self, group: int) -> int:
        """The presentation time of a group's key frame, where times are distinct."""
        return self._times[self._orders.index(self._keys[group])]

    def is_next(self, packet: Any, order: int) -> bool:
        """Whether a packet is the one of this order in the file."""
        spot = self.spot(packet.pts, packet.is_keyframe, _NOWHERE)
        return spot is not None and spot.order == order and packet.size == self._sizes[order]

    def key_order(self, group: int) -> int:
        """The order in the file of a group's key frame."""
        return self._keys[group]


_NOWHERE = _Spot(-1, -1, 0)


def timeline_of(path: Path) -> Timeline:
    """The timeline of a file, kept while the process lives and nothing changes. Raises DecodingError."""
    try:
        return _timeline(path, identity(path))
    except OSError as error:
        raise DecodingError(f"cannot be read: {error.strerror}") from None


@lru_cache(maxsize=2**14)  # some 4 KB of a video of 200 frames
def _timeline(path: Path, _: Identity) -> Timeline:
    return Timeline(path)


def _open(path: Path) -> Any:
    import av

    try:
        container = av.open(str(path))
    except (av.FFmpegError, ValueError, UnicodeError):
        raise DecodingError("not a readable video: another kind of file, or cut off before its index") from None
    if not container.streams.video:
        container.close()
        raise DecodingError("no video stream")
    if container.streams.video[0].codec_context is None:
        container.close()
        raise DecodingError("a video stream in a codec that PyAV does not know")
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


def _decoded(stream: Any, packets: Iterator[Any]) -> Iterator[tuple[Any, list[Any] | None]]:
    """Each of the packets of a stream with the frames that the decoder hands over after it, in the order of showing; None if
    it fails."""
    import av

    for packet in packets:
        try:
            yield packet, stream.codec_context.decode(packet)
        except av.FFmpegError:
            yield packet, None


class Astray(Exception):
    """A seek found other packets than the file has in sequence."""


def sound_frames(
    path: Path, timeline: Timeline, take: Callable[[int, Any], Taken], group: int = 0
) -> Generator[tuple[int, Taken], None, None]:
    """Of all frames that can be decoded from sound ones, in rising order: the place and `take(place, frame)`.

    group: the one from whose key frame on the file is decoded; 0: from its beginning. Raises Astray if no seek leads there.
    """
    with room.of_pixels(timeline.pixels):
        try:
            if timeline.bytes > _APART:
                yield from frames_apart(_sound_frames, path, timeline, group, take=take)
            else:
                yield from _sound_frames(path, timeline, group, take)
        finally:
            if timeline.pixels > _LARGE:
                _give_back()


def _sound_frames(
    path: Path, timeline: Timeline, group: int, take: Callable[[int, Any], Taken]
) -> Generator[tuple[int, Taken], None, None]:
    damage = _Damage[Taken]()
    last = _NOWHERE
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        packets = _packets_from(container, stream, timeline, group) if group else _packets(container, stream)
        for packet, frames in _decoded(stream, packets):
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


def _packets_from(container: Any, stream: Any, timeline: Timeline, group: int) -> Iterator[Any]:
    """The packets of a stream from a group's key frame on, as `_packets`. Raises Astray."""
    import av

    order = timeline.key_order(group)
    try:
        container.seek(timeline.key_time(group), stream=stream)
    except av.FFmpegError:
        raise Astray from None
    begun = False
    for packet in _packets(container, stream):
        if packet is not None and packet.size:
            if not begun:
                spot = timeline.spot(packet.pts, packet.is_keyframe, _NOWHERE)
                if spot is None or spot.order > order:
                    raise Astray
                if spot.order < order:
                    continue
                begun = True
            if not timeline.is_next(packet, order):
                raise Astray
            order += 1
        yield packet


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


def read(path: Path, needed: NDArray[np.int64], size: tuple[int, int]) -> Iterator[tuple[Pixels, bool]]:
    """The frames `needed` (rising), resized to `size`, and of each whether it shows another frame: the nearest sound one before
    it, at the beginning the first. Raises DecodingError, IndexError.

    Only needed frames are converted. Where another has to stand in for one of them, the file is decoded once more for it.
    """
    yield from _resized(_read(path, timeline_of(path), needed, size), size)


def _read(path: Path, timeline: Timeline, needed: NDArray[np.int64], size: tuple[int, int]) -> Iterator[tuple[Pixels, bool]]:
    """`read`, of small frames in the size of the source."""
    for group, part in timeline.runs(needed):
        done = (yield from _read_from_key(path, timeline, part, size, group)) if group else 0
        part, stand_in = part[done:], -1
        while part.size:
            done, stand_in = yield from _read_until_another(path, timeline, part, size, stand_in)
            part = part[done:]


def _resized(frames: Iterator[tuple[Pixels, bool]], size: tuple[int, int]) -> Iterator[tuple[Pixels, bool]]:
    """The frames resized to `size`, several at a time, which costs half as much."""
    together: list[tuple[Pixels, bool]] = []

    def let_go() -> Iterator[tuple[Pixels, bool]]:
        if together:
            images = resize(np.stack([image for image, _ in together]), size)
            yield from zip(images, [other for _, other in together], strict=True)
            together.clear()

    for image, other in frames:
        if together and (together[0][0].shape != image.shape or len(together) * image.nbytes >= _TOGETHER):
            yield from let_go()
        together.append((image, other))
    yield from let_go()


def _taker(wanted: Container[int], size: tuple[int, int]) -> Callable[[int, Any], Pixels | None]:
    """Takes the pixels of the frames that are wanted: of small ones in their own size, to be resized together."""
    convert = converter()

    def take(place: int, frame: Any) -> Pixels | None:
        if place not in wanted:
            return None
        image = convert(frame)
        return image if frame.height * frame.width <= _SMALL else resize(image[None], size)[0]

    return take


def _read_from_key(
    path: Path, timeline: Timeline, needed: NDArray[np.int64], size: tuple[int, int], group: int
) -> Generator[tuple[Pixels, bool], None, int]:
    """The frames `needed` by decoding from a group's key frame on, up to the first that is not sound: how many there were."""
    done = 0
    frames = sound_frames(path, timeline, _taker(set(needed.tolist()), size), group)
    with contextlib.suppress(Astray), contextlib.closing(frames):
        for place, image in frames:
            if place > needed[done]:
                break
            if image is not None:
                yield image, False
                done += 1
                if done == needed.size:
                    break
    return done


def _read_until_another(
    path: Path, timeline: Timeline, needed: NDArray[np.int64], size: tuple[int, int], stand_in: int
) -> Generator[tuple[Pixels, bool], None, tuple[int, int]]:
    """Reads in sequence until a frame lacks that is neither of `needed` nor `stand_in`: how many were read, and that frame."""
    take = _taker({*needed.tolist(), stand_in}, size)
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

"""Videos that lie as directories of images, a file for each frame: `img_00001.jpg`, `00001.jpg`, `frame000001.png`.

`probe(directory)` says what is there and `read(directory, indices)` gives frames, by the rules of video files: frames are in
the order of their numbers, one that cannot be decoded, or was cut off, shows the nearest earlier one that can (at the
beginning: the first), and a video ends with its last sound frame. Files of optical flow beside the frames are left out.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from trainables.video.decoding import DecodingError, Pixels, Probe

DECODER = "images"
"""What reads such a directory, where `Probe` names a decoder."""
EXTENSIONS = (".jpg", ".jpeg", ".png")
_JPEG_BEGINS, _JPEG_ENDS = b"\xff\xd8", b"\xff\xd9"
_TAIL = 512  # bytes in which the end of a JPEG stands; some writers pad their files
_NAME = re.compile(rf"(?P<sort>.*?)(?P<number>\d+)({'|'.join(map(re.escape, EXTENSIONS))})", re.IGNORECASE)


def is_frame_folder(directory: Path) -> bool:
    """Whether there is a directory of frames at the path."""
    try:
        return bool(_frames(directory))
    except DecodingError:
        return False


def identity(directory: Path) -> tuple[int, int]:
    """The size of all frames together in bytes, and when the last of them, or the directory, was changed, in ns."""
    found = [directory.stat(), *(_status(directory / name) for name in _frames(directory))]
    return sum(status.st_size for status in found[1:]), max(status.st_mtime_ns for status in found)


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError:  # a link that leads nowhere: a damaged frame
        return path.lstat()


def probe(directory: Path) -> Probe:
    """What the directory holds: frames up to the last that can be decoded. Raises DecodingError where none can."""
    names = _frames(directory)
    sound = next((place for place in reversed(range(len(names))) if _image(directory / names[place]) is not None), None)
    if sound is None:
        raise DecodingError("no frame can be decoded")
    height, width, _ = _nearest(directory, names, 0)[0].shape
    return Probe(sound + 1, height, width, DECODER)


def read(directory: Path, indices: Iterable[int]) -> Iterator[tuple[Pixels, bool]]:
    """Frames as uint8 RGB (height, width, 3) in their own size, each with whether it shows another frame in its place.

    Raises DecodingError if no frame can be decoded, IndexError for one that is not there.
    """
    names = _frames(directory)
    for place in indices:
        if not 0 <= place < len(names):
            raise IndexError(f"frame {place} of a video of {len(names)} frames")
        yield _nearest(directory, names, place)


def _frames(directory: Path) -> tuple[str, ...]:
    """The names of the frames, in order. Raises DecodingError if there are none, or of two sorts."""
    try:
        changed = directory.stat().st_mtime_ns
        return _frames_of(directory, changed)
    except OSError as error:
        raise DecodingError(f"cannot be read: {error.strerror}") from None


@lru_cache(maxsize=1024)
def _frames_of(directory: Path, changed: int) -> tuple[str, ...]:
    sorts: dict[str, list[tuple[int, str]]] = {}
    for path in directory.iterdir():
        match = _NAME.fullmatch(path.name)
        if match and not match["sort"].startswith(("flow", ".")):
            sorts.setdefault(match["sort"], []).append((int(match["number"]), path.name))
    if not sorts:
        raise DecodingError(f"no frames ({', '.join(EXTENSIONS)}, named by their numbers) in this directory")
    if len(sorts) > 1:
        examples = " and ".join(repr(min(frames)[1]) for _, frames in sorted(sorts.items())[:2])
        raise DecodingError(f"frames of {len(sorts)} sorts, such as {examples}; expected those of one video")
    return tuple(name for _, name in sorted(*sorts.values()))


def _nearest(directory: Path, names: Sequence[str], place: int) -> tuple[Pixels, bool]:
    """The frame at a place or, where it cannot be decoded, the nearest earlier or else the first; and whether it is another."""
    for other in (*range(place, -1, -1), *range(place + 1, len(names))):
        image = _image(directory / names[other])
        if image is not None:
            return image, other != place
    raise DecodingError("no frame can be decoded")


def _image(path: Path) -> Pixels | None:
    """RGB (height, width, 3); None for a file that cannot be decoded, or a JPEG without its end, which decodes to grey."""
    import cv2

    try:
        coded = path.read_bytes()
    except OSError:
        return None
    if not coded or (coded.startswith(_JPEG_BEGINS) and _JPEG_ENDS not in coded[-_TAIL:]):
        return None
    decoded = cv2.imdecode(np.frombuffer(coded, dtype=np.uint8), cv2.IMREAD_COLOR)
    return None if decoded is None else np.ascontiguousarray(decoded[:, :, ::-1], dtype=np.uint8)

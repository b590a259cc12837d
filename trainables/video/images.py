"""Frames that are images in a directory, decoded one by one by PyAV.

An image that cannot be read or decoded is a damaged frame. A JPEG without its end counts as damaged, too, as its decoder makes
up what is missing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.video import room
from trainables.video.frame_folders import ambiguity, frame_files
from trainables.video.pixels import DecodingError, Pixels, converter, resize
from trainables.video.shown import Shown
from trainables.video.videos import printable

_PIXELS_PER_BYTE = 4  # about, in a JPEG
_END_OF_JPEG = b"\xff\xd9"
_SIGNATURES = {b"\x89PNG": "png", b"\xff\xd8": "mjpeg", b"BM": "bmp"}
"""What images begin with, whatever their names end in: with the decoder of each."""


class Images(NamedTuple):
    """Of the images of a directory: how many frames there are up to the last sound one, their size in pixels, and a digest."""

    frames: int
    height: int
    width: int
    shown: str


def probe_images(directory: Path, all_of_them: bool = True) -> Images:
    """Decodes all images; if they need not be looked at, only the first, unless it is damaged.

    Raises DecodingError where there is none, where it is not clear which they are, and for sizes that differ.
    """
    names = _frames(directory)
    if reason := ambiguity(names):
        raise DecodingError(printable(reason))
    if not all_of_them and (image := _decoded(directory / names[0])) is not None:
        return Images(len(names), image.height, image.width, "")
    digest = Shown(len(names))
    last, first, shape = -1, "", (0, 0)
    for place, name in enumerate(names):
        image = _decoded(directory / name)
        if image is None:
            continue
        if last >= 0 and (image.height, image.width) != shape:
            sizes = f"{printable(name)} is {image.width}x{image.height}, and {printable(first)} {shape[1]}x{shape[0]}"
            raise DecodingError(f"{sizes}; expected frames of one size")
        if last < 0:
            first, shape = name, (image.height, image.width)
        last = place
        digest.add(place, digest.take(place, image))
    if last < 0:
        raise DecodingError(f"no frame can be decoded, of {len(names)} images")
    return Images(last + 1, *shape, digest.of(last + 1))


def read_images(directory: Path, needed: NDArray[np.int64], size: tuple[int, int]) -> Iterator[tuple[Pixels, bool]]:
    """The frames `needed` (rising), resized to `size`, and of each whether it shows another frame: the nearest sound one before
    it, at the beginning the first. Raises DecodingError, IndexError."""
    names = _frames(directory)
    if needed[-1] >= len(names):
        raise IndexError(f"frame {needed[-1]} of a video of {len(names)} frames")
    convert = converter()
    shown = -1
    pixels: Pixels | None = None
    for place in needed:
        for source in (*range(place, shown, -1), *(range(place + 1, len(names)) if pixels is None else ())):
            image = _decoded(directory / names[source])
            if image is not None:
                shown, pixels = source, resize(convert(image)[None], size)[0]
                break
        if pixels is None:
            raise DecodingError(f"no frame can be decoded, of {len(names)} images")
        yield pixels, bool(shown != place)


def _frames(directory: Path) -> list[str]:
    try:
        names = frame_files(directory)
    except OSError as error:
        raise DecodingError(f"cannot be read: {error.strerror}") from None
    if not names:
        raise DecodingError("a directory without images that are numbered, such as img_00001.jpg")
    return names


def _decoded(path: Path) -> Any:
    """The image as PyAV's frame; None if it is damaged."""
    import av

    try:
        content = path.read_bytes()
        decoder = next((name for start, name in _SIGNATURES.items() if content.startswith(start)), None)
        if decoder is None or (decoder == "mjpeg" and _END_OF_JPEG not in content):
            return None
        context: Any = av.CodecContext.create(decoder, "r")
        context.thread_type, context.thread_count, context.options = "NONE", 1, {"err_detect": "explode"}
        with room.of_pixels(_PIXELS_PER_BYTE * len(content)):
            return next(iter([*context.decode(av.Packet(content)), *context.decode(None)]), None)
    except (OSError, av.FFmpegError):
        return None

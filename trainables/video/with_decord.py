"""The decoder decord, of files in which its seeks are exact: used where `data.decoder` asks for it.

It gives other frames after a seek than in sequence where frames are shown before the key frame that they follow in the file
(open groups of pictures), and in damaged files raises or repeats frames, depending on what was read before. So `agrees` says
of which files without either it has also been seen to give the frames that PyAV gives; their conversions to RGB were seen to
differ by 2 levels. It decodes ahead of what is asked for and keeps it: 400 frames of 1080 lines were seen to take 2.5 GB. So
it reads no video of which that may be much. No release since 2021; x86-64 Linux only.
"""

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.video import room
from trainables.video.pixels import Pixels, resize
from trainables.video.sequence import length_and_pixels

_BLOCK = 4 * 2**20  # bytes of frames that it hands over at a time, in the size of the source, at least one: faster than 64
_AHEAD = 2000  # frames that it may have decoded ahead
_BYTES = 2**27  # of all frames of a video that it reads, unless they are small
_SMALL = 100_000  # pixels in a frame
_FRAMES_IN_PYAV = 20  # about, that a decoder holds
_AGREEMENT = 8  # levels by which the decoders may differ in a pixel


def fits(frames: int, pixels: int) -> bool:
    """Whether it may read a video of so many frames of so many pixels each."""
    return pixels <= _SMALL or 3 * frames * pixels <= _BYTES


def agrees(path: Path, frames: int, samples: Mapping[int, Pixels]) -> bool:
    """Whether decord, seeking back and forth, gives the `samples` (place -> RGB) that sequential decoding gave."""
    with room.of_pixels(_weight(path)):
        try:
            reader = _reader(path)
            return len(reader) == frames and all(
                _alike(reader[place].asnumpy(), pixels) for place, pixels in sorted(samples.items(), reverse=True)
            )
        except _errors():
            return False
        finally:
            reader = None


def read(path: Path, needed: NDArray[np.int64], size: tuple[int, int]) -> Iterator[Pixels]:
    """The frames `needed` (rising), resized; ends where decord fails on the file."""
    try:
        with room.of_pixels(_weight(path)):
            reader = _reader(path)
            if needed[-1] >= len(reader):
                raise IndexError(f"frame {needed[-1]} of a video of {len(reader)} frames")
            start, count = 0, 1  # the first frame says how large they are
            while start < needed.size:
                block = reader.get_batch(needed[start : start + count].tolist()).asnumpy()
                yield from resize(block, size)
                start, count = start + len(block), max(1, _BLOCK // block[0].nbytes)
    except _errors():
        return


@lru_cache(maxsize=65536)
def _weight(path: Path) -> int:
    """The pixels in a frame of a video that takes as much in PyAV as this one in decord."""
    frames, pixels = length_and_pixels(path)
    return min(frames or _AHEAD, _AHEAD) * pixels // _FRAMES_IN_PYAV


def _errors() -> tuple[type[Exception], ...]:
    from decord import DECORDError

    return RuntimeError, DECORDError


def _reader(path: Path) -> Any:
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    return decord.VideoReader(os.fspath(path), num_threads=1)


def _alike(found: Pixels, expected: Pixels) -> bool:
    if found.shape != expected.shape:
        return False
    return bool((np.maximum(found, expected) - np.minimum(found, expected)).max() <= _AGREEMENT)

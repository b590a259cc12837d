"""Videos that lie as a directory of images, one for each frame: `img_00001.jpg`, `frame_000001.jpg`, `0001.png`.

The frames are in the order of the number at the end of their names, whatever its width; there may be
gaps. Images of optical flow (`flow_x_00001.jpg`, `y_00001.jpg`), hidden files and whatever is no image with
a number are no frames.
"""

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

IMAGES = (".jpg", ".jpeg", ".png", ".bmp")

_NUMBERED = re.compile(r"(?!\.)(.*?)([0-9]+)\.[a-z]+", re.IGNORECASE | re.DOTALL)
_FLOW = re.compile(r"(flow[_-]?[a-z]?|[xy])[_-]", re.IGNORECASE)


class _Numbered(NamedTuple):
    number: int
    before: str


def is_frame(name: str) -> bool:
    """Whether a file of this name is a frame."""
    return _numbered(name) is not None


def frame_files(directory: Path) -> list[str]:
    """The names of the frames in a directory, in the order in which they are shown. Raises OSError."""
    frames = ((_numbered(name), name) for name in os.listdir(directory))  # noqa: PTH208  there may be very many
    return [name for _, name in sorted((numbered, name) for numbered, name in frames if numbered)]


def image_left_out(directory: Path) -> str:
    """The first image in a directory that is neither a frame nor hidden, "" if there is none. Raises OSError."""
    images = (name for name in os.listdir(directory) if name.lower().endswith(IMAGES))  # noqa: PTH208
    return min((name for name in images if not name.startswith(".") and not is_frame(name)), default="")


def ambiguity(frames: Sequence[str]) -> str:
    """Why it is not clear which of the images of a directory, given in order, make up its video; "" if it is."""
    numbered = [_numbered(name) for name in frames]
    kinds = {known.before: name for known, name in zip(reversed(numbered), reversed(frames), strict=True) if known}
    if len(kinds) > 1:
        one, other, *_ = sorted(kinds.values())
        return f"images of {len(kinds)} kinds, such as {one} and {other}; expected one name with numbers"
    for (one, known), (other, following) in itertools.pairwise(zip(frames, numbered, strict=True)):
        if known == following:
            return f"{one} and {other} have the same number"
    return ""


def _numbered(name: str) -> _Numbered | None:
    """The name of a frame taken apart; None of any other file."""
    match = _NUMBERED.fullmatch(name) if name.lower().endswith(IMAGES) else None
    return None if match is None or _FLOW.fullmatch(match[1]) else _Numbered(int(match[2]), match[1])

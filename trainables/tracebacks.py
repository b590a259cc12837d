"""Where the project's code, or somebody's own, is, or was when an error was raised; below it are Python and packages."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from types import FrameType

_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_PROJECT = tuple(str(Path(__file__).parents[1] / package) for package in ("harness", "search_spaces", "trainables", "reports"))


def own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames of an error that are neither of Python nor of an installed package, the innermost last."""
    return [frame for frame in traceback.extract_tb(error.__traceback__) if is_own(frame.filename)]


def is_own(filename: str) -> bool:
    """Whether a file is the project's or somebody's own, not one of Python or of an installed package."""
    return filename.startswith(_PROJECT) or not filename.startswith(("<", *_INSTALLED))


def place_of(frame: FrameType) -> str:
    """Where a thread is: the innermost line of the project's or somebody's own code, or of whatever it is in."""
    frames = list(reversed(traceback.extract_stack(frame)))
    place = next((one for one in frames if is_own(one.filename)), frames[0])
    return f"{place.filename}:{place.lineno}, in {place.name}"

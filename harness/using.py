"""What the commands that use an exported network share: reading it, and the videos that they are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.invocation import errors, told
from harness.request import RequestError
from trainables.video.videos import Video, printable

if TYPE_CHECKING:
    from trainables.exported import Model


def model_at(directory: Path) -> Model:
    """The network that export.py wrote. Raises RequestError."""
    from trainables.exported import ExportError, read_model

    try:
        return read_model(directory)
    except ExportError as error:
        raise RequestError(str(error)) from None


def opened(paths: Sequence[Path]) -> tuple[list[Video], int]:
    """The videos that can be read, and how many cannot, which are named. Raises RequestError where none can."""
    from trainables.inference import open_video
    from trainables.video.pixels import DecodingError

    found, unread = [], []
    with told("reading the videos"):
        for path in paths:
            try:
                found.append(open_video(path))
            except DecodingError as error:
                unread.append(f"{printable(str(path))} is no video that can be read: {error}")
    if not found:
        raise RequestError("\n".join(unread) or "no video was given")
    for said in unread:
        errors.print(said, style="red", highlight=False, markup=False, soft_wrap=True)
    return found, len(unread)

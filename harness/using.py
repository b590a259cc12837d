"""What the commands that use an exported network share: reading it, and the videos that they are given."""

from __future__ import annotations

import os
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


def check_writable(path: Path) -> None:
    """Raises RequestError for a file that cannot be written, to be told before what it is to hold takes its time."""
    if path.is_dir():
        problem = "that is a directory"
    elif not path.parent.is_dir():
        problem = f"there is no directory {path.parent}"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        problem = "permission denied"
    else:
        return
    raise RequestError(f"{path} cannot be written: {problem}")


def opened(paths: Sequence[Path]) -> tuple[list[Video], int]:
    """The videos that can be read, and how many cannot, which are named. Raises RequestError where none can."""
    from trainables.inference import open_video
    from trainables.video.apart import DecoderDied
    from trainables.video.pixels import DecodingError

    found, unread = [], []
    with told("reading the videos"):
        for path in paths:
            try:
                str(path).encode()
                found.append(open_video(path))
            except UnicodeEncodeError:
                unread.append(f"{printable(str(path))}: its name is not in UTF-8; rename it")
            except (DecodingError, DecoderDied) as error:
                unread.append(f"{printable(str(path))} is no video that can be read: {error}")
    if not found:
        raise RequestError("\n".join(unread) or "no video was given")
    for said in unread:
        errors.print(said, style="red", highlight=False, markup=False, soft_wrap=True)
    return found, len(unread)

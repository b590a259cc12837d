"""Frames as arrays of pixels: how PyAV's become RGB, and how they are resized, whoever decoded them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class DecodingError(Exception):
    """A video of which no frame can be decoded; the message is the reason, without the video's name."""


class Elsewhere(NamedTuple):
    """A frame that another process holds: `fetch(height, width)` gives what a converter there gives of it."""

    height: int
    width: int
    fetch: Callable[[int, int], Pixels]


def converter() -> Callable[..., Pixels]:
    """A function from a PyAV frame to RGB (height, width, 3), in the given size or its own, that keeps its tables from frame to
    frame. The pixels are those of PyAV's memory where they lie without gaps."""
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()

    def convert(frame: Any, height: int | None = None, width: int | None = None) -> Pixels:
        if isinstance(frame, Elsewhere):
            return frame.fetch(height or frame.height, width or frame.width)
        converted: Any = reformatter.reformat(frame, width, height, "rgb24")
        plane = converted.planes[0]
        rows = np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)
        return rows[: converted.height, : 3 * converted.width].reshape(converted.height, converted.width, 3)

    return convert


def resize(pixels: Pixels, size: tuple[int, ...]) -> Pixels:
    """Frames (n, height, width, 3) resized to `size`: bilinear with antialiasing, on uint8, frame by frame the same."""
    import torch
    from torch.nn import functional

    if pixels.shape[1:3] == tuple(size):
        return pixels
    frames = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    resized = functional.interpolate(frames, size=tuple(size), mode="bilinear", antialias=True)
    result: Pixels = resized.permute(0, 2, 3, 1).numpy()
    return result

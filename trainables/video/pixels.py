"""Frames as arrays of pixels: how PyAV's become RGB, and how they are resized, whoever decoded them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class DecodingError(Exception):
    """A video of which no frame can be decoded; the message is the reason, without the video's name."""


def converter() -> Any:
    """A function from a PyAV frame to RGB (height, width, 3) that keeps its tables from frame to frame."""
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()

    def convert(frame: Any) -> Pixels:
        return np.asarray(reformatter.reformat(frame, format="rgb24").to_ndarray(), dtype=np.uint8)

    return convert


def resize(pixels: Pixels, size: tuple[int, ...]) -> Pixels:
    """Frames (n, height, width, 3) resized to `size`: bilinear with antialiasing, on uint8, frame by frame the same."""
    if pixels.shape[1:3] == tuple(size):
        return pixels
    frames = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    resized = functional.interpolate(frames, size=tuple(size), mode="bilinear", antialias=True)
    result: Pixels = resized.permute(0, 2, 3, 1).numpy()
    return result

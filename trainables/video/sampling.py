"""Which frames make a clip: pure functions of the number of frames, a random generator and settings.

A sampler returns frame indices, 0-based. A video shorter than the clip wraps to its first frame (as VideoPace and the
released VSPP code do); `SampledClips.wrapped` counts the clips in which that happened.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from trainables.video.videos import Video

Window = tuple[int, int, int, int]
"""A part of a frame: top, left, height, width."""

PixelTransform = Callable[[np.ndarray], np.ndarray]
"""Pixels (K, H, W, 3) uint8 to pixels of the same shape."""


@dataclass(frozen=True)
class SampledClips:
    """Clips of one video. indices: (clips, K) int64. labels: what a pretext task asks about them, by name.

    changes: per clip the number of its random crop, flip and colours; those of one number are changed alike. None: each its own
    windows: per clip the part of its frames that it shows, resized to the crop; None: a random or the central crop.
    transforms: per clip what is done to its cropped pixels (K, crop, crop, 3) uint8, of a task that is about pixels, such as a
    rotation; None: nothing. Flip and colours come after it: a task whose labels they change has an `augmentation` without them.
    """

    indices: np.ndarray
    labels: Mapping[str, int] = field(default_factory=dict)
    wrapped: int = 0
    changes: tuple[int, ...] | None = None
    windows: tuple[Window, ...] | None = None
    transforms: tuple[PixelTransform | None, ...] | None = None

    def first(self) -> SampledClips:
        """The first clip alone."""

        def of(values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
            return values and values[:1]

        wrapped = min(self.wrapped, 1)
        return replace(
            self,
            indices=self.indices[:1],
            wrapped=wrapped,
            changes=None,
            windows=of(self.windows),
            transforms=of(self.transforms),
        )

    @staticmethod
    def joined(parts: Sequence[SampledClips]) -> SampledClips:
        """The clips of several samples as one, each changed on its own and without labels.

        Raises ValueError where some have windows and others none.
        """
        windowed = [part.windows is not None for part in parts]
        if any(windowed) != all(windowed):
            raise ValueError("clips with windows of their own are not joined to clips without")
        transforms = [part.transforms or (None,) * len(part.indices) for part in parts]
        return SampledClips(
            np.concatenate([part.indices for part in parts]),
            wrapped=sum(part.wrapped for part in parts),
            windows=tuple(window for part in parts for window in part.windows or ()) or None,
            transforms=tuple(itertools.chain(*transforms)) if any(part.transforms for part in parts) else None,
        )


ClipSampler = Callable[[Video, np.random.Generator], SampledClips]


def random_start(offsets: np.ndarray, frames: int, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Indices of a clip with these offsets (K,) at a random start at which it fits, and whether it had to wrap."""
    room = frames - 1 - int(offsets[-1])
    start = int(rng.integers(room + 1)) if room > 0 else 0
    return (start + offsets) % frames, room < 0


def consecutive_clip(video: Video, rng: np.random.Generator, length: int, stride: int = 1) -> SampledClips:
    """`length` frames, each `stride` after the one before, from a random start."""
    indices, wrapped = random_start(stride * np.arange(length), video.frames, rng)
    return SampledClips(indices[None], wrapped=int(wrapped))


def uniform_clips(video: Video, rng: np.random.Generator, length: int, clips: int) -> SampledClips:
    """`clips` clips of `length` consecutive frames, their starts spread evenly over the video: nothing is random."""
    frames = video.frames
    room = frames - length
    starts = np.linspace(0, max(room, 0), clips).round().astype(np.int64) if clips > 1 else np.array([max(room, 0) // 2])
    indices = (starts[:, None] + np.arange(length)) % frames
    return SampledClips(indices, wrapped=clips if room < 0 else 0)

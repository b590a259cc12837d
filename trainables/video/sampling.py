"""Which frames make a clip: pure functions of the number of frames, a random generator and settings.

A sampler returns frame indices, 0-based. A video shorter than the clip wraps to its first frame (as VideoPace and the
released VSPP code do); `SampledClips.wrapped` counts the clips in which that happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from trainables.video.layouts import Video

Window = tuple[int, int, int, int]
"""A part of a frame: top, left, height, width."""


@dataclass(frozen=True)
class SampledClips:
    """Clips of one video. indices: (clips, K) int64. labels: what a pretext task asks about them, by name.

    changes: per clip the number of its random crop, flip and colours; those of one number are changed alike. None: each its own
    windows: per clip the part of its frames that it shows, resized to the crop; None: a random or the central crop.
    """

    indices: np.ndarray
    labels: Mapping[str, int] = field(default_factory=dict)
    wrapped: int = 0
    changes: tuple[int, ...] | None = None
    windows: tuple[Window, ...] | None = None


ClipSampler = Callable[[Video, np.random.Generator], SampledClips]


def by_length(sampler: Callable[[int, np.random.Generator], SampledClips]) -> ClipSampler:
    """A sampler of videos from one that only needs to know how many frames a video has."""
    return lambda video, rng: sampler(video.frames, rng)


def place(offsets: np.ndarray, frames: int, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Indices of a clip with these offsets (K,) at a random start at which it fits, and whether it had to wrap."""
    room = frames - 1 - int(offsets[-1])
    start = int(rng.integers(room + 1)) if room > 0 else 0
    return (start + offsets) % frames, room < 0


def consecutive_clip(frames: int, rng: np.random.Generator, length: int) -> SampledClips:
    """`length` consecutive frames from a random start."""
    indices, wrapped = place(np.arange(length), frames, rng)
    return SampledClips(indices[None], wrapped=int(wrapped))


def uniform_clips(frames: int, length: int, clips: int) -> SampledClips:
    """`clips` clips of `length` consecutive frames, their starts spread evenly over the video."""
    room = frames - length
    starts = np.linspace(0, max(room, 0), clips).round().astype(np.int64) if clips > 1 else np.array([max(room, 0) // 2])
    indices = (starts[:, None] + np.arange(length)) % frames
    return SampledClips(indices, wrapped=clips if room < 0 else 0)

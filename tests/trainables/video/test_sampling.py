"""Clip samplers: where clips lie in a video, and what happens when it is too short; samples taken apart and joined."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.video.sampling import SampledClips, Window, consecutive_clip, random_start, uniform_clips
from trainables.video.videos import Video

MakeVideo = Callable[..., Video]
RNG = np.random.default_rng(0)


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_consecutive_clip(video: MakeVideo, frames: int, length: int, seed: int) -> None:
    sampled = consecutive_clip(video(frames), np.random.default_rng(seed), length)
    assert sampled.indices.shape == (1, length)
    assert np.all(np.diff(sampled.indices[0]) % frames == 1 % frames)
    assert sampled.indices.min() >= 0
    assert sampled.indices.max() < frames
    assert sampled.wrapped == (length > frames)
    assert not sampled.wrapped or sampled.indices[0, 0] == 0


def test_every_start_is_equally_likely(video: MakeVideo) -> None:
    """Starts 0 to 4 of a clip of 16 in 20 frames, 5000 draws: 1000 each, within 5 standard deviations (28)."""
    rng = np.random.default_rng(0)
    counts = np.bincount([consecutive_clip(video(20), rng, 16).indices[0, 0] for _ in range(5000)], minlength=5)
    assert len(counts) == 5
    assert np.abs(counts - 1000).max() < 142


@pytest.mark.parametrize(
    ("frames", "starts"),
    [(106, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]), (16, [0] * 10), (25, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])],
)
def test_ten_uniform_clips(video: MakeVideo, frames: int, starts: list[int]) -> None:
    """The first clip starts with the video and the last ends with it; those between lie evenly."""
    sampled = uniform_clips(video(frames), RNG, 16, 10)
    assert sampled.indices[:, 0].tolist() == starts
    assert sampled.indices[-1, -1] == frames - 1
    assert sampled.wrapped == 0


def test_one_uniform_clip_is_the_middle_one(video: MakeVideo) -> None:
    assert uniform_clips(video(26), RNG, 16, 1).indices.tolist() == [list(range(5, 21))]


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 12))
def test_uniform_clips_lie_in_the_video(video: MakeVideo, frames: int, length: int, clips: int) -> None:
    sampled = uniform_clips(video(frames), RNG, length, clips)
    assert sampled.indices.shape == (clips, length)
    assert sampled.indices.min() >= 0
    assert sampled.indices.max() < frames
    assert np.all(np.diff(sampled.indices, axis=1) % frames == 1 % frames)
    assert sampled.wrapped == (clips if length > frames else 0)


def test_a_short_video_wraps_to_its_first_frame(video: MakeVideo) -> None:
    indices, wrapped = random_start(np.array([0, 2, 4, 6]), 5, np.random.default_rng(0))
    assert indices.tolist() == [0, 2, 4, 1]
    assert wrapped
    assert uniform_clips(video(3), RNG, 5, 2).indices.tolist() == [[0, 1, 2, 0, 1]] * 2


def reversed_in_time(pixels: np.ndarray) -> np.ndarray:
    return pixels[::-1]


def negative(pixels: np.ndarray) -> np.ndarray:
    return 255 - pixels


LEFT, RIGHT = (0, 0, 4, 4), (0, 4, 4, 4)


def pair(begin: int, windows: tuple[Window, ...] | None = (LEFT, RIGHT), wrapped: int = 0) -> SampledClips:
    """Two clips of three frames that are changed alike, the second one negative."""
    indices = np.arange(begin, begin + 6).reshape(2, 3)
    return SampledClips(indices, {"speed": 1}, wrapped, (0, 0), windows, (reversed_in_time, negative))


def test_the_first_clip_of_a_sample() -> None:
    """It keeps its labels, its window and its transform, and of two wrapped clips it is one."""
    first = pair(0, wrapped=2).first()
    assert first.indices.tolist() == [[0, 1, 2]]
    assert (first.labels, first.wrapped, first.changes) == ({"speed": 1}, 1, None)
    assert (first.windows, first.transforms) == ((LEFT,), (reversed_in_time,))
    plain = SampledClips(np.arange(6).reshape(2, 3)).first()
    assert (plain.windows, plain.transforms, plain.wrapped) == (None, None, 0)


def test_samples_joined_to_one() -> None:
    """Each clip with its own window and transform, but no labels, and nothing that is changed alike."""
    joined = SampledClips.joined([pair(0).first(), pair(6, wrapped=1)])
    assert joined.indices.tolist() == [[0, 1, 2], [6, 7, 8], [9, 10, 11]]
    assert (joined.labels, joined.wrapped, joined.changes) == ({}, 1, None)
    assert joined.windows == (LEFT, LEFT, RIGHT)
    assert joined.transforms == (reversed_in_time, reversed_in_time, negative)
    without = SampledClips.joined([pair(0, windows=None), pair(6, windows=None)])
    assert without.windows is None
    assert without.transforms is not None and len(without.transforms) == 4

"""Clip samplers: where clips lie in a video, and what happens when it is too short."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.video.sampling import consecutive_clip, place, uniform_clips


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_consecutive_clip(frames: int, length: int, seed: int) -> None:
    sampled = consecutive_clip(frames, np.random.default_rng(seed), length)
    assert sampled.indices.shape == (1, length)
    assert np.all(np.diff(sampled.indices[0]) % frames == 1 % frames)
    assert sampled.indices.min() >= 0
    assert sampled.indices.max() < frames
    assert sampled.wrapped == (length > frames)
    assert not sampled.wrapped or sampled.indices[0, 0] == 0


def test_every_start_is_equally_likely() -> None:
    """Starts 0 to 4 of a clip of 16 in 20 frames, 5000 draws: 1000 each, within 5 standard deviations (28)."""
    rng = np.random.default_rng(0)
    counts = np.bincount([consecutive_clip(20, rng, 16).indices[0, 0] for _ in range(5000)], minlength=5)
    assert len(counts) == 5
    assert np.abs(counts - 1000).max() < 142


@pytest.mark.parametrize(
    ("frames", "starts"),
    [(106, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]), (16, [0] * 10), (25, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])],
)
def test_ten_uniform_clips(frames: int, starts: list[int]) -> None:
    """The first clip starts with the video and the last ends with it; those between lie evenly."""
    sampled = uniform_clips(frames, 16, 10)
    assert sampled.indices[:, 0].tolist() == starts
    assert sampled.indices[-1, -1] == frames - 1
    assert sampled.wrapped == 0


def test_one_uniform_clip_is_the_middle_one() -> None:
    assert uniform_clips(26, 16, 1).indices.tolist() == [list(range(5, 21))]


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 12))
def test_uniform_clips_lie_in_the_video(frames: int, length: int, clips: int) -> None:
    sampled = uniform_clips(frames, length, clips)
    assert sampled.indices.shape == (clips, length)
    assert sampled.indices.min() >= 0
    assert sampled.indices.max() < frames
    assert np.all(np.diff(sampled.indices, axis=1) % frames == 1 % frames)
    assert sampled.wrapped == (clips if length > frames else 0)


def test_a_short_video_wraps_to_its_first_frame() -> None:
    indices, wrapped = place(np.array([0, 2, 4, 6]), 5, np.random.default_rng(0))
    assert indices.tolist() == [0, 2, 4, 1]
    assert wrapped
    assert uniform_clips(3, 5, 2).indices.tolist() == [[0, 1, 2, 0, 1]] * 2

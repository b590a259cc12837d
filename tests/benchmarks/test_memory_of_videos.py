"""The measurement of memory sees what a process takes, and a video that is not read as it was made."""

from __future__ import annotations

import random

import pytest

from benchmarks.faults import memory_of_videos
from benchmarks.faults.memory_of_videos import Kind, peaks_of

TINY = Kind("tiny", 40, memory_of_videos._images(8, 8))


@pytest.mark.slow
def test_memory_that_is_taken_and_given_back_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """700 MB for a moment, of a process that else takes some 270."""
    monkeypatch.setattr(memory_of_videos, "READ", "ballast = bytes([1]) * 700_000_000; del ballast" + memory_of_videos.READ)
    monkeypatch.setattr(memory_of_videos, "KINDS", (TINY,))
    monkeypatch.setattr(memory_of_videos, "LIMIT_BYTES", 600 * 10**6)
    assert [figure.met for figure in memory_of_videos.run(1, 1)] == [False]


def test_a_video_of_other_frames_than_were_made_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="tiny: 39 frames were read of 40"):
        peaks_of(Kind("tiny", 40, lambda path, frames, chance: TINY.make(path, frames - 1, chance)), random.Random(1))

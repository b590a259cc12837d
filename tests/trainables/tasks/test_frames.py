"""Tasks of single frames: each is read in the context that its pixels depend on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from trainables.settings import ExperimentSettings, with_values
from trainables.tasks import find_task
from trainables.tasks.frames import FrameTask
from trainables.video.videos import Video


def make(tiny: ExperimentSettings, name: str, values: dict[str, object]) -> FrameTask:
    task = find_task(name)(with_values(tiny, values))
    assert isinstance(task, FrameTask)
    return task


@pytest.mark.parametrize("name", ["sorting", "ego_motion"])
def test_frames_are_shown_in_the_middle_of_their_context(
    tiny: ExperimentSettings, video: Callable[..., Video], name: str
) -> None:
    """With pixels that depend on the clip around a frame, all of a clip is read, and only frames are drawn that have one: at
    the ends a repeated frame would tell where in the video a frame is from. All frames of the others are drawn."""
    alone, around = (make(tiny, name, {"video.pixels": pixels}) for pixels in ("rgb_unit", "rgb_motion"))
    length = around.context
    shown = {"alone": set(), "around": set()}
    for seed in range(200):
        shown["alone"] |= set(alone.sample(video(40), np.random.default_rng(seed)).indices[:, 0].tolist())
        indices = around.sample(video(40), np.random.default_rng(seed)).indices
        clips = torch.from_numpy(indices)[None, :, None, :, None, None]
        middle = around.shown(clips).flatten()
        shown["around"] |= set(middle.tolist())
        np.testing.assert_array_equal(indices, middle.numpy()[:, None] + np.arange(length) - length // 2)
    assert shown["alone"] == set(range(40))
    assert shown["around"] == set(range(length // 2, 40 - length + length // 2 + 1))


@pytest.mark.parametrize("name", ["sorting", "ego_motion"])
def test_a_video_too_short_for_contexts_shows_all_its_frames(
    tiny: ExperimentSettings, video: Callable[..., Video], name: str
) -> None:
    task = make(tiny, name, {"video.pixels": "rgb_motion", "video.clip_frames": 16})
    length = task.minimum_frames
    for seed in range(20):
        indices = task.sample(video(length), np.random.default_rng(seed)).indices
        assert indices.min() == 0 and indices.max() == length - 1

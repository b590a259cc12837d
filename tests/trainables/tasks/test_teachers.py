"""What holds for every teacher's task: its names, its draws, what a video must have, and that evaluation changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn

from trainables.models.encoder import FrameEncoder
from trainables.models.prednet import PredNet
from trainables.settings import ExperimentSettings, with_values
from trainables.settings.graph import TEACHER_TASKS
from trainables.tasks import SelfSupervisedTask
from trainables.tasks.pooling import GRID, map_shape, pooled, pooled_size
from trainables.video.layouts import Video

TRACKS = {"a.avi": np.array([[0, 9, 1, 2, 9, 9, 4, 3, 9, 9], [5, 14, 0, 0, 9, 9, 7, 7, 9, 9]], dtype=np.int32)}
CASES = [
    ("sorting", {}),
    ("sorting", {"sorting.frames": 3, "sorting.spacing": 2, "sorting.crop_jitter": 1}),
    ("ego_motion", {}),
    ("ego_motion", {"ego_motion.objective": "contrastive", "ego_motion.close_frames": 3}),
    ("ego_motion", {"ego_motion.objective": "transform", "ego_motion.bins": 4}),
    ("tracking", {}),
    ("prediction", {}),
]


def make(tiny: ExperimentSettings, name: str, values: dict[str, object]) -> SelfSupervisedTask:
    small = {"prednet.targets": [3, 4], "prednet.representations": [3, 4], "prednet.side": None}
    return TEACHERS[name](with_values(tiny, small | values), TRACKS)


def test_every_task_of_the_settings_exists(tiny: ExperimentSettings) -> None:
    assert tuple(TEACHERS) == TEACHER_TASKS
    for name, task in TEACHERS.items():
        assert task.name == name
        assert make(tiny, name, {}).needs.startswith(f"{name} needs ")
    assert [name for name, task in TEACHERS.items() if task.needs_tracks] == ["tracking"]


@pytest.mark.parametrize(
    ("name", "values", "least"),
    [
        ("sorting", {}, 13),  # 4 frames, 4 apart
        ("sorting", {"sorting.frames": 5, "sorting.spacing": 2}, 9),
        ("ego_motion", {}, 9),  # two frames 8 apart
        ("ego_motion", {"ego_motion.objective": "transform", "ego_motion.bins": 3}, 1),
        ("prediction", {}, 8),  # a clip
    ],
)
def test_videos_that_are_too_short_are_refused(
    tiny: ExperimentSettings, video: Callable[..., Video], name: str, values: dict[str, object], least: int
) -> None:
    """And the shortest that is not refused gives a sample."""
    task = make(tiny, name, values)
    assert [frames for frames in range(1, 20) if task.usable(video(frames))] == list(range(least, 20))
    task.sample(video(least), np.random.default_rng(0))


def test_a_video_without_tracks_is_refused(tiny: ExperimentSettings, video: Callable[..., Video]) -> None:
    task = make(tiny, "tracking", {})
    assert task.usable(video(30, "a.avi"))
    assert not task.usable(video(30, "b.avi"))


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.sampled_from(CASES), st.integers(15, 100), st.sampled_from(["rgb_unit", "rgb_motion"]), st.integers(0, 2**32 - 1))
def test_draws_lie_within_video_and_frame_and_depend_on_the_generator_only(
    tiny: ExperimentSettings,
    video: Callable[..., Video],
    case: tuple[str, dict[str, object]],
    frames: int,
    pixels: str,
    seed: int,
) -> None:
    name, values = case
    task = make(tiny, name, {"video.pixels": pixels, "video.width": 20, **values})
    first, second = (task.sample(video(frames), np.random.default_rng(seed)) for _ in range(2))
    assert first.indices.tolist() == second.indices.tolist()
    assert (first.labels, first.changes, first.windows) == (second.labels, second.changes, second.windows)
    assert first.indices.dtype == np.int64
    assert first.indices.shape[1] == (8 if name == "prediction" or pixels == "rgb_motion" else 1)
    assert first.indices.min() >= 0
    assert first.indices.max() < frames
    for top, left, height, width in first.windows or ():
        assert min(top, left) >= 0
        assert min(height, width) > 0
        assert top + height <= 16
        assert left + width <= 20
    for parallel in (first.windows, first.changes):
        assert parallel is None or len(parallel) == len(first.indices)


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


@pytest.mark.parametrize(("name", "values"), CASES)
def test_evaluation_mode_draws_and_changes_nothing(
    tiny: ExperimentSettings, encoder: FrameEncoder, name: str, values: dict[str, object]
) -> None:
    task = make(tiny, name, values)
    network = task.network(PredNet(task.settings) if name == "prediction" else encoder).eval()
    clips, labels = batch(task, 3)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    drawn = torch.get_rng_state()
    with torch.no_grad():
        first, second = (task.loss(network, clips, labels)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def batch(task: SelfSupervisedTask, samples: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Random clips of the right shape with labels that the task drew, each of another video."""
    drawn = [task.sample(Video("a.avi", None, 0, "a", 60), np.random.default_rng(seed)) for seed in range(samples)]  # type: ignore[arg-type]
    clips = torch.rand(samples, len(drawn[0].indices), 3, drawn[0].indices.shape[1], 12, 12)
    labels = {name: torch.tensor([sample.labels[name] for sample in drawn]) for name in drawn[0].labels}
    return clips, labels | {"epoch": torch.zeros(samples), "video": torch.arange(samples)}


def test_pooled_maps_have_the_announced_size_whatever_the_frame(encoder: FrameEncoder) -> None:
    """At most GRID x GRID places, each the mean of its part; asking an encoder leaves it as it was."""
    for side in (4, 8, 12, 80):
        places = min(GRID, side // 4) ** 2
        maps = encoder.train().maps(torch.rand(2, 3, side, side))
        assert map_shape(encoder, side) == maps.shape[1:]
        assert pooled(maps).shape == (2, pooled_size(encoder, side)) == (2, 8 * places)
        assert encoder.training and all(isinstance(layer, nn.Module) and layer.training for layer in encoder.layers())
    parts = torch.rand(1, 1, 2 * GRID, 2 * GRID)
    expected = parts.numpy().reshape(GRID, 2, GRID, 2).mean((1, 3)).ravel()
    assert pooled(parts)[0].numpy() == pytest.approx(expected, rel=1e-5)

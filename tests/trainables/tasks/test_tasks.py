"""What holds for every self-supervised task beyond what users' own are checked for (test_checks.py): its name, draws of many
videos, what a video must have, what a sample costs, a network that is drawn from the seed and learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor

from trainables.models import BACKBONE, make_network
from trainables.settings import (
    TASKS,
    TEACHER_TASKS,
    ExperimentSettings,
    SettingsError,
    names_below,
    setting_names,
    with_values,
)
from trainables.tasks import SelfSupervisedTask, find_task
from trainables.video.sampling import SampledClips
from trainables.video.videos import Video

MakeVideo = Callable[..., Video]
Values = dict[str, Any]
PRETEXT = [name for name in TASKS if name not in TEACHER_TASKS]
TRACKS = {"a.avi": np.array([[0, 9, 1, 2, 9, 9, 4, 3, 9, 9], [5, 14, 0, 0, 9, 9, 7, 7, 9, 9]], dtype=np.int32)}
SMALL: Values = {
    "rspnet.memory_bank": 16,
    "vcop.head_width": 16,
    "vcop.short_videos": "shrink",
    "vgg.channels": [4, 4, 6, 6, 6],
    "vgg.convolutions": [1, 1, 1, 1, 1],
    "vgg.hidden": 8,
    "vgg.cells": 1,
    "vgg.batch_norm": True,
    "prednet.targets": [3, 4],
    "prednet.representations": [3, 4],
    "prednet.side": None,
}
CASES: list[tuple[str, Values]] = [
    *((name, {}) for name in TASKS),
    ("sorting", {"sorting.frames": 3, "sorting.spacing": 2, "sorting.crop_jitter": 1}),
    ("sorting", {"sorting.frames": 3, "sorting.tuples": "motion", "sorting.pair": "difference", "sorting.layers": 2}),
    ("sorting", {"sorting.frames": 3, "sorting.tuples": "patches", "sorting.channel_splitting": "per_sample"}),
    ("ego_motion", {"ego_motion.objective": "contrastive", "ego_motion.close_frames": 3}),
    ("ego_motion", {"ego_motion.objective": "transform", "ego_motion.bins": 4}),
    ("tracking", {"tracking.hard_from": 0.0}),
]
every_case = pytest.mark.parametrize(("name", "values"), CASES)
every_task = pytest.mark.parametrize("name", list(TASKS))


def configured(tiny: ExperimentSettings, name: str, values: Values) -> ExperimentSettings:
    return with_values(tiny, SMALL | ({"pretext.task": name} if name in PRETEXT else {}) | values)


def make(tiny: ExperimentSettings, name: str, values: Values | None = None) -> SelfSupervisedTask:
    return find_task(name)(configured(tiny, name, values or {}), TRACKS)


def batch(task: SelfSupervisedTask, video: Video, samples: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Random clips of the right shape with labels that the task drew, each of another video."""
    drawn = [task.sample(video, np.random.default_rng(seed)) for seed in range(samples)]
    shape, draw = drawn[0].indices.shape, torch.rand if task.encoder == "prednet" else torch.randn
    clips = draw(samples, shape[0], 3, shape[1], 12, 12, generator=torch.Generator().manual_seed(0))
    labels = {name: torch.tensor([sample.labels[name] for sample in drawn]) for name in drawn[0].labels}
    return clips, labels | {"epoch": torch.zeros(samples), "video": torch.arange(samples)}


def same(first: SampledClips, second: SampledClips) -> bool:
    parts = ("labels", "wrapped", "changes", "windows")
    return first.indices.tolist() == second.indices.tolist() and all(
        getattr(first, name) == getattr(second, name) for name in parts
    )


def test_every_name_is_the_name_of_its_task(tiny: ExperimentSettings) -> None:
    """Pretext tasks train the backbone, teachers' tasks an encoder of their own."""
    for name in TASKS:
        task = find_task(name)
        assert task.name == name
        assert (task.encoder == BACKBONE) == (name in PRETEXT)
        assert make(tiny, name).needs.startswith(f"{name} needs ")
    assert [name for name in TASKS if find_task(name).needs_tracks(tiny)] == ["tracking"]


def test_what_is_no_task_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^unknown task 'vsp'; did you mean 'vspp'"):
        find_task("vsp")
    with pytest.raises(SettingsError, match=r"^task trainables\.models:Backbone: not a subclass of .*SelfSupervisedTask$"):
        find_task("trainables.models:Backbone")


@hypothesis_settings(max_examples=120)
@given(st.sampled_from(CASES), st.integers(1, 100), st.sampled_from(["rgb_unit", "rgb_motion"]), st.integers(0, 2**32 - 1))
def test_draws_lie_within_video_and_frame_and_depend_on_the_generator_only(
    tiny: ExperimentSettings, video: MakeVideo, case: tuple[str, Values], frames: int, pixels: str, seed: int
) -> None:
    """Of a video that the task can use; its views are two clips, of any video for a pretext task."""
    name, values = case
    task, source = make(tiny, name, {"video.pixels": pixels, "video.width": 20, **values}), video(frames)
    usable = task.usable(source)
    draws = [task.sample] * usable + [task.views] * (usable or name in PRETEXT)
    for draw in draws:
        first, second = (draw(source, np.random.default_rng(seed)) for _ in range(2))
        assert same(first, second)
        assert first.indices.dtype == np.int64
        of_clips = name in (*PRETEXT, "prediction") or pixels == "rgb_motion"
        assert first.indices.shape[1] == (8 if of_clips else 1)
        assert first.indices.min() >= 0
        assert first.indices.max() < frames
        assert 0 <= first.wrapped <= len(first.indices)
        for top, left, height, width in first.windows or ():
            assert min(top, left) >= 0
            assert min(height, width) > 0
            assert top + height <= 16
            assert left + width <= 20
        for parallel in (first.windows, first.changes, first.transforms):
            assert parallel is None or len(parallel) == len(first.indices)
        assert draw == task.sample or (len(first.indices) == 2 and first.labels == {})


@pytest.mark.parametrize(
    ("name", "values", "least"),
    [
        ("vspp", {}, 1),  # it wraps
        ("vcop", {"vcop.short_videos": "exclude"}, 40),  # three clips of 8, 8 frames apart
        ("vcop", {}, 1),  # shrinks
        ("sorting", {}, 13),  # 4 frames, 4 apart
        ("sorting", {"sorting.frames": 5, "sorting.spacing": 2}, 9),
        ("sorting", {"sorting.frames": 3, "sorting.tuples": "motion"}, 9),  # in the track that begins with the video
        ("ego_motion", {}, 9),  # two frames 8 apart
        ("ego_motion", {"ego_motion.objective": "transform", "ego_motion.bins": 3}, 1),
        ("prediction", {}, 8),  # a clip
    ],
)
def test_videos_that_are_too_short_are_refused(
    tiny: ExperimentSettings, video: MakeVideo, name: str, values: Values, least: int
) -> None:
    """And the shortest that is not refused gives a sample."""
    task = make(tiny, name, values)
    assert [frames for frames in range(1, 50) if task.usable(video(frames))] == list(range(least, 50))
    task.sample(video(least), np.random.default_rng(0))


def test_a_video_without_tracks_is_refused(tiny: ExperimentSettings, video: MakeVideo) -> None:
    task = make(tiny, "tracking")
    assert task.usable(video(30, "a.avi"))
    assert not task.usable(video(30, "b.avi"))


@every_case
def test_what_views_depend_on_is_part_of_what_the_task_does(tiny: ExperimentSettings, name: str, values: Values) -> None:
    settings, task = configured(tiny, name, values), find_task(name)
    views, whole = (set(names_below(setting_names(), reads(settings))) for reads in (task.reads_for_views, task.reads))
    assert views <= whole


@every_task
def test_a_sample_costs_as_much_as_its_clips(tiny: ExperimentSettings, video: MakeVideo, name: str) -> None:
    """Counted in clips of the network: of one that sees frames, in so many frames as it sees of a clip."""
    task = make(tiny, name, {"frames.per_clip": 2})
    clips = len(task.sample(video(60), np.random.default_rng(0)).indices)
    assert task.clips_of_a_sample == (clips / 2 if task.encoder == "vgg" else clips)


@pytest.mark.parametrize("name", PRETEXT)
def test_the_loss_of_a_pretext_task_falls(tiny: ExperimentSettings, video: MakeVideo, name: str) -> None:
    """Twelve steps on one batch: a network that is wired wrongly, or lacks a gradient, cannot learn it by heart."""
    task = make(tiny, name)
    torch.manual_seed(0)
    network = task.network(make_network(BACKBONE, task.settings), pretrained=False)
    clips, labels = batch(task, video(60), 6)
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.05, momentum=0.9)
    history = []
    for _ in range(12):
        loss, metrics = task.loss(network, clips, labels)
        assert any(metric.endswith("_accuracy") for metric in metrics)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(float(loss.detach()))
    assert min(history[-3:]) < 0.7 * max(history[:2])


@every_case
def test_networks_are_drawn_from_the_seed_and_hold_the_given_encoder(
    tiny: ExperimentSettings, name: str, values: Values
) -> None:
    task = make(tiny, name, values)
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        encoder = make_network(task.encoder, task.settings)
        network = task.network(encoder, pretrained=name in PRETEXT)
        assert any(module is encoder for module in network.modules())
        states.append(network.state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


@every_case
def test_evaluation_mode_draws_and_changes_nothing(
    tiny: ExperimentSettings, video: MakeVideo, name: str, values: Values
) -> None:
    task = make(tiny, name, values)
    network = task.network(make_network(task.encoder, task.settings)).eval()
    clips, labels = batch(task, video(60), 3)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    drawn = torch.get_rng_state()
    with torch.no_grad():
        first, second = (task.loss(network, clips, labels)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())

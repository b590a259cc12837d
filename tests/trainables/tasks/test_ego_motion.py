"""Ego-motion: distances and labels by counting, the synthetic camera on frames that show where they are, losses by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trainables.models.encoder import FrameEncoder
from trainables.settings import ExperimentSettings, SettingsError, VideoSettings, with_values
from trainables.settings.teachers import EgoMotionSettings
from trainables.tasks.ego_motion import EgoMotion, best_threshold, contrastive_loss, synthetic_camera
from trainables.video.videos import Video

ROOMY = VideoSettings(height=60, width=80, crop=40)


def task(tiny: ExperimentSettings, **values: object) -> EgoMotion:
    changed = {"video.pixels": "rgb_unit"} | {f"ego_motion.{name}": value for name, value in values.items()}
    return EgoMotion(with_values(tiny, {"ego_motion.top_units": 16, "ego_motion.top_channels": [8, 8]} | changed))


@pytest.mark.parametrize("objective", ["closeness", "contrastive"])
def test_half_of_the_pairs_are_close_and_distances_cover_their_ranges(
    tiny: ExperimentSettings, video: Callable[..., Video], objective: str
) -> None:
    ego_motion, rng = task(tiny, objective=objective), np.random.default_rng(0)
    apart: dict[int, list[int]] = {0: [], 1: []}
    for _ in range(1000):
        sample = ego_motion.sample(video(20), rng)
        assert sample.changes == (0, 0)
        assert sample.windows is None
        apart[sample.labels["close"]].append(int(sample.indices[1, 0] - sample.indices[0, 0]))
    assert abs(len(apart[1]) - 500) < 5 * math.sqrt(250)
    assert set(apart[1]) == set(range(1, 8)), "1 to close_frames"
    assert set(apart[0]) == set(range(8, 20)), "as far as the video goes"


def test_the_camera_moves_by_the_settings_where_there_is_room_and_by_less_where_not() -> None:
    asked = EgoMotionSettings(bins=5)
    camera = synthetic_camera(ROOMY, asked)
    assert camera.shifts.tolist() == pytest.approx([-6, -3, 0, 3, 6]), "0.15 of 40"
    assert camera.sides.tolist() == [34, 37, 40, 43, 46]
    camera = synthetic_camera(VideoSettings(height=128, width=171, crop=112), asked)  # room 1/7, and 0.225 is asked for
    assert camera.shifts[-1] == pytest.approx(112 * 0.15 * (1 / 7) / 0.225)
    assert camera.sides[-1] == 112 + round(112 * 0.15 * (1 / 7) / 0.225)


@pytest.mark.parametrize(
    ("video", "bins", "message"),
    [
        (VideoSettings(height=40, width=60, crop=40), 2, r"no room to move; set larger video\.height and video\.width"),
        (VideoSettings(height=28, width=28, crop=24), 20, r"ego_motion\.bins = 20: .* 6 places .*to at most 6"),
    ],
)
def test_a_camera_without_room_is_an_error_that_names_what_to_set(
    tiny: ExperimentSettings, video: VideoSettings, bins: int, message: str
) -> None:
    settings = EgoMotionSettings(objective="transform", bins=bins)
    with pytest.raises(SettingsError, match=message):
        EgoMotion(tiny.model_copy(update={"video": video, "ego_motion": settings}))
    EgoMotion(tiny.model_copy(update={"video": video, "ego_motion": settings.model_copy(update={"objective": "closeness"})}))


@hypothesis_settings(max_examples=200)
@given(
    st.integers(8, 60),
    st.integers(0, 20),
    st.integers(0, 40),
    st.integers(2, 9),
    st.floats(0.01, 0.5),
    st.floats(0.01, 0.45),
    st.integers(0, 2**32 - 1),
)
def test_both_windows_lie_in_the_frame_and_no_two_classes_are_the_same(
    crop: int, room: int, wider: int, bins: int, shift: float, zoom: float, seed: int
) -> None:
    video = VideoSettings(height=crop + room, width=crop + room + wider, crop=crop)
    try:
        camera = synthetic_camera(video, EgoMotionSettings(bins=bins, largest_shift=shift, largest_zoom=zoom))
    except SettingsError:
        assume(False)
    assert len(set(camera.sides.tolist())) == bins
    rng = np.random.default_rng(seed)
    for drawn in range(bins):
        places = set()
        for other in range(bins):
            first, second = camera.windows(other, bins - 1 - other, drawn, rng)
            assert first[2:] == (crop, crop)
            assert second[2:] == (camera.sides[drawn],) * 2
            for top, left, height, width in (first, second):
                assert 0 <= top <= video.height - height
                assert 0 <= left <= video.width - width
            places.add((second[0] - first[0], second[1] - first[1]))
            assert abs(second[0] + second[2] / 2 - first[0] - crop / 2 - camera.shifts[other]) <= 0.5 + 1e-6
            assert abs(second[1] + second[3] / 2 - first[1] - crop / 2 - camera.shifts[bins - 1 - other]) <= 0.5 + 1e-6
        assert len(places) == bins


def test_a_transform_s_windows_are_where_its_labels_say(tiny: ExperimentSettings, video: Callable[..., Video]) -> None:
    """All classes of all three parts come, equally often; the frame is one; nothing is mirrored."""
    ego_motion = task(tiny, objective="transform", bins=3)
    rng, counts = np.random.default_rng(0), np.zeros((3, 3), dtype=int)
    for _ in range(300):
        sample = ego_motion.sample(video(9), rng)
        assert sample.indices[0].tolist() == sample.indices[1].tolist()
        assert sample.windows is not None
        (top, left, _, _), (second_top, second_left, side, _) = sample.windows
        labels = [sample.labels[name] for name in ("shift_x", "shift_y", "zoom")]
        moved = second_left + side / 2 - left - 6, second_top + side / 2 - top - 6  # 1.8 pixels in a crop of 12
        for label, pixels in zip(labels, moved, strict=False):
            assert abs(pixels - 1.8 * (label - 1)) <= 0.5
        assert side == (10, 12, 14)[labels[2]]
        for part, label in enumerate(labels):
            counts[part, label] += 1
    assert np.abs(counts - 100).max() < 5 * np.sqrt(100 * 2 / 3)
    assert ego_motion.augmentation.flip_probability == 0
    assert task(tiny).augmentation == tiny.augmentation


def test_contrastive_loss_by_hand() -> None:
    """d^2 / 2 = 0.125 of a close pair at 0.5; (1 - 0.5)^2 / 2 of a far one there; none beyond the margin."""
    losses = contrastive_loss(torch.tensor([0.5, 0.5, 3.0, 3.0]), torch.tensor([1, 0, 1, 0]), 1.0)
    assert losses.tolist() == [0.125, 0.125, 4.5, 0.0]


def test_contrastive_distances_and_metrics_against_numpy(tiny: ExperimentSettings, encoder: FrameEncoder) -> None:
    ego_motion = task(tiny, objective="contrastive", margin=0.5)
    network, clips, close = ego_motion.network(encoder), torch.rand(6, 2, 3, 1, 12, 12), np.array([1, 0, 1, 0, 1, 0])
    loss, metrics = ego_motion.loss(network, clips, {"close": torch.from_numpy(close)})
    maps = encoder.maps(clips[:, :, :, 0].flatten(0, 1)).detach().double().numpy().reshape(6, 2, -1)
    distances = np.sqrt(((maps[:, 0] - maps[:, 1]) ** 2).sum(1))
    expected = np.where(close, distances**2, np.maximum(0.5 - distances, 0) ** 2) / 2
    assert metrics["close_loss"].numpy() == pytest.approx(expected, rel=1e-4)
    assert float(loss.detach()) == pytest.approx(expected.mean(), rel=1e-4)
    assert metrics["close_accuracy"].tolist() == ((distances < 0.25) == close).tolist()


def test_a_pair_of_equal_frames_has_a_finite_gradient(tiny: ExperimentSettings, encoder: FrameEncoder) -> None:
    ego_motion = task(tiny, objective="contrastive")
    clips = torch.rand(2, 1, 3, 1, 12, 12).expand(2, 2, 3, 1, 12, 12)
    ego_motion.loss(ego_motion.network(encoder), clips, {"close": torch.tensor([0, 1])})[0].backward()
    assert all(parameter.grad is None or bool(parameter.grad.isfinite().all()) for parameter in encoder.parameters())


def test_sizes_of_the_top_network(tiny: ExperimentSettings, encoder: FrameEncoder) -> None:
    """Maps (8, 3, 3) of the two frames together, halved twice to one place, 500 units, and a layer per part."""
    settings = with_values(tiny, {"ego_motion.objective": "transform", "ego_motion.bins": 4})
    network = EgoMotion(settings).network(encoder)
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters() if name.endswith("weight")}
    assert {name: shape for name, shape in shapes.items() if not name.startswith("encoder.")} == {
        "convolutions.0.weight": (256, 16, 3, 3),
        "convolutions.2.weight": (128, 256, 3, 3),
        "top.0.weight": (500, 128),
        "heads.shift_x.weight": (4, 500),
        "heads.shift_y.weight": (4, 500),
        "heads.zoom.weight": (4, 500),
    }
    answers = network(torch.rand(2, 2, 3, 12, 12))
    assert {name: tuple(value.shape) for name, value in answers.items()} == dict.fromkeys(
        ("shift_x", "shift_y", "zoom"), (2, 4)
    )


@pytest.mark.parametrize("objective", ["closeness", "contrastive", "transform"])
def test_it_learns_from_frames_that_change_steadily(
    tiny: ExperimentSettings, encoder: FrameEncoder, fit: Callable[..., list[float]], objective: str
) -> None:
    """Close pairs differ little in brightness, others much; for transforms the second frame's brightness is the class."""
    ego_motion = task(tiny, objective=objective, dropout=0.0, **({"bins": 3} if objective == "transform" else {}))
    start = torch.rand(24, 1, 1, 1, 1)
    answer = torch.arange(24) % (3 if objective == "transform" else 2)
    change = answer if objective == "transform" else 1 - answer
    first = start + 0.05 * torch.rand(24, 3, 1, 12, 12)
    clips = torch.stack([first, first + change[:, None, None, None, None]], dim=1)
    labels = dict.fromkeys(("shift_x", "shift_y", "zoom", "close"), answer)
    history = fit(ego_motion, ego_motion.network(encoder), clips, labels)
    assert history[-1] < 0.5 * history[0]


@pytest.mark.parametrize("values", [2, 5, 1000])
def test_the_best_threshold_against_trying_all(values: int) -> None:
    """Of few different distances many are the same, and a threshold cannot lie between those."""
    rng = np.random.default_rng(values)
    for _ in range(30):
        distances, close = rng.integers(values, size=12).astype(np.float32), rng.integers(2, size=12)
        shares = [np.mean((distances < threshold) == close) for threshold in (*distances, np.inf)]
        assert best_threshold(torch.from_numpy(distances), torch.from_numpy(close)) == pytest.approx(max(shares))


def test_the_baseline_is_the_best_threshold_of_the_distance_of_pixels(tiny: ExperimentSettings) -> None:
    """Of pairs of plain frames that are 1 to 4 apart; the third is close, and no threshold tells it from the second."""
    clips = torch.stack([torch.zeros(4), torch.arange(1.0, 5)], dim=1)[:, :, None, None, None, None].expand(4, 2, 3, 1, 6, 6)
    close = torch.tensor([1, 0, 1, 0])
    halves = [(clips[half], {"close": close[half]}) for half in (slice(0, 2), slice(2, 4))]
    assert task(tiny).baseline(halves) == {"close": 3 / 4}
    assert task(tiny, objective="transform", bins=3).baseline(halves) == {}

"""VCOP: tuples and orders written out, the rule for short videos by hand, and head and loss against numpy in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.models import make_backbone
from trainables.settings import ExperimentSettings, with_values
from trainables.tasks.vcop import VCOP, tuple_starts
from trainables.video.videos import Video

MakeVideo = Callable[..., Video]

ORDERS_OF_3 = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
"""itertools.permutations(range(3)) written out: the class numbers of the released code."""


def task(tiny: ExperimentSettings, **values: object) -> VCOP:
    return VCOP(
        with_values(tiny, {"video.clip_frames": 16} | {name.replace("__", "."): value for name, value in values.items()})
    )


def test_a_tuple_and_its_label_in_numbers(tiny: ExperimentSettings, video: MakeVideo) -> None:
    """64 frames hold the published tuple exactly once: clips at 0, 24 and 48. All six orders come, each with its own number."""
    seen = {}
    vcop, rng = task(tiny), np.random.default_rng(0)
    for _ in range(100):
        sampled = vcop.sample(video(64), rng)
        starts = sampled.indices[:, 0].tolist()
        assert sampled.indices.tolist() == [list(range(start, start + 16)) for start in starts]
        assert (sampled.wrapped, sampled.changes) == (0, None), "every clip has a crop of its own"
        seen[sampled.labels["order"]] = tuple([0, 24, 48].index(start) for start in starts)
    assert seen == dict(enumerate(ORDERS_OF_3))


def test_starts_cover_exactly_the_places_where_the_tuple_fits(tiny: ExperimentSettings) -> None:
    rng = np.random.default_rng(0)
    assert {tuple(tuple_starts(67, 16, 3, 8, rng).tolist()) for _ in range(200)} == {(s, s + 24, s + 48) for s in range(4)}


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (63, {(0, 23, 46), (1, 24, 47)}),  # interval (63 - 48) // 2 = 7, one frame to spare
        (50, {(0, 17, 34)}),
        (49, {(0, 16, 32), (1, 17, 33)}),  # interval 0
        (48, {(0, 16, 32)}),
        (47, {(5, 16, 26)}),  # 32 places, a third each: their middles 5.3, 16, 26.7
        (40, {(4, 12, 20)}),  # 25 places: 4.2, 12.5, 20.8
        (18, {(0, 1, 2)}),
        (16, {(0, 0, 0)}),
        (10, {(0, 0, 0)}),
    ],
)
def test_short_videos_shrink_the_interval_then_overlap(frames: int, expected: set[tuple[int, ...]]) -> None:
    rng = np.random.default_rng(0)
    assert {tuple(tuple_starts(frames, 16, 3, 8, rng).tolist()) for _ in range(100)} == expected


def test_a_video_shorter_than_a_clip_wraps_and_is_counted(tiny: ExperimentSettings, video: MakeVideo) -> None:
    vcop = task(tiny)
    sampled = vcop.sample(video(10), np.random.default_rng(0))
    assert sampled.indices.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5]] * 3
    assert sampled.wrapped == 3
    assert vcop.views(video(10), np.random.default_rng(0)).wrapped == 2
    assert vcop.sample(video(16), np.random.default_rng(0)).wrapped == 0


@pytest.mark.parametrize(
    ("values", "frames"),
    [
        ({}, 64),
        ({"vcop__clips": 2, "vcop__interval": 0}, 32),
        ({"vcop__clips": 4}, 88),
        ({"vcop__short_videos": "shrink"}, 0),
    ],
)
def test_minimum_frames(tiny: ExperimentSettings, values: dict[str, object], frames: int) -> None:
    """clips * 16 + (clips - 1) * interval, and none when the geometry shrinks."""
    assert task(tiny, **values).minimum_frames == frames


@given(st.integers(1, 120), st.sampled_from([2, 3, 4]), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_properties_of_samples(
    tiny: ExperimentSettings, video: MakeVideo, frames: int, clips: int, interval: int, seed: int
) -> None:
    vcop = task(tiny, vcop__clips=clips, vcop__interval=interval)
    sampled = vcop.sample(video(frames), np.random.default_rng(seed))
    assert sampled.indices.shape == (clips, 16)
    assert sampled.indices.min() >= 0
    assert sampled.indices.max() < frames
    assert np.all(np.diff(sampled.indices, axis=1) % frames == 1 % frames), "consecutive frames"
    starts = np.sort(sampled.indices[:, 0])
    if frames >= vcop.minimum_frames:
        assert np.all(np.diff(starts) == 16 + interval)
    elif frames >= 16 * clips:
        assert np.all((np.diff(starts) >= 16) & (np.diff(starts) < 16 + interval)), "apart, at a shorter interval"
    assert sampled.wrapped == (clips if frames < 16 else 0)
    views = vcop.views(video(frames), np.random.default_rng(seed))
    assert views.indices.shape == (2, 16)
    if frames >= 16 * clips:
        assert abs(int(views.indices[0, 0] - views.indices[1, 0])) >= 16, "two different clips of the tuple"


@pytest.mark.parametrize(("clips", "orders"), [(2, 2), (3, 6), (4, 24)])
def test_labels_are_uniform(tiny: ExperimentSettings, video: MakeVideo, clips: int, orders: int) -> None:
    """100 draws per order on average, within 5 standard deviations (at most 9.8)."""
    vcop, rng = task(tiny, vcop__clips=clips), np.random.default_rng(0)
    counts = np.bincount([vcop.sample(video(100), rng).labels["order"] for _ in range(100 * orders)], minlength=orders)
    assert len(counts) == orders
    assert np.abs(counts - 100).max() < 5 * np.sqrt(100 * (1 - 1 / orders))


def test_views_are_all_ordered_pairs_of_the_tuple_s_clips(tiny: ExperimentSettings, video: MakeVideo) -> None:
    vcop, rng = task(tiny), np.random.default_rng(0)
    pairs = {tuple(vcop.views(video(64), rng).indices[:, 0].tolist()) for _ in range(200)}
    assert pairs == {(0, 24), (24, 0), (0, 48), (48, 0), (24, 48), (48, 24)}


def test_head_and_loss_against_the_formula_in_float64(tiny: ExperimentSettings) -> None:
    """Pairs (0,1), (0,2), (1,2) -> shared linear + ReLU -> concatenated -> linear -> cross entropy, from the same features."""
    vcop = task(tiny, vcop__head_width=7)
    torch.manual_seed(0)
    network = vcop.network(make_backbone(tiny.backbone), pretrained=False).eval()
    clips, labels = torch.randn(4, 3, 3, 8, 12, 12), np.array([0, 5, 2, 3])
    loss, metrics = vcop.loss(network, clips, {"order": torch.from_numpy(labels)})

    weights = {name: value.detach().double().numpy() for name, value in network.named_parameters()}
    features = [network.backbone(clips[:, view]).detach().double().numpy() for view in range(3)]
    hidden = []
    for first, second in ((0, 1), (0, 2), (1, 2)):
        pair = np.concatenate([features[first], features[second]], axis=1)
        hidden.append(np.maximum(pair @ weights["pair.weight"].T + weights["pair.bias"], 0))
    logits = np.concatenate(hidden, axis=1) @ weights["order.weight"].T + weights["order.bias"]
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -np.log(probability[np.arange(4), labels])
    assert metrics["order_loss"].numpy() == pytest.approx(expected, rel=1e-4)
    assert float(loss.detach()) == pytest.approx(expected.mean(), rel=1e-4)
    assert metrics["order_accuracy"].tolist() == (logits.argmax(1) == labels).tolist()


@pytest.mark.parametrize(("clips", "pairs", "orders"), [(2, 1, 2), (3, 3, 6), (4, 6, 24)])
def test_size_of_the_head(tiny: ExperimentSettings, clips: int, pairs: int, orders: int) -> None:
    """Of the published size at C = 512: 1024 x 512 shared by the pairs, then 512 per pair to clips! orders."""
    settings = with_values(tiny, {"backbone.width": 64, "vcop.clips": clips})
    with torch.device("meta"):
        network = VCOP(settings).network(make_backbone(settings.backbone), pretrained=False)
    head = {name: tuple(value.shape) for name, value in network.named_parameters() if not name.startswith("backbone.")}
    assert head == {
        "pair.weight": (512, 1024),
        "pair.bias": (512,),
        "order.weight": (orders, 512 * pairs),
        "order.bias": (orders,),
    }


def test_dropout_lies_between_the_two_layers_of_the_head_in_training_only(tiny: ExperimentSettings) -> None:
    network = task(tiny, vcop__dropout=0.9).network(make_backbone(tiny.backbone), pretrained=False)
    network.backbone.eval()
    clips = torch.randn(1, 3, 3, 8, 12, 12)
    assert not torch.equal(network(clips)["order"], network(clips)["order"])
    network.eval()
    assert torch.equal(network(clips)["order"], network(clips)["order"])

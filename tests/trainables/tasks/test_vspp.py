"""VSPP: frame offsets against Eq. 4 written out, against the released code re-simulated, and as properties; heads and loss of
its ablations against Eq. 5; with one segment it is VideoPace."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainables.models import make_backbone
from trainables.settings import ExperimentSettings, with_values
from trainables.tasks.video_pace import VideoPace
from trainables.tasks.vspp import VSPP, vspp_offsets
from trainables.video.videos import Video

MakeVideo = Callable[..., Video]


def equation_4(length: int, segments: int, segment: int, speed: int) -> list[int]:
    """f_r = 0. Altered frames run from I_b to I_e in steps of lambda; before them the clip runs from f_r at natural pace,
    after them it goes on from I_e + 1 at natural pace. Segment zeta has positions floor((zeta-1)K/Z) to floor(zeta K/Z) - 1.
    """
    first, last = math.floor((segment - 1) * length / segments), math.floor(segment * length / segments) - 1
    begin = first + (speed - 1)
    end = begin + speed * (last - first)
    before, after = list(range(first)), [end + 1 + i for i in range(length - 1 - last)]
    return before + list(range(begin, end + 1, speed)) + after


@pytest.mark.parametrize(("length", "segments"), [*((16, segments) for segments in range(1, 9)), (16, 16), (8, 3)])
def test_exact_offsets_are_equation_4(length: int, segments: int) -> None:
    """Every Z and Q of the ablations; Z = 3, 5, 6 and 7 do not divide 16."""
    for segment in range(1, segments + 1):
        for speed in range(1, 9):
            assert vspp_offsets(length, segments, segment, speed).tolist() == equation_4(length, segments, segment, speed)


def test_equation_4_in_numbers() -> None:
    """K = 16, Z = 4, lambda = 2, counted by hand from I_b = f_r + 4 (zeta - 1) + 1 and I_e = I_b + 6."""
    assert vspp_offsets(16, 4, 1, 2).tolist() == [1, 3, 5, 7, *range(8, 20)]
    assert vspp_offsets(16, 4, 3, 2).tolist() == [*range(8), 9, 11, 13, 15, 16, 17, 18, 19]
    assert vspp_offsets(16, 3, 2, 3).tolist() == [0, 1, 2, 3, 4, 7, 10, 13, 16, 19, 20, 21, 22, 23, 24, 25]


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        (1, [0, 2, 4, 6, 8, *range(9, 20)]),
        (2, [0, 1, 2, 3, 5, 7, 9, 11, 13, *range(14, 21)]),
        (3, [*range(8), 9, 11, 13, 15, 17, 18, 19, 20]),
        (4, [*range(12), 13, 15, 17, 19]),
    ],
)
def test_inclusive_offsets_are_the_released_code_s(segment: int, expected: list[int]) -> None:
    """lambda = 2, K = 16, Z = 4: the released sampler, simulated step by step outside of this project."""
    assert vspp_offsets(16, 4, segment, 2, "inclusive").tolist() == expected


def test_inclusive_spans_at_the_highest_speed() -> None:
    """The released code's clips span 31 frames at lambda = 4 for the inner segments and 28 for the outer ones."""
    assert [int(vspp_offsets(16, 4, segment, 4, "inclusive")[-1]) for segment in (1, 2, 3, 4)] == [27, 30, 30, 27]


@given(st.integers(2, 32), st.integers(1, 32), st.integers(1, 6), st.data())
def test_properties_of_exact_offsets(length: int, segments: int, speed: int, data: st.DataObject) -> None:
    segments = min(segments, length)
    segment = data.draw(st.integers(1, segments))
    offsets = vspp_offsets(length, segments, segment, speed)
    steps = np.diff(offsets, prepend=-1)
    altered = math.floor(segment * length / segments) - math.floor((segment - 1) * length / segments)
    assert len(offsets) == length
    assert np.all(steps >= 1), "frames run forwards"
    assert np.count_nonzero(steps == speed) == (length if speed == 1 else altered)
    assert set(steps.tolist()) <= {1, speed}


def task(tiny: ExperimentSettings, **values: object) -> VSPP:
    return VSPP(with_values(tiny, {name.replace("__", "."): value for name, value in values.items()}))


@given(st.integers(1, 80), st.integers(0, 2**32 - 1), st.sampled_from(["exact", "inclusive"]))
def test_samples_lie_in_the_video(tiny: ExperimentSettings, video: MakeVideo, frames: int, seed: int, form: str) -> None:
    vspp = task(tiny, video__clip_frames=16, vspp__segments=3, vspp__segment_frames=form)
    sampled = vspp.sample(video(frames), np.random.default_rng(seed))
    indices = sampled.indices
    assert indices.shape == (1, 16)
    assert indices.min() >= 0
    assert indices.max() < frames
    assert 0 <= sampled.labels["speed"] < 4
    assert 0 <= sampled.labels["segment"] < 3
    ascending = bool(np.all(np.diff(indices[0]) > 0))
    assert sampled.wrapped == (0 if ascending else 1)
    offsets = vspp_offsets(16, 3, sampled.labels["segment"] + 1, sampled.labels["speed"] + 1, form)
    assert sampled.wrapped == (offsets[-1] >= frames), "only a video that is too short wraps"
    if sampled.wrapped:
        assert indices[0].tolist() == [offset % frames for offset in offsets]


def test_starts_cover_exactly_the_places_where_the_clip_fits(tiny: ExperimentSettings, video: MakeVideo) -> None:
    """Q = 1: a clip of 8 frames fits into 11 at the starts 0, 1, 2 and 3."""
    vspp = task(tiny, vspp__speeds=1)
    rng = np.random.default_rng(0)
    assert {int(vspp.sample(video(11), rng).indices[0, 0]) for _ in range(100)} == {0, 1, 2, 3}


def test_labels_are_uniform_and_independent(tiny: ExperimentSettings, video: MakeVideo) -> None:
    """4000 draws of 16 pairs: each comes 250 times on average, within 5 standard deviations (15.3)."""
    rng, vspp = np.random.default_rng(0), task(tiny)
    counts = np.zeros((4, 4))
    for _ in range(4000):
        labels = vspp.sample(video(60), rng).labels
        counts[labels["speed"], labels["segment"]] += 1
    assert np.abs(counts - 250).max() < 77


def test_distinct_views_differ_in_speed_and_segment(tiny: ExperimentSettings, video: MakeVideo) -> None:
    """With Q = Z = 2 a pair of distinct views shows both speeds: one clip is altered, the other runs at natural pace."""
    vspp = task(tiny, auxskd__views="distinct", vspp__speeds=2, vspp__segments=2)
    rng = np.random.default_rng(0)
    altered_segments = set()
    for _ in range(100):
        views = vspp.views(video(40), rng)
        steps = np.diff(views.indices, axis=1)
        assert views.indices.shape == (2, 8)
        assert sorted(steps.max(axis=1).tolist()) == [1, 2]
        altered_segments.add(int(np.argmax(steps.max(axis=0) == 2)))
    assert len(altered_segments) == 2


def test_independent_views_may_coincide_in_speed(tiny: ExperimentSettings, video: MakeVideo) -> None:
    """Q = 2: two independent views have the same pace half of the time (500 +- 79 of 1000 within 5 standard deviations)."""
    vspp, rng = task(tiny, vspp__speeds=2), np.random.default_rng(0)
    spans = [np.ptp(vspp.views(video(60), rng).indices, axis=1) for _ in range(1000)]
    natural = sum(bool(np.all(span == 7)) for span in spans)  # zeta = 1 shifts an altered clip but shortens its span by one
    assert 171 < natural < 329, "both at natural pace: a quarter"


def test_wrapped_views_are_counted(tiny: ExperimentSettings, video: MakeVideo) -> None:
    assert task(tiny, vspp__speeds=1).views(video(5), np.random.default_rng(0)).wrapped == 2


class GivenLogits(nn.Module):
    """Stands for a network: the logits are what the test says, whatever the clips."""

    def __init__(self, logits: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.logits = {name: torch.from_numpy(value).float() for name, value in logits.items()}

    def forward(self, clips: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.logits


LABELS = {"speed": np.array([0, 1, 2, 3, 0, 1]), "segment": np.array([3, 2, 1, 0, 1, 1])}


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """-log softmax(logits)[label], one value per row, in float64."""
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return -np.log(probability[np.arange(len(labels)), labels])


@pytest.mark.parametrize(
    ("heads", "values"),
    [
        ({"speed": 0.5, "segment": 2.0}, {"vspp__speed_weight": 0.5, "vspp__segment_weight": 2.0}),
        ({"speed": 1.0}, {"vspp__segment_weight": 0.0}),
        ({"segment": 3.0}, {"vspp__speed_weight": 0.0, "vspp__segment_weight": 3.0}),
    ],
    ids=["both", "speed only", "segment only"],
)
@pytest.mark.parametrize("unaltered", ["keep", "exclude"])
def test_loss_is_the_weighted_sum_of_cross_entropies(
    tiny: ExperimentSettings, heads: dict[str, float], values: dict[str, object], unaltered: str
) -> None:
    """Eq. 5 in float64: alpha CE(speed) + beta CE(segment); with `exclude`, clips at speed 1 have no second term."""
    rng = np.random.default_rng(0)
    logits = {name: rng.normal(size=(6, 4)) for name in heads}
    labels = {name: torch.from_numpy(value) for name, value in LABELS.items()}
    loss, metrics = task(tiny, **values, vspp__unaltered_segment=unaltered).loss(
        GivenLogits(logits), torch.zeros(6, 1, 3, 8, 12, 12), labels
    )
    expected = np.zeros(6)
    for name, weight in heads.items():
        value = cross_entropy(logits[name], LABELS[name])
        if name == "segment" and unaltered == "exclude":
            value = np.where(LABELS["speed"] == 0, 0, value)
        expected += weight * value
        assert metrics[f"{name}_loss"].numpy() == pytest.approx(cross_entropy(logits[name], LABELS[name]), rel=1e-5)
        assert metrics[f"{name}_accuracy"].tolist() == (logits[name].argmax(1) == LABELS[name]).tolist()
    assert float(loss) == pytest.approx(expected.mean(), rel=1e-5)
    assert set(metrics) == {f"{name}_{metric}" for name in heads for metric in ("loss", "accuracy")}


@pytest.mark.parametrize(
    ("values", "heads"),
    [
        ({}, {"speed": 4, "segment": 4}),
        ({"vspp__segments": 1}, {"speed": 4}),
        ({"vspp__speeds": 1}, {"segment": 4}),
        ({"vspp__segment_weight": 0.0, "vspp__speeds": 8}, {"speed": 8}),
        ({"vspp__speed_weight": 0.0, "vspp__segments": 7}, {"segment": 7}),
    ],
)
def test_a_head_exists_for_what_there_is_to_learn(
    tiny: ExperimentSettings, values: dict[str, object], heads: dict[str, int]
) -> None:
    """Not for a weight of 0, nor for one speed or one segment. The backbone's convolutions are trained in all cases."""
    vspp = task(tiny, **values)
    network = vspp.network(make_backbone(tiny.backbone), pretrained=False)
    outputs = network(torch.randn(2, 1, 3, 8, 12, 12))
    assert {name: value.shape for name, value in outputs.items()} == {name: (2, number) for name, number in heads.items()}


@pytest.mark.parametrize("segment_frames", ["exact", "inclusive"])
def test_one_segment_is_video_pace(tiny: ExperimentSettings, video: MakeVideo, segment_frames: str) -> None:
    """Z = 1 has no segment head: same labels, same steps between frames (with the released code's start, the same frames), same
    parameters under the same seed, and the same loss and gradients to the bit."""
    settings = with_values(tiny, {"vspp.segments": 1, "vspp.segment_frames": segment_frames})
    vspp, video_pace = VSPP(settings), VideoPace(settings)
    for seed in range(40):
        ours, theirs = (kind.sample(video(60), np.random.default_rng(seed)) for kind in (vspp, video_pace))
        assert ours.labels["speed"] == theirs.labels["speed"]
        assert np.diff(ours.indices).tolist() == np.diff(theirs.indices).tolist()
        if segment_frames == "inclusive":
            assert ours.indices.tolist() == theirs.indices.tolist()

    networks, losses = [], []
    clips = torch.randn(4, 1, 3, 8, 12, 12, generator=torch.Generator().manual_seed(0))
    labels = {"speed": torch.tensor([0, 3, 1, 2]), "segment": torch.zeros(4, dtype=torch.long)}
    for kind in (vspp, video_pace):
        torch.manual_seed(0)
        network = kind.network(make_backbone(settings.backbone), pretrained=False)
        loss, metrics = kind.loss(network, clips, labels)
        loss.backward()
        networks.append(network)
        losses.append(float(loss.detach()))
        assert set(metrics) == {"speed_loss", "speed_accuracy"}
    assert losses[0] == losses[1]
    ours, theirs = (dict(network.named_parameters()) for network in networks)
    assert ours.keys() == theirs.keys()
    for name, parameter in ours.items():
        assert torch.equal(parameter, theirs[name]), name
        assert torch.equal(parameter.grad, theirs[name].grad), name

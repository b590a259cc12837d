"""VideoPace: frame indices and labels counted by hand, starts, views, and the loss against a float64 formula."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.models import make_backbone
from trainables.settings import ExperimentSettings, with_values
from trainables.tasks.video_pace import VideoPace
from trainables.video.videos import Video

MakeVideo = Callable[..., Video]


def task(tiny: ExperimentSettings, **values: object) -> VideoPace:
    return VideoPace(with_values(tiny, {name.replace("__", "."): value for name, value in values.items()}))


def test_indices_in_numbers(tiny: ExperimentSettings, video: MakeVideo) -> None:
    """In 29 frames a clip of 8 at speed 4 (28 frames apart) fits at 0 only if it is to fit at all; at speed 1 at 0 to 21."""
    pace, rng = task(tiny), np.random.default_rng(0)
    seen: dict[int, set[tuple[int, ...]]] = {}
    for _ in range(600):
        sampled = pace.sample(video(29), rng)
        seen.setdefault(sampled.labels["speed"], set()).add(tuple(sampled.indices[0].tolist()))
    assert seen[3] == {(0, 4, 8, 12, 16, 20, 24, 28)}
    assert seen[2] == {tuple(range(start, start + 22, 3)) for start in range(8)}
    assert seen[1] == {tuple(range(start, start + 15, 2)) for start in range(15)}
    assert seen[0] == {tuple(range(start, start + 8)) for start in range(22)}


def test_a_video_that_is_too_short_wraps_and_is_counted(tiny: ExperimentSettings, video: MakeVideo) -> None:
    """10 frames, speed 2: frames 0 to 14 in steps of 2 modulo 10; at speed 1 the 8 frames fit."""
    pace = task(tiny, video_pace__speeds=2)
    samples = [pace.sample(video(10), np.random.default_rng(seed)) for seed in range(20)]
    fast = [sampled for sampled in samples if sampled.labels["speed"] == 1]
    assert 0 < len(fast) < 20
    assert all(sampled.indices[0].tolist() == [0, 2, 4, 6, 8, 0, 2, 4] for sampled in fast)
    assert all(sampled.wrapped == sampled.labels["speed"] for sampled in samples)


@given(st.integers(1, 80), st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_properties_of_samples(tiny: ExperimentSettings, video: MakeVideo, frames: int, speeds: int, seed: int) -> None:
    sampled = task(tiny, video_pace__speeds=speeds).sample(video(frames), np.random.default_rng(seed))
    speed = sampled.labels["speed"] + 1
    assert sampled.indices.shape == (1, 8)
    assert sampled.indices.min() >= 0
    assert sampled.indices.max() < frames
    assert 1 <= speed <= speeds
    assert np.all(np.diff(sampled.indices) % frames == speed % frames)
    assert sampled.wrapped == (7 * speed >= frames)


def test_labels_are_uniform(tiny: ExperimentSettings, video: MakeVideo) -> None:
    """4000 draws of 4 speeds: 1000 each, within 5 standard deviations (27.4)."""
    pace, rng = task(tiny), np.random.default_rng(0)
    counts = np.bincount([pace.sample(video(60), rng).labels["speed"] for _ in range(4000)], minlength=4)
    assert np.abs(counts - 1000).max() < 137


def paces(pace: VideoPace, rng: np.random.Generator, source: Video) -> list[int]:
    indices = pace.views(source, rng).indices
    assert indices.shape == (2, 8)
    return np.diff(indices)[:, 0].tolist()


def test_distinct_views_differ_in_speed_and_independent_ones_agree_by_chance(
    tiny: ExperimentSettings, video: MakeVideo
) -> None:
    """Of 1000 independent pairs of 4 speeds 250 agree, within 5 standard deviations (13.7); their starts differ in any case."""
    rng = np.random.default_rng(0)
    distinct = [paces(task(tiny, pretext__task="video_pace", auxskd__views="distinct"), rng, video(60)) for _ in range(300)]
    assert all(first != second for first, second in distinct)
    assert {tuple(pair) for pair in distinct} == {(i, j) for i in range(1, 5) for j in range(1, 5) if i != j}
    pace = task(tiny)
    same = sum(len(set(paces(pace, rng, video(60)))) == 1 for _ in range(1000))
    assert 181 < same < 319
    starts = np.array([pace.views(video(60), rng).indices[:, 0] for _ in range(50)])
    assert np.mean(starts[:, 0] == starts[:, 1]) < 0.3


def test_loss_is_cross_entropy(tiny: ExperimentSettings) -> None:
    """-log softmax(W f + b)[label] in float64, f from the backbone."""
    pace = task(tiny)
    torch.manual_seed(0)
    network = pace.network(make_backbone(tiny.backbone), pretrained=False).eval()
    clips, labels = torch.randn(5, 1, 3, 8, 12, 12), np.array([0, 1, 2, 3, 3])
    loss, metrics = pace.loss(network, clips, {"speed": torch.from_numpy(labels)})
    features = network.backbone(clips[:, 0]).detach().double().numpy()
    head = network.heads["speed"]
    logits = features @ head.weight.detach().double().numpy().T + head.bias.detach().double().numpy()
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -np.log(probability[np.arange(5), labels])
    assert metrics["speed_loss"].numpy() == pytest.approx(expected, rel=1e-4)
    assert float(loss.detach()) == pytest.approx(expected.mean(), rel=1e-4)
    assert metrics["speed_accuracy"].tolist() == (logits.argmax(1) == labels).tolist()

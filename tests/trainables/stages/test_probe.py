"""The online probe: nearest neighbours among frozen features, against a loop; when it is asked, and of which videos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainables.data import open_data
from trainables.models import make_backbone
from trainables.models.weights import load_convolutions
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, with_values
from trainables.stages.evaluate import outputs_of_videos
from trainables.stages.probe import (
    MOST,
    Probe,
    candidates,
    chosen,
    clips_looked_at,
    interval,
    is_asked,
    is_shown,
    neighbours_accuracy,
    probe_of,
    value_after,
)
from trainables.stages.work import Work
from trainables.store import Artifact
from trainables.video.videos import UNLABELLED, Video

WorkOf = Callable[[str, ExperimentSettings, Runtime], Work]


def videos(labels: list[int], groups: list[str] | None = None) -> list[Video]:
    of = groups or [str(number) for number in range(len(labels))]
    return [Video(f"{n}.avi", Path(f"{n}.avi"), label, group) for n, (label, group) in enumerate(zip(labels, of, strict=True))]


def test_neighbours_agree_with_a_loop() -> None:
    """Of 40 videos in groups of two: sorted by cosine, those of the own group left out, the votes of five counted; of equal
    votes those of the nearer ones."""
    rng = np.random.default_rng(0)
    labels = [int(label) for label in rng.integers(3, size=40)]
    features = rng.normal(size=(40, 6)) + np.eye(6)[labels]
    of = videos(labels, [str(number // 2) for number in range(40)])
    right = 0
    for query in range(40):
        length = np.linalg.norm(features, axis=1)
        cosine = features @ features[query] / length / length[query]
        others = sorted((one for one in range(40) if one // 2 != query // 2), key=lambda one: -cosine[one])[:5]
        found = [labels[one] for one in others]
        best = max(set(found), key=lambda label: (found.count(label), -sum(n for n, one in enumerate(found) if one == label)))
        right += best == labels[query]
    assert 0.3 < right / 40 < 0.9
    assert neighbours_accuracy(torch.tensor(features), torch.tensor(labels), candidates(of)) == pytest.approx(right / 40)


def test_limits_of_the_accuracy() -> None:
    """Features that are the label: 1. Without any neighbour: 0. A neighbour of the own group does not count."""
    labels = torch.arange(24) % 4
    features = torch.eye(4)[labels]
    assert neighbours_accuracy(features, labels, candidates(videos(labels.tolist()))) == 1
    assert neighbours_accuracy(features, labels, torch.zeros(24, 24, dtype=torch.bool)) == 0
    pairs = videos([0, 0, 1, 1], ["a", "a", "b", "b"])
    assert neighbours_accuracy(torch.eye(2)[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 1]), candidates(pairs)) == 0


def test_chance_is_what_features_that_know_nothing_reach(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    """The share of candidates of the own class, written out; the mean accuracy of a nearest neighbour among random features."""
    labels = [0] * 10 + [1] * 20
    probe = Probe(None, None, videos(labels))  # type: ignore[arg-type]
    assert probe.chance == pytest.approx((10 * 9 + 20 * 19) / 30 / 29)
    generator, allowed = torch.Generator().manual_seed(0), candidates(probe.videos)
    drawn = [neighbours_accuracy(torch.randn(30, 8, generator=generator), torch.tensor(labels), allowed, 1) for _ in range(400)]
    assert np.mean(drawn) == pytest.approx(probe.chance, abs=0.02)


def test_videos_are_spread_evenly_and_labelled() -> None:
    many = videos(list(range(4)) * MOST)
    some = chosen(many)
    assert len(some) == MOST
    assert [int(Path(video.name).stem) for video in some] == list(range(0, 4 * MOST, 4))
    assert chosen(many[:5]) == many[:5]


@pytest.mark.parametrize(
    ("looked", "trained", "every"),
    [(64, 480, 3), (64, 160, 8), (512, 76_000, 1), (5000, 76_000, 1), (1, 10, 2), (20, 400, 1), (21, 400, 2)],
)
def test_how_often_it_is_asked(looked: int, trained: int, every: int) -> None:
    """So seldom that it looks at no more than a twentieth of what is trained on; first and last always."""
    assert interval(looked, trained) == every
    assert min(looked, MOST) <= every * trained / 20 + 1e-9
    asked = 1 + sum(is_asked(epoch, 10, every) for epoch in range(1, 11))
    assert clips_looked_at(looked, trained, 10) == min(looked, MOST) * asked
    assert clips_looked_at(0, trained, 10) == 0


def test_what_it_says_shortly_before_the_last_epoch_is_not_shown() -> None:
    """But it is asked, as it stands in the history of a longer training, which may go on from there."""
    asked, shown = (
        {epochs: [epoch for epoch in range(1, epochs + 1) if which(epoch, epochs, 3)] for epochs in (1, 4, 6, 8, 9)}
        for which in (is_asked, is_shown)
    )
    assert shown == {1: [1], 4: [4], 6: [3, 6], 8: [3, 8], 9: [3, 6, 9]}
    assert asked == {1: [1], 4: [3, 4], 6: [3, 6], 8: [3, 6, 8], 9: [3, 6, 9]}
    said = {epoch: float(epoch) for epoch in range(10)}
    assert [value_after(epoch, 8, 3, said) for epoch in range(1, 9)] == [0, 0, 3, 3, 3, 3, 3, 8]
    assert [value_after(epoch, 9, 3, said) for epoch in range(1, 10)] == [0, 0, 3, 3, 3, 6, 6, 6, 9]


def test_a_stage_tells_what_its_probe_found(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], run_stage: Callable[..., Artifact], work_of: WorkOf
) -> None:
    """Before: of the network as it is drawn; after: of the weights that are handed on; both against features computed as those
    of frozen networks are. Between, where it is not asked, the last value stands."""
    place, settings = runtime(), with_values(tiny, {"data.embedded.validation": 3})
    artifact = run_stage("auxskd", settings, place)
    work = work_of("auxskd", settings, place)
    assert len(work.videos.validation) == 18 and not work.videos.test
    with work.seeded("backbone"):
        backbone = make_backbone(settings.backbone).eval()
    labels = torch.tensor([video.label for video in work.videos.validation])

    def expected() -> float:
        with torch.no_grad():
            features = torch.cat(list(outputs_of_videos(work, backbone, work.videos.validation, 1))).flatten(1)
        return neighbours_accuracy(features, labels, candidates(work.videos.validation))

    metrics = artifact.done["metrics"]
    assert metrics["auxskd/val_knn_before"] == expected()
    load_convolutions(backbone, artifact.tensors())
    assert metrics["auxskd/val_knn"] == expected()
    assert metrics["auxskd/val_knn_chance"] == pytest.approx(2 / 17)
    assert interval(18, 12) > 2
    assert [line["auxskd/val_knn"] for line in artifact.history()] == [
        metrics["auxskd/val_knn_before"],
        metrics["auxskd/val_knn"],
    ]


def test_it_needs_two_classes(tiny: ExperimentSettings, runtime: Callable[..., Runtime], work_of: WorkOf) -> None:
    place = runtime()
    work = work_of("auxskd", tiny, place)
    backbone: Any = make_backbone(tiny.backbone)
    data = open_data(tiny.data, place)["pretraining"]
    alike = tuple(replace(video, label=0) for video in data.validation)
    none = tuple(replace(video, label=UNLABELLED) for video in data.validation)
    for part in (alike, none, ()):
        assert probe_of(replace(work, videos=replace(work.videos, validation=part)), backbone) is None
    assert probe_of(work, backbone) is not None

"""Retrieval against an example by hand and a double loop; which videos are queries and which the gallery."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings
from trainables.stages import pictures, retrieval
from trainables.stages.retrieval import NEIGHBOURS, recalls
from trainables.stages.work import Work
from trainables.store import Store, Workplace
from trainables.video.videos import PARTS, UNLABELLED, Video, VideoSet


def test_by_hand() -> None:
    """Angles of 0, 10, 80 and 180 degrees; lengths do not count. The query at 20 degrees of class 1 finds classes 0 (10 degrees
    away), 0 (20), 1 (60), 1 (160); the one at 90 of class 2 finds no 2 among the six; the one at 85 finds its own at once."""
    angles = torch.deg2rad(torch.tensor([0.0, 10.0, 80.0, 180.0, 181.0, 182.0]))
    gallery = torch.stack([angles.cos(), angles.sin()], 1) * torch.tensor([[1.0], [9.0], [0.1], [3.0], [1.0], [1.0]])
    labels = torch.tensor([0, 0, 1, 1, 0, 0])
    places = torch.deg2rad(torch.tensor([20.0, 90.0, 85.0]))
    queries = torch.stack([places.cos(), places.sin()], 1)
    found = recalls("test", queries, torch.tensor([1, 2, 1]), gallery, labels)
    third = pytest.approx(1 / 3)
    assert found == {
        "test/retrieval_r1": third,
        "test/retrieval_r5": pytest.approx(2 / 3),
        "test/retrieval_r10": pytest.approx(2 / 3),
        "test/retrieval_r20": pytest.approx(2 / 3),
        "test/retrieval_r50": pytest.approx(2 / 3),
    }


def test_against_a_double_loop() -> None:
    """70 videos in the gallery, more than the largest k; 25 classes, so that recalls differ from k to k."""
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(40, 6)), rng.normal(size=(70, 6))
    targets, labels = rng.integers(25, size=40), rng.integers(25, size=70)
    found = recalls("test", *map(torch.from_numpy, (queries, targets, gallery, labels)))
    for k in NEIGHBOURS:
        hits = 0
        for query, target in zip(queries, targets, strict=True):
            cosines = [query @ other / np.linalg.norm(query) / np.linalg.norm(other) for other in gallery]
            hits += target in labels[np.argsort(cosines)[::-1][:k]]
        assert found[f"test/retrieval_r{k}"] == pytest.approx(hits / 40)
    values = [found[f"test/retrieval_r{k}"] for k in NEIGHBOURS]
    assert values == sorted(values)
    assert 0 < values[0] < values[-1] < 1


def test_queries_without_a_label_do_not_count() -> None:
    gallery, labels = torch.eye(3), torch.tensor([0, 1, 2])
    queries, targets = torch.eye(3)[[0, 1, 1]], torch.tensor([0, 2, UNLABELLED])
    assert recalls("test", queries, targets, gallery, labels)["test/retrieval_r1"] == 0.5


def one_hot(*numbers: int) -> Tensor:
    return torch.eye(8)[list(numbers)]


def videos_of(part: str, labels: Tensor) -> tuple[Video, ...]:
    return tuple(Video(f"{part}{number}.avi", Path(), int(label), "g") for number, label in enumerate(labels))


def test_test_videos_search_the_training_split_and_validation_videos_the_training_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every clip lies on an axis. A test video whose twin is in the validation part finds it; a validation video finds neither
    itself nor a test video. Clips of a video are averaged: one of two on its own axis is enough."""
    features = {
        "train": torch.stack([one_hot(0, 0), one_hot(1, 1)]),
        "train_targets": torch.tensor([0, 1]),
        "validation": torch.stack([one_hot(2, 2), one_hot(1, 5)]),
        "validation_targets": torch.tensor([2, 1]),
        "test": torch.stack([one_hot(2, 3), one_hot(0, 4), one_hot(6, 6)]),
        "test_targets": torch.tensor([2, 0, 6]),
    }
    artifact = Workplace(Store(tmp_path), "features", "key").publish(settings={}, metrics={}, tensors={"features": features})
    work = Work(
        kind="retrieval",
        settings=ExperimentSettings(),
        seed=0,
        videos=VideoSet("none", (), *(videos_of(part, features[f"{part}_targets"]) for part in PARTS)),
        inputs={"features": artifact},
        runtime=Runtime(tmp_path, tmp_path, device="cpu"),
    )
    monkeypatch.setattr(pictures, "film_strips", lambda work, videos: torch.zeros(len(videos), 1, 1, 1, 3))
    outcome = retrieval.run(work)
    metrics = outcome.metrics
    assert metrics["test/retrieval_r1"] == pytest.approx(2 / 3)
    assert metrics["validation/retrieval_r1"] == metrics["validation/retrieval_r50"] == 1 / 2
    found = outcome.files["neighbours.json"]
    named = [[found["gallery"]["name"][one] for one in nearest] for nearest in found["test"]["nearest"]]
    assert [names[0] for names in named] == ["validation0.avi", "train0.avi", "train0.avi"], "ties: the first in the gallery"
    assert outcome.tensors["pictures"]["query_numbers"].tolist()[0] == 2, "no neighbour is of its class"

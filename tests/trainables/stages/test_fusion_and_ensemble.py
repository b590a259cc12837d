"""Fusion and ensemble against what comes of the teachers' stored answers, computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.data import open_data
from trainables.pipeline import Experiment, Result, run_experiment
from trainables.runtime import Runtime
from trainables.settings import TEACHER_TASKS, ExperimentSettings, with_values
from trainables.stages.linear_probe import PENALTIES, fit, predict
from trainables.stages.metrics import measure_videos
from trainables.store import Store
from trainables.video.videos import VideoSet

Make = Callable[..., Runtime]


@pytest.fixture
def videos(tiny_graph: ExperimentSettings, clips: Path) -> VideoSet:
    return open_data(tiny_graph.data, Runtime(clips, clips))["downstream"]


def answers(taught: tuple[Path, Result], part: str, name: str) -> list[torch.Tensor]:
    """A part's tensors of all four teachers."""
    store, result = taught
    found = [Store(store).find(f"{task}_views", result.stages[f"{task}_views"]) for task in TEACHER_TASKS]
    return [artifact.tensors(part)[name] for artifact in found if artifact is not None]


def test_fusion_is_the_mean_of_the_teachers_softmax(
    tiny_graph: ExperimentSettings, taught: tuple[Path, Result], after_teachers: Make, videos: VideoSet
) -> None:
    """Over teachers and clips, in numpy; top-1 and mean average precision of it counted here."""
    found = run_experiment(
        Experiment(with_values(tiny_graph, {"recipe": "fusion"}), 0), after_teachers(), lambda line: None
    ).metrics
    for part in ("validation", "test"):
        logits = torch.stack(answers(taught, part, "logits")).double().numpy()
        assert logits.shape == (4, 6, 2, 6)
        confidence = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        scores = confidence.mean((0, 2))
        labels = np.array([video.label for video in videos.part(part)])
        assert found[f"{part}/top1"] == pytest.approx((scores.argmax(1) == labels).mean())
        of_classes = []
        for label in range(6):  # one video shows it: its precision is one over its rank
            (shown,) = np.flatnonzero(labels == label)
            of_classes.append(1 / (1 + (scores[:, label] > scores[shown, label]).sum()))
        assert found[f"{part}/map"] == pytest.approx(np.mean(of_classes))


def test_fusion_of_one_teacher_is_that_teacher(
    tiny_graph: ExperimentSettings, taught: tuple[Path, Result], after_teachers: Make
) -> None:
    settings = with_values(tiny_graph, {"recipe": "fusion", "teachers.tasks": "prediction"})
    found = run_experiment(Experiment(settings, 0), after_teachers(), lambda line: None).metrics
    for name in ("top1", "top5", "map"):
        assert found[f"test/{name}"] == found[f"test/prediction_{name}"] == taught[1].metrics[f"test/prediction_{name}"]


def test_the_ensemble_is_a_linear_classifier_on_the_joined_features(
    tiny_graph: ExperimentSettings, taught: tuple[Path, Result], after_teachers: Make, videos: VideoSet
) -> None:
    """Of 8 + 8 + 8 + 6 units, standardised by the two views of each training video, with the penalty that is best on
    validation; test has no say."""
    settings = with_values(tiny_graph, {"recipe": "ensemble"})
    found = run_experiment(Experiment(settings, 0), after_teachers(), lambda line: None).metrics
    parts = {part: torch.cat(answers(taught, part, "features"), dim=-1) for part in ("validation", "test")}
    train = torch.cat(answers(taught, "train", "features"), dim=-1).transpose(0, 1)
    assert train.shape == (12, 2, 30)
    mean, deviation = train.mean((0, 1)), train.std((0, 1)) + 1e-6
    labels = torch.tensor([video.label for video in videos.train])
    best: tuple[float, float] = (-1.0, 0.0)
    expected: dict[str, float] = {}
    for penalty in PENALTIES:
        matrix = fit(((train - mean) / deviation).double(), labels, 6, penalty)
        measured: dict[str, float] = {}
        for part, features in parts.items():
            scores = predict(matrix, ((features - mean) / deviation).double())
            measured |= measure_videos(scores, videos.part(part), 6, part)
        if (measured["validation/top1"], penalty) > best:
            best, expected = (measured["validation/top1"], penalty), measured
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["ensemble/penalty"] == best[1]

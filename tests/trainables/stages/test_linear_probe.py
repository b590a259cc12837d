"""The linear probe: the optimum it finds, against a float64 gradient; what it is chosen by; and what it scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings
from trainables.stages import linear_probe
from trainables.stages import work as work_module
from trainables.stages.linear_probe import PENALTIES, fit, predict
from trainables.stages.work import Work
from trainables.store import Store, Workplace
from trainables.video.videos import PARTS, UNLABELLED, Video, VideoSet

Features = dict[str, Tensor]
Probe = Callable[..., dict[str, float]]
CLASSES = ("a", "b", "c")


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def around(centres: Tensor, seed: int, noise: float, clips: int = 2) -> Tensor:
    """Clips of videos (videos, clips, C) that scatter around a centre (videos, C) each."""
    return centres[:, None] + noise * normal(seed, len(centres), clips, centres.shape[1])


@pytest.fixture
def probe(tmp_path: Path) -> Probe:
    """Runs the stage on features and gives its metrics."""

    def run(features: Features, report: Callable[[dict[str, Any]], None] = lambda line: None) -> dict[str, float]:
        number = len(list(tmp_path.glob("features/*")))
        workplace = Workplace(Store(tmp_path), "features", str(number))
        artifact = workplace.publish(settings={}, metrics={}, tensors={"features": features})
        work = Work(
            kind="linear_probe",
            settings=ExperimentSettings(),
            seed=0,
            videos=VideoSet("none", CLASSES, *(_videos(features[f"{part}_targets"]) for part in PARTS)),
            inputs={"features": artifact},
            runtime=Runtime(tmp_path, tmp_path, device="cpu"),
            report=report,
        )
        return dict(linear_probe.run(work).metrics)

    return run


def _videos(labels: torch.Tensor) -> tuple[Video, ...]:
    return tuple(Video(f"{number}.avi", Path(), int(label), "g") for number, label in enumerate(labels))


def parts(noise: float) -> Features:
    """Three classes around three centres; nine videos to train on and six in each other part."""
    centres = 3 * normal(0, 3, 8)
    found: Features = {}
    for seed, (part, videos) in enumerate((("train", 9), ("validation", 6), ("test", 6)), start=1):
        targets = torch.arange(videos) % 3
        found |= {part: around(centres[targets], seed, noise), f"{part}_targets": targets}
    return found


def test_separable_features_are_told_apart_whatever_their_scale(probe: Probe) -> None:
    """Also when one feature is a million times as large as another, and one never changes."""
    features = parts(noise=0.1)
    scale = torch.tensor([1e-3, 1, 1e3, 1, 1, 1e-2, 1, 0])
    for found in (probe(features), probe({name: v * scale + 5 if v.dim() == 3 else v for name, v in features.items()})):
        assert found["validation/linear_probe_top1"] == found["test/linear_probe_top1"] == 1.0
        assert found["test/linear_probe_top5"] == 1.0


def test_features_without_information_are_not(probe: Probe) -> None:
    features = parts(noise=0.1)
    found = probe({**features, "test": normal(9, 6, 2, 8), "validation": normal(8, 6, 2, 8)})
    assert found["test/linear_probe_top1"] < 1


def test_test_videos_without_a_label_do_not_count(probe: Probe) -> None:
    features = parts(noise=0.1)
    features["test_targets"] = torch.tensor([0, 1, 2, UNLABELLED, UNLABELLED, 1])
    assert probe(features)["test/linear_probe_top1"] == pytest.approx(3 / 4)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_gradient_is_zero_at_the_optimum(penalty: float) -> None:
    """Of mean cross-entropy + penalty / 2 * |W|^2, the bias free, written out in numpy: X'(softmax(XW) - Y) / n + penalty W."""
    features, targets = normal(0, 12, 3, 5).double(), torch.arange(12) % 4
    matrix = fit(features, targets, 4, penalty).numpy()
    samples = np.concatenate([features.numpy().reshape(36, 5), np.ones((36, 1))], axis=1)
    wanted = np.eye(4)[np.repeat(targets.numpy(), 3)]
    scores = np.exp(samples @ matrix)
    gradient = samples.T @ (scores / scores.sum(1, keepdims=True) - wanted) / 36
    gradient[:-1] += penalty * matrix[:-1]
    assert matrix.shape == (6, 4)
    assert np.abs(gradient).max() < 1e-5 * max(1.0, np.abs(matrix).max())
    if penalty == 1.0:
        assert np.abs(gradient - penalty * np.vstack([matrix[:-1], np.zeros(4)])).max() > 1e-3, "the penalty counts"


def test_a_video_s_score_is_the_mean_softmax_of_its_clips() -> None:
    matrix, features = normal(0, 6, 3).double(), normal(1, 2, 4, 5).double()
    scores = predict(matrix, features)
    for video in range(2):
        clips = [np.append(features[video, clip].numpy(), 1) @ matrix.numpy() for clip in range(4)]
        expected = np.mean([np.exp(clip) / np.exp(clip).sum() for clip in clips], axis=0)
        np.testing.assert_allclose(scores[video].numpy(), expected, rtol=1e-9)


def test_the_penalty_is_the_best_on_validation_and_test_has_no_say(probe: Probe) -> None:
    """With noisy training labels a weak penalty learns them by heart. Against a search of our own; other test videos and other
    test labels change neither the penalty nor the validation score."""
    features = parts(noise=1.5)
    features["train_targets"] = torch.tensor([0, 1, 2, 1, 1, 2, 0, 0, 2])
    mean, deviation = features["train"].mean((0, 1)), features["train"].std((0, 1)) + 1e-6
    train, validation = (((features[part] - mean) / deviation).double() for part in ("train", "validation"))
    scores = {}
    for penalty in PENALTIES:
        predicted = predict(fit(train, features["train_targets"], 3, penalty), validation).argmax(1)
        scores[penalty] = float((predicted == features["validation_targets"]).double().mean())
    assert len(set(scores.values())) > 1, "the penalties can be told apart"
    found = probe(features)
    best = max(scores.values())
    assert found["validation/linear_probe_top1"] == pytest.approx(best)
    assert found["linear_probe/penalty"] == max(penalty for penalty in PENALTIES if scores[penalty] == best)
    other = probe({**features, "test": normal(7, 6, 2, 8), "test_targets": (features["test_targets"] + 1) % 3})
    for name in ("validation/linear_probe_top1", "linear_probe/penalty"):
        assert other[name] == found[name]
    assert other["test/linear_probe_top1"] != found["test/linear_probe_top1"]


def test_how_often_the_objective_was_asked_is_reported(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted through all penalties, of the most evaluations that there can be; here without a pause between reports."""
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(work_module, "REPORT_SECONDS", 0)
    probe(parts(noise=1.0), lines.append)
    assert [line["batch"] for line in lines] == list(range(1, len(lines) + 1))
    assert 5 * len(PENALTIES) < len(lines) <= len(PENALTIES) * 250
    assert all(line == {"stage": "linear_probe", "batch": line["batch"], "batches": 1250} for line in lines)

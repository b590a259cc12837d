"""Measures against counts made by hand, and average precision against its definition, threshold by threshold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.stages.metrics import (
    average_precision,
    confusion_matrix,
    mean_average_precision,
    measure_videos,
    relevance,
    top_k,
)
from trainables.video.videos import UNLABELLED, Video


def video(label: int, *others: int) -> Video:
    return Video("a.avi", Path("a.avi"), label, "a", others=others)


def test_top_k_by_hand() -> None:
    scores = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5], [0.6, 0.1, 0.3]])
    targets = torch.tensor([1, 1, 0, 2])
    assert top_k(scores, targets, 1) == 0.25
    assert top_k(scores, targets, 2) == 0.5
    assert top_k(scores, targets, 5) == 1.0, "fewer than five classes"


def test_confusion_matrix_by_hand() -> None:
    matrix = confusion_matrix(torch.tensor([0, 1, 1, 2, 0]), torch.tensor([0, 0, 1, 1, 2]), 4)
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_what_has_no_label_counts_in_neither() -> None:
    scores, targets = torch.eye(3)[[0, 1, 2, 2]], torch.tensor([0, 0, UNLABELLED, 2])
    assert top_k(scores, targets, 1) == pytest.approx(2 / 3)
    assert confusion_matrix(scores.argmax(1), targets, 3).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("scores", "relevant", "expected"),
    [
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0], 1.0),
        ([0.9, 0.8, 0.7, 0.6], [0, 0, 1, 1], (1 / 3 + 2 / 4) / 2),
        ([0.6, 0.9, 0.7, 0.8], [0, 1, 1, 0], (1 / 1 + 2 / 3) / 2),
        ([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], (1 / 1 + 2 / 3) / 2),
        ([0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0], 1 / 4),
        ([0.9, 0.5, 0.5, 0.5, 0.1], [1, 1, 0, 1, 1], (1 / 1 + 2 * 3 / 4 + 4 / 5) / 4),
    ],
)
def test_average_precision_by_hand(scores: list[float], relevant: list[int], expected: float) -> None:
    """The fourth is the example in scikit-learn's documentation of average_precision_score, 0.83."""
    assert average_precision(torch.tensor(scores), torch.tensor(relevant).bool()) == pytest.approx(expected, abs=1e-12)


def by_definition(scores: list[int], relevant: list[bool]) -> float:
    """The sum of (R_n - R_{n-1}) P_n over the thresholds, where what scores at least the threshold is retrieved."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        retrieved = [is_relevant for score, is_relevant in zip(scores, relevant, strict=True) if score >= threshold]
        recall, precision = sum(retrieved) / sum(relevant), sum(retrieved) / len(retrieved)
        total, before = total + (recall - before) * precision, recall
    return total


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=20), st.randoms())
def test_average_precision_is_that_of_its_definition_in_any_order(pairs: list[tuple[int, bool]], random) -> None:
    scores, relevant = (list(column) for column in zip(*[*pairs, (3, True)], strict=True))
    expected = by_definition(scores, relevant)
    order = random.sample(range(len(scores)), len(scores))
    found = average_precision(torch.tensor(scores)[order] / 7, torch.tensor(relevant)[order])
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_mean_is_over_the_classes_that_are_shown() -> None:
    scores = torch.tensor([[0.9, 0.1, 0.3], [0.2, 0.8, 0.3], [0.5, 0.9, 0.1]])
    relevant = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 0, 0]]).bool()
    assert mean_average_precision(scores, relevant) == pytest.approx((1 + 1 / 2) / 2)
    with pytest.raises(ValueError, match="none of 3 videos shows any class"):
        mean_average_precision(scores, relevant & False)
    with pytest.raises(ValueError, match="none of 3 videos is relevant"):
        average_precision(scores[:, 2], relevant[:, 2])


def test_all_labels_of_a_video_are_relevant_and_only_the_first_is_asked_for() -> None:
    videos = [video(0), video(1, 2), video(UNLABELLED)]
    assert relevance(videos, 4).int().tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    scores = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.1, 0.2, 0.6, 0.1], [0.3, 0.6, 0.05, 0.05]])
    assert measure_videos(scores, videos, 4, "test") == {
        "test/top1": 0.5,
        "test/top5": 1.0,
        "test/map": pytest.approx((1 + 1 / 2 + 1) / 3),
        "test/videos": 3.0,
    }

"""Tracking: the ranking loss against loops in numpy, the choice of negatives, and clips that show a track's two ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.models.encoder import FrameEncoder
from trainables.settings import ExperimentSettings, with_values
from trainables.tasks.tracking import Tracking, chosen, masked_mean, of_other_videos, ranking_losses, similarities
from trainables.video.videos import Video

VIDEOS = torch.tensor([3, 7, 3, 9])
MARGIN = 0.5


def task(tiny: ExperimentSettings, tracks: dict[str, np.ndarray] | None = None, **values: object) -> Tracking:
    small = {"video.pixels": "rgb_unit", "tracking.units": 16, "tracking.epochs": 10, "tracking.hard_from": 0.4}
    return Tracking(with_values(tiny, small | {f"tracking.{name}": value for name, value in values.items()}), tracks)


def features() -> Tensor:
    drawn = torch.randn(4, 2, 5, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.normalize(drawn, dim=2)


def looped_losses(found: np.ndarray) -> np.ndarray:
    """What each of the 8 patches (starts, then ends) costs as a negative of each of 4 tracks, written out."""
    patches = [*found[:, 0], *found[:, 1]]
    losses = np.zeros((4, 8))
    for track, (start, end) in enumerate(found):
        for number, patch in enumerate(patches):
            from_start = max(0.0, MARGIN - start @ end + start @ patch)
            from_end = max(0.0, MARGIN - start @ end + end @ patch)
            losses[track, number] = (from_start + from_end) / 2
    return losses


def test_ranking_losses_against_loops() -> None:
    found = features()
    losses = ranking_losses(*similarities(found), MARGIN)
    assert losses.numpy() == pytest.approx(looped_losses(found.double().numpy()), rel=1e-5, abs=1e-6)


def test_negatives_are_patches_of_other_videos() -> None:
    assert of_other_videos(VIDEOS)[0].tolist() == [False, True, False, True] * 2
    assert of_other_videos(VIDEOS)[1].tolist() == [True, False, True, True] * 2


def test_the_hardest_are_chosen_and_all_where_there_are_fewer() -> None:
    losses, candidates = torch.tensor([[5.0, 1, 4, 9, 3], [5.0, 1, 4, 9, 3]]), torch.ones(2, 5, dtype=torch.bool)
    candidates[0, 3] = False
    assert chosen(losses, candidates, 2).int().tolist() == [[1, 0, 1, 0, 0], [1, 0, 0, 1, 0]]
    candidates[1, :4] = False
    assert chosen(losses, candidates, 2)[1].int().tolist() == [0, 0, 0, 0, 1]
    assert chosen(losses, candidates, 99).tolist() == candidates.tolist()
    assert masked_mean(losses, candidates).tolist() == [13 / 4, 3]
    assert masked_mean(losses, torch.zeros_like(candidates)).tolist() == [0, 0]


class Fixed(torch.nn.Module):
    """Gives the same features whatever it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.found = torch.nn.Parameter(features())

    def forward(self, frames: Tensor) -> Tensor:
        return self.found[: len(frames)]


def loss_of(tracking: Tracking, epoch: int, videos: Tensor = VIDEOS, training: bool = True) -> tuple[Tensor, Tensor]:
    network = Fixed().train(training)
    labels = {"video": videos, "epoch": torch.full((len(videos),), epoch)}
    loss, metrics = tracking.loss(network, torch.zeros(len(videos), 2, 3, 1, 12, 12), labels)
    return loss, metrics["ranking_accuracy"]


def test_negatives_are_random_at_first_then_the_hardest_and_all_in_evaluation(tiny: ExperimentSettings) -> None:
    """Epochs 0 to 3 of 10 draw; from epoch 4 on the loss is the mean of the two largest of each row."""
    tracking = task(tiny, negatives=2)
    expected = looped_losses(features().double().numpy())
    candidates = of_other_videos(VIDEOS).numpy()
    rows = [np.sort(row[mask]) for row, mask in zip(expected, candidates, strict=True)]
    assert len({float(loss_of(tracking, 3)[0].detach()) for _ in range(20)}) > 10
    drawn = np.mean([float(loss_of(tracking, 0)[0].detach()) for _ in range(400)])
    assert drawn == pytest.approx(np.mean([row.mean() for row in rows]), rel=0.05)
    for epoch in (4, 9):
        assert float(loss_of(tracking, epoch)[0].detach()) == pytest.approx(
            np.mean([row[-2:].mean() for row in rows]), rel=1e-5
        )
    evaluated = loss_of(tracking, 0, training=False)[0]
    assert float(evaluated.detach()) == pytest.approx(np.mean([row.mean() for row in rows]), rel=1e-5)


def test_ranking_accuracy_is_the_share_of_other_videos_patches_that_are_less_alike(tiny: ExperimentSettings) -> None:
    found = features().double().numpy()
    patches = np.concatenate([found[:, 0], found[:, 1]])
    shares = []
    for track, (start, end) in enumerate(found):
        others = [patch for number, patch in enumerate(patches) if VIDEOS[number % 4] != VIDEOS[track]]
        shares.append(np.mean([start @ end > start @ patch for patch in others]))
    assert loss_of(task(tiny), 0)[1].tolist() == pytest.approx(shares)


@pytest.mark.parametrize("training", [True, False])
def test_a_batch_of_one_video_has_no_loss_and_scores_chance(tiny: ExperimentSettings, training: bool) -> None:
    loss, accuracy = loss_of(task(tiny), 9, torch.tensor([3, 3]), training)
    loss.backward()
    assert float(loss.detach()) == 0
    assert accuracy.tolist() == [0.5, 0.5]


def test_features_that_are_all_the_same_score_chance(tiny: ExperimentSettings) -> None:
    tracking, network = task(tiny), Fixed().eval()
    network.found.data[:] = torch.tensor([1.0, 0, 0, 0, 0])
    labels = {"video": VIDEOS, "epoch": torch.zeros(4)}
    metrics = tracking.loss(network, torch.zeros(4, 2, 3, 1, 12, 12), labels)[1]
    assert metrics["ranking_accuracy"].tolist() == [0.5] * 4


def test_a_sample_shows_both_ends_of_one_of_the_video_s_tracks(tiny: ExperimentSettings, video: Callable[..., Video]) -> None:
    rows = np.array([[0, 9, 1, 2, 9, 9, 4, 3, 9, 9], [5, 14, 0, 0, 8, 8, 7, 7, 8, 8]], dtype=np.int32)
    tracking, rng = task(tiny, {"a.avi": rows, "b.avi": rows}), np.random.default_rng(0)
    seen = set()
    for _ in range(20):
        sample = tracking.sample(video(30), rng)
        assert sample.changes is None, "each end has its own flip and colours"
        seen.add((tuple(sample.indices[:, 0].tolist()), sample.windows))
    assert seen == {((0, 9), ((1, 2, 9, 9), (4, 3, 9, 9))), ((5, 14), ((0, 0, 8, 8), (7, 7, 8, 8)))}
    first, second = (tracking.sample(video(30, name), rng).labels["video"] for name in ("a.avi", "b.avi"))
    assert first != second
    assert first == tracking.sample(video(30, "a.avi"), rng).labels["video"] < 2**31


def test_network_s_features_have_length_1(tiny: ExperimentSettings, encoder: FrameEncoder) -> None:
    found = task(tiny).network(encoder)(torch.rand(3, 2, 3, 12, 12))
    assert found.shape == (3, 2, 16)
    assert found.norm(dim=2).detach().numpy() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("epoch", [0, 9])
def test_it_learns_to_tell_patches_of_different_colours(
    tiny: ExperimentSettings, encoder: FrameEncoder, fit: Callable[..., list[float]], epoch: int
) -> None:
    tracking = task(tiny)
    colours = torch.rand(12, 1, 3, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    clips = colours + 0.05 * torch.rand(12, 2, 3, 1, 12, 12)
    labels = {"video": torch.arange(12), "epoch": torch.full((12,), epoch)}
    network = tracking.network(encoder)
    history = fit(tracking, network, clips, labels)
    assert history[-1] < 0.5 * history[0]
    assert float(tracking.loss(network.eval(), clips, labels)[1]["ranking_accuracy"].mean()) > 0.9


def test_the_baseline_ranks_patches_by_the_cosine_of_their_colours_less_the_batch_s_mean(tiny: ExperimentSettings) -> None:
    """Against loops; patches of 6 pixels are their own thumbnails. Of plain patches of a video's own colour all are told."""
    tracking = task(tiny)
    clips, videos = torch.rand(5, 2, 3, 1, 6, 6), torch.tensor([0, 1, 1, 2, 3])
    seen = clips.double().flatten(2).numpy()
    seen = seen - seen.reshape(10, -1).mean(0)
    seen /= np.linalg.norm(seen, axis=2, keepdims=True)
    shares = []
    for own in range(5):
        other = [seen[row, end] for row in range(5) for end in (0, 1) if videos[row] != videos[own]]
        shares.append(np.mean([seen[own, 0] @ seen[own, 1] > seen[own, 0] @ patch for patch in other]))
    found = tracking.baseline([(clips, {"video": videos})])
    assert found == {"ranking": pytest.approx(np.mean(shares))}
    plain = torch.rand(6, 1, 3, 1, 1, 1).expand(6, 2, 3, 1, 6, 6)
    assert tracking.baseline([(plain, {"video": torch.arange(6)})]) == {"ranking": 1.0}

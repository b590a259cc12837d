"""Frame sorting: orders and frequencies by counting, channel splitting and head against numpy."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainables.models.encoder import FrameEncoder
from trainables.settings import ExperimentSettings, VideoSettings, with_values
from trainables.tasks.pooling import pooled
from trainables.tasks.sorting import Sorting, jittered_windows, orders, split_channels
from trainables.video.videos import Video

ORDERS_OF_3 = [(0, 1, 2), (0, 2, 1), (1, 0, 2)]


def task(tiny: ExperimentSettings, **values: object) -> Sorting:
    return Sorting(with_values(tiny, {"video.pixels": "rgb_unit"} | {f"sorting.{name}": v for name, v in values.items()}))


@pytest.mark.parametrize("frames", [3, 4, 5])
def test_orders_hold_one_of_every_order_and_its_reverse(frames: int) -> None:
    found = orders(frames)
    assert len(found) == math.factorial(frames) // 2
    assert {*found, *(order[::-1] for order in found)} == set(itertools.permutations(range(frames)))
    assert orders(3) == ORDERS_OF_3


def test_an_order_and_its_reverse_have_one_label_and_all_are_equally_likely(
    tiny: ExperimentSettings, video: Callable[..., Video]
) -> None:
    """7 frames hold 3 frames 3 apart once: what is shown says the order. 100 draws each, within 5 standard deviations (48)."""
    sorting, rng = task(tiny, frames=3, spacing=3), np.random.default_rng(0)
    seen = Counter()
    for _ in range(600):
        sample = sorting.sample(video(7), rng)
        shown = tuple(int(index) // 3 for index in sample.indices[:, 0])
        assert ORDERS_OF_3[sample.labels["order"]] in (shown, shown[::-1])
        seen[shown] += 1
    assert len(seen) == 6, "each class is shown forwards and backwards"
    assert all(abs(count - 100) < 48 for count in seen.values())


def test_classes_of_four_frames_are_equally_likely(tiny: ExperimentSettings, video: Callable[..., Video]) -> None:
    sorting, rng = task(tiny), np.random.default_rng(0)
    counts = np.bincount([sorting.sample(video(40), rng).labels["order"] for _ in range(1200)], minlength=12)
    assert len(counts) == 12
    assert np.abs(counts - 100).max() < 5 * np.sqrt(100)


def test_frames_are_spaced_evenly_by_spacing_to_twice_as_much_where_that_fits(
    tiny: ExperimentSettings, video: Callable[..., Video]
) -> None:
    sorting, rng = task(tiny), np.random.default_rng(0)

    def drawn(frames: int) -> tuple[set[int], set[int]]:
        tuples = [np.sort(sorting.sample(video(frames), rng).indices[:, 0]) for _ in range(300)]
        assert all(len(set(np.diff(indices))) == 1 for indices in tuples)
        return {int(indices[1] - indices[0]) for indices in tuples}, {int(indices[0]) for indices in tuples}

    assert drawn(40)[0] == {4, 5, 6, 7, 8}
    assert drawn(17)[0] == {4, 5}
    assert drawn(14) == ({4}, {0, 1})


def test_crops_differ_by_the_jitter_at_most_and_everything_else_is_common(
    tiny: ExperimentSettings, video: Callable[..., Video]
) -> None:
    size, rng = VideoSettings(height=40, width=60, crop=30), np.random.default_rng(0)
    windows = np.array([jittered_windows(size, 3, 4, rng) for _ in range(300)])
    assert np.all(windows[:, :, 2:] == 30)
    assert np.ptp(windows[:, :, :2], axis=1).max() == 6, "3 to either side"
    assert windows[:, :, 0].min() == windows[:, :, 1].min() == 0
    assert windows[:, :, 0].max() == 10
    assert windows[:, :, 1].max() == 30
    assert np.ptp(np.array(jittered_windows(size, 0, 4, rng)), axis=0).max() == 0
    assert jittered_windows(VideoSettings(height=30, width=30, crop=30), 5, 1, rng) == ((0, 0, 30, 30),)
    assert task(tiny).sample(video(40), rng).changes == (0, 0, 0, 0), "one flip and one change of colours"


def test_split_channels_repeats_the_chosen_channel_of_every_frame() -> None:
    frames = torch.rand(2, 3, 3, 4, 5)
    chosen = np.array([[0, 2, 1], [1, 1, 0]])
    split = split_channels(frames, torch.from_numpy(chosen))
    for sample, frame, channel in itertools.product(range(2), range(3), range(3)):
        assert torch.equal(split[sample, frame, channel], frames[sample, frame, chosen[sample, frame]])


class Recorder(nn.Module):
    """Takes the place of an encoder and keeps what it was shown."""

    def __init__(self, encoder: FrameEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def maps(self, frames: Tensor) -> Tensor:
        self.shown = frames
        return self.encoder.maps(frames)


@pytest.mark.parametrize("splitting", [True, False])
def test_channels_are_random_per_frame_in_training_and_green_otherwise(
    tiny: ExperimentSettings, encoder: FrameEncoder, splitting: bool
) -> None:
    network = task(tiny, channel_splitting=splitting).network(encoder)
    network.encoder = recorder = Recorder(encoder)
    clips = torch.arange(3.0)[:, None, None].expand(50, 4, 3, 12, 12)
    network.train()(clips)
    shown = recorder.shown[:, :, 0, 0]
    if splitting:
        counts = torch.bincount(shown[:, 0].long())
        assert torch.equal(shown, shown[:, :1].expand(200, 3))
        assert (counts - 200 / 3).abs().max() < 5 * np.sqrt(200 * 2 / 9)
        assert len({tuple(row) for row in shown[:, 0].reshape(50, 4).T.tolist()}) == 4, "each frame its own"
    else:
        assert torch.equal(shown, torch.arange(3.0).expand(200, 3))
    network.eval()(clips)
    assert torch.equal(recorder.shown[:, :, 0, 0], (torch.ones(3) if splitting else torch.arange(3.0)).expand(200, 3))


def test_head_and_loss_against_numpy(tiny: ExperimentSettings, encoder: FrameEncoder) -> None:
    """Pairs (0,1), (0,2), (1,2) -> shared linear and ReLU -> joined -> linear -> cross entropy, in float64."""
    sorting = task(tiny, frames=3, pair_units=5, channel_splitting=False)
    network = sorting.network(encoder).eval()
    clips, labels = torch.rand(4, 3, 3, 1, 12, 12), np.array([0, 2, 1, 1])
    loss, metrics = sorting.loss(network, clips, {"order": torch.from_numpy(labels)})

    weights = {name: value.detach().double().numpy() for name, value in network.named_parameters()}
    features = [pooled(encoder.maps(clips[:, frame, :, 0])).detach().double().numpy() for frame in range(3)]
    hidden = []
    for first, second in ((0, 1), (0, 2), (1, 2)):
        joined = np.concatenate([features[first], features[second]], axis=1)
        hidden.append(np.maximum(joined @ weights["pair.weight"].T + weights["pair.bias"], 0))
    logits = np.concatenate(hidden, axis=1) @ weights["order.weight"].T + weights["order.bias"]
    expected = np.log(np.exp(logits).sum(1)) - logits[np.arange(4), labels]
    assert float(loss.detach()) == pytest.approx(expected.mean(), rel=1e-4)
    assert metrics["order_accuracy"].tolist() == (logits.argmax(1) == labels).tolist()


def test_it_learns_to_sort_frames_that_grow_brighter(
    tiny: ExperimentSettings, encoder: FrameEncoder, fit: Callable[..., list[float]]
) -> None:
    sorting = task(tiny, frames=3, pair_units=16, dropout=0.0)
    labels = torch.arange(24) % 3
    times = torch.tensor([ORDERS_OF_3[label] for label in labels])
    clips = (times / 2)[:, :, None, None, None, None] + 0.1 * torch.rand(24, 3, 3, 1, 12, 12)
    history = fit(sorting, sorting.network(encoder), clips, {"order": labels})
    assert history[0] == pytest.approx(math.log(3), abs=0.2), "starts at chance"
    assert history[-1] < 0.3 * history[0]

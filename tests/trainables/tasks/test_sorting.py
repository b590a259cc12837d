"""Frame sorting: orders and frequencies by counting, channel splitting and head against numpy."""

from __future__ import annotations

import copy
import itertools
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainables.models.encoder import FrameEncoder
from trainables.settings import ExperimentSettings, SettingsError, VideoSettings, with_values
from trainables.tasks.pooling import pooled
from trainables.tasks.sorting import Sorting, SortingNetwork, jittered_windows, orders, split_channels
from trainables.video.videos import Video

ORDERS_OF_3 = [(0, 1, 2), (0, 2, 1), (1, 0, 2)]


def task(tiny: ExperimentSettings, **values: object) -> Sorting:
    return Sorting(with_values(tiny, {"video.pixels": "rgb_unit"} | {f"sorting.{name}": v for name, v in values.items()}))


Order = tuple[int, ...]
REVERSED: dict[str, Callable[[Order], Order]] = {
    "shown": lambda order: order[::-1],
    "time": lambda order: tuple(len(order) - 1 - place for place in order),
}
every_reversal = pytest.mark.parametrize("reversal", list(REVERSED))


@every_reversal
@pytest.mark.parametrize("frames", [3, 4, 5])
def test_orders_hold_one_of_every_order_and_its_reverse(frames: int, reversal: str) -> None:
    found = orders(frames, reversal)
    assert len(found) == math.factorial(frames) // 2
    assert {*found, *map(REVERSED[reversal], found)} == set(itertools.permutations(range(frames)))
    assert orders(3, reversal) == ORDERS_OF_3


@pytest.mark.parametrize(("frames", "told"), [(3, 2 / 3), (4, 2 / 3), (5, (4 + 56 / 2) / 60)])
def test_of_an_action_that_looks_the_same_backwards_the_released_classes_leave_part_to_guess(frames: int, told: float) -> None:
    """Played backwards, a sample of a class is of the same class or of one other, between which nothing but a guess decides.
    Reversed in time every class stays itself."""
    for reversal, expected in (("shown", told), ("time", 1.0)):
        classes = orders(frames, reversal)
        members = [{order, REVERSED[reversal](order)} for order in classes]
        backwards = [{REVERSED["time"](order) for order in both} for both in members]
        assert all(both in members for both in backwards)
        assert np.mean([1 if one == other else 1 / 2 for one, other in zip(members, backwards, strict=True)]) == expected


@every_reversal
def test_an_order_and_its_reverse_have_one_label_and_all_are_equally_likely(
    tiny: ExperimentSettings, video: Callable[..., Video], reversal: str
) -> None:
    """7 frames hold 3 frames 3 apart once: what is shown says the order. 100 draws each, within 5 standard deviations (48)."""
    sorting, rng = task(tiny, frames=3, spacing=3, reversal=reversal), np.random.default_rng(0)
    seen = Counter()
    for _ in range(600):
        sample = sorting.sample(video(7), rng)
        shown = tuple(int(index) // 3 for index in sample.indices[:, 0])
        assert ORDERS_OF_3[sample.labels["order"]] in (shown, REVERSED[reversal](shown))
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

    def maps(self, frames: Tensor, layers: int | None = None) -> Tensor:
        self.shown = frames
        return self.encoder.maps(frames, layers)


@pytest.mark.parametrize("splitting", ["per_frame", "per_sample", "off"])
def test_channels_are_random_in_training_and_green_otherwise(
    tiny: ExperimentSettings, encoder: FrameEncoder, splitting: str
) -> None:
    network = task(tiny, channel_splitting=splitting).network(encoder)
    network.encoder = recorder = Recorder(encoder)
    clips = torch.arange(3.0)[:, None, None].expand(50, 4, 3, 12, 12)
    network.train()(clips)
    shown = recorder.shown[:, :, 0, 0]
    if splitting != "off":
        counts = torch.bincount(shown[:, 0].long())
        assert torch.equal(shown, shown[:, :1].expand(200, 3))
        drawn = 200 if splitting == "per_frame" else 50
        assert (counts * drawn / 200 - drawn / 3).abs().max() < 5 * np.sqrt(drawn * 2 / 9)
        of_frames = len({tuple(row) for row in shown[:, 0].reshape(50, 4).T.tolist()})
        assert of_frames == (4 if splitting == "per_frame" else 1)
    else:
        assert torch.equal(shown, torch.arange(3.0).expand(200, 3))
    network.eval()(clips)
    assert torch.equal(recorder.shown[:, :, 0, 0], (torch.arange(3.0) if splitting == "off" else torch.ones(3)).expand(200, 3))


def test_head_and_loss_against_numpy(tiny: ExperimentSettings, encoder: FrameEncoder) -> None:
    """Pairs (0,1), (0,2), (1,2) -> shared linear and ReLU -> joined -> linear -> cross entropy, in float64."""
    sorting = task(tiny, frames=3, pair_units=5, channel_splitting="off")
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


def test_true_and_false_are_names_of_channel_splitting_and_nothing_else_is(tiny: ExperimentSettings) -> None:
    """`off` is false to YAML, and records of before the names hold true and false."""
    assert task(tiny, channel_splitting=True).own.channel_splitting == "per_frame"
    assert task(tiny, channel_splitting=False).own.channel_splitting == "off"
    with pytest.raises(SettingsError, match="'per_frame', 'per_sample' or 'off'"):
        task(tiny, channel_splitting="frame")


def before(network: SortingNetwork, frames: Tensor) -> Tensor:
    """The forward pass of the task before it had `pair`, `layers` and names of splitting: both features joined, per frame."""
    samples = frames.shape[:2]
    channels = torch.randint(3, samples) if network.training else torch.full(samples, 1)
    maps = network.encoder.maps(split_channels(frames, channels).flatten(0, 1))
    features = pooled(maps).reshape(*samples, -1)
    pairs = torch.stack([features[:, list(pair)].flatten(1) for pair in network.pairs], dim=1)
    seen = network.norm(network.pair(pairs).flatten(0, 1)).relu().unflatten(0, pairs.shape[:2])
    return network.order(network.dropout(seen).flatten(1))


def test_orders_reversed_as_shown_are_drawn_as_before_to_the_bit(tiny: ExperimentSettings, video: Callable[..., Video]) -> None:
    sorting = task(tiny, reversal="shown", crop_jitter=0)
    for seed in range(50):
        rng = np.random.default_rng(seed)
        spacing = int(rng.integers(4, 9))
        start = int(rng.integers(40 - 3 * spacing))
        label = int(rng.integers(12))
        order = np.array([order for order in itertools.permutations(range(4)) if order[0] < order[-1]][label])
        shown = order[::-1] if rng.random() < 0.5 else order
        sample = sorting.sample(video(40), np.random.default_rng(seed))
        assert sample.labels["order"] == label
        assert sample.indices[:, 0].tolist() == (start + spacing * shown).tolist()


@pytest.mark.parametrize("training", [True, False])
def test_the_defaults_give_what_the_task_gave_before_to_the_bit(
    tiny: ExperimentSettings, encoder: FrameEncoder, training: bool
) -> None:
    network, frames = task(tiny).network(encoder).train(training), torch.rand(6, 4, 3, 12, 12)
    again = copy.deepcopy(network)
    torch.manual_seed(1)
    found = network(frames)["order"]
    torch.manual_seed(1)
    assert torch.equal(found, before(again, frames))


def test_the_head_on_differences_against_numpy(tiny: ExperimentSettings, encoder: FrameEncoder) -> None:
    """|a - b| and (a - b)^2 of layer 1's maps -> linear, ReLU -> joined -> linear, in float64; nothing reaches layer 2."""
    sorting = task(tiny, frames=3, pair_units=5, channel_splitting="off", pair="difference", layers=1)
    network, clips = sorting.network(encoder).eval(), torch.rand(4, 3, 3, 1, 12, 12)
    logits = network(clips[:, :, :, 0])["order"]
    weights = {name: value.detach().double().numpy() for name, value in network.named_parameters()}
    maps = [encoder.layers()[0](clips[:, frame, :, 0]).detach().double().flatten(1).numpy() for frame in range(3)]
    hidden = []
    for first, second in ((0, 1), (0, 2), (1, 2)):
        difference = maps[first] - maps[second]
        seen = np.concatenate([np.abs(difference), difference**2], axis=1)
        hidden.append(np.maximum(seen @ weights["pair.weight"].T + weights["pair.bias"], 0))
    expected = np.concatenate(hidden, axis=1) @ weights["order.weight"].T + weights["order.bias"]
    assert np.allclose(logits.detach().numpy(), expected, rtol=1e-4, atol=1e-4)
    logits.sum().backward()
    assert all(value.grad is not None for value in encoder.layers()[0].parameters())
    assert all(value.grad is None for value in encoder.layers()[1].parameters())


def test_a_head_on_differences_can_say_that_the_frames_that_differ_most_are_the_ends(
    tiny: ExperimentSettings, encoder: FrameEncoder
) -> None:
    """Weights written by hand: every pair's unit is its L1 distance, and an order has the logit of its ends' distance. So the
    head tells any direction of change; one unit on joined features is a function of w (a - b) and tells one direction."""
    sorting = task(tiny, frames=3, pair_units=2, channel_splitting="off", pair="difference")
    network, clips = sorting.network(encoder).eval(), torch.rand(200, 3, 3, 12, 12)
    pairs = [(0, 1), (0, 2), (1, 2)]
    with torch.no_grad():
        for value in (network.pair.weight, network.pair.bias, network.order.weight, network.order.bias):
            value.zero_()
        network.pair.weight[0, : network.pair.in_features // 2] = 1
        ends = [(order.index(0), order.index(2)) for order in orders(3, "time")]
        for order, both in enumerate(ends):
            network.order.weight[order, 2 * pairs.index(both)] = 1
        features = [pooled(encoder.maps(clips[:, frame])).numpy() for frame in range(3)]
        told = network(clips)["order"].argmax(1).numpy()
    distances = np.stack([np.abs(features[a] - features[b]).sum(1) for a, b in pairs], axis=1)
    assert [ends[order] for order in told] == [pairs[place] for place in distances.argmax(1)]


MOVING = {"a.avi": np.array([[3, 12, 2, 1, 9, 8, 0, 0, 9, 8], [20, 29, 0, 7, 9, 9, 0, 0, 9, 9]], dtype=np.int32)}


@pytest.mark.parametrize("tuples", ["motion", "patches"])
def test_tuples_of_motion_are_of_one_track_and_patches_show_its_window(
    tiny: ExperimentSettings, video: Callable[..., Video], tuples: str
) -> None:
    changes = {"sorting.tuples": tuples, "sorting.frames": 3, "sorting.spacing": 2, "sorting.crop_jitter": 1}
    settings = with_values(tiny, {**changes, "video.pixels": "rgb_unit", "tracking.frames": 10, "video.width": 20})
    sorting, rng = Sorting(settings, MOVING), np.random.default_rng(0)
    assert Sorting.needs_tracks(settings)
    drawn = [sorting.sample(video(40), rng) for _ in range(300)]
    spans = [np.sort(sample.indices[:, 0]) for sample in drawn]
    assert {bool(frames[0] >= 20) for frames in spans} == {False, True}, "both tracks"
    assert {frame for frames in spans for frame in frames.tolist()} <= {*range(3, 13), *range(20, 30)}
    assert all((frames[0] >= 20) == (frames[2] >= 20) for frames in spans), "of one track"
    assert {int(frames[1] - frames[0]) for frames in spans} == {2, 3, 4}
    for sample, frames in zip(drawn, spans, strict=True):
        windows = np.array(sample.windows)
        if tuples == "patches":
            top, left, height, width = (2, 1, 9, 8) if frames[0] < 20 else (1, 7, 9, 9)  # held inside by the jitter
            assert np.all(windows[:, 2:] == (height, width))
            assert np.abs(windows[:, :2] - (top, left)).max() <= 1
        else:
            assert np.all(windows[:, 2:] == settings.video.crop)


def test_tuples_of_motion_need_tracks_that_hold_them(tiny: ExperimentSettings, video: Callable[..., Video]) -> None:
    values = {"sorting.tuples": "motion", "sorting.frames": 3, "tracking.frames": 10}
    with pytest.raises(
        SettingsError, match=r"take 11, and a track has tracking\.frames = 10; set sorting\.spacing to at most 4"
    ):
        Sorting(with_values(tiny, {**values, "sorting.spacing": 5}), MOVING)
    sorting = Sorting(with_values(tiny, {**values, "sorting.spacing": 4}), MOVING)
    assert sorting.usable(video(40))
    assert not sorting.usable(video(40, "b.avi"))
    assert not sorting.usable(video(11)), "the first track is cut off where the video ends"


@pytest.mark.parametrize("frames", [3, 4])
def test_the_baseline_is_the_shortest_way_through_the_frames(tiny: ExperimentSettings, frames: int) -> None:
    """Against all ways by loops, on noise; on frames that change steadily it is always right, forwards or backwards."""
    sorting, classes = task(tiny, frames=frames), orders(frames, "time")
    noise = torch.rand(60, frames, 3, 1, 6, 6)
    labels = torch.arange(60) % len(classes)
    right = []
    for clip, label in zip(noise.flatten(2).double().numpy(), labels.tolist(), strict=True):
        lengths = {}
        for way in itertools.permutations(range(frames)):
            lengths[way] = sum(np.abs(clip[a] - clip[b]).sum() for a, b in itertools.pairwise(way))
        shortest = min(lengths, key=lambda way: lengths[way])  # places in the order of time
        shown = tuple(shortest.index(place) for place in range(frames))  # time of each place
        right.append(classes[label] in (shown, REVERSED["time"](shown)))
    halves = [(noise[half], {"order": labels[half]}) for half in (slice(0, 32), slice(32, 60))]
    assert sorting.baseline(halves) == {"order": pytest.approx(np.mean(right))}
    times = torch.tensor([classes[label] for label in labels.tolist()], dtype=torch.float32)
    steady = times[:, :, None, None, None, None].expand(60, frames, 3, 1, 6, 6)
    assert sorting.baseline([(steady, {"order": labels}), (1 - steady, {"order": labels})]) == {"order": 1.0}

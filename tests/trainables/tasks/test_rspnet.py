"""RSPNet: clips written out, losses against float64 formulas of their own, the bank, and the key encoder's running average."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainables.models import make_backbone
from trainables.settings import ExperimentSettings, with_values
from trainables.tasks.rspnet import RSPNet, RSPNetwork, appearance_loss, speed_loss
from trainables.video.videos import Video

MakeVideo = Callable[..., Video]

MOMENTUM = 0.9


def task(tiny: ExperimentSettings, **values: object) -> RSPNet:
    sizes = {"rspnet.memory_bank": 10, "rspnet.projection": 6, "rspnet.key_momentum": MOMENTUM}
    return RSPNet(with_values(tiny, sizes | {name.replace("__", "."): value for name, value in values.items()}))


def network_of(rspnet: RSPNet, pretrained: bool = False) -> RSPNetwork:
    torch.manual_seed(0)
    network = rspnet.network(make_backbone(rspnet.settings.backbone), pretrained)
    assert isinstance(network, RSPNetwork)
    return network


def clips(seed: int, batch: int = 4) -> Tensor:
    return torch.randn(batch, 3, 3, 8, 12, 12, generator=torch.Generator().manual_seed(seed))


def test_samples_in_numbers(tiny: ExperimentSettings, video: MakeVideo) -> None:
    """K = 8, speed 2, 17 frames: windows of 16 frames start at 0 or 1. q and k+ have one speed, k- shows k+'s window at the
    other, and k+ and k- share crop, flip and colours. Eight samples in all, each as likely as the others."""

    def slow(start: int) -> list[int]:
        return list(range(start, start + 8))

    def fast(start: int) -> list[int]:
        return [start + offset for offset in (0, 2, 4, 6, 8, 10, 12, 14)]

    expected = [[slow(q), slow(k), fast(k)] for q in (0, 1) for k in (0, 1)]
    expected += [[fast(q), fast(k), slow(k)] for q in (0, 1) for k in (0, 1)]
    rspnet, rng = task(tiny), np.random.default_rng(0)
    counts = np.zeros(8)
    for _ in range(800):
        sampled = rspnet.sample(video(17), rng)
        assert (sampled.changes, sampled.wrapped, dict(sampled.labels)) == ((0, 1, 1), 0, {})
        counts[expected.index(sampled.indices.tolist())] += 1
    assert np.abs(counts - 100).max() < 47, "within 5 standard deviations (9.35)"


def test_short_videos_loop_from_their_first_frame(tiny: ExperimentSettings, video: MakeVideo) -> None:
    """11 frames hold no window of 16: the slow clip is frames 0 to 7, the fast one 0, 2, ..., 10, then 12 and 14 modulo 11."""
    rspnet = task(tiny)
    slow, fast = list(range(8)), [0, 2, 4, 6, 8, 10, 1, 3]
    seen = {}
    for seed in range(20):
        sampled = rspnet.sample(video(11), np.random.default_rng(seed))
        seen[str(sampled.indices.tolist())] = sampled.wrapped
    assert seen == {str([slow, slow, fast]): 1, str([fast, fast, slow]): 2}


@given(st.integers(1, 80), st.sampled_from([2, 3, 4]), st.integers(0, 2**32 - 1))
def test_properties_of_samples_and_views(
    tiny: ExperimentSettings, video: MakeVideo, frames: int, speed: int, seed: int
) -> None:
    rspnet = task(tiny, rspnet__speed=speed)
    sampled, views = (draw(video(frames), np.random.default_rng(seed)) for draw in (rspnet.sample, rspnet.views))
    assert (sampled.indices.shape, views.indices.shape) == ((3, 8), (2, 8))
    for indices in (sampled.indices, views.indices):
        assert indices.min() >= 0
        assert indices.max() < frames
    steps = np.diff(sampled.indices, axis=1) % frames
    paces = {1 % frames, speed % frames}
    assert all(len(set(row)) == 1 for row in steps.tolist()), "one speed per clip"
    assert set(steps[:, 0].tolist()) <= paces
    assert steps[0, 0] == steps[1, 0], "the positive key has the query's speed"
    assert sampled.indices[1, 0] == sampled.indices[2, 0], "both keys start at one frame"
    wrapped = [7 * pace >= frames for pace in (1, speed)]
    assert sampled.wrapped in (wrapped[0] * 2 + wrapped[1], wrapped[1] * 2 + wrapped[0])


def test_views_are_two_windows_each_at_a_speed_of_its_own(tiny: ExperimentSettings, video: MakeVideo) -> None:
    """All four pairs of speeds come, 250 of 1000 each within 5 standard deviations (13.7); crops are independent."""
    rspnet, rng = task(tiny), np.random.default_rng(0)
    counts = np.zeros((2, 2))
    for _ in range(1000):
        views = rspnet.views(video(60), rng)
        first, second = np.diff(views.indices, axis=1)[:, 0] - 1
        counts[first, second] += 1
        assert views.changes is None
    assert np.abs(counts - 250).max() < 69


def test_losses_against_the_formulas_in_float64() -> None:
    """CE([own, bank], 0) for each positive, summed; max(0, margin - lead). Similarities over T = 0.07 reach 14."""
    rng = np.random.default_rng(0)
    own, bank, paces = (rng.uniform(-1, 1, shape) / 0.07 for shape in ((5, 2), (5, 12), (5, 2)))
    expected = np.zeros(5)
    for sample in range(5):
        for positive in own[sample]:
            scores = np.concatenate([[positive], bank[sample]])
            expected[sample] += -np.log(np.exp(positive) / np.exp(scores).sum())
    assert appearance_loss(torch.from_numpy(own), torch.from_numpy(bank)).numpy() == pytest.approx(expected, rel=1e-9)
    expected = np.maximum(0, 2.0 - (paces[:, 0] - paces[:, 1]))
    assert (expected == 0).any()
    assert (expected > 2).any()
    assert speed_loss(torch.from_numpy(paces), 2.0).numpy() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_the_whole_loss_from_the_encoders_outputs(tiny: ExperimentSettings, training: bool) -> None:
    """From unit vectors of the encoders in the released code's order (running average, keys, query, bank as it was before the
    batch): similarities, losses and metrics in float64."""
    rspnet = task(tiny, rspnet__appearance_weight=0.5, rspnet__speed_weight=2.0)
    network = network_of(rspnet, pretrained=True).train(training)
    other = copy.deepcopy(network)
    batch = clips(1)
    loss, metrics = rspnet.loss(network, batch, {})

    if training:
        with torch.no_grad():
            for key, query in zip(other.key.parameters(), other.query.parameters(), strict=True):
                key.copy_(MOMENTUM * key + (1 - MOMENTUM) * query)
    vectors = []
    for encoder, view in ((other.query, 0), (other.key, 1), (other.key, 2)):
        features = encoder.backbone(batch[:, view])
        pair = [projection(features).detach().double().numpy() for projection in (encoder.appearance, encoder.motion)]
        vectors.append([value / np.linalg.norm(value, axis=1, keepdims=True) for value in pair])
    (qa, qm), (pa, pm), (na, nm) = vectors
    bank = other.bank.anchors.double().numpy()
    appearance, speed = np.zeros(4), np.zeros(4)
    for i in range(4):
        for key in (pa[i], na[i]):
            scores = np.concatenate([[qa[i] @ key], bank @ qa[i]]) / 0.07
            appearance[i] += np.log(np.exp(scores).sum()) - scores[0]
        speed[i] = max(0.0, 2.0 - (qm[i] @ pm[i] - qm[i] @ nm[i]) / 0.07)
    assert metrics["appearance_loss"].numpy() == pytest.approx(appearance, rel=1e-3)
    assert metrics["speed_loss"].numpy() == pytest.approx(speed, abs=1e-3)
    assert float(loss.detach()) == pytest.approx((0.5 * appearance + 2 * speed).mean(), rel=1e-3)
    nearer = [[qa[i] @ key[i] > (bank @ qa[i]).max() for key in (pa, na)] for i in range(4)]
    assert metrics["appearance_accuracy"].tolist() == np.mean(nearer, axis=1).tolist()
    assert metrics["speed_accuracy"].tolist() == [float(qm[i] @ pm[i] > qm[i] @ nm[i]) for i in range(4)]
    if training:
        assert network.bank.anchors[:4].numpy() == pytest.approx(na, abs=1e-5), "kA- enters the bank, kA+ does not"
        assert torch.equal(network.bank.anchors[4:], other.bank.anchors[4:])


def test_the_bank_holds_the_last_keys_in_order(tiny: ExperimentSettings) -> None:
    """H = 10, batches of 4: the third batch's last two keys take the places of the first batch's first two."""
    rspnet = task(tiny)
    network = network_of(rspnet)
    start = network.bank.anchors.clone()
    history = []
    for number in range(3):
        before = network.bank.anchors.clone()
        place = int(network.bank.position)
        rspnet.loss(network, clips(number), {})
        history.append(torch.stack([network.bank.anchors[(place + i) % 10] for i in range(4)]))
        kept = [i for i in range(10) if i not in {(place + j) % 10 for j in range(4)}]
        assert torch.equal(network.bank.anchors[kept], before[kept])
    assert int(network.bank.position) == 2
    expected = torch.cat([history[2][2:], history[0][2:], history[1], history[2][:2]])
    assert torch.equal(network.bank.anchors, expected)
    assert not torch.isclose(network.bank.anchors, start).all(1).any()


def test_the_key_encoder_is_the_running_average_of_the_query_encoders(tiny: ExperimentSettings) -> None:
    """After query encoders s_1..s_n from k_0: k_n = m^n k_0 + (1 - m) sum_i m^(n-i) s_i; buffers are the key encoder's own."""
    rspnet = task(tiny)
    network = network_of(rspnet, pretrained=True)
    start = [parameter.double().clone() for parameter in network.key.parameters()]
    queries = []
    for number in range(4):
        with torch.no_grad():
            for parameter in network.query.parameters():
                parameter.add_(0.01 * (number + 1))
        queries.append([parameter.detach().double().clone() for parameter in network.query.parameters()])
        rspnet.loss(network, clips(number), {})
    for index, parameter in enumerate(network.key.parameters()):
        average = sum(MOMENTUM ** (3 - i) * queries[i][index] for i in range(4))
        torch.testing.assert_close(
            parameter.double(), MOMENTUM**4 * start[index] + (1 - MOMENTUM) * average, rtol=1e-5, atol=1e-6
        )
    name = "backbone.stem.1.num_batches_tracked"
    tracked = [int(encoder.state_dict()[name]) for encoder in (network.query, network.key)]
    assert tracked == [4, 8], "the key encoder sees both keys in passes of their own"


def test_the_key_encoder_is_a_copy_unless_the_query_encoder_is_pretrained(tiny: ExperimentSettings) -> None:
    """With weights from auxSKD only the query encoder's convolutions have them (paper, Sec. 4.3): all else is drawn anew."""
    rspnet = task(tiny)
    torch.manual_seed(1)
    backbone = make_backbone(tiny.backbone)
    given = {name: value.clone() for name, value in backbone.state_dict().items()}
    for pretrained in (False, True):
        network = rspnet.network(backbone, pretrained)
        assert network.query.backbone is backbone
        assert all(torch.equal(value, given[name]) for name, value in backbone.state_dict().items())
        key, query = dict(network.key.named_parameters()), dict(network.query.named_parameters())
        weights = [name for name in query if query[name].dim() > 1 or name.startswith(("appearance", "motion"))]
        assert {torch.equal(key[name], query[name]) for name in weights} == {not pretrained}
        assert all(key[name].data_ptr() != query[name].data_ptr() for name in query)


def test_gradients_reach_the_query_encoder_only(tiny: ExperimentSettings) -> None:
    rspnet = task(tiny)
    network = network_of(rspnet)
    rspnet.loss(network, clips(0), {})[0].backward()
    assert all(parameter.grad is not None for parameter in network.query.parameters())
    assert all(not parameter.requires_grad and parameter.grad is None for parameter in network.key.parameters())


def test_evaluation_changes_nothing(tiny: ExperimentSettings) -> None:
    rspnet = task(tiny)
    network = network_of(rspnet, pretrained=True).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        first, second = (rspnet.loss(network, clips(0), {})[0] for _ in range(2))
    assert torch.equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_training_goes_on_from_a_state_dict_to_the_bit(tiny: ExperimentSettings) -> None:
    """Key encoder, bank and its position are all in the state: a network that loads it gives the same next losses."""
    rspnet = task(tiny)
    network = network_of(rspnet, pretrained=True)
    for number in range(2):
        rspnet.loss(network, clips(number), {})
    torch.manual_seed(7)
    other = rspnet.network(make_backbone(tiny.backbone), pretrained=False)
    other.load_state_dict(network.state_dict())
    for number in range(2, 4):
        assert torch.equal(rspnet.loss(network, clips(number), {})[0], rspnet.loss(other, clips(number), {})[0])


def test_similarities_keep_their_precision_under_autocast(tiny: ExperimentSettings) -> None:
    """Over a temperature of 0.07 bfloat16's three digits are not enough. The encoders' own vectors are float32 here."""
    rspnet = task(tiny)
    network = network_of(rspnet).eval()
    vectors = iter([tuple(F.normalize(torch.randn(4, 6), dim=1) for _ in range(2)) for _ in range(3)])
    fixed = [next(vectors) for _ in range(3)]

    def outputs(mixed: bool) -> tuple[Tensor, ...]:
        keys = iter(fixed[1:])
        network.query.forward = lambda clips: fixed[0]  # type: ignore[method-assign]
        network.key.forward = lambda clips: next(keys)  # type: ignore[method-assign]
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            result: tuple[Tensor, ...] = network(clips(0))
            return result

    for plain, mixed in zip(outputs(False), outputs(True), strict=True):
        assert mixed.dtype == torch.float32
        torch.testing.assert_close(mixed, plain)


def test_a_batch_in_parts_moves_key_encoder_and_bank_once(tiny: ExperimentSettings) -> None:
    """Batch norm in evaluation mode, everything else in training: the mean loss of two parts is that of the whole batch, and
    so are key encoder and bank after it."""
    rspnet = task(tiny)
    whole, in_parts = network_of(rspnet, pretrained=True), network_of(rspnet, pretrained=True)
    for network in (whole, in_parts):
        network.query.eval()
        network.key.eval()
    expected, _ = rspnet.loss(whole, clips(0), {})
    losses = []
    for number, part in enumerate(clips(0).split(2)):
        in_parts.first, in_parts.last = number == 0, number == 1
        losses.append(rspnet.loss(in_parts, part, {})[0])
    torch.testing.assert_close(sum(losses) / 2, expected, rtol=1e-4, atol=1e-5)
    for (name, value), (_, other) in zip(in_parts.state_dict().items(), whole.state_dict().items(), strict=True):
        torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-5, msg=name)
    assert int(in_parts.bank.position) == 4

"""Memory layouts, and batch norm that convolutions do: every network says and learns the same, but for rounding."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from trainables.models import BACKBONE, make_network
from trainables.models.device import CHANNELS_LAST, on_device
from trainables.models.folding import folded
from trainables.presets import configure
from trainables.settings import ENCODERS, ComputeSettings, ExperimentSettings

CPU = torch.device("cpu")
ROUNDING, OF_GRADIENTS = 1e-4, 1e-3
"""Relative to the largest value: of float32 through the layers of a network in another order of summation. Either order is
up to 1e-5 from float64 in what a network says, and up to 2.5e-4 in gradients."""
NETWORKS = {
    **{f"{family}-{depth}": (BACKBONE, family, depth) for family in ("r2plus1d", "r3d") for depth in (10, 18)},
    "c3d": (BACKBONE, "c3d", 10),
    **{name: (name, "r2plus1d", 10) for name in ENCODERS},
}
every_network = pytest.mark.parametrize("name", sorted(NETWORKS))


def made(name: str) -> nn.Module:
    """With statistics of batch norm as after some training, not 0 and 1."""
    kind, family, depth = NETWORKS[name]
    settings: ExperimentSettings = configure(
        "demo", {"recipe": "fusion", "backbone.family": family, "backbone.depth": depth, "backbone.width": 4}
    )
    torch.manual_seed(0)
    network = make_network(kind, settings, 5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            for values, low, high in ((module.running_mean, -1, 1), (module.running_var, 0.5, 2), (module.weight, 0.5, 2)):
                assert isinstance(values, Tensor)
                nn.init.uniform_(values, low, high)
    return network


def clips(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1))


def assert_close(found: Tensor, expected: Tensor, rounding: float = ROUNDING) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=rounding * float(expected.abs().max()))


def learned(network: nn.Module, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and the gradient of all weights in one row."""
    torch.manual_seed(2)  # of dropout
    logits = network.train()(seen)
    logits.square().sum().backward()
    return logits.detach(), torch.cat([value.grad.flatten() for value in network.parameters() if value.grad is not None])


@every_network
def test_with_channels_last_a_network_learns_the_same(name: str) -> None:
    plain = made(name)
    last = on_device(copy.deepcopy(plain), CPU, ComputeSettings(channels_last=True))
    weights = [value for value in last.parameters() if value.dim() > 3]
    assert weights and all(value.is_contiguous(memory_format=CHANNELS_LAST[value.dim()]) for value in weights)
    logits, gradient = learned(last, clips().contiguous(memory_format=torch.channels_last_3d))
    expected, expected_gradient = learned(plain, clips())
    assert_close(logits, expected)
    assert_close(gradient, expected_gradient, OF_GRADIENTS)


@pytest.mark.parametrize("name", ["r2plus1d-10", "r3d-18", "c3d"])
def test_inside_a_backbone_no_layout_is_changed(name: str) -> None:
    """With 16 clips: on one thread torch takes smaller batches through code of its own that knows no layouts."""
    network = on_device(made(name), CPU, ComputeSettings(channels_last=True))
    others = []

    def look(module: nn.Module, given: tuple[Tensor, ...], maps: Tensor) -> None:
        if maps.dim() == 5 and not maps.is_contiguous(memory_format=torch.channels_last_3d):
            others.append(type(module).__name__)

    for module in network.modules():
        module.register_forward_hook(look)
    network(clips(16).contiguous(memory_format=torch.channels_last_3d))
    assert others == []


def test_without_channels_last_weights_are_contiguous() -> None:
    network = on_device(made("r2plus1d-10"), CPU, ComputeSettings(channels_last=False))
    assert all(value.is_contiguous() for value in network.parameters())


@every_network
def test_folded_a_network_says_the_same(name: str) -> None:
    """And it is a copy, in evaluation mode; the network itself stays as it was, in training."""
    network = made(name)
    before = copy.deepcopy(network.state_dict())
    quick = folded(network)
    assert network.training and not any(module.training for module in quick.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    left = [module for module in quick.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d)]
    assert left == [], "every batch norm of these networks follows a convolution"
    network.eval()
    with torch.no_grad():
        expected = network(clips())
        assert_close(quick(clips()), expected)
        last = on_device(quick, CPU, ComputeSettings(channels_last=True))
        assert_close(last(clips().contiguous(memory_format=torch.channels_last_3d)), expected)


def test_what_follows_no_convolution_of_its_row_stays_a_batch_norm() -> None:
    """Behind a ReLU, behind a transposed convolution, first in a network, and one that keeps no statistics."""
    torch.manual_seed(0)
    stays = nn.Sequential(
        nn.BatchNorm2d(3),
        nn.Conv2d(3, 4, 1),
        nn.ReLU(),
        nn.BatchNorm2d(4),
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
        nn.ConvTranspose2d(4, 4, 1),
        nn.BatchNorm2d(4),
    )
    quick = folded(stays)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in quick.modules()) == 4
    images = torch.rand(2, 3, 5, 5)
    assert torch.equal(quick(images), stays.eval()(images))

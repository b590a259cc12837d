"""The paper's VGG-19 against parameter counts worked out by hand, its layers and shapes, and that it trains as initialised."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainables.models.vgg import VGG
from trainables.models.weights import parameter_count
from trainables.settings import ExperimentSettings, with_values

CHANNELS = [(3, 96), (96, 96), (96, 128), (128, 128), (128, 256), *[(256, 256)] * 3, (256, 512), *[(512, 512)] * 7]
"""In- and outputs of conv1_1 to conv5_4: VGG-19's, with conv1 widened from 64."""


def test_convolutions_are_vgg_19_s_with_a_larger_first_layer() -> None:
    """9 weights per pair of channels, 121 in the first, and a bias: 20,140,512 parameters."""
    with torch.device("meta"):
        network = VGG(ExperimentSettings(), classes=101)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert [(conv.in_channels, conv.out_channels) for conv in convolutions] == CHANNELS
    first, *others = convolutions
    assert (first.kernel_size, first.stride, first.padding) == ((11, 11), (4, 4), (2, 2))
    assert {(conv.kernel_size, conv.stride, conv.padding) for conv in others} == {((3, 3), (1, 1), (1, 1))}
    expected = 121 * 3 * 96 + 96 + sum(9 * inputs * outputs + outputs for inputs, outputs in CHANNELS[1:])
    assert parameter_count(network.features) == expected == 20_140_512
    assert parameter_count(network.classifier) == (7 * 7 * 512 + 1) * 4096 + 4097 * 4096 + 4097 * 101


def test_maps_of_each_layer_at_224_pixels() -> None:
    """Layer 3, conv3_4, has 256 channels at 13x13: the size of AlexNet's conv4."""
    with torch.device("meta"):
        network = VGG(ExperimentSettings(), classes=101)
        clips = torch.empty(1, 3, 2, 224, 224)
        shapes = [tuple(network.outputs(clips, number).map.shape[1:]) for number in range(1, 6)]
    assert shapes == [(96, 55, 55), (128, 27, 27), (256, 13, 13), (512, 6, 6), (512, 3, 3)]


def test_order_of_what_is_in_a_layer() -> None:
    changes = {"vgg.channels": [4, 4, 4, 4, 4], "vgg.hidden": 4, "vgg.convolutions": [1, 2, 1, 1, 1]}
    for batch_norm, block in ((False, ["Conv2d", "ReLU"]), (True, ["Conv2d", "BatchNorm2d", "ReLU"])):
        network = VGG(with_values(ExperimentSettings(), {**changes, "vgg.batch_norm": batch_norm}), classes=2)
        kinds = [[type(module).__name__ for module in layer] for layer in network.layers()]
        assert kinds == [block, ["MaxPool", *block, *block], *[["MaxPool", *block]] * 3]
    hidden = ["Linear", "ReLU", "Dropout"]
    assert [type(module).__name__ for module in network.classifier] == [*hidden, *hidden, "Linear"]


def test_what_the_classifier_sees_is_the_mean_of_the_pooled_last_map() -> None:
    network = VGG(with_values(ExperimentSettings(), {"vgg.channels": [4, 4, 4, 4, 4], "vgg.hidden": 4, "vgg.cells": 1}))
    maps = torch.rand(2, 4, 7, 5)
    expected = torch.stack(
        [maps[..., row : row + 2, column : column + 2].amax((2, 3)) for row in (0, 2, 4) for column in (0, 2)]
    )
    torch.testing.assert_close(network.pooled(maps), expected.mean(0))


def test_signals_keep_their_order_of_magnitude_without_batch_norm() -> None:
    """Through 16 convolutions PyTorch's own initialisation divides them by more than ten thousand; here by less than 100."""
    torch.manual_seed(0)
    settings = with_values(ExperimentSettings(), {"vgg.channels": [12, 16, 24, 32, 32], "vgg.hidden": 32})
    network = VGG(settings, classes=4).eval()
    clips = torch.randn(4, 3, 1, 224, 224)
    with torch.no_grad():
        assert 0.01 < float(network.outputs(clips, 5).map.square().mean().sqrt()) < 100
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()
                nn.init.zeros_(module.bias)
        assert float(network.outputs(clips, 5).map.square().mean().sqrt()) < 1e-3


@pytest.mark.parametrize("batch_norm", [False, True])
def test_it_learns_to_tell_colours_apart(batch_norm: bool) -> None:
    """Two classes, red and blue noise of 32 pixels, in a few steps of Adam."""
    torch.manual_seed(0)
    changes = {"vgg.channels": [8, 8, 12, 16, 16], "vgg.convolutions": [1, 1, 2, 2, 2], "vgg.hidden": 16}
    small = {"vgg.conv1_filter": 5, "vgg.conv1_stride": 2, "vgg.batch_norm": batch_norm, "vgg.dropout": 0.0}
    network = VGG(with_values(ExperimentSettings(), changes | small), classes=2)
    labels = torch.arange(16) % 2
    clips = torch.randn(16, 3, 1, 32, 32)
    clips[:, 0] += (1 - 2 * labels)[:, None, None, None]
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(25):
        loss = nn.functional.cross_entropy(network(clips), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.2, "chance: 0.69"

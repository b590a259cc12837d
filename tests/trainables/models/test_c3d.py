"""C3D against parameter counts worked out by hand, shapes, and the order of its layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainables.models import make_backbone
from trainables.models.c3d import C3D
from trainables.models.weights import convolution_weights, load_convolutions, parameter_count
from trainables.settings import BACKBONES, BackboneSettings

CHANNELS = [(3, 64), (64, 128), (128, 256), (256, 256), (256, 512), (512, 512), (512, 512), (512, 512)]
"""In- and outputs of conv1, 2, 3a, 3b, 4a, 4b, 5a and 5b in VCOP's and RSPNet's models/c3d.py."""


def test_parameters_are_those_of_the_released_networks() -> None:
    """27 weights per pair of channels and a bias, and batch norm's two vectors, in each convolution."""
    expected = sum(27 * inputs * outputs + outputs + 2 * outputs for inputs, outputs in CHANNELS)
    with torch.device("meta"):
        network = make_backbone(BackboneSettings(family="c3d"))
        classifier = make_backbone(BackboneSettings(family="c3d"), 101)
    assert parameter_count(network) == expected == 27_661_440
    assert parameter_count(classifier) == expected + 513 * 101
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv3d)]
    assert [(conv.in_channels, conv.out_channels) for conv in convolutions] == CHANNELS
    assert all(
        conv.kernel_size == (3, 3, 3) and conv.stride == (1, 1, 1) and conv.padding == (1, 1, 1) for conv in convolutions
    )


def test_shapes_after_each_layer_at_16_frames_of_112_pixels() -> None:
    """Pooling halves space before layers 2 to 5 and time before layers 3 to 5."""
    with torch.device("meta"):
        network = make_backbone(BackboneSettings(family="c3d"))
        maps = torch.empty(1, 3, 16, 112, 112)
        shapes = []
        for layer in network.layers():
            maps = layer(maps)
            shapes.append(tuple(maps.shape[1:]))
    assert shapes == [(64, 16, 112, 112), (128, 16, 56, 56), (256, 8, 28, 28), (512, 4, 14, 14), (512, 2, 7, 7)]


def test_features_are_the_mean_over_space_and_time_of_the_last_layer() -> None:
    torch.manual_seed(0)
    network = C3D(BackboneSettings(family="c3d", width=4)).eval()
    clips = maps = torch.randn(2, 3, 16, 24, 40)
    for layer in network.layers():
        maps = layer(maps)
    assert network.features == 32
    torch.testing.assert_close(network(clips), maps.mean((2, 3, 4)))


def test_every_convolution_has_batch_norm_and_relu_after_it_and_pooling_comes_between_layers() -> None:
    network = C3D(BackboneSettings(family="c3d", width=4))
    kinds = [[type(module).__name__ for module in layer] for layer in network.layers()]
    block = ["Conv3d", "BatchNorm3d", "ReLU"]
    assert kinds == [block, ["MaxPool3d", *block], *[["MaxPool3d", *block, *block]] * 3]


def test_convolutions_pass_to_a_classifier() -> None:
    settings = BackboneSettings(family="c3d", width=4)
    source, target = C3D(settings), C3D(settings, classes=3)
    head = target.fc.weight.detach().clone()
    source.train()(torch.randn(2, 3, 8, 16, 16))
    load_convolutions(target, convolution_weights(source))
    assert torch.equal(target.fc.weight, head), "the head is its own"
    assert all(torch.equal(target.state_dict()[name], value) for name, value in source.state_dict().items())
    assert target(torch.randn(2, 3, 8, 16, 16)).shape == (2, 3)


@pytest.mark.parametrize("family", sorted(BACKBONES))
def test_every_family_gives_features_and_logits(family: str) -> None:
    """Features are 8 times the width in all families, so heads and tables need not know which it is."""
    settings = BackboneSettings(family=family, depth=10, width=4)
    clips = torch.randn(2, 3, 8, 16, 16)
    backbone = make_backbone(settings)
    assert backbone.features == 32
    assert backbone(clips).shape == (2, 32)
    assert make_backbone(settings, 5)(clips).shape == (2, 5)
    assert len(backbone.layers()) == 5


@pytest.mark.parametrize("family", sorted(BACKBONES))
def test_forward_goes_through_the_layers_in_order(family: str) -> None:
    """`layers()` is what finetuning freezes from the front: pooling their outputs must be the network itself."""
    torch.manual_seed(0)
    network = make_backbone(BackboneSettings(family=family, depth=10, width=4)).eval()
    clips = maps = torch.randn(2, 3, 8, 16, 16)
    for layer in network.layers():
        maps = layer(maps)
    torch.testing.assert_close(network(clips), network.avgpool(maps).flatten(1))
    own = {id(parameter) for layer in network.layers() for parameter in layer.parameters()}
    assert own == {id(parameter) for parameter in network.parameters()}

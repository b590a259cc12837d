"""Backbones against published parameter counts and torchvision's naming, written out by rule."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainables.models.resnet3d import VideoResNet
from trainables.models.weights import convolution_weights, load_convolutions, parameter_count
from trainables.settings import BackboneSettings

Shapes = dict[str, tuple[int, ...]]


def batch_norm(name: str, channels: int) -> Shapes:
    vectors = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{leaf}": (channels,) for leaf in vectors} | {f"{name}.num_batches_tracked": ()}


def torchvision_18(factorised: bool) -> Shapes:
    """Keys and shapes of torchvision's `r2plus1d_18` / `r3d_18` with 400 classes.

    torchvision: `stem` is a Sequential; `layerN.M.conv1` is Sequential(conv, batch norm, ReLU), `conv2` lacks the ReLU; a
    factorised conv is itself Sequential(1x3x3, batch norm, ReLU, 3x1x1) of 27io / (9i + 3o) middle channels, by the block's
    in- and output for both its convolutions; `downsample` is Sequential(1x1x1 conv, batch norm) in the first block of
    layers 2 to 4.
    """
    if factorised:
        shapes = {"stem.0.weight": (45, 3, 1, 7, 7), "stem.3.weight": (64, 45, 3, 1, 1)}
        shapes |= batch_norm("stem.1", 45) | batch_norm("stem.4", 64)
    else:
        shapes = {"stem.0.weight": (64, 3, 3, 7, 7)} | batch_norm("stem.1", 64)
    inputs = 64
    for layer, outputs in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            name = f"layer{layer}.{block}"
            middle = 27 * inputs * outputs // (9 * inputs + 3 * outputs)
            for conv, channels in (("conv1", inputs), ("conv2", outputs)):
                if factorised:
                    shapes[f"{name}.{conv}.0.0.weight"] = (middle, channels, 1, 3, 3)
                    shapes |= batch_norm(f"{name}.{conv}.0.1", middle)
                    shapes[f"{name}.{conv}.0.3.weight"] = (outputs, middle, 3, 1, 1)
                else:
                    shapes[f"{name}.{conv}.0.weight"] = (outputs, channels, 3, 3, 3)
                shapes |= batch_norm(f"{name}.{conv}.1", outputs)
            if layer > 1 and block == 0:
                shapes[f"{name}.downsample.0.weight"] = (outputs, inputs, 1, 1, 1)
                shapes |= batch_norm(f"{name}.downsample.1", outputs)
            inputs = outputs
    return shapes | {"fc.weight": (400, 512), "fc.bias": (400,)}


@pytest.mark.parametrize(("family", "parameters"), [("r2plus1d", 31_505_325), ("r3d", 33_371_472)])
def test_depth_18_is_torchvision_s(family: str, parameters: int) -> None:
    with torch.device("meta"):
        network = VideoResNet(BackboneSettings(family=family), classes=400)
    assert parameter_count(network) == parameters
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert own == torchvision_18(family == "r2plus1d")


@pytest.mark.parametrize(("family", "parameters"), [("r2plus1d", 14_365_303), ("r3d", 14_361_792)])
def test_depth_10_is_the_released_code_s(family: str, parameters: int) -> None:
    with torch.device("meta"):
        network = VideoResNet(BackboneSettings(family=family, depth=10))
    assert parameter_count(network) == parameters


def test_depth_34_has_3_4_6_3_blocks() -> None:
    with torch.device("meta"):
        network = VideoResNet(BackboneSettings(depth=34, width=8))
    assert [len(layer) for layer in (network.layer1, network.layer2, network.layer3, network.layer4)] == [3, 4, 6, 3]


@pytest.mark.parametrize("family", ["r2plus1d", "r3d"])
@pytest.mark.parametrize("depth", [10, 18, 34])
def test_shapes(family: str, depth: int) -> None:
    """Space is halved by the stem and by layers 2 to 4, time by layers 2 to 4; sizes need not be powers of two."""
    settings = BackboneSettings(family=family, depth=depth, width=4)
    network = VideoResNet(settings).eval()
    maps = network.layer4(network.layer3(network.layer2(network.layer1(network.stem(torch.randn(2, 3, 9, 20, 28))))))
    assert maps.shape == (2, 32, 2, 2, 2)
    assert network.features == 32
    assert network(torch.randn(2, 3, 9, 20, 28)).shape == (2, 32)
    assert VideoResNet(settings, classes=5).eval()(torch.randn(2, 3, 4, 16, 16)).shape == (2, 5)


def test_a_block_is_relu_of_convolutions_plus_shortcut() -> None:
    block = VideoResNet(BackboneSettings(width=4)).eval().layer1[0]
    clips = torch.randn(1, 4, 4, 6, 6)
    torch.testing.assert_close(block(clips), torch.relu(block.conv2(block.conv1(clips)) + clips))


def test_convolutions_pass_from_one_network_to_another() -> None:
    settings = BackboneSettings(depth=10, width=4)
    source, target = VideoResNet(settings), VideoResNet(settings, classes=3)
    head = target.fc.weight.detach().clone()
    source.train()(torch.randn(2, 3, 4, 16, 16))
    load_convolutions(target, convolution_weights(source))
    assert torch.equal(target.fc.weight, head), "the head is its own"
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name
    assert not any(name.startswith("fc") for name in convolution_weights(target))


def test_weights_of_another_network_are_refused_by_name() -> None:
    network = VideoResNet(BackboneSettings(depth=10, width=4))
    weights = convolution_weights(network)
    lacking = {name: value for name, value in weights.items() if name != "layer2.0.conv1.1.bias"}
    with pytest.raises(ValueError, match=r"'layer2\.0\.conv1\.1\.bias' is missing"):
        load_convolutions(network, lacking)
    with pytest.raises(ValueError, match=r"'extra\.weight' is not part of it"):
        load_convolutions(network, weights | {"extra.weight": torch.zeros(1)})
    wider = convolution_weights(VideoResNet(BackboneSettings(depth=10, width=8)))
    with pytest.raises(
        ValueError, match=r"'layer1\.0\.conv1\.0\.0\.weight' is \(\d+, 8, 1, 3, 3\), expected \(\d+, 4, 1, 3, 3\)"
    ):
        load_convolutions(network, wider)


def test_initialisation_of_depth_18() -> None:
    """Kaiming normal, fan out: the standard deviation of a 1x3x3 convolution's weights is sqrt(2 / (9 outputs))."""
    torch.manual_seed(0)
    conv = VideoResNet(BackboneSettings(width=16)).layer4[1].conv2[0][0]
    assert isinstance(conv, nn.Conv3d)
    expected = (2 / (9 * conv.out_channels)) ** 0.5
    assert float(conv.weight.detach().std()) == pytest.approx(expected, rel=0.02)

"""The paper's VGG-19 against parameter counts worked out by hand, its layers and shapes, and that it trains as initialised."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainables.models.vgg import VGG
from trainables.models.weights import parameter_count
from trainables.settings import ExperimentSettings, SettingsError, flat, with_values

CHANNELS = [(3, 96), (96, 96), (96, 128), (128, 128), (128, 256), *[(256, 256)] * 3, (256, 512), *[(512, 512)] * 7]
"""In- and outputs of conv1_1 to conv5_4: VGG-19's, with conv1 widened from 64."""


def test_convolutions_are_vgg_19_s_with_a_larger_first_layer() -> None:
    """9 weights per pair of channels, 121 in the first, and a bias: 20,140,512 parameters."""
    with torch.device("meta"):
        network = VGG(ExperimentSettings(), classes=101)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert [(conv.in_channels, conv.out_channels) for conv in convolutions] == CHANNELS
    first, *others = convolutions
    assert (first.kernel_size, first.stride, first.padding) == ((11, 11), (1, 1), (5, 5))
    assert {(conv.kernel_size, conv.stride, conv.padding) for conv in others} == {((3, 3), (1, 1), (1, 1))}
    expected = 121 * 3 * 96 + 96 + sum(9 * inputs * outputs + outputs for inputs, outputs in CHANNELS[1:])
    assert parameter_count(network.features) == expected == 20_140_512
    assert parameter_count(network.classifier) == (7 * 7 * 512 + 1) * 4096 + 4097 * 4096 + 4097 * 101


def test_channels_may_differ_between_the_convolutions_of_a_layer() -> None:
    """conv1_1 with 96 and conv1_2 with 128, the other reading of Sec. 5.1: conv1_2 and conv2_1 grow by 64,544 parameters."""
    settings = with_values(ExperimentSettings(), {"vgg.channels": [[96, 128], 128, 256, 512, 512]})
    with torch.device("meta"):
        network = VGG(settings, classes=101)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    expected = [(3, 96), (96, 128), (128, 128), (128, 128), *CHANNELS[4:]]
    assert [(conv.in_channels, conv.out_channels) for conv in convolutions] == expected
    grown = 9 * 96 * 32 + 32 + 9 * 32 * 128
    assert parameter_count(network.features) == 20_140_512 + grown == 20_205_056
    assert flat(settings)["vgg.channels"] == [[96, 128], 128, 256, 512, 512], "as a ledger has it"
    with pytest.raises(SettingsError, match=r"channels = \[96, 128, 3\] of layer 1, where vgg.convolutions = 2"):
        with_values(settings, {"vgg.channels": [[96, 128, 3], 128, 256, 512, 512]})


def test_maps_of_each_layer_at_224_pixels() -> None:
    """VGG-19's sizes; layer 3, conv3_4, has 256 channels. With AlexNet's stride its map has the size of AlexNet's conv4."""
    sides = {1: (224, 112, 56, 28, 14), 4: (55, 27, 13, 6, 3)}
    for stride, expected in sides.items():
        settings = with_values(ExperimentSettings(), {"vgg.conv1_stride": stride})
        with torch.device("meta"):
            network = VGG(with_values(settings, {"vgg.cells": settings.vgg.last_side(224)}), classes=101)
            clips = torch.empty(1, 3, 2, 224, 224)
            shapes = [tuple(network.outputs(clips, number).map.shape[1:]) for number in range(1, 6)]
        assert shapes == [(c, side, side) for c, side in zip((96, 128, 256, 512, 512), expected, strict=True)]


@pytest.mark.parametrize("frame", [32, 36, 61, 112, 224])
@pytest.mark.parametrize(
    ("stride", "side", "pooled"), [(1, 11, [2, 3, 4, 5]), (4, 11, [2, 3, 4, 5]), (2, 5, [2, 4]), (1, 5, [])]
)
def test_the_last_map_is_averaged_to_cells_and_never_repeated(frame: int, stride: int, side: int, pooled: list[int]) -> None:
    """What the settings say of its size is what the network makes; one cell more is refused by both."""
    small = {"vgg.channels": [2, 2, 2, 2, 2], "vgg.convolutions": [1, 1, 1, 1, 1], "vgg.hidden": 4, "vgg.conv1_stride": stride}
    values = {**small, "vgg.conv1_filter": side, "vgg.pooled_layers": pooled, "video.height": 224, "video.width": 224}
    settings = with_values(ExperimentSettings(), {**values, "video.crop": frame})
    last = settings.vgg.last_side(frame)
    with torch.device("meta"):
        frames = torch.empty(1, 3, 1, frame, frame)
        fits = VGG(with_values(settings, {"vgg.cells": last}), classes=2)
        assert fits.pool(fits.maps(frames[:, :, 0])).shape[-2:] == (last, last)
        assert fits(frames).shape == (1, 2)
        with pytest.raises(ValueError, match=f"for {last + 1} x {last + 1} cells"):
            VGG(with_values(settings, {"vgg.cells": last + 1}), classes=2)(frames)
    graph = {"recipe": "fusion", "vgg.cells": last + 1, "evaluation.measures": ["finetune"]}
    with pytest.raises(SettingsError, match=f"a map of {last}x{last}, which is not repeated; valid: at most {last}"):
        with_values(settings, graph)
    assert with_values(settings, {**graph, "teachers.tasks": "prediction"}), "which has no VGG"


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
    settings = with_values(ExperimentSettings(), {"vgg.channels": [12, 16, 24, 32, 32], "vgg.hidden": 32, "vgg.cells": 1})
    network = VGG(settings, classes=4).eval()
    clips = torch.randn(4, 3, 1, 64, 64)
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
    changes = {"vgg.cells": 1, "vgg.channels": [8, 8, 12, 16, 16], "vgg.convolutions": [1, 1, 2, 2, 2], "vgg.hidden": 16}
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

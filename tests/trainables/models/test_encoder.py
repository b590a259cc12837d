"""What all encoders owe to those that train them: layers in order, heads that may be absent, weights that pass on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainables.models import make_encoder
from trainables.models.device import on_device
from trainables.models.encoder import COMPILED, FrameEncoder, evenly_spaced
from trainables.models.frames import MaxPool, padding
from trainables.models.weights import HEADS, convolution_weights, load_convolutions
from trainables.settings import ENCODERS, ComputeSettings, ExperimentSettings, with_values

TINY = with_values(
    ExperimentSettings(),
    {
        "frames.per_clip": 2,
        "vgg.channels": [4, 4, 6, 8, 8],
        "vgg.conv1_filter": 5,
        "vgg.conv1_stride": 2,
        "vgg.cells": 1,
        "vgg.hidden": 8,
        "vgg.batch_norm": True,
        "alexnet.channels": [4, 6, 8, 6, 6],
        "alexnet.conv1_filter": 5,
        "alexnet.conv1_stride": 2,
        "alexnet.hidden": 8,
        "prednet.targets": [3, 4, 4, 4],
        "prednet.representations": [3, 4, 4, 8],
        "prednet.side": 16,
    },
)
every_encoder = pytest.mark.parametrize("name", sorted(ENCODERS))


@every_encoder
@pytest.mark.parametrize("clips", [(1, 3, 4, 32, 32), (2, 3, 5, 24, 33)])
def test_outputs_have_one_row_per_clip_in_training_and_evaluation(name: str, clips: tuple[int, ...]) -> None:
    """Small frames and odd sizes included, and one clip alone but where batch norm is trained on clips; without classes the
    logits are the features."""
    network = make_encoder(name, TINY, classes=5)
    for mode in (True, False) if clips[0] > 1 or name != "prednet" else (False,):
        outputs = network.train(mode).outputs(torch.rand(clips), 3)
        assert outputs.logits.shape == (clips[0], 5)
        assert outputs.features.shape == (clips[0], 8)
        assert outputs.map.shape[0] == clips[0] and outputs.map.ndim == 4
    plain = make_encoder(name, TINY).eval().outputs(torch.rand(clips), 3)
    assert torch.equal(plain.logits, plain.features)


@every_encoder
def test_forward_gives_the_logits_and_features_are_what_the_last_layer_sees(name: str) -> None:
    torch.manual_seed(0)
    network = make_encoder(name, TINY, classes=5).eval()
    clips = torch.rand(2, 3, 4, 32, 32)
    outputs = network.outputs(clips, 2)
    torch.testing.assert_close(network(clips), outputs.logits)
    torch.testing.assert_close(network.classifier[-1](outputs.features), outputs.logits)
    bias = network.classifier[-1].bias
    torch.testing.assert_close(outputs.features @ network.prototypes.T + bias, outputs.logits)
    with pytest.raises(TypeError, match=r"the last layer is Identity; .* need nn\.Linear, with a row for each class"):
        _ = make_encoder(name, TINY).prototypes


@every_encoder
def test_a_clip_is_seen_on_its_own_in_evaluation(name: str) -> None:
    torch.manual_seed(0)
    network = make_encoder(name, TINY, classes=5).eval()
    clips = torch.rand(3, 3, 4, 32, 32)
    for together, alone in zip(network.outputs(clips, 2), network.outputs(clips[1:2], 2), strict=True):
        torch.testing.assert_close(together[1:2], alone)


@every_encoder
def test_layers_hold_every_parameter_that_is_not_the_head_s(name: str) -> None:
    """What freezing `layers()[:n]` covers; with all of them frozen only `classifier` is left to train, and it does."""
    network = make_encoder(name, TINY, classes=5)
    of_layers = [id(parameter) for layer in network.layers() for parameter in layer.parameters()]
    names = {id(parameter): key for key, parameter in network.named_parameters()}
    assert len(of_layers) == len(set(of_layers)), "no parameter is in two layers"
    assert {names[key] for key in of_layers} == {key for key in names.values() if not key.startswith(HEADS)}
    for layer in network.layers():
        layer.requires_grad_(False)
    network(torch.rand(2, 3, 4, 32, 32)).sum().backward()
    left = {key for key, parameter in network.named_parameters() if parameter.requires_grad}
    assert left and all(key.startswith("classifier.") for key in left)
    assert all(parameter.grad is not None for parameter in network.parameters() if parameter.requires_grad)


@every_encoder
def test_every_parameter_of_a_trained_network_gets_a_gradient(name: str) -> None:
    torch.manual_seed(0)
    network = make_encoder(name, TINY, classes=5)
    network(torch.rand(4, 3, 4, 32, 32)).square().sum().backward()
    missing = [key for key, parameter in network.named_parameters() if parameter.grad is None]
    assert not missing


@every_encoder
def test_bfloat16_agrees_with_float32(name: str) -> None:
    torch.manual_seed(0)
    network = make_encoder(name, TINY, classes=5).eval()
    clips = torch.rand(2, 3, 4, 32, 32)
    expected = network.outputs(clips, 3)
    with torch.autocast("cpu", torch.bfloat16):
        found = network.outputs(clips, 3)
    for low, full in zip(found, expected, strict=True):
        torch.testing.assert_close(low.float(), full, rtol=0.05, atol=0.05 * float(full.detach().abs().max()))


@every_encoder
def test_convolutions_pass_to_a_network_with_another_head(name: str) -> None:
    source, target = make_encoder(name, TINY), make_encoder(name, TINY, classes=3)
    source(torch.rand(2, 3, 4, 32, 32))
    head = {key: value.clone() for key, value in target.state_dict().items() if key.startswith("classifier.")}
    weights = convolution_weights(source)
    load_convolutions(target, weights)
    assert head and weights.keys().isdisjoint(head)
    for key, value in target.state_dict().items():
        assert torch.equal(value, weights[key] if key in weights else head[key]), key


@every_encoder
def test_weights_of_another_encoder_are_refused(name: str) -> None:
    other = {"vgg": "prednet", "prednet": "alexnet", "alexnet": "vgg"}[name]
    with pytest.raises(ValueError, match=r"weights of another network: 'features\.0\.\S+' is"):
        load_convolutions(make_encoder(name, TINY), convolution_weights(make_encoder(other, TINY)))


@every_encoder
def test_the_whole_network_can_be_compiled(name: str) -> None:
    """Traced without a break; `on_device` compiles encoders within whatever is trained."""
    torch.manual_seed(0)
    network = make_encoder(name, TINY, classes=5).eval()
    clips = torch.rand(1, 3, 2, 32, 32)
    traced = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(traced(clips), network(clips))
    around = nn.Sequential(make_encoder(name, TINY))
    on_device(around, torch.device("cpu"), ComputeSettings(compile=True))
    asked = {method for method in COMPILED if hasattr(around[0], method)}
    assert {method for method in asked if hasattr(getattr(around[0], method), "_torchdynamo_orig_callable")} == asked != set()


def test_frames_are_taken_from_the_middle_of_equal_parts() -> None:
    """4 of 16: parts of 4 frames, whose middle is their third; 3 of 7: at 7/6, 21/6 and 35/6; more than there are repeat."""

    def picked(frames: int, length: int) -> list[int]:
        clips = torch.arange(length).view(1, 1, length, 1, 1).expand(2, 3, -1, 5, 4)
        seen = evenly_spaced(clips, frames)
        assert seen.shape == (2, frames, 3, 5, 4)
        return seen[1, :, 2, 4, 3].tolist()

    assert picked(4, 16) == [2, 6, 10, 14]
    assert picked(3, 7) == [1, 3, 5]
    assert picked(1, 8) == [4]
    assert picked(5, 5) == [0, 1, 2, 3, 4]
    assert picked(4, 2) == [0, 0, 1, 1]


@pytest.mark.parametrize("name", ["alexnet", "vgg"])
def test_frame_encoders_average_what_they_say_of_single_frames(name: str) -> None:
    """Of 6 frames two are seen, 1 and 4: logits, map and features are the means of those of clips of one frame."""
    torch.manual_seed(0)
    network = make_encoder(name, TINY, classes=5).eval()
    assert isinstance(network, FrameEncoder) and network.frames_per_clip == 2
    clips = torch.rand(2, 3, 6, 32, 32)
    found = network.outputs(clips, 3)
    network.frames_per_clip = 1
    first, second = (network.outputs(clips[:, :, place : place + 1], 3) for place in (1, 4))
    for mean, one, other in zip(found, first, second, strict=True):
        torch.testing.assert_close(mean, (one + other) / 2)


@pytest.mark.parametrize("name", ["alexnet", "vgg"])
def test_the_map_is_that_of_the_layer_asked_for(name: str) -> None:
    network = make_encoder(name, with_values(TINY, {"frames.per_clip": 1})).eval()
    clips = torch.rand(2, 3, 1, 48, 48)
    maps = clips[:, :, 0]
    for number, layer in enumerate(network.layers(), start=1):
        maps = layer(maps)
        torch.testing.assert_close(network.outputs(clips, number).map, maps)
    assert isinstance(network, FrameEncoder)
    torch.testing.assert_close(network.maps(clips[:, :, 0]), maps)


def test_padding_keeps_the_size_at_stride_1_and_is_alexnet_s_at_stride_4() -> None:
    assert [padding(side, 1) for side in (1, 3, 5, 7, 11)] == [0, 1, 2, 3, 5]
    assert padding(11, 4) == 2


def test_pooling_leaves_maps_that_are_smaller_than_its_window() -> None:
    small, wide = torch.rand(1, 2, 1, 1), torch.rand(1, 2, 1, 6)
    assert torch.equal(MaxPool(2, 2)(small), small)
    assert torch.equal(MaxPool(2, 2)(wide), wide)
    maps = torch.rand(1, 2, 7, 7)
    assert torch.equal(MaxPool(3, 2)(maps), nn.functional.max_pool2d(maps, 3, 2))

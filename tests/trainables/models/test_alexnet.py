"""AlexNet against torchvision's keys, shapes and counts, and a user's weights file: what loads, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.trainables.conftest import RunsCode
from trainables.models.alexnet import AlexNet, imagenet_weights
from trainables.models.weights import parameter_count
from trainables.settings import ExperimentSettings, with_values

TORCHVISION = {
    "features.0": (64, 3, 11, 11),
    "features.3": (192, 64, 5, 5),
    "features.6": (384, 192, 3, 3),
    "features.8": (256, 384, 3, 3),
    "features.10": (256, 256, 3, 3),
    "classifier.1": (4096, 9216),
    "classifier.4": (4096, 4096),
    "classifier.6": (1000, 4096),
}
"""Weights of `torchvision.models.alexnet` by layer; each has a bias too."""

TINY = with_values(ExperimentSettings(), {"alexnet.channels": [2, 3, 4, 3, 2], "alexnet.hidden": 4})
"""Torchvision's names, with 11x11 filters and 6x6 positions, but few channels."""


def test_state_dict_is_torchvision_s() -> None:
    with torch.device("meta"):
        network = AlexNet(ExperimentSettings(), classes=1000)
    shapes = {f"{name}.weight": shape for name, shape in TORCHVISION.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in TORCHVISION.items()}
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == shapes
    assert parameter_count(network) == 61_100_840
    assert parameter_count(network.features) == 2_469_696


def test_classifier_is_torchvision_s() -> None:
    kinds = ["Dropout", "Linear", "ReLU", "Dropout", "Linear", "ReLU"]
    assert [type(module).__name__ for module in AlexNet(TINY, 2).classifier] == [*kinds, "Linear"]
    assert [type(module).__name__ for module in AlexNet(TINY).classifier] == [*kinds, "Identity"]


def test_maps_of_each_layer_at_224_pixels() -> None:
    """Layer 4 has 256 channels at 13x13; `pooled` gives 256 * 6 * 6 numbers."""
    with torch.device("meta"):
        network = AlexNet(ExperimentSettings(), classes=101)
        clips = torch.empty(1, 3, 2, 224, 224)
        shapes = [tuple(network.outputs(clips, number).map.shape[1:]) for number in range(1, 6)]
        pooled = network.pooled(torch.empty(1, *shapes[-1]))
    assert shapes == [(64, 55, 55), (192, 27, 27), (384, 13, 13), (256, 13, 13), (256, 13, 13)]
    assert pooled.shape == (1, 9216)


def test_it_computes_what_torchvision_s_forward_does() -> None:
    """torchvision: classifier(flatten(avgpool(features(x)))), `features` in one row with all three poolings."""
    torch.manual_seed(0)
    network = AlexNet(TINY, classes=3).eval()
    clips = torch.rand(2, 3, 1, 80, 96)
    expected = network.classifier(torch.flatten(nn.AdaptiveAvgPool2d((6, 6))(network.features(clips[:, :, 0])), 1))
    torch.testing.assert_close(network(clips), expected)


def test_with_another_first_convolution_maps_are_averaged_over_space() -> None:
    settings = with_values(TINY, {"alexnet.conv1_filter": 5, "alexnet.conv1_stride": 2})
    network = AlexNet(settings, classes=3)
    assert network.classifier[1].in_features == 2
    maps = torch.rand(2, 2, 3, 3)
    torch.testing.assert_close(network.pooled(maps), maps.amax((2, 3)))


def test_it_learns_to_tell_colours_apart() -> None:
    """Two classes, red and blue noise of 32 pixels, in a few steps of Adam."""
    torch.manual_seed(0)
    changes = {"alexnet.channels": [8, 12, 16, 16, 16], "alexnet.hidden": 16, "alexnet.dropout": 0.0}
    small = {"alexnet.conv1_filter": 5, "alexnet.conv1_stride": 2}
    network = AlexNet(with_values(ExperimentSettings(), changes | small), classes=2)
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


def imagenet(classes: int = 7) -> dict[str, Tensor]:
    return AlexNet(TINY, classes).state_dict()


def written(directory: Path, weights: dict[str, Tensor], suffix: str) -> Path:
    path = directory / f"alexnet{suffix}"
    if suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("classes", [7, 3, None])
def test_weights_load_and_a_last_layer_of_other_size_stays_fresh(tmp_path: Path, suffix: str, classes: int | None) -> None:
    weights, network = imagenet(), AlexNet(TINY, classes)
    fresh = {name: value.clone() for name, value in network.state_dict().items() if name.startswith("classifier.6.")}
    network.load_state_dict(imagenet_weights(network, written(tmp_path, weights, suffix)))
    for name, value in network.state_dict().items():
        assert torch.equal(value, fresh[name] if name in fresh and classes != 7 else weights[name]), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features.3.bias": None}, r"'features\.3\.bias' is missing, expected \(3,\)"),
        ({"features.3.weight": (3, 2, 3, 3)}, r"'features\.3\.weight' is \(3, 2, 3, 3\), expected \(3, 2, 5, 5\)"),
        ({"fc.weight": (7, 4)}, r"'fc\.weight' is not part of it, found \(7, 4\)"),
        ({"classifier.6.weight": None}, r"'classifier\.6\.weight' is missing, expected \(3, 4\)"),
        ({"classifier.1.weight": (5, 72), "features.0.weight": (1, 1)}, r"'classifier\.1\.weight' is \(5, 72\), expected"),
    ],
)
def test_weights_of_another_network_are_refused_by_the_first_key(
    tmp_path: Path, change: dict[str, tuple[int, ...] | None], message: str
) -> None:
    weights = {name: value for name, value in imagenet(3).items() if change.get(name, ()) is not None}
    weights |= {name: torch.zeros(shape) for name, shape in change.items() if shape is not None}
    network = AlexNet(TINY, classes=3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    path = written(tmp_path, weights, ".safetensors")
    with pytest.raises(ValueError, match=message) as raised:
        imagenet_weights(network, path)
    assert str(path) in str(raised.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items()), "nothing was loaded"


@pytest.mark.parametrize(
    "name", ["absent.pth", "absent.safetensors", "noise.pth", "noise.safetensors", "code.pth", "numbers.pth"]
)
def test_files_without_readable_weights_are_refused_by_name(tmp_path: Path, name: str) -> None:
    """Missing files, noise, a file that would run code (it does not) and one that holds no state dict."""
    path, trace = tmp_path / name, tmp_path / "ran"
    if name.startswith("noise"):
        path.write_bytes(bytes(range(256)))
    elif name.startswith("code"):
        torch.save({"features.0.weight": RunsCode(trace)}, path)
    elif name.startswith("numbers"):
        torch.save({"epoch": 3, "accuracy": torch.ones(())}, path)
    expected = "not a state dict" if name.startswith("numbers") else "not readable as a file of weights"
    with pytest.raises(ValueError, match=expected) as raised:
        imagenet_weights(AlexNet(TINY, classes=3), path)
    assert str(path) in str(raised.value)
    assert not trace.exists()

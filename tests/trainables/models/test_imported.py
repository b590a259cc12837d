"""Weights from elsewhere against networks built here by the names and shapes that the releases have, with a forward pass of
their own; files made in the test; and what is refused."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, max_pool3d, relu

from tests.trainables.conftest import RunsCode
from trainables.models import make_backbone, make_encoder
from trainables.models.imported import described, imported
from trainables.settings import BackboneSettings, ExperimentSettings, with_values

WIDTH = 4


class Factorised(nn.Module):
    """VCOP's (2+1)D convolution: as many weights as the full one has."""

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        time, side, _ = size
        middle = time * side * side * inputs * outputs // (side * side * inputs + time * outputs)
        across, along = (0, side // 2, side // 2), (time // 2, 0, 0)
        self.spatial_conv = nn.Conv3d(inputs, middle, (1, side, side), (1, *stride[1:]), across, bias=False)
        self.bn = nn.BatchNorm3d(middle)
        self.temporal_conv = nn.Conv3d(middle, outputs, (time, 1, 1), (stride[0], 1, 1), along, bias=False)

    def forward(self, clips: Tensor) -> Tensor:
        result: Tensor = self.temporal_conv(relu(self.bn(self.spatial_conv(clips))))
        return result


class Full(nn.Module):
    """VCOP's 3D convolution."""

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        padding = tuple(side // 2 for side in size)
        self.temporal_spatial_conv = nn.Conv3d(inputs, outputs, size, stride, padding, bias=False)

    def forward(self, clips: Tensor) -> Tensor:
        result: Tensor = self.temporal_spatial_conv(clips)
        return result


class Block(nn.Module):
    def __init__(self, conv: Any, inputs: int, outputs: int, halves: bool) -> None:
        super().__init__()
        stride = (2, 2, 2) if halves else (1, 1, 1)
        if halves:
            self.downsampleconv, self.downsamplebn = conv(inputs, outputs, (1, 1, 1), stride), nn.BatchNorm3d(outputs)
        self.conv1, self.bn1 = conv(inputs, outputs, (3, 3, 3), stride), nn.BatchNorm3d(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs, (3, 3, 3), (1, 1, 1)), nn.BatchNorm3d(outputs)
        self.halves = halves

    def forward(self, clips: Tensor) -> Tensor:
        beside = self.downsamplebn(self.downsampleconv(clips)) if self.halves else clips
        return relu(beside + self.bn2(self.conv2(relu(self.bn1(self.conv1(clips))))))


class Layer(nn.Module):
    def __init__(self, *arguments: Any) -> None:
        super().__init__()
        self.block1, self.blocks = Block(*arguments), nn.ModuleList()

    def forward(self, clips: Tensor) -> Tensor:
        result: Tensor = self.block1(clips)
        return result


class VCOPNetwork(nn.Module):
    """R(2+1)D or R3D with a block per layer, by the names of xudejing/video-clip-order-prediction, at any width."""

    def __init__(self, conv: Any, head: int = 4) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, WIDTH, (3, 7, 7), (1, 2, 2)), nn.BatchNorm3d(WIDTH)
        self.conv2 = Layer(conv, WIDTH, WIDTH, False)
        self.conv3 = Layer(conv, WIDTH, 2 * WIDTH, True)
        self.conv4 = Layer(conv, 2 * WIDTH, 4 * WIDTH, True)
        self.conv5 = Layer(conv, 4 * WIDTH, 8 * WIDTH, True)
        self.linear = nn.Linear(8 * WIDTH, head)

    def features(self, clips: Tensor) -> Tensor:
        maps = relu(self.bn1(self.conv1(clips)))
        for layer in (self.conv2, self.conv3, self.conv4, self.conv5):
            maps = layer(maps)
        return maps.mean((2, 3, 4))


class VCOPC3D(nn.Module):
    """C3D by the same names."""

    SIZES = (("1", 3, 1), ("2", 1, 2), ("3a", 2, 4), ("3b", 4, 4), ("4a", 4, 8), ("4b", 8, 8), ("5a", 8, 8), ("5b", 8, 8))

    def __init__(self, head: int = 4) -> None:
        super().__init__()
        for name, inputs, outputs in self.SIZES:
            channels = inputs if name == "1" else inputs * WIDTH
            self.add_module(f"conv{name}", nn.Conv3d(channels, outputs * WIDTH, 3, padding=1))
            self.add_module(f"bn{name}", nn.BatchNorm3d(outputs * WIDTH))
        self.linear = nn.Linear(8 * WIDTH, head)

    def features(self, clips: Tensor) -> Tensor:
        maps = clips
        for name, _, _ in self.SIZES:
            if name in ("2", "3a", "4a", "5a"):
                maps = max_pool3d(maps, (1, 2, 2) if name == "2" else 2)
            maps = relu(self.get_submodule(f"bn{name}")(self.get_submodule(f"conv{name}")(maps)))
        return maps.mean((2, 3, 4))


def with_statistics(network: nn.Module) -> nn.Module:
    """So that a mean that came in the place of a variance would be seen."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d | nn.BatchNorm2d):
            for values in (module.running_mean, module.running_var, module.weight, module.bias):
                assert values is not None
                nn.init.uniform_(values, 0.5, 1.5)
    return network.eval()


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in state.items()}


def other(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a key encoder or a teacher holds: the same names, other values."""
    return {name: torch.full_like(value, 7) for name, value in state.items()}


RELEASES: dict[str, Any] = {
    "rspnet": lambda state: {
        "epoch": 200,
        "arch": "moco",
        "model": prefixed("encoder_q.encoder.", state)
        | prefixed("encoder_k.encoder.", other(state))
        | {"encoder_q.fc1.2.weight": torch.ones(8, 8), "queue": torch.ones(8, 16), "queue_ptr": torch.zeros(1)},
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
    },
    "auxskd": lambda state: {
        "opt": argparse.Namespace(lr=0.001, gpu="0,1"),
        "state_dict": prefixed("encoder_q.module.", state)
        | prefixed("encoder_k.module.", other(state))
        | {"queue": torch.ones(16, 8), "predict_q_c.module.0.weight": torch.ones(8, 8)},
        "epoch": 18,
    },
    "vspp": lambda state: prefixed("module.", state) | {"module.linear_segment.weight": torch.ones(4, 8 * WIDTH)},
    "video_pace": lambda state: {"epoch": 18, "state_dict": prefixed("module.", state), "opt_dict": {"state": {}}},
    "vcop": lambda state: prefixed("base_network.", state) | {"fc7.weight": torch.ones(512, 64), "fc8.bias": torch.ones(6)},
    "finetuned": lambda state: dict(state),
}
PIXELS = {"rspnet": "rgb_imagenet", "auxskd": "bgr_255", "vspp": "bgr_255", "video_pace": "bgr_255"}
FAMILIES: dict[str, Any] = {"r2plus1d": lambda: VCOPNetwork(Factorised), "r3d": lambda: VCOPNetwork(Full), "c3d": VCOPC3D}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("release", RELEASES)
def test_a_release_s_file_makes_the_network_here_the_same_function(release: str, family: str, tmp_path: Path) -> None:
    """The features of clips; and the query encoder's, not the key encoder's. What belongs to the weights is told with them."""
    torch.manual_seed(1)
    theirs = with_statistics(FAMILIES[family]())
    torch.save(RELEASES[release](theirs.state_dict()), tmp_path / "weights.pth.tar")
    found = imported(tmp_path / "weights.pth.tar")
    assert found.network == family
    assert found.settings["video.pixels"] == PIXELS.get(release, "rgb_unit")
    form = {name.removeprefix("backbone."): value for name, value in found.settings.items() if name.startswith("backbone.")}
    assert form == {"family": family, "width": WIDTH, **({} if family == "c3d" else {"depth": 10})}
    ours = make_backbone(BackboneSettings(**form)).eval()
    found.check(ours.state_dict(), "it")
    ours.load_state_dict(found.convolutions)
    clips = torch.rand(2, 3, 8, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(clips), theirs.features(clips), rtol=1e-4, atol=1e-5)
    assert ("fc.weight" in found.tensors) == (release in ("vcop", "finetuned")), "a last layer only where it may be of use"


@pytest.mark.parametrize("wrapped", ["", "module.", "module.encoder_q."])
@pytest.mark.parametrize("family", ["r2plus1d", "r3d"])
def test_torchvision_s_state_dicts_load_as_they_are(family: str, wrapped: str, tmp_path: Path) -> None:
    """Their names are those of the networks here at depth 18; also behind what MoCo and data parallelism put before them."""
    network = make_backbone(BackboneSettings(family=family, depth=18, width=8), 9)
    state = prefixed(wrapped, network.state_dict())
    torch.save(
        state | (prefixed("module.encoder_k.", other(network.state_dict())) if "encoder" in wrapped else {}), tmp_path / "a"
    )
    found = imported(tmp_path / "a")
    belongs = {"backbone.family": family, "backbone.depth": 18, "backbone.width": 8, "video.pixels": "rgb_normalised"}
    assert found.settings == belongs
    assert all(torch.equal(found.tensors[name], value) for name, value in network.state_dict().items())


def test_torchvision_s_vgg_has_its_layers_in_one_row(tmp_path: Path) -> None:
    """VGG-19 as torchvision numbers it, a tenth as wide, against the VGG of five layers here."""
    torch.manual_seed(2)
    row: list[nn.Module] = []
    inputs = 3
    for width, count in ((6, 2), (12, 2), (25, 4), (51, 4), (51, 4)):
        for _ in range(count):
            row += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
            inputs = width
        row.append(nn.MaxPool2d(2, 2))
    theirs = nn.Sequential(*row)
    head = {"classifier.0.weight": torch.ones(7, 51 * 49), "classifier.6.weight": torch.ones(9, 7)}
    torch.save(prefixed("features.", theirs.state_dict()) | head, tmp_path / "vgg19.pth")
    found = imported(tmp_path / "vgg19.pth")
    form = {name: value for name, value in found.settings.items() if name.startswith("vgg.")}
    assert form == {
        "vgg.channels": [6, 12, 25, 51, 51],
        "vgg.convolutions": [2, 2, 4, 4, 4],
        "vgg.batch_norm": False,
        "vgg.conv1_filter": 3,
    }
    assert found.settings["video.pixels"] == "rgb_imagenet"
    ours = make_encoder("vgg", with_values(ExperimentSettings(), {**form, "vgg.hidden": 4}), 5)
    own = {name: value for name, value in ours.state_dict().items() if name.startswith("classifier.")}
    ours.load_state_dict({**own, **found.convolutions})
    frames = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(max_pool2d(ours.maps(frames), 2), theirs(frames), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "values"),
    [
        ("alexnet", {"alexnet.channels": [4, 6, 8, 8, 8], "alexnet.hidden": 5}),
        ("vgg", {"vgg.channels": [4, 4, [4, 5, 5, 4], 6, 6], "vgg.hidden": 5, "vgg.batch_norm": True, "vgg.conv1_filter": 5}),
        ("prednet", {"prednet.targets": [3, 4, 5], "prednet.representations": [3, 6, 7]}),
    ],
)
def test_encoders_of_this_program_are_told_by_their_names_and_shapes(
    network: str, values: dict[str, Any], tmp_path: Path
) -> None:
    settings = with_values(ExperimentSettings(), values)
    save_file(make_encoder(network, settings, 6).state_dict(), tmp_path / "a.safetensors")
    found = described(tmp_path / "a.safetensors")
    assert found.network == network
    assert {name: found.settings[name] for name in values if name != "vgg.hidden"} == {
        name: value for name, value in values.items() if name != "vgg.hidden"
    }


def test_what_another_network_has_is_refused_by_its_first_key_with_the_network_that_fits(tmp_path: Path) -> None:
    state = make_backbone(BackboneSettings(family="r3d", depth=18, width=8), 9).state_dict()
    torch.save(state, tmp_path / "r3d_18.pth")
    narrow = make_backbone(BackboneSettings(family="r3d", depth=10, width=4)).state_dict()
    says = (
        r"r3d_18\.pth: weights of another network than this one: 'layer1\.0\.conv1\.0\.weight' is \(8, 8, 3, 3, 3\), "
        r"expected \(4, 4, 3, 3, 3\); they are of r3d \(family r3d, depth 18, width 8\), torchvision's names: --set "
        r"backbone\.family=r3d --set backbone\.depth=18 --set backbone\.width=8$"
    )
    with pytest.raises(ValueError, match=says):
        described(tmp_path / "r3d_18.pth").check(narrow, "this one")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("code", r"it would run code, getattr, which is refused"),
        ("half", r"damaged, cut short, or something else"),
        ("half.safetensors", r"damaged, cut short, or something else"),
        ("text", r"damaged, cut short, or something else"),
        ("nothing", r"not a state dict"),
        ("hara", r"weights of no network that is known here: its first key is 'bn1\.weight'"),
        ("absent", r"No such file"),
    ],
)
def test_what_holds_no_weights_that_could_be_used_is_refused_by_name(name: str, says: str, tmp_path: Path) -> None:
    """A pickle with code, which is not run; half a file; text; no tensors; a 3-D ResNet of another form than any here."""
    path, trace = tmp_path / name, tmp_path / "ran"
    state = make_backbone(BackboneSettings(family="r3d", depth=10, width=4)).state_dict()
    if name == "code":
        torch.save({"state_dict": state, "epoch": RunsCode(trace)}, path)
    elif name.startswith("half"):
        (save_file if name.endswith("safetensors") else torch.save)(state, path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif name == "text":
        path.write_text("these are no weights")
    elif name == "nothing":
        torch.save({"epoch": 3, "state_dict": []}, path)
    elif name == "hara":
        torch.save({"conv1.weight": torch.ones(4, 3, 7, 7, 7), "bn1.weight": torch.ones(4)}, path)
    with pytest.raises(ValueError, match=says) as raised:
        described(path)
    assert str(path) in str(raised.value)
    assert not trace.exists()


def test_settings_that_lie_beside_a_file_by_chance_are_not_its_own(tmp_path: Path) -> None:
    state = make_backbone(BackboneSettings(family="r3d", depth=10, width=4)).state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    alone = described(tmp_path / "weights.safetensors").settings
    (tmp_path / "settings.json").write_text('["lr", 0.1]')
    described.__globals__["_described"].cache_clear()
    assert described(tmp_path / "weights.safetensors").settings == alone


@pytest.mark.parametrize("names", [["features.1.conv.0.0.weight", "classifier.1.weight"], ["classifier.1.weight"]])
def test_what_has_names_of_alexnet_and_is_none_is_refused_by_name(names: list[str], tmp_path: Path) -> None:
    save_file({name: torch.zeros(4, 4, 1, 1) for name in names}, tmp_path / "mobile.safetensors")
    with pytest.raises(ValueError, match=r"mobile\.safetensors"):
        described(tmp_path / "mobile.safetensors")


def test_a_file_s_own_words_name_no_program_that_would_be_run(tmp_path: Path) -> None:
    """The family is that of the network that was recognised, whatever the header says."""
    program = tmp_path / "net.py"
    program.write_text("raise SystemExit('run')\n")
    state = make_backbone(BackboneSettings(family="r3d", depth=10, width=4)).state_dict()
    about = {"settings": {"backbone.family": f"{program}:Net", "backbone.depth": 10, "backbone.width": 4}}
    save_file(state, tmp_path / "a.safetensors", metadata={"auxgraph": json.dumps(about)})
    assert described(tmp_path / "a.safetensors").settings["backbone.family"] == "r3d"


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"settings": {"backbone.depth": 12}}, r"its header is damaged, or of another version of auxgraph: backbone\.depth"),
        ({"settings": {"backbone.deep": 10}}, r"of another version of auxgraph: unknown setting 'backbone\.deep'"),
        ({"settings": {"video.pixels": "cmyk"}}, r"of another version of auxgraph: video\.pixels"),
        ({"settings": {"backbone.depth": 18}}, r"not its layers \(its header says backbone\.depth = 18, and they say 10\)"),
        ({"settings": [1]}, r"its header is damaged: settings are \[1\]"),
        ({"classes": 6}, r"its header is damaged: classes are 6"),
        ([1, 2], r"not readable as a file of weights"),
    ],
)
def test_what_a_header_says_is_checked(header: Any, says: str, tmp_path: Path) -> None:
    path = tmp_path / "ours.safetensors"
    state = make_backbone(BackboneSettings(family="r3d", depth=10, width=WIDTH), 6).state_dict()
    save_file(state, path, {"auxgraph": json.dumps(header)})
    with pytest.raises(ValueError, match=says) as raised:
        imported(path)
    assert str(raised.value).startswith(f"{path}: ")

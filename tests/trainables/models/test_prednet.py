"""PredNet against its equations written out in NumPy, published parameter counts, shapes, and that it learns to predict."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.models.prednet import PredNet, hard_sigmoid, resized
from trainables.models.weights import parameter_count
from trainables.settings import ExperimentSettings, with_values

TINY = with_values(
    ExperimentSettings(), {"prednet.targets": [3, 4, 5], "prednet.representations": [2, 3, 6], "prednet.side": None}
)


def conv(maps: np.ndarray, name: str, weights: dict[str, np.ndarray]) -> np.ndarray:
    """3x3 convolution of maps (channels, h, w) with zeros around them, position by position."""
    kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
    height, width = maps.shape[1:]
    result = np.empty((len(kernel), height, width))
    for row in range(height):
        for column in range(width):
            window = padded[:, row : row + 3, column : column + 3]
            result[:, row, column] = (kernel * window).sum((1, 2, 3)) + bias
    return result


def relu(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, 0)


def max_pool(maps: np.ndarray) -> np.ndarray:
    height, width = maps.shape[1] // 2, maps.shape[2] // 2
    return maps[:, : 2 * height, : 2 * width].reshape(-1, height, 2, width, 2).max((2, 4))


def enlarge(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Every position takes the nearest one below it in proportion; at twice the size each is repeated in a 2x2 block."""
    rows = np.arange(height) * maps.shape[1] // height
    columns = np.arange(width) * maps.shape[2] // width
    return maps[:, rows][:, :, columns]


GATES = {"hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1), "sigmoid": lambda x: 1 / (1 + np.exp(-x))}


def step(
    frame: np.ndarray, r: list[np.ndarray], c: list[np.ndarray], e: list[np.ndarray], gate: str, weights: dict[str, np.ndarray]
) -> list[np.ndarray]:
    """One time step of Lotter et al. (2017), Eqs. 1 to 4 and Algorithm 1, in the order of the released code.

    Changes r and c in place and returns the new errors.
    """
    top = len(r) - 1
    for layer in range(top, -1, -1):
        seen = [r[layer], e[layer]]
        if layer < top:
            seen.append(enlarge(r[layer + 1], *r[layer].shape[1:]))
        parts = conv(np.concatenate(seen), f"features.{layer}.gates", weights)
        enter, forget, leave, candidate = np.split(parts, 4)
        c[layer] = GATES[gate](forget) * c[layer] + GATES[gate](enter) * np.tanh(candidate)
        r[layer] = GATES[gate](leave) * np.tanh(c[layer])
    errors: list[np.ndarray] = []
    target = frame
    for layer in range(top + 1):
        if layer:
            target = max_pool(relu(conv(errors[-1], f"features.{layer}.target", weights)))
        prediction = relu(conv(r[layer], f"features.{layer}.prediction", weights))
        if layer == 0:
            prediction = np.minimum(prediction, 1)
        errors.append(np.concatenate([relu(prediction - target), relu(target - prediction)]))
    return errors


@pytest.mark.parametrize("gate", ["hard_sigmoid", "sigmoid"])
@pytest.mark.parametrize("size", [(8, 4), (7, 5)])
def test_three_frames_against_the_equations(gate: str, size: tuple[int, int]) -> None:
    """Errors of every frame and layer, and representations after the last; odd sizes included. Weights are drawn large
    enough for gates to saturate and predictions to reach the largest pixel."""
    torch.manual_seed(0)
    network = PredNet(with_values(TINY, {"prednet.gates": gate})).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.6)
    clips = torch.rand(2, 3, 3, *size, dtype=torch.float64)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    found = network.errors(clips).detach()
    maps = [network.outputs(clips, layer).map.detach() for layer in (1, 2, 3)]
    assert found.shape == (2, 3, 3)
    for clip in range(2):
        sizes = [size, (size[0] // 2, size[1] // 2), (size[0] // 4, size[1] // 4)]
        r = [np.zeros((channels, *s)) for channels, s in zip((2, 3, 6), sizes, strict=True)]
        c = [state.copy() for state in r]
        e = [np.zeros((2 * channels, *s)) for channels, s in zip((3, 4, 5), sizes, strict=True)]
        for time in range(3):
            e = step(clips[clip, :, time].numpy(), r, c, e, gate, weights)
            np.testing.assert_allclose(found[clip, time], [errors.mean() for errors in e], rtol=1e-5)
        step(clips[clip, :, 2].numpy(), r, c, e, gate, weights)
        for layer in range(3):
            np.testing.assert_allclose(maps[layer][clip], r[layer], rtol=1e-9, atol=1e-12)


def test_hard_sigmoid_is_keras_s_not_pytorch_s() -> None:
    values = torch.tensor([-9.0, -2.5, 0.0, 1.0, 2.5, 9.0])
    torch.testing.assert_close(hard_sigmoid(values), torch.tensor([0.0, 0.0, 0.5, 0.7, 1.0, 1.0]))


@pytest.mark.parametrize(("top", "parameters"), [(192, 6_915_948), (256, 9_164_908)])
def test_parameters_are_those_of_the_released_network_and_of_the_widened_one(top: int, parameters: int) -> None:
    """Widened: R of the top layer alone has 256 channels; A keeps 192."""
    with torch.device("meta"):
        network = PredNet(with_values(ExperimentSettings(), {"prednet.representations": [3, 48, 96, top]}))
        classifier = PredNet(ExperimentSettings(), classes=101)
    assert parameter_count(network) == parameters
    assert parameter_count(classifier) == 9_164_908 + 2 * 256 + 257 * 101  # batch norm and the last layer


def test_maps_of_each_layer_at_the_paper_s_settings() -> None:
    """Frames of 224 pixels are resized to 104, so that the top representation has 256 channels at 13x13."""
    with torch.device("meta"):
        network = PredNet(ExperimentSettings(), classes=101).eval()
        clips = torch.empty(1, 3, 2, 224, 224)
        shapes = [tuple(network.outputs(clips, number).map.shape[1:]) for number in range(1, 5)]
        errors = network.errors(clips)
    assert shapes == [(3, 104, 104), (48, 52, 52), (96, 26, 26), (256, 13, 13)]
    assert errors.shape == (1, 2, 4)


def test_features_are_the_mean_of_the_top_representation() -> None:
    torch.manual_seed(0)
    network = PredNet(TINY, classes=4).eval()
    outputs = network.outputs(torch.rand(2, 3, 4, 12, 12), 3)
    torch.testing.assert_close(outputs.features, outputs.map.mean((2, 3)))


def test_features_of_all_layers_are_the_means_of_their_representations() -> None:
    torch.manual_seed(0)
    network = PredNet(with_values(TINY, {"prednet.features": "all"}), classes=4).eval()
    clips = torch.rand(2, 3, 4, 12, 12)
    means = [network.outputs(clips, layer).map.mean((2, 3)) for layer in range(1, len(network.layers()) + 1)]
    torch.testing.assert_close(network.outputs(clips, 1).features, torch.cat(means, dim=1))
    torch.testing.assert_close(network(clips), network.classifier[-1](torch.cat(means, dim=1)))


def test_every_frame_counts_and_so_does_their_order() -> None:
    torch.manual_seed(0)
    network = PredNet(TINY).eval()
    clips = torch.rand(1, 3, 4, 12, 12)
    features = network(clips)
    assert not torch.allclose(features, network(clips.flip(2)))
    for place in range(4):
        changed = clips.clone()
        changed[:, :, place] = 1 - changed[:, :, place]
        assert not torch.allclose(features, network(changed)), f"frame {place}"


def test_frames_are_resized_to_the_setting_s_side() -> None:
    """Bilinear with antialiasing: halving a checkerboard of single pixels gives its mean, away from the borders."""
    board = (torch.arange(32)[:, None] + torch.arange(32)) % 2
    (frame,) = resized(board.float().expand(1, 3, 1, 32, 32), 16)
    assert frame.shape == (1, 3, 16, 16)
    torch.testing.assert_close(frame[..., 2:-2, 2:-2], torch.full((1, 3, 12, 12), 0.5))


def test_it_starts_from_glorot_s_weights_gate_by_gate() -> None:
    """Uniform in +-sqrt(6 / (fan in + fan out)), where the fan out is that of one gate; biases are 0."""
    torch.manual_seed(0)
    layer = PredNet(with_values(TINY, {"prednet.representations": [2, 24, 32]})).layers()[1]
    for gate in layer.get_submodule("gates").weight.chunk(4):
        bound = (6 / (9 * (24 + 8 + 32) + 9 * 24)) ** 0.5
        assert 0.98 * bound < float(gate.detach().abs().max()) <= bound
    assert all(float(value.abs().max()) == 0 for name, value in layer.state_dict().items() if name.endswith("bias"))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_learns_to_foresee_what_moves(seed: int) -> None:
    """A bright bar on grey goes right by a column per frame. Seeing grey everywhere is wrong by 0.6 in a column of 8 (0.075),
    repeating the frame before in two (0.15); half of an error unit's values are 0, so errors are half of that."""
    torch.manual_seed(seed)
    network = PredNet(with_values(TINY, {"prednet.targets": [3, 4], "prednet.representations": [8, 8]}))
    clips = torch.full((4, 3, 5, 8, 8), 0.3)
    for clip in range(4):
        for time in range(5):
            clips[clip, :, time, :, (2 * clip + time) % 8] = 0.9
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-2)
    for _ in range(60):
        loss = network.errors(clips)[:, 1:, 0].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert 2 * float(loss.detach()) < 0.075 / 2

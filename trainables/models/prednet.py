"""PredNet (Lotter et al. 2017): every layer predicts what reaches it, and hands on what it did not foresee.

Per time step and layer l, from the top: R_l = ConvLSTM(R_l, E_l of the step before; R_{l+1} enlarged to l's size). Then from
the bottom, with A_1 the frame: Ahat_l = ReLU(conv(R_l)), for pixels also at most 1; E_l = [ReLU(Ahat_l - A_l),
ReLU(A_l - Ahat_l)]; A_{l+1} = MaxPool(ReLU(conv(E_l))). Everything starts at 0.

An odd last row or column takes no part in pooling, and enlarging repeats the nearest position, so that frames of any size
work. With A = R = (3, 48, 96, 192) it has 6,915,948 parameters, and with the graph-distillation paper's 256 channels in R of
the top layer, A as it was, 9,164,908.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.models.encoder import Encoder, Outputs
from trainables.models.frames import MaxPool
from trainables.settings import ExperimentSettings
from trainables.settings.teachers import PredNetSettings

PIXEL_MAX = 1.0
EPSILON = 1e-8
"""Of the features' variance: what pretraining leaves in the top layer may differ between clips by a thousandth only."""


class State(NamedTuple):
    """Representations R, the cells of their ConvLSTMs and the errors E by layer, each (B, channels, h, w)."""

    representations: list[Tensor]
    cells: list[Tensor]
    errors: list[Tensor]


class PredNetLayer(nn.Module):
    """The convolutions of a layer: `target` gives A from the layer below (None: A is the frame), `prediction` gives Ahat.

    `gates` gives the ConvLSTM's input, forget and output gates and its candidate, in this order, all at once.
    """

    def __init__(self, errors_below: int | None, target: int, representation: int, representation_above: int) -> None:
        super().__init__()
        inputs = representation + 2 * target + representation_above
        self.target = None if errors_below is None else nn.Conv2d(errors_below, target, 3, padding=1)
        self.gates = nn.Conv2d(inputs, 4 * representation, 3, padding=1)
        self.prediction = nn.Conv2d(representation, target, 3, padding=1)


class PredNet(Encoder):
    """PredNet and a last layer on its top representation or on those of all layers, averaged over space and normalised.

    Clips (B, 3, K, H, W) in [0, 1] to logits.

    The representations of a clip are those after its last frame, from which the next would be predicted.
    """

    reads = tuple(f"prednet.{name}" for name in PredNetSettings.model_fields if name != "features")
    reads_of_clips = ("prednet.features",)
    pixels = "rgb_unit"

    def __init__(self, settings: ExperimentSettings, classes: int | None = None) -> None:
        super().__init__()
        prednet = settings.prednet
        self.targets, self.representations, self.side = prednet.targets, prednet.representations, prednet.side
        self.gate = hard_sigmoid if prednet.gates == "hard_sigmoid" else torch.sigmoid
        below = (None, *(2 * channels for channels in prednet.targets[:-1]))
        above = (*prednet.representations[1:], 0)
        self.features = nn.ModuleList(map(PredNetLayer, below, prednet.targets, prednet.representations, above))
        self.pool = MaxPool(2, 2)
        self.seen_from = 0 if classes is not None and prednet.features == "all" else -1
        width = sum(prednet.representations[self.seen_from :])
        last = nn.Identity() if classes is None else nn.Linear(width, classes)
        norm = nn.Identity() if classes is None else nn.BatchNorm1d(width, eps=EPSILON)
        self.classifier = nn.Sequential(norm, nn.Dropout(prednet.dropout), last)
        self._initialise()

    @classmethod
    def form(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        shapes = [value.shape for name, value in sorted(weights.items()) if name.endswith(".prediction.weight")]
        return {
            "prednet.targets": [shape[0] for shape in shapes],
            "prednet.representations": [shape[1] for shape in shapes],
        }

    def layers(self) -> list[nn.Module]:
        return list(self.features)

    def outputs(self, clips: Tensor, layer: int) -> Outputs:
        frames = resized(clips, self.side)
        state = self.start(frames[0])
        for frame in frames:
            state = self.compare(frame, self.represent(state))
        representations = self.represent(state).representations
        features = self.classifier[:-1](torch.cat([maps.mean((2, 3)) for maps in representations[self.seen_from :]], dim=1))
        return Outputs(self.classifier[-1](features), representations[layer - 1], features)

    def errors(self, clips: Tensor) -> Tensor:
        """Mean of the error units (B, K, layers) at every frame of clips (B, 3, K, H, W)."""
        frames = resized(clips, self.side)
        state = self.start(frames[0])
        found = []
        for frame in frames:
            state = self.compare(frame, self.represent(state))
            found.append(torch.stack([errors.float().mean((1, 2, 3)) for errors in state.errors], dim=1))
        return torch.stack(found, dim=1)

    def start(self, frame: Tensor) -> State:
        """The state before the first frame (B, 3, h, w)."""
        maps, representations, errors = frame[:, :1], [], []
        for target, representation in zip(self.targets, self.representations, strict=True):
            representations.append(frame.new_zeros(frame.shape[0], representation, *maps.shape[-2:]))
            errors.append(frame.new_zeros(frame.shape[0], 2 * target, *maps.shape[-2:]))
            maps = self.pool(maps)
        return State(representations, list(representations), errors)

    def represent(self, state: State) -> State:
        """New representations and cells, from the top layer down."""
        representations, cells = list(state.representations), list(state.cells)
        for number, layer in reversed(list(enumerate(self._layers))):
            seen = [representations[number], state.errors[number]]
            if number + 1 < len(self._layers):
                seen.append(functional.interpolate(representations[number + 1], size=seen[0].shape[-2:], mode="nearest"))
            parts = layer.gates(torch.cat(seen, dim=1)).chunk(4, dim=1)
            enter, forget, leave = map(self.gate, parts[:3])
            cells[number] = forget * cells[number] + enter * parts[3].tanh()
            representations[number] = leave * cells[number].tanh()
        return State(representations, cells, state.errors)

    def compare(self, frame: Tensor, state: State) -> State:
        """New errors on a frame (B, 3, h, w), from the bottom layer up."""
        errors: list[Tensor] = []
        for layer, representation in zip(self._layers, state.representations, strict=True):
            prediction = layer.prediction(representation).relu()
            if layer.target is None:
                target, prediction = frame, prediction.clamp(max=PIXEL_MAX)
            else:
                target = self.pool(layer.target(errors[-1]).relu())
            errors.append(torch.cat([(prediction - target).relu(), (target - prediction).relu()], dim=1))
        return state._replace(errors=errors)

    @property
    def _layers(self) -> list[PredNetLayer]:
        return cast("list[PredNetLayer]", list(self.features))

    def _initialise(self) -> None:
        """Glorot's uniform weights, for every gate on its own, and biases of 0: Keras's defaults, as in the released code."""
        for layer in self._layers:
            for convolution in filter(None, (layer.target, layer.gates, layer.prediction)):
                for weight in convolution.weight.chunk(4 if convolution is layer.gates else 1):
                    nn.init.xavier_uniform_(weight)
                nn.init.constant_(cast("Tensor", convolution.bias), 0)


def resized(clips: Tensor, side: int | None) -> list[Tensor]:
    """Frames (B, 3, side, side) of clips (B, 3, K, H, W), one tensor each; without a side as they are."""
    frames = clips.transpose(1, 2)
    if side is not None and frames.shape[-2:] != (side, side):
        smaller = functional.interpolate(frames.flatten(0, 1), (side, side), mode="bilinear", antialias=True)
        frames = smaller.view(*frames.shape[:3], side, side)
    return list(frames.unbind(1))


def hard_sigmoid(values: Tensor) -> Tensor:
    """Keras's: a line through 0.5 with slope 0.2, cut off at 0 and 1."""
    return (0.2 * values + 0.5).clamp(0, 1)

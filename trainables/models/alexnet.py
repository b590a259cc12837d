"""AlexNet (Krizhevsky et al. 2012) with torchvision's layer shapes and names, and loading its ImageNet weights from a file.

At the settings' defaults and with 1000 classes it has torchvision's 61,100,840 parameters, 2,469,696 of them in convolutions;
the fourth convolution has 256 channels, at 13x13 positions of a frame of 224 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainables.models.average_pool import AveragePool
from trainables.models.encoder import FrameEncoder
from trainables.models.frames import MaxPool, filters_of, initialise, padding
from trainables.models.weights import mismatch
from trainables.models.weights_files import read_weights, state_of
from trainables.settings import ExperimentSettings

FILTER, STRIDE, CELLS = 11, 4, 6
"""Side and stride of the published first convolution, and the side to which the maps behind it are pooled at the end."""

POOLED = (2, 3)
"""Layers that start with pooling; there is more of it after the last."""

LAST = "classifier.6."


class AlexNet(FrameEncoder):
    """Five convolutions and two hidden layers before the last.

    A first convolution other than the published one is
    for frames so small that little is left behind it: their maps are averaged over all of space, not to 6x6 positions.
    """

    reads = ("alexnet", "video.pixels")

    def __init__(self, settings: ExperimentSettings, classes: int | None = None) -> None:
        super().__init__(1 if classes is None else settings.frames.per_clip)
        alexnet = settings.alexnet
        side, stride = alexnet.conv1_filter, alexnet.conv1_stride
        cells = CELLS if (side, stride) == (FILTER, STRIDE) else 1
        first, second, third, fourth, last = alexnet.channels
        convolutions = (
            nn.Conv2d(3, first, side, stride, padding(side, stride)),
            nn.Conv2d(first, second, 5, padding=2),
            nn.Conv2d(second, third, 3, padding=1),
            nn.Conv2d(third, fourth, 3, padding=1),
            nn.Conv2d(fourth, last, 3, padding=1),
        )
        modules: list[nn.Module] = []
        self.starts: list[int] = []
        for number, convolution in enumerate(convolutions, start=1):
            self.starts.append(len(modules))
            modules += [MaxPool(3, 2)] if number in POOLED else []
            modules += [convolution, nn.BatchNorm2d(convolution.out_channels)] if alexnet.batch_norm else [convolution]
            modules.append(nn.ReLU(inplace=True))
        self.features = nn.Sequential(*modules, MaxPool(3, 2))
        self.avgpool = AveragePool(cells)
        self.classifier = nn.Sequential(
            nn.Dropout(alexnet.dropout),
            nn.Linear(last * cells * cells, alexnet.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(alexnet.dropout),
            nn.Linear(alexnet.hidden, alexnet.hidden),
            nn.ReLU(inplace=True),
            nn.Identity() if classes is None else nn.Linear(alexnet.hidden, classes),
        )
        initialise(self)

    @classmethod
    def form(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        filters = list(filters_of(weights).values())
        hidden = {"alexnet.hidden": weights["classifier.1.weight"].shape[0]} if "classifier.1.weight" in weights else {}
        return {
            "alexnet.channels": [len(value) for value in filters],
            "alexnet.conv1_filter": filters[0].shape[-1],
            "alexnet.batch_norm": any(name.endswith("running_mean") for name in weights),
            **hidden,
        }

    def layers(self) -> list[nn.Module]:
        ends = [*self.starts[1:], len(self.features) - 1]
        return [self.features[start:end] for start, end in zip(self.starts, ends, strict=True)]

    def pooled(self, maps: Tensor) -> Tensor:
        result: Tensor = self.avgpool(self.features[-1](maps)).flatten(1)
        return result


def imagenet_weights(network: AlexNet, path: Path) -> dict[str, Tensor]:
    """Torchvision's state dict of AlexNet for this one, whose last layer is its own if the file's has other classes.

    path: a .safetensors file, or one that torch.save wrote, of which only tensors are read and no code is run.
    Raises ValueError naming the file when it cannot be read, and the first key, by name, that is missing, unknown or of
    another shape.
    """
    weights, own = state_of(path, read_weights(path).content)[0], network.state_dict()
    if f"{LAST}weight" in weights and _classes(weights) != _classes(own):
        weights = {name: value for name, value in weights.items() if not name.startswith(LAST)}
        weights |= {name: value for name, value in own.items() if name.startswith(LAST)}
    if problem := mismatch(weights, own):
        raise ValueError(f"{path}: weights of another network than this AlexNet: {problem}")
    return weights


def _classes(weights: dict[str, Tensor]) -> torch.Size | None:
    last = weights.get(f"{LAST}weight")
    return None if last is None else last.shape[:1]

"""C3D (Tran et al. 2015) in the form that VCOP and RSPNet train: batch norm after every convolution, and one average over space
and time instead of the two fully connected layers, so that it takes clips of any size.

With 64 channels after the stem the last layers have 512, and 27,661,440 parameters in all without `fc`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from trainables.models.backbone import Backbone
from trainables.settings import BackboneSettings, ExperimentSettings

LAYERS = (((1,), None), ((2,), (1, 2, 2)), ((4, 4), 2), ((8, 8), 2), ((8, 8), 2))
"""Per layer: output channels of its convolutions in units of the width, and the max pooling before it."""


class C3D(Backbone):
    """Eight 3x3x3 convolutions in five layers; features (B, 8 * width). Weights start as PyTorch's defaults, as released."""

    def __init__(self, settings: BackboneSettings, classes: int | None = None) -> None:
        super().__init__(settings, classes)
        channels = 3
        for number, (multiples, pooling) in enumerate(LAYERS, start=1):
            layer: list[nn.Module] = [] if pooling is None else [nn.MaxPool3d(pooling)]
            for multiple in multiples:
                outputs = multiple * settings.width
                layer += [nn.Conv3d(channels, outputs, 3, padding=1), nn.BatchNorm3d(outputs), nn.ReLU(inplace=True)]
                channels = outputs
            self.add_module(f"layer{number}", nn.Sequential(*layer))
        self.features = channels
        self.fc = nn.Linear(channels, classes) if classes is not None else nn.Identity()

    @classmethod
    def reads(cls, settings: ExperimentSettings) -> tuple[str, ...]:
        return ("backbone.family", "backbone.width")

    @classmethod
    def form(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"backbone.width": weights["layer1.0.weight"].shape[0]} if "layer1.0.weight" in weights else {}

    def layers(self) -> list[nn.Module]:
        return [self.get_submodule(f"layer{number}") for number in range(1, len(LAYERS) + 1)]

"""What every video network has in common: layers in a row, pooling over space and time, and a last layer that may be absent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from trainables.settings import BackboneSettings, ExperimentSettings


class Backbone(nn.Module, ABC):
    """Clips (B, 3, T, H, W) to features (B, `features`), or to `fc` of them.

    Made from BackboneSettings and a number of classes (None: without a last layer). version: of one from outside the package;
    raise it when a change makes what it trained wrong.
    """

    version: ClassVar[int] = 1
    features: int
    fc: nn.Module

    @classmethod
    def reads(cls, settings: ExperimentSettings) -> tuple[str, ...]:
        """The settings that its weights depend on, by dotted name or group."""
        return ("backbone",)

    @classmethod
    def form(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """The settings that the shapes of its weights tell, by dotted name."""
        return {}

    @abstractmethod
    def __init__(self, settings: BackboneSettings, classes: int | None = None) -> None:
        """Gives it no layers yet: subclasses do, and `features` and `fc`."""
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool3d(1)

    @abstractmethod
    def layers(self) -> list[nn.Module]:
        """The convolutional layers from the first on; finetuning can keep leading ones as they are."""

    def forward(self, clips: Tensor) -> Tensor:
        maps = clips
        for layer in self.layers():
            maps = layer(maps)
        result: Tensor = self.fc(self.avgpool(maps).flatten(1))
        return result

"""VGG-19 (Simonyan & Zisserman 2015) as the graph-distillation paper changes it: conv1 has 96 channels and 11x11 filters.

Max pooling comes at the start of layers 2 to 5 and after the last, which keeps a layer's map as its convolutions leave it. A
frame of 224 pixels has 56x56 positions in the third layer (conv3_1 to conv3_4, 256 channels) and 7x7x512 at the end, as
VGG-19's. At the settings' defaults the convolutions have 20,140,512 parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from trainables.models.average_pool import AveragePool
from trainables.models.encoder import FrameEncoder
from trainables.models.frames import MaxPool, filters_of, initialise, padding
from trainables.settings import ExperimentSettings


class VGG(FrameEncoder):
    """Five layers of 3x3 convolutions, averages over cells x cells parts of the frame, two hidden layers and the last."""

    reads = ("vgg", "video.pixels")

    def __init__(self, settings: ExperimentSettings, classes: int | None = None) -> None:
        super().__init__(1 if classes is None else settings.frames.per_clip)
        vgg = settings.vgg
        inputs, side, stride = 3, vgg.conv1_filter, vgg.conv1_stride
        self.features = nn.Sequential()
        for number, widths in enumerate(vgg.widths, start=1):
            layer: list[nn.Module] = [MaxPool(2, 2)] if number in vgg.pooled_layers else []
            for outputs in widths:
                layer.append(nn.Conv2d(inputs, outputs, side, stride, padding(side, stride)))
                layer += [nn.BatchNorm2d(outputs)] if vgg.batch_norm else []
                layer.append(nn.ReLU(inplace=True))
                inputs, side, stride = outputs, 3, 1
            self.features.append(nn.Sequential(*layer))
        self.pool, self.cells = MaxPool(2, 2), vgg.cells
        self.avgpool = AveragePool(vgg.cells)
        self.classifier = nn.Sequential(
            nn.Linear(inputs * vgg.cells**2, vgg.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(vgg.dropout),
            nn.Linear(vgg.hidden, vgg.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(vgg.dropout),
            nn.Identity() if classes is None else nn.Linear(vgg.hidden, classes),
        )
        initialise(self)

    @classmethod
    def form(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        filters = filters_of(weights)
        widths: dict[int, list[int]] = {}
        for (layer, *_), value in filters.items():
            widths.setdefault(layer, []).append(len(value))
        return {
            "vgg.channels": [layer[0] if len(set(layer)) == 1 else layer for layer in widths.values()],
            "vgg.convolutions": [len(layer) for layer in widths.values()],
            "vgg.batch_norm": any(name.endswith("running_mean") for name in weights),
            "vgg.conv1_filter": next(iter(filters.values())).shape[-1],
        }

    def layers(self) -> list[nn.Module]:
        return list(self.features)

    def pooled(self, maps: Tensor) -> Tensor:
        """Raises ValueError for a map that is smaller than the cells to which it would be averaged."""
        last: Tensor = self.pool(maps)
        if min(last.shape[-2:]) < self.cells:
            raise ValueError(f"a last map of {tuple(last.shape[-2:])} for {self.cells} x {self.cells} cells: none is repeated")
        result: Tensor = self.avgpool(last).flatten(1)
        return result

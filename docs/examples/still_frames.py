"""A network of your own, in one file: one that cannot see motion, a control for what a pretext task learns from it.

    python harness/sweep.py --space recipes --set backbone.family=docs/examples/still_frames.py:StillFrames
    python -m trainables.checks backbone docs/examples/still_frames.py:StillFrames

Its size is `backbone.width`.
"""

from __future__ import annotations

import itertools

from torch import nn

from trainables.models import Backbone
from trainables.settings import BackboneSettings


class StillFrames(Backbone):
    """Four 1x3x3 convolutions: every frame is seen alone, and their features are averaged. Features (B, 8 * width)."""

    version = 1

    def __init__(self, settings: BackboneSettings, classes: int | None = None) -> None:
        super().__init__(settings, classes)
        widths = [3, *(settings.width * 2**number for number in range(4))]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv3d(inputs, outputs, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False), nn.BatchNorm3d(outputs), nn.ReLU()
                )
                for inputs, outputs in itertools.pairwise(widths)
            )
        )
        self.features = widths[-1]
        self.fc = nn.Identity() if classes is None else nn.Linear(self.features, classes)

    def layers(self) -> list[nn.Module]:
        return list(self.stages)

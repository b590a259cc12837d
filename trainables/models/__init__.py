"""Networks by family, and encoders of graph distillation by name. A new one is a new file and a line here."""

from __future__ import annotations

from collections.abc import Callable

from trainables.models.alexnet import AlexNet
from trainables.models.backbone import Backbone
from trainables.models.c3d import C3D
from trainables.models.encoder import Encoder
from trainables.models.prednet import PredNet
from trainables.models.resnet3d import VideoResNet
from trainables.models.vgg import VGG
from trainables.settings import BackboneSettings, ExperimentSettings

FAMILIES: dict[str, Callable[[BackboneSettings, int | None], Backbone]] = {
    "r2plus1d": VideoResNet,
    "r3d": VideoResNet,
    "c3d": C3D,
}

ENCODERS: dict[str, Callable[[ExperimentSettings, int | None], Encoder]] = {
    "vgg": VGG,
    "prednet": PredNet,
    "alexnet": AlexNet,
}
"""By the name of the group of their settings."""


def make_backbone(settings: BackboneSettings, classes: int | None = None) -> Backbone:
    """A new network, with a last layer when `classes` is given; drawn from torch's global random numbers."""
    return FAMILIES[settings.family](settings, classes)


def make_encoder(name: str, settings: ExperimentSettings, classes: int | None = None) -> Encoder:
    """A new teacher's or student's network, with a last layer when `classes` is given; drawn as `make_backbone` does."""
    return ENCODERS[name](settings, classes)


__all__ = ["ENCODERS", "FAMILIES", "Backbone", "Encoder", "make_backbone", "make_encoder"]

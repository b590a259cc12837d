"""Networks by family. A new one is a new file and a line here."""

from __future__ import annotations

from collections.abc import Callable

from trainables.models.backbone import Backbone
from trainables.models.c3d import C3D
from trainables.models.resnet3d import VideoResNet
from trainables.settings import BackboneSettings

FAMILIES: dict[str, Callable[[BackboneSettings, int | None], Backbone]] = {
    "r2plus1d": VideoResNet,
    "r3d": VideoResNet,
    "c3d": C3D,
}


def make_backbone(settings: BackboneSettings, classes: int | None = None) -> Backbone:
    """A new network, with a last layer when `classes` is given; drawn from torch's global random numbers."""
    return FAMILIES[settings.family](settings, classes)


__all__ = ["FAMILIES", "Backbone", "make_backbone"]

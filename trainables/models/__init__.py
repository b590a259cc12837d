"""Networks: the backbone of an experiment, and encoders of graph distillation.

Their names: `BACKBONES` and `ENCODERS` of the settings.
"""

from __future__ import annotations

from typing import Any

from trainables.models.backbone import Backbone
from trainables.models.encoder import Encoder
from trainables.settings import BACKBONES, ENCODERS, BackboneSettings, ExperimentSettings, SettingsError

BACKBONE = "backbone"
"""The network that `backbone.family` names; every other name is an encoder's."""

__all__ = [
    "BACKBONE",
    "Backbone",
    "Encoder",
    "find_backbone",
    "find_encoder",
    "make_backbone",
    "make_encoder",
    "make_network",
    "network_reads",
]


def find_backbone(family: str) -> type[Backbone]:
    """The class of a family, or of an import path `package.module:NAME`. Raises SettingsError."""
    found = BACKBONES.find(family)
    if not (isinstance(found, type) and issubclass(found, Backbone)):
        raise SettingsError(f"backbone {family}: not a subclass of trainables.models.Backbone")
    return found


def find_encoder(name: str) -> type[Encoder]:
    """The class of an encoder. Raises SettingsError."""
    found: type[Encoder] = ENCODERS.find(name)
    return found


def make_backbone(settings: BackboneSettings, classes: int | None = None) -> Backbone:
    """A new network, with a last layer when `classes` is given; drawn from torch's global random numbers."""
    return find_backbone(settings.family)(settings, classes)


def make_encoder(name: str, settings: ExperimentSettings, classes: int | None = None) -> Encoder:
    """A new teacher's or student's network, with a last layer when `classes` is given; drawn as `make_backbone` does."""
    return find_encoder(name)(settings, classes)


def make_network(name: str, settings: ExperimentSettings, classes: int | None = None) -> Any:
    """The backbone, or the encoder of this name."""
    return make_backbone(settings.backbone, classes) if name == BACKBONE else make_encoder(name, settings, classes)


def network_reads(name: str, settings: ExperimentSettings, of_clips: bool = False) -> tuple[str, ...]:
    """The settings that the weights of a network and the pixels it sees depend on; of_clips: also what it says of clips."""
    if name == BACKBONE:
        return ("backbone.family", *find_backbone(settings.backbone.family).reads(settings), "video.pixels")
    encoder = find_encoder(name)
    return (*encoder.reads, *(encoder.reads_of_clips if of_clips else ()))

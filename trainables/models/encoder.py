"""What the networks of graph distillation have in common, teachers and student: clips to logits, maps and features.

A network that sees single frames (`FrameEncoder`: VGG, AlexNet) looks at some frames of a clip, evenly spaced, and averages
what it finds; one that sees motion (PredNet) goes through the whole clip.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from trainables.settings import VideoSettings

COMPILED = ("outputs", "maps", "errors")
"""What stages ask of an encoder; not every one has all."""


class Outputs(NamedTuple):
    """logits (B, classes); map (B, C, h, w) of the layer that was asked for; features (B, F), what the last layer sees."""

    logits: Tensor
    map: Tensor
    features: Tensor


class Encoder(nn.Module, ABC):
    """Convolutional layers, and a `classifier` whose last module is the last layer: nn.Linear, without classes nn.Identity.

    reads: settings, by dotted name or group, that its weights and pixels depend on; reads_of_clips: further ones on which
    depends what it says of a clip. pixels: the form of `video.pixels` that it needs, whatever the settings say; None: theirs.
    """

    reads: ClassVar[tuple[str, ...]]
    reads_of_clips: ClassVar[tuple[str, ...]] = ()
    pixels: ClassVar[Literal["rgb_unit"] | None] = None
    classifier: nn.Sequential

    @classmethod
    def form(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """The settings that the shapes of its weights tell, by dotted name."""
        return {}

    def seen(self, video: VideoSettings) -> VideoSettings:
        """The form in which it takes clips."""
        return video if self.pixels is None else video.model_copy(update={"pixels": self.pixels})

    @abstractmethod
    def layers(self) -> list[nn.Module]:
        """The convolutional layers from the first on; `layer` numbers below count them from 1."""

    @abstractmethod
    def outputs(self, clips: Tensor, layer: int) -> Outputs:
        """What the network says of clips (B, 3, K, H, W)."""

    @property
    def prototypes(self) -> Tensor:
        """The rows (classes, F) of the last layer. Raises TypeError for another than nn.Linear."""
        last = self.classifier[-1]
        if not isinstance(last, nn.Linear):
            kind, own = type(last).__name__, type(self).__name__
            raise TypeError(
                f"{own}: the last layer is {kind}; a teacher and a student need nn.Linear, with a row for each class"
            )
        return last.weight.detach()

    def compile_methods(self, mode: str | None = None) -> None:
        """torch.compile what is asked of the network, which is more than `forward`. mode: torch's, None being its default."""
        for name in COMPILED:
            if hasattr(self, name):
                setattr(self, name, torch.compile(getattr(self, name), mode=mode))

    def forward(self, clips: Tensor) -> Tensor:
        """Logits (B, classes) of clips (B, 3, K, H, W)."""
        return self.outputs(clips, len(self.layers())).logits


class FrameEncoder(Encoder):
    """A network of single frames; `frames_per_clip` of them stand for a clip, as far as it has a last layer to say of clips."""

    reads_of_clips = ("frames",)

    def __init__(self, frames_per_clip: int) -> None:
        super().__init__()
        self.frames_per_clip = frames_per_clip

    @abstractmethod
    def pooled(self, maps: Tensor) -> Tensor:
        """Maps (N, C, h, w) of the last layer, pooled and flattened: what `classifier` takes."""

    def maps(self, frames: Tensor, layers: int | None = None) -> Tensor:
        """Maps (N, C, h, w) of the last of the leading convolutional layers, or of all, from frames (N, 3, H, W)."""
        for layer in self.layers()[:layers]:
            frames = layer(frames)
        return frames

    def outputs(self, clips: Tensor, layer: int) -> Outputs:
        seen = evenly_spaced(clips, self.frames_per_clip)
        maps = seen.flatten(0, 1)
        kept = maps
        for number, module in enumerate(self.layers(), start=1):
            maps = module(maps)
            if number == layer:
                kept = maps
        features = self.classifier[:-1](self.pooled(maps))
        logits = self.classifier[-1](features)
        clip_count = clips.shape[0]
        logits, kept, features = (found.unflatten(0, (clip_count, -1)).mean(1) for found in (logits, kept, features))
        return Outputs(logits, kept, features)


def evenly_spaced(clips: Tensor, frames: int) -> Tensor:
    """`frames` frames (B, frames, 3, H, W) of clips (B, 3, K, H, W), in the middle of as many equal parts."""
    length = clips.shape[2]
    places = (2 * torch.arange(frames, device=clips.device) + 1) * length // (2 * frames)
    return clips[:, :, places].transpose(1, 2)

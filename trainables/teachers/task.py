"""What a teacher's self-supervised task is: a sampler of frames with labels, a network around its encoder, and a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from trainables.models.encoder import Encoder
from trainables.settings import AugmentationSettings, ExperimentSettings
from trainables.settings.graph import TeacherTaskSettings
from trainables.video.layouts import Video
from trainables.video.sampling import SampledClips

Tracks = Mapping[str, np.ndarray]
"""Tracked patches of each video that has any, by its name: trainables/teachers/tracks.py."""


class TeacherTask(ABC):
    """A self-supervised task; its settings are the group of its name. A subclass holds no state of training.

    encoder: name of its network in trainables.models.ENCODERS, which is also the
    group of that network's settings. needs_tracks: whether it is trained on tracked patches, which are mined before.
    """

    name: ClassVar[str]
    encoder: ClassVar[str]
    needs_tracks: ClassVar[bool] = False

    def __init__(self, settings: ExperimentSettings, tracks: Tracks | None = None) -> None:
        self.settings = settings
        self.tracks = tracks or {}

    @property
    def optimisation(self) -> TeacherTaskSettings:
        group: TeacherTaskSettings = getattr(self.settings, self.name)
        return group

    @property
    def augmentation(self) -> AugmentationSettings:
        """How training samples are changed: without what would change their labels."""
        return self.settings.augmentation

    @property
    @abstractmethod
    def needs(self) -> str:
        """What a video must have to take part, for messages: `sorting needs 13 frames`."""

    @abstractmethod
    def usable(self, video: Video) -> bool:
        """Whether a video can take part; others are left out, and counted."""

    @abstractmethod
    def sample(self, video: Video, rng: np.random.Generator) -> SampledClips:
        """The clips (V, K) of one training sample, with their labels."""

    @property
    @abstractmethod
    def clips_of_a_sample(self) -> float:
        """How many clips cost the encoder as much as a sample; a clip is `frames.per_clip` frames to one that sees frames."""

    @abstractmethod
    def network(self, encoder: Encoder) -> nn.Module:
        """Everything that is trained: a module that holds `encoder` and new heads."""

    @abstractmethod
    def loss(self, network: nn.Module, clips: Tensor, labels: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean loss of a batch (scalar), and metrics over its samples, each a tensor whose mean counts.

        clips: (B, V, 3, K, H, W). labels: (B,) each: the sampler's, `index` and `epoch`. What is random is drawn from torch's
        global generator and only in training mode; in evaluation mode nothing in `network` changes.
        """

    @property
    def context(self) -> int:
        """Frames that are read around one frame: as many as its pixels depend on."""
        return self.settings.video.clip_frames if self.settings.video.pixels == "rgb_motion" else 1

    def span(self, length: int, needed: int) -> tuple[int, int]:
        """First and number of the frames of a video of this length whose whole context lies in it: what differs in it at the
        ends would tell them. All frames where these are fewer than `needed`."""
        count = length - self.context + 1
        return (self.context // 2, count) if count >= needed else (0, length)

    def in_context(self, frames: np.ndarray, length: int) -> np.ndarray:
        """Indices (V, context) around frames (V,) of a video of this length; at its ends the last frame is repeated."""
        around = frames[:, None] + np.arange(self.context) - self.context // 2
        return around.clip(0, length - 1)

    def shown(self, clips: Tensor) -> Tensor:
        """The frames (B, V, 3, H, W) that were read in context, from clips (B, V, 3, context, H, W)."""
        return clips[:, :, :, self.context // 2]

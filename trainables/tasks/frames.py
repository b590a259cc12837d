"""What the teachers' tasks share that see single frames: each frame is read in the context that its pixels depend on."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from trainables.settings import ExperimentSettings
from trainables.tasks.task import SelfSupervisedTask


class FrameTask(SelfSupervisedTask):
    """A task of frames, for the encoder VGG; a sample is `frames_of_a_sample` of them."""

    encoder = "vgg"

    @classmethod
    def reads(cls, settings: ExperimentSettings) -> tuple[str, ...]:
        return (*cls.own_settings(settings), *context_settings(settings))

    @property
    def frames_of_a_sample(self) -> int:
        return 2

    @property
    def clips_of_a_sample(self) -> float:
        return self.frames_of_a_sample / self.settings.frames.per_clip

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


def context_settings(settings: ExperimentSettings) -> tuple[str, ...]:
    """The settings that say how many frames are read around one: none where pixels are a frame's own."""
    return ("video.clip_frames",) if settings.video.pixels == "rgb_motion" else ()

"""A teacher's task of your own, in one file: by how many quarter turns a frame is rotated (Gidaris et al. 2018, RotNet).

    python harness/sweep.py --space components --set teachers.tasks=sorting+docs/examples/frame_rotation.py:FrameRotation
    python -m trainables.checks task docs/examples/frame_rotation.py:FrameRotation

Its encoder is VGG, as that of the paper's teachers of frames; it is pretrained, finetuned and asked as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from trainables.models.encoder import FrameEncoder
from trainables.settings import AugmentationSettings, SelfSupervisedSettings
from trainables.tasks.classifier import cross_entropies
from trainables.tasks.frames import FrameTask
from trainables.tasks.pooling import pooled, pooled_size
from trainables.video.sampling import SampledClips
from trainables.video.videos import Video

TURNS = 4


class FrameRotationSettings(SelfSupervisedSettings):
    """The group `frame_rotation`: the schedule of its training."""


class RotationNetwork(nn.Module):
    """The encoder and a linear layer. Frames (B, 3, H, W) to logits `turn` (B, TURNS)."""

    def __init__(self, encoder: FrameEncoder, side: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.turn = nn.Linear(pooled_size(encoder, side), TURNS)

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        return {"turn": self.turn(pooled(self.encoder.maps(frames)))}


class FrameRotation(FrameTask):
    """The task; a sample is one frame."""

    name = "frame_rotation"
    settings_model = FrameRotationSettings
    frames_of_a_sample = 1

    @property
    def chance(self) -> Mapping[str, float]:
        return {"turn": 1 / TURNS}

    @property
    def augmentation(self) -> AugmentationSettings:
        """Nothing is mirrored, which would make of one turn another."""
        return super().augmentation.model_copy(update={"flip_probability": 0.0})

    def sample(self, video: Video, rng: np.random.Generator) -> SampledClips:
        frame, turn = int(rng.integers(video.frames)), int(rng.integers(TURNS))
        turned = functools.partial(np.rot90, k=turn, axes=(1, 2))
        return SampledClips(self.in_context(np.array([frame]), video.frames), {"turn": turn}, transforms=(turned,))

    def network(self, encoder: FrameEncoder, pretrained: bool = False) -> nn.Module:
        return RotationNetwork(encoder, self.settings.video.crop)

    def loss(self, network: nn.Module, clips: Tensor, labels: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        losses, metrics = cross_entropies(network(self.shown(clips)[:, 0]), labels)
        return losses["turn"].mean(), metrics

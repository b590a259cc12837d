"""A pretext task of your own, in one file: by how many quarter turns a clip is rotated (Jing et al. 2018, 3DRotNet).

    python harness/sweep.py --space recipes --set pretext.task=docs/examples/rotation.py:Rotation --set rotation.turns=2
    python -m trainables.checks task docs/examples/rotation.py:Rotation

All frames of a clip are turned alike, and none is mirrored, which would make of one turn another. auxSKD's two views are clips
under two such turns, as the task's samples are.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from trainables.models import Backbone
from trainables.settings import AugmentationSettings, Settings
from trainables.tasks import SelfSupervisedTask
from trainables.tasks.classifier import ClipClassifier, cross_entropies
from trainables.video.sampling import SampledClips, consecutive_clip
from trainables.video.videos import Video


class RotationSettings(Settings):
    """The group `rotation`."""

    turns: int = Field(4, ge=2, le=4, description="how many rotations there are to tell apart; 4: by 0, 90, 180, 270 degrees")


class Rotation(SelfSupervisedTask):
    """The task; what it reads is its own group and the length of a clip."""

    name = "rotation"
    settings_model = RotationSettings
    version = 1

    @property
    def chance(self) -> Mapping[str, float]:
        return {"turn": 1 / self.own.turns}

    @property
    def augmentation(self) -> AugmentationSettings:
        return super().augmentation.model_copy(update={"flip_probability": 0.0})

    def sample(self, video: Video, rng: np.random.Generator) -> SampledClips:
        turn = int(rng.integers(self.own.turns))
        clip = consecutive_clip(video, rng, self.settings.video.clip_frames)
        turned = functools.partial(np.rot90, k=turn, axes=(1, 2))
        return SampledClips(clip.indices, {"turn": turn}, clip.wrapped, transforms=(turned,))

    def network(self, encoder: Backbone, pretrained: bool = False) -> nn.Module:
        return ClipClassifier(encoder, {"turn": self.own.turns})

    def loss(self, network: nn.Module, clips: Tensor, labels: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        losses, metrics = cross_entropies(network(clips), labels)
        return losses["turn"].mean(), metrics

"""VideoPace (Wang et al. 2020, Sec. 3.1), the classification that laura-wang/video-pace released: at which speed a clip plays.

All K frames of a clip lie lambda ~ U{1..Q} frames apart; the label is lambda - 1. The paper's contrastive branches were not
released and are not here. The released sampler starts at any frame, U{1..N}, and jumps back to the first frame wherever a clip
runs over the end of the video; here a clip starts where it fits, and only a video that is too short wraps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from trainables.models import Backbone
from trainables.tasks.classifier import ClipClassifier, cross_entropies
from trainables.tasks.task import SelfSupervisedTask
from trainables.video.sampling import SampledClips, random_start
from trainables.video.videos import Video


class VideoPace(SelfSupervisedTask):
    """The task; its settings are the group `video_pace`."""

    name = "video_pace"
    published: ClassVar[Mapping[str, Any]] = {  # laura-wang/video-pace
        "pretext.weight_decay": 5e-3,
        "auxskd.weight_decay": 5e-3,
        "video.pixels": "bgr_255",
        "backbone.depth": 10,
        "pretext.epochs": 18,
    }

    @property
    def chance(self) -> Mapping[str, float]:
        return {"speed": 1 / self.settings.video_pace.speeds}

    def sample(self, video: Video, rng: np.random.Generator) -> SampledClips:
        return self._clip(video, rng, int(rng.integers(self.settings.video_pace.speeds)))

    def views(self, video: Video, rng: np.random.Generator) -> SampledClips:
        replace = self.settings.auxskd.views == "independent"
        speeds = rng.choice(self.settings.video_pace.speeds, 2, replace=replace)
        return SampledClips.joined([self._clip(video, rng, int(speed)) for speed in speeds])

    def _clip(self, video: Video, rng: np.random.Generator, speed: int) -> SampledClips:
        offsets = np.arange(self.settings.video.clip_frames) * (speed + 1)
        indices, wrapped = random_start(offsets, video.frames, rng)
        return SampledClips(indices[None], {"speed": speed}, int(wrapped))

    def network(self, encoder: Backbone, pretrained: bool = False) -> nn.Module:
        return ClipClassifier(encoder, {"speed": self.settings.video_pace.speeds})

    def loss(self, network: nn.Module, clips: Tensor, labels: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross entropy of the speed."""
        losses, metrics = cross_entropies(network(clips), labels)
        return losses["speed"].mean(), metrics

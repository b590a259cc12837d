"""VideoPace (Wang et al. 2020, Sec. 3.1), the classification that laura-wang/video-pace released: at which speed a clip plays.

All K frames of a clip lie lambda ~ U{1..Q} frames apart; the label is lambda - 1. The paper's contrastive branches were not
released and are not here. The released sampler starts at any frame, U{1..N}, and jumps back to the first frame wherever a clip
runs over the end of the video; here a clip starts where it fits, and only a video that is too short wraps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from trainables.models import Backbone
from trainables.pretext.classifier import ClipClassifier, cross_entropies
from trainables.pretext.task import PretextTask
from trainables.video.sampling import SampledClips, place


class VideoPace(PretextTask):
    """The task; its settings are the group `video_pace`."""

    reads = ("video_pace",)
    reads_for_views = ("video_pace",)

    def sample(self, frames: int, rng: np.random.Generator) -> SampledClips:
        return self._clip(frames, rng, int(rng.integers(self.settings.video_pace.speeds)))

    def views(self, frames: int, rng: np.random.Generator) -> SampledClips:
        replace = self.settings.auxskd.views == "independent"
        speeds = rng.choice(self.settings.video_pace.speeds, 2, replace=replace)
        clips = [self._clip(frames, rng, int(speed)) for speed in speeds]
        return SampledClips(np.concatenate([clip.indices for clip in clips]), wrapped=sum(clip.wrapped for clip in clips))

    def _clip(self, frames: int, rng: np.random.Generator, speed: int) -> SampledClips:
        offsets = np.arange(self.settings.video.clip_frames) * (speed + 1)
        indices, wrapped = place(offsets, frames, rng)
        return SampledClips(indices[None], {"speed": speed}, int(wrapped))

    def network(self, backbone: Backbone, pretrained: bool) -> nn.Module:
        return ClipClassifier(backbone, {"speed": self.settings.video_pace.speeds})

    def loss(self, network: nn.Module, clips: Tensor, labels: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross entropy of the speed."""
        losses, metrics = cross_entropies(network(clips), labels)
        return losses["speed"].mean(), metrics

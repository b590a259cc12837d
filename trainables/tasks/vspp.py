"""Video Segment Pace Prediction (auxSKD paper, Sec. 3.2): which segment of a clip plays at another speed, and at which.

A clip of K frames has Z segments; segment zeta covers positions floor((zeta-1)K/Z) to floor(zeta K/Z) - 1 and is sampled at
pace lambda (Eq. 4), the rest at natural pace, continuing after the altered frames. lambda ~ U{1..Q} and zeta ~ U{1..Z} are
independent. Labels are lambda - 1 and zeta - 1. At lambda = 1 nothing is altered, so with Q speeds the segment accuracy
cannot pass 1 - (1 - 1/Z)/Q (81.25 % at Z = Q = 4) as long as such clips keep their random segment label.

A head exists for what there is to learn: for the speed if its weight is not 0 and Q > 1, for the segment if its weight is
not 0 and Z > 1. With Z = 1 what is left is VideoPace's classifier.

The released code (Plrbear/auxSKD) alters one frame more in all segments but the last, and starts the first segment at the
start frame itself where Eq. 4 starts it lambda - 1 frames later: `segment_frames: inclusive`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from trainables.models import Backbone
from trainables.settings import ExperimentSettings
from trainables.tasks.classifier import ClipClassifier, cross_entropies
from trainables.tasks.task import SelfSupervisedTask
from trainables.video.sampling import SampledClips, random_start
from trainables.video.videos import Video


def vspp_offsets(length: int, segments: int, segment: int, speed: int, segment_frames: str = "exact") -> np.ndarray:
    """Frame offsets (K,) from the start frame, 0-based, for segment zeta and speed lambda (both from 1)."""
    begin = (segment - 1) * length // segments
    end = segment * length // segments  # first position after the segment
    steps = np.ones(length, dtype=np.int64)
    steps[begin : end + 1 if segment_frames == "inclusive" else end] = speed
    steps[0] = speed - 1 if begin == 0 and segment_frames == "exact" else 0
    return np.cumsum(steps)


class VSPP(SelfSupervisedTask):
    """The task; its settings are the group `vspp`. Preset paper is its published recipe as it is."""

    name = "vspp"

    @classmethod
    def reads_for_views(cls, settings: ExperimentSettings) -> tuple[str, ...]:
        return ("vspp.segments", "vspp.speeds", "vspp.segment_frames", "video.clip_frames")

    @property
    def chance(self) -> Mapping[str, float]:
        return {name: 1 / classes for name, classes in self._heads.items()}

    @property
    def _heads(self) -> Mapping[str, int]:
        """How many classes there are of what there is to learn."""
        vspp = self.settings.vspp
        weighted = {"speed": (vspp.speeds, vspp.speed_weight), "segment": (vspp.segments, vspp.segment_weight)}
        return {name: classes for name, (classes, weight) in weighted.items() if classes > 1 and weight > 0}

    def sample(self, video: Video, rng: np.random.Generator) -> SampledClips:
        vspp = self.settings.vspp
        return self._clip(video, rng, int(rng.integers(vspp.speeds)), int(rng.integers(vspp.segments)))

    def views(self, video: Video, rng: np.random.Generator) -> SampledClips:
        vspp = self.settings.vspp
        if self.settings.auxskd.views == "distinct":
            speeds = rng.choice(vspp.speeds, 2, replace=False)
            segments = rng.choice(vspp.segments, 2, replace=False)
        else:
            speeds, segments = rng.integers(vspp.speeds, size=2), rng.integers(vspp.segments, size=2)
        return SampledClips.joined(
            [self._clip(video, rng, int(speed), int(segment)) for speed, segment in zip(speeds, segments, strict=True)]
        )

    def _clip(self, video: Video, rng: np.random.Generator, speed: int, segment: int) -> SampledClips:
        vspp, length = self.settings.vspp, self.settings.video.clip_frames
        offsets = vspp_offsets(length, vspp.segments, segment + 1, speed + 1, vspp.segment_frames)
        indices, wrapped = random_start(offsets, video.frames, rng)
        return SampledClips(indices[None], {"speed": speed, "segment": segment}, int(wrapped))

    def network(self, encoder: Backbone, pretrained: bool = False) -> nn.Module:
        return ClipClassifier(encoder, self._heads)

    def loss(self, network: nn.Module, clips: Tensor, labels: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """alpha * CE(speed) + beta * CE(segment) (Eq. 5)."""
        vspp = self.settings.vspp
        losses, metrics = cross_entropies(network(clips), labels)
        if "segment" in losses and vspp.unaltered_segment == "exclude":
            losses["segment"] = losses["segment"] * (labels["speed"] > 0)
        weights = {"speed": vspp.speed_weight, "segment": vspp.segment_weight}
        weighted = [weights[name] * value for name, value in losses.items()]
        return sum(weighted[1:], start=weighted[0]).mean(), metrics

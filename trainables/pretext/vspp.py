"""Video Segment Pace Prediction (auxSKD paper, Sec. 3.2): which segment of a clip plays at another speed, and at which.

A clip of K frames has Z segments; segment zeta covers positions floor((zeta-1)K/Z) to floor(zeta K/Z) - 1 and is sampled at
pace lambda (Eq. 4), the rest at natural pace, continuing after the altered frames. lambda ~ U{1..Q} and zeta ~ U{1..Z} are
independent. Labels are lambda - 1 and zeta - 1. At lambda = 1 nothing is altered, so with Q speeds the segment accuracy
cannot pass 1 - (1 - 1/Z)/Q (81.25 % at Z = Q = 4) as long as such clips keep their random segment label.

The released code (Plrbear/auxSKD) alters one frame more in all segments but the last, and starts the first segment at the
start frame itself where Eq. 4 starts it lambda - 1 frames later: `segment_frames: inclusive`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.pretext.task import PretextTask
from trainables.video.sampling import SampledClips, place


def vspp_offsets(length: int, segments: int, segment: int, speed: int, segment_frames: str = "exact") -> np.ndarray:
    """Frame offsets (K,) from the start frame, 0-based, for segment zeta and speed lambda (both from 1)."""
    begin = (segment - 1) * length // segments
    end = segment * length // segments  # first position after the segment
    steps = np.ones(length, dtype=np.int64)
    steps[begin : end + 1 if segment_frames == "inclusive" else end] = speed
    steps[0] = speed - 1 if begin == 0 and segment_frames == "exact" else 0
    return np.cumsum(steps)


class VSPPHeads(nn.Module):
    """Two linear heads: `speed` (B, Q) and `segment` (B, Z) logits from features (B, C)."""

    def __init__(self, features: int, speeds: int, segments: int) -> None:
        super().__init__()
        self.speed = nn.Linear(features, speeds)
        self.segment = nn.Linear(features, segments)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        return {"speed": self.speed(features), "segment": self.segment(features)}


class VSPP(PretextTask):
    """The task; settings `vspp` (transformation) and `pretext` (loss weights)."""

    def sample(self, frames: int, rng: np.random.Generator) -> SampledClips:
        vspp = self.settings.vspp
        return self._clip(frames, rng, int(rng.integers(vspp.speeds)), int(rng.integers(vspp.segments)))

    def views(self, frames: int, rng: np.random.Generator) -> SampledClips:
        vspp = self.settings.vspp
        if self.settings.auxskd.views == "distinct":
            speeds = rng.choice(vspp.speeds, 2, replace=False)
            segments = rng.choice(vspp.segments, 2, replace=False)
        else:
            speeds, segments = rng.integers(vspp.speeds, size=2), rng.integers(vspp.segments, size=2)
        clips = [self._clip(frames, rng, int(speed), int(segment)) for speed, segment in zip(speeds, segments, strict=True)]
        return SampledClips(np.concatenate([clip.indices for clip in clips]), wrapped=sum(clip.wrapped for clip in clips))

    def _clip(self, frames: int, rng: np.random.Generator, speed: int, segment: int) -> SampledClips:
        vspp, length = self.settings.vspp, self.settings.video.clip_frames
        offsets = vspp_offsets(length, vspp.segments, segment + 1, speed + 1, vspp.segment_frames)
        indices, wrapped = place(offsets, frames, rng)
        return SampledClips(indices[None], {"speed": speed, "segment": segment}, int(wrapped))

    def heads(self, features: int) -> nn.Module:
        return VSPPHeads(features, self.settings.vspp.speeds, self.settings.vspp.segments)

    def loss(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """alpha * CE(speed) + beta * CE(segment) (Eq. 5)."""
        pretext = self.settings.pretext
        losses = {name: F.cross_entropy(outputs[name], batch[name], reduction="none") for name in ("speed", "segment")}
        segment = losses["segment"]
        if pretext.unaltered_segment == "exclude":
            segment = segment * (batch["speed"] > 0)
        loss = (pretext.speed_weight * losses["speed"] + pretext.segment_weight * segment).mean()
        metrics = {f"{name}_loss": value.detach() for name, value in losses.items()}
        for name in ("speed", "segment"):
            metrics[f"{name}_accuracy"] = (outputs[name].detach().argmax(1) == batch[name]).to(torch.float32)
        return loss, metrics

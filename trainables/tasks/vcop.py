"""Video clip order prediction (VCOP, Xu et al. 2019; xudejing/video-clip-order-prediction): in which order clips were shuffled.

A tuple is V clips of K consecutive frames with `interval` frames between neighbours, from a random start at which it fits. The
clips are shown in one of V! orders, each with a crop of its own; the label is the place of that order in
itertools.permutations. The head sees every pair of clips (Sec. 3.3): a shared linear layer with ReLU on the two features of a
pair, then dropout and a linear layer on all pairs.

A video that is too short for the tuple is left out of the task, as VCOP's own lists do, or takes part with `short_videos:
shrink` by the rule of microsoft/CtP: the interval shrinks as far as it must, to 0; below V * K frames the clips overlap, evenly
spaced; below K frames every clip is the whole video, wrapped. auxSKD's views come from every video by this rule.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from trainables.models import Backbone
from trainables.settings import ExperimentSettings, VCOPSettings
from trainables.tasks.classifier import cross_entropies
from trainables.tasks.task import SelfSupervisedTask
from trainables.video.sampling import SampledClips
from trainables.video.videos import Video


def tuple_starts(frames: int, length: int, clips: int, interval: int, rng: np.random.Generator) -> np.ndarray:
    """First frames (V,) of the clips of a tuple, in temporal order."""
    interval = min(interval, (frames - clips * length) // (clips - 1))
    if interval >= 0:
        room = frames - clips * length - (clips - 1) * interval
        return int(rng.integers(room + 1)) + np.arange(clips) * (length + interval)
    places = max(frames - length + 1, 1)
    return (2 * np.arange(clips) + 1) * places // (2 * clips)


class OrderNetwork(nn.Module):
    """The backbone, shared by all clips, and the head on pairs of clips. Clips (B, V, 3, K, H, W) to logits `order` (B, V!)."""

    def __init__(self, backbone: Backbone, settings: VCOPSettings) -> None:
        super().__init__()
        self.backbone = backbone
        self.pairs = list(itertools.combinations(range(settings.clips), 2))
        self.pair = nn.Linear(2 * backbone.features, settings.head_width)
        self.dropout = nn.Dropout(settings.dropout)
        self.order = nn.Linear(len(self.pairs) * settings.head_width, math.factorial(settings.clips))

    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        features = self.backbone(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
        pairs = torch.stack([torch.cat([features[:, one], features[:, other]], dim=1) for one, other in self.pairs], dim=1)
        return {"order": self.order(self.dropout(self.pair(pairs).relu().flatten(1)))}


class VCOP(SelfSupervisedTask):
    """The task; its settings are the group `vcop`."""

    name = "vcop"
    published: ClassVar[Mapping[str, Any]] = {
        # xudejing/video-clip-order-prediction; 200 epochs as re-run by the auxSKD paper (its own: 300)
        "backbone.depth": 10,
        "video.pixels": "rgb_unit",
        "augmentation.flip_probability": 0.0,
        "augmentation.jitter_probability": 0.0,
        "pretext.epochs": 200,
        "pretext.batch_size": 8,
        "pretext.step_epochs": 200,
        "pretext.clips_per_video": 1,
        "finetune.epochs": 150,
        "finetune.batch_size": 8,
        "finetune.learning_rate": 1e-3,
        "finetune.step_epochs": 150,
        "finetune.keep": "best",
        "evaluation.average": "logits",
    }

    @classmethod
    def reads_for_views(cls, settings: ExperimentSettings) -> tuple[str, ...]:
        return ("vcop.clips", "vcop.interval", "video.clip_frames")

    @property
    def chance(self) -> Mapping[str, float]:
        return {"order": 1 / math.factorial(self.settings.vcop.clips)}

    @property
    def minimum_frames(self) -> int:
        vcop = self.settings.vcop
        if vcop.short_videos == "shrink":
            return 0
        return vcop.clips * self.settings.video.clip_frames + (vcop.clips - 1) * vcop.interval

    def sample(self, video: Video, rng: np.random.Generator) -> SampledClips:
        orders = list(itertools.permutations(range(self.settings.vcop.clips)))
        label = int(rng.integers(len(orders)))
        indices, wrapped = self._tuple(video.frames, rng)
        return SampledClips(indices[list(orders[label])], {"order": label}, wrapped * len(indices))

    def views(self, video: Video, rng: np.random.Generator) -> SampledClips:
        indices, wrapped = self._tuple(video.frames, rng)
        return SampledClips(indices[rng.choice(len(indices), 2, replace=False)], wrapped=wrapped * 2)

    def _tuple(self, frames: int, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
        vcop, length = self.settings.vcop, self.settings.video.clip_frames
        starts = tuple_starts(frames, length, vcop.clips, vcop.interval, rng)
        return (starts[:, None] + np.arange(length)) % frames, frames < length

    def network(self, encoder: Backbone, pretrained: bool = False) -> nn.Module:
        return OrderNetwork(encoder, self.settings.vcop)

    def loss(self, network: nn.Module, clips: Tensor, labels: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross entropy of the order."""
        losses, metrics = cross_entropies(network(clips), labels)
        return losses["order"].mean(), metrics

"""RSPNet (Chen et al. 2021; PeihaoChen/RSPNet): which of two clips plays at the speed of a third (RSP), and which video a clip
is from (A-VID).

From two windows of K * speed frames, at independent random starts, come three clips of K frames, each at speed 1 or `speed`:
the query q and the positive key k+ at the same speed, which a coin decides, and the negative key k-, which is k+'s window at
the other speed under the same crop, flip and colours. With unit vectors A and M from two projections, similarities over the
temperature T, and the bank of earlier keys,

    A-VID = CE([qA.kA+, qA.bank] / T, 0) + CE([qA.kA-, qA.bank] / T, 0)
    RSP   = max(0, margin - (qM.kM+ - qM.kM-) / T)

Keys come from a momentum encoder; only kA- enters the bank. A coin per clip where the release splits each batch in exact
halves, and no ShuffleBN, which has no effect on one device, are the differences (docs/fidelity.md).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models import Backbone, make_backbone
from trainables.models.momentum import MemoryBank, OncePerStep
from trainables.settings import ExperimentSettings, RSPNetSettings
from trainables.tasks.task import SelfSupervisedTask
from trainables.video.sampling import SampledClips, random_start
from trainables.video.videos import Video


class ProjectedBackbone(nn.Module):
    """A backbone and its two projections: clips (B, 3, K, H, W) to unit vectors (B, D) for appearance and for motion."""

    def __init__(self, backbone: Backbone, projection: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.appearance = nn.Linear(backbone.features, projection)
        self.motion = nn.Linear(backbone.features, projection)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        features = self.backbone(clips)
        return F.normalize(self.appearance(features).float(), dim=1), F.normalize(self.motion(features).float(), dim=1)


class RSPNetwork(OncePerStep):
    """Query encoder, key encoder and bank.

    The key encoder gets no gradient. In training its parameters follow the query encoder's as a running average, updated before
    each forward pass (it normalises by its own batches), and its keys enter the bank.
    """

    def __init__(self, query: ProjectedBackbone, key: ProjectedBackbone, settings: RSPNetSettings) -> None:
        super().__init__()
        self.settings = settings
        self.query = query
        self.key = key.requires_grad_(False)
        self.bank = MemoryBank(settings.memory_bank, settings.projection)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Similarities over the temperature, float32, from clips (B, 3, 3, K, H, W) in the order q, k+, k-.

        Returns those of the appearance to k+ and k-, (B, 2), and to the bank before this batch enters it, (B, H), and those of
        the motion to k+ and k-, (B, 2).
        """
        query, positive, negative = clips.unbind(1)
        with torch.no_grad():
            if self.training:
                self.follow(self.key, self.query, self.settings.key_momentum)
            keys = [self.key(positive), self.key(negative)]
        appearance, motion = self.query(query)
        with torch.autocast(clips.device.type, enabled=False):
            own = torch.stack([(appearance * key).sum(1) for key, _ in keys], dim=1)
            others = appearance @ self.bank.anchors.clone().T
            paces = torch.stack([(motion * key).sum(1) for _, key in keys], dim=1)
        if self.training:
            self.remember(keys[1][0])
        temperature = self.settings.temperature
        return own / temperature, others / temperature, paces / temperature


def appearance_loss(own: Tensor, others: Tensor) -> Tensor:
    """A-VID (B,): each of the positives (B, 2) against the bank (B, H), all over the temperature, summed over the positives."""
    bank = others.logsumexp(1, keepdim=True)
    return (torch.logaddexp(own, bank) - own).sum(1)


def speed_loss(paces: Tensor, margin: float) -> Tensor:
    """RSP (B,): by how much the key at the same speed, paces[:, 0], fails to lead the one at the other by the margin."""
    return F.relu(margin - (paces[:, 0] - paces[:, 1]))


class RSPNet(SelfSupervisedTask):
    """The task; its settings are the group `rspnet`. What guessing reaches of the appearance depends on the bank's videos."""

    name = "rspnet"
    published: ClassVar[Mapping[str, Any]] = {  # PeihaoChen/RSPNet
        "augmentation.brightness": 0.4,
        "augmentation.contrast": 0.4,
        "augmentation.saturation": 0.4,
        "augmentation.hue": 0.4,
        "augmentation.jitter_probability": 1.0,
        "augmentation.jitter_per": "clip",
        "augmentation.grey_probability": 0.2,
        "augmentation.crop_area": [0.4, 1.0],
        "backbone.depth": 10,
        "pretext.epochs": 200,
        "pretext.batch_size": 32,
        "pretext.optimiser": "sgd",
        "pretext.learning_rate": 0.025,
        "pretext.weight_decay": 1e-4,
        "pretext.schedule": "cosine",
        "pretext.clips_per_video": 1,
        "finetune.epochs": 30,
        "finetune.batch_size": 8,
        "finetune.learning_rate": 0.1,
        "finetune.weight_decay": 1e-4,
        "finetune.schedule": "cosine",
        "evaluation.average": "logits",
    }

    @classmethod
    def reads_for_views(cls, settings: ExperimentSettings) -> tuple[str, ...]:
        return ("rspnet.speed", "video.clip_frames")

    @property
    def chance(self) -> Mapping[str, float]:
        return {"speed": 1 / 2}

    def sample(self, video: Video, rng: np.random.Generator) -> SampledClips:
        speed = int(rng.integers(2))
        query, key = self._window(video.frames, rng), self._window(video.frames, rng)
        clips = [query[speed], key[speed], key[1 - speed]]
        return SampledClips(np.stack(clips), wrapped=_wrapped(clips), changes=(0, 1, 1))

    def views(self, video: Video, rng: np.random.Generator) -> SampledClips:
        clips = [self._window(video.frames, rng)[int(speed)] for speed in rng.integers(2, size=2)]
        return SampledClips(np.stack(clips), wrapped=_wrapped(clips))

    def _window(self, frames: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The clips (K,) at speed 1 and at the faster one from a window of K * speed frames."""
        speed, length = self.settings.rspnet.speed, self.settings.video.clip_frames
        window, _ = random_start(np.arange(length * speed), frames, rng)
        return window[:length], window[::speed]

    def network(self, encoder: Backbone, pretrained: bool = False) -> nn.Module:
        rspnet = self.settings.rspnet
        query = ProjectedBackbone(encoder, rspnet.projection)
        key = (
            ProjectedBackbone(make_backbone(self.settings.backbone), rspnet.projection) if pretrained else copy.deepcopy(query)
        )
        return RSPNetwork(query, key, rspnet)

    def loss(self, network: nn.Module, clips: Tensor, labels: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of A-VID and RSP.

        Metrics: both losses; `speed_accuracy`: the key at the query's speed is nearer than the other; `appearance_accuracy`: a
        key of the same video is nearer than all keys in the bank, averaged over the two.
        """
        rspnet = self.settings.rspnet
        own, others, paces = network(clips)
        appearance, speed = appearance_loss(own, others), speed_loss(paces, rspnet.margin)
        metrics = {
            "appearance_loss": appearance.detach(),
            "speed_loss": speed.detach(),
            "appearance_accuracy": (own > others.amax(1, keepdim=True)).to(torch.float32).mean(1),
            "speed_accuracy": (paces[:, 0] > paces[:, 1]).to(torch.float32),
        }
        return (rspnet.appearance_weight * appearance + rspnet.speed_weight * speed).mean(), metrics


def _wrapped(clips: list[np.ndarray]) -> int:
    return sum(bool(np.any(np.diff(clip) <= 0)) for clip in clips)

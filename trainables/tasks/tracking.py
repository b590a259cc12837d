"""Tracking (Wang & Gupta 2015; Sec. 3 and 5.1): a patch looks more like itself some frames later than like other videos'.

A sample is one track of the video (trainables/tasks/tracks.py): its patch in the first and in the last frame, each
mirrored and coloured on its own, as a common colour would give the pair away. Negatives of a track are the patches of other
videos in the batch. With D the negative cosine of two features, a negative n of a track (a, p) costs

    max(0, margin + D(a, p) - D(a, n)) + max(0, margin + D(a, p) - D(p, n)),

averaged over the two terms and `negatives` of them: random ones in the first `hard_from` of the epochs, then the ones that
cost most (the paper; the released layer draws half from those and half from others that cost anything). In evaluation mode
all of them count.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.encoder import Encoder, FrameEncoder
from trainables.settings import ExperimentSettings
from trainables.tasks.frames import FrameTask
from trainables.tasks.pooling import pooled, pooled_size
from trainables.tasks.task import Batches
from trainables.video.sampling import SampledClips, Window
from trainables.video.videos import Video


class TrackingNetwork(nn.Module):
    """The encoder and two layers on its pooled map. Frames (B, 2, 3, H, W) to features (B, 2, units) of length 1, float32."""

    def __init__(self, encoder: FrameEncoder, units: int, side: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(nn.Linear(pooled_size(encoder, side), units), nn.ReLU(inplace=True), nn.Linear(units, units))

    def forward(self, frames: Tensor) -> Tensor:
        features = self.head(pooled(self.encoder.maps(frames.flatten(0, 1))))
        return F.normalize(features.float(), dim=1).reshape(*frames.shape[:2], -1)


def similarities(features: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines of features (B, 2, units) of length 1: of both ends of each track, (B,), and of either end with all, (B, 2, 2B).

    The last axis holds the starts of all tracks, then their ends. Stays in the features' precision under autocast.
    """
    starts, ends = features.unbind(1)
    with torch.autocast(features.device.type, enabled=False):
        return (starts * ends).sum(1), features @ torch.cat([starts, ends]).T


def of_other_videos(videos: Tensor) -> Tensor:
    """Which of the 2B patches are of another video than each track's, (B, 2B), from the videos (B,)."""
    return (videos[:, None] != videos[None, :]).repeat(1, 2)


def ranking_losses(own: Tensor, others: Tensor, margin: float) -> Tensor:
    """What every patch would cost as a negative of every track, (B, 2B), from their `similarities`."""
    return F.relu(margin - own[:, None, None] + others).mean(1)


def chosen(priorities: Tensor, candidates: Tensor, count: int) -> Tensor:
    """The `count` candidates of each row with the highest priorities, or all if there are fewer: a mask like `candidates`."""
    best = priorities.masked_fill(~candidates, -torch.inf).topk(min(count, priorities.shape[1]), dim=1).indices
    return torch.zeros_like(candidates).scatter(1, best, True) & candidates


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over each row of what the mask holds; 0 for a row of which it holds nothing."""
    return values.masked_fill(~mask, 0).sum(1) / mask.sum(1).clamp_min(1)


def ranking_accuracy(own: Tensor, others: Tensor, candidates: Tensor) -> Tensor:
    """Share (B,) of all candidates than which the end of a track is more like its start, from the `similarities`.

    Ties count half, and so does a track without any to compare with. Chance is 0.5.
    """
    ahead = own[:, None] - others[:, 0]
    return torch.where(candidates.any(1), masked_mean((ahead.sign() + 1) / 2, candidates), 0.5)


class Tracking(FrameTask):
    """The task; its settings are the group `tracking`."""

    name = "tracking"
    compares_samples = True
    knows_end = True

    @classmethod
    def needs_tracks(cls, settings: ExperimentSettings) -> bool:
        return True

    @property
    def chance(self) -> Mapping[str, float]:
        return {"ranking": 1 / 2}

    def baseline(self, batches: Batches) -> Mapping[str, float]:
        """The ranking by colours: the cosine of thumbnails of the patches, less the mean of the batch."""
        found: list[Tensor] = []
        for clips, labels in batches:
            frames = self.shown(clips).float()
            colours = pooled(frames.flatten(0, 1))
            features = F.normalize(colours - colours.mean(0), dim=1).reshape(*frames.shape[:2], -1)
            found.append(ranking_accuracy(*similarities(features), of_other_videos(labels["video"])))
        return {"ranking": float(torch.cat(found).double().mean())}

    @property
    def needs(self) -> str:
        least = self.settings.tracking.least_motion
        return f"tracking needs something that moves by {least:g} of the frame's side per frame (tracking.least_motion)"

    def usable(self, video: Video) -> bool:
        return video.name in self.tracks

    def sample(self, video: Video, rng: np.random.Generator) -> SampledClips:
        tracks = self.tracks[video.name]
        track = [int(number) for number in tracks[rng.integers(len(tracks))]]
        first: Window = (track[2], track[3], track[4], track[5])
        last: Window = (track[6], track[7], track[8], track[9])
        return SampledClips(
            self.in_context(np.array(track[:2]), video.frames),
            {"video": zlib.crc32(video.name.encode()) & 0x7FFFFFFF},
            windows=(first, last),
        )

    def network(self, encoder: Encoder, pretrained: bool = False) -> nn.Module:
        assert isinstance(encoder, FrameEncoder)
        return TrackingNetwork(encoder, self.settings.tracking.units, self.settings.video.crop)

    def loss(self, network: nn.Module, clips: Tensor, labels: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The ranking loss: of the tracks that have a negative, 0 if none has."""
        tracking = self.settings.tracking
        own, others = similarities(network(self.shown(clips)))
        candidates = of_other_videos(labels["video"])
        losses = ranking_losses(own, others, tracking.margin)
        negatives = candidates
        if network.training:
            hard = labels["epoch"] >= tracking.hard_from * tracking.epochs
            priorities = torch.where(hard[:, None], losses.detach(), torch.rand_like(losses))
            negatives = chosen(priorities, candidates, tracking.negatives)
        loss = masked_mean(losses, negatives).sum() / candidates.any(1).sum().clamp_min(1)
        return loss, {"ranking_accuracy": ranking_accuracy(own.detach(), others.detach(), candidates)}

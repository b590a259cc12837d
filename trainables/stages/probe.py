"""The online probe: how often nearest neighbours among a backbone's frozen features are of one class, while it is pretrained.

One centre clip of each labelled validation video, `MOST` at most, spread evenly; its class is told by the vote of the
`NEIGHBOURS` nearest of the others by the cosine of their features (leave one out). Videos of the same group, often cuts of one
film, do not count as neighbours. Labels are looked at here and nowhere else in pretraining, and no test video is.

It is asked before the first update, after the last epoch, and in between so often that it looks at no more than a twentieth of
the clips that are trained on, a forward pass each. After other epochs the last value stands. What would stand in a longer
training is found out, too, so that more epochs can go on from where fewer ended.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.models import Backbone
from trainables.models.folding import folded
from trainables.stages.work import Work
from trainables.video.dataset import ClipDataset
from trainables.video.sampling import uniform_clips
from trainables.video.videos import UNLABELLED, Video

NEIGHBOURS = 5
MOST = 512
"""Videos that are looked at."""
CLIPS_PER_BATCH = 16
SHARE = 1 / 20
"""Of the clips that are trained on: what the probe looks at on the way."""


@dataclass(frozen=True)
class Probe:
    """Asks the backbone in training about the videos, of which at least two are of different classes."""

    work: Work
    backbone: Backbone
    videos: Sequence[Video]

    @torch.no_grad()
    def accuracy(self) -> float:
        """The share of videos whose class their neighbours tell."""
        backbone = folded(self.backbone)
        video = self.work.settings.video
        sampler = functools.partial(uniform_clips, length=video.clip_frames, clips=1)
        clips = ClipDataset(self.videos, sampler, self.work.cache, video, None, seed=0, stream=f"{self.work.kind}/probe")
        features = []
        for batch in self.work.loader(clips, CLIPS_PER_BATCH, training=False).epoch(0):
            with self.work.autocast():
                features.append(backbone(self.work.clips(batch, video).flatten(0, 1)).float().cpu())
        labels = torch.tensor([one.label for one in self.videos])
        return neighbours_accuracy(torch.cat(features), labels, candidates(self.videos))

    @property
    def chance(self) -> float:
        """What features that know nothing reach: the mean share of candidates that are of the video's class."""
        labels = torch.tensor([one.label for one in self.videos])
        allowed = candidates(self.videos)
        shares = (allowed & (labels[:, None] == labels)).sum(1) / allowed.sum(1).clamp_min(1)
        return float(shares.double().mean())

    def every(self, trained: int) -> int:
        """After every how many epochs it is asked. trained: samples that an epoch trains on."""
        return interval(len(self.videos), trained)


def probe_of(work: Work, backbone: Backbone) -> Probe | None:
    """The probe of a stage, on the validation videos it is given; None where no two of them are of different classes."""
    videos = chosen([video for video in work.videos.validation if video.label != UNLABELLED])
    return Probe(work, backbone, videos) if len({video.label for video in videos}) > 1 else None


def chosen(videos: Sequence[Video]) -> list[Video]:
    """At most MOST of the videos, spread evenly."""
    return [videos[number * len(videos) // MOST] for number in range(MOST)] if len(videos) > MOST else list(videos)


def interval(videos: int, trained: int) -> int:
    """Every how many epochs so many videos may be looked at, where an epoch trains on so many clips."""
    return math.ceil(min(videos, MOST) / (SHARE * max(trained, 1)))


def is_asked(epoch: int, epochs: int, every: int) -> bool:
    """Whether the probe is asked after an epoch, from 1: after the last, and every so many."""
    return epoch == epochs or epoch % every == 0


def is_shown(epoch: int, epochs: int, every: int) -> bool:
    """Whether what it says then stands in the history: not what it says shortly before the last epoch."""
    return epoch == epochs or (epoch % every == 0 and epochs - epoch >= every)


def value_after(epoch: int, epochs: int, every: int, said: Mapping[int, float]) -> float:
    """What stands after an epoch. said: by the probe after epochs, and before the first one (0)."""
    return said[max((one for one in range(1, epoch + 1) if is_shown(one, epochs, every)), default=0)]


def clips_looked_at(videos: int, trained: int, epochs: int) -> int:
    """In a whole training, with so many validation videos and samples of an epoch."""
    if not videos:
        return 0
    every = interval(videos, trained)
    return min(videos, MOST) * (1 + epochs // every + (epochs % every > 0))


def candidates(videos: Sequence[Video]) -> Tensor:
    """Which videos count as neighbours of which, (N, N) bool: those of other groups."""
    groups = {video.group: number for number, video in enumerate(videos)}
    group = torch.tensor([groups[video.group] for video in videos])
    return group[:, None] != group


def neighbours_accuracy(features: Tensor, labels: Tensor, allowed: Tensor, count: int = NEIGHBOURS) -> float:
    """The share of rows of features (N, D) for whose label (N,) most of their `count` nearest vote; of equal votes those of the
    nearer ones count. allowed (N, N): which rows may be neighbours of which; one without any is wrong."""
    rows = F.normalize(features.double(), dim=1)
    similarities = (rows @ rows.T).masked_fill(~allowed, -torch.inf)
    nearest, order = similarities.topk(min(count, len(rows)), dim=1)
    votes = F.one_hot(labels[order], int(labels.max()) + 1).double() * nearest.isfinite()[..., None]
    near = 1 - torch.arange(votes.shape[1], dtype=torch.float64) / votes.shape[1] ** 2  # less than a vote, all together
    counts = (votes * near[:, None]).sum(1)
    return float(((counts.argmax(1) == labels) & (counts.amax(1) > 0)).double().mean())

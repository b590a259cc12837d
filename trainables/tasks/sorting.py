"""Frame sorting (OPN, Lee et al. 2017; Sec. 3 and 5.1): in which order n frames of a video are shown.

Frames are equally far apart: by `spacing` frames up to twice as many, at random as far as the video allows (the released code
reads its tuples, chosen by motion, from a file). They are shown in one of the n!/2 orders that differ by more than reversal,
which half of the time is reversed: many actions look the same backwards. All frames of a sample are mirrored and coloured
alike and cropped at one random place, from which each is shifted on its own, so that the order cannot be read from where
things are at the edges. That is so on validation videos too, where nothing else is random.

With channel splitting every frame shows one of its three channels three times, so that the order cannot be read from colours
as they drift: in training one drawn for each frame, otherwise the second, which is green in RGB and BGR.

The head sees every pair of frames: a shared linear layer with batch norm, ReLU and dropout on the convolutional features of
the two, and a linear layer on all pairs.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from trainables.models.encoder import Encoder, FrameEncoder
from trainables.settings import VideoSettings
from trainables.settings.graph import SortingSettings
from trainables.tasks.classifier import cross_entropies
from trainables.tasks.frames import FrameTask
from trainables.tasks.pooling import pooled, pooled_size, start_from_differences
from trainables.video.sampling import SampledClips, Window
from trainables.video.videos import Video

LARGEST_SPACING = 2
"""In units of `spacing`; frames far apart have nothing in common that could be put in order."""
GREEN = 1


def orders(frames: int) -> list[tuple[int, ...]]:
    """The n!/2 orders of n frames that are not the reverse of each other: of each two the lexicographically first."""
    return [order for order in itertools.permutations(range(frames)) if order[0] < order[-1]]


def jittered_windows(video: VideoSettings, jitter: int, count: int, rng: np.random.Generator) -> tuple[Window, ...]:
    """`count` windows of the crop's size, each up to `jitter` pixels off one random place, as far as there is room."""
    tops = _jittered(video.height - video.crop, jitter, count, rng)
    lefts = _jittered(video.width - video.crop, jitter, count, rng)
    return tuple((top, left, video.crop, video.crop) for top, left in zip(tops, lefts, strict=True))


def _jittered(room: int, jitter: int, count: int, rng: np.random.Generator) -> list[int]:
    reach = min(jitter, room // 2)
    base = rng.integers(reach, room - reach + 1)
    return [int(place) for place in base + rng.integers(-reach, reach + 1, count)]


def split_channels(frames: Tensor, channels: Tensor) -> Tensor:
    """Of frames (B, V, 3, H, W) the given channels (B, V), each repeated three times."""
    return frames.gather(2, channels[..., None, None, None].expand(*channels.shape, 3, *frames.shape[-2:]))


class SortingNetwork(nn.Module):
    """The encoder, shared by all frames, and the head on pairs. Frames (B, n, 3, H, W) to logits `order` (B, n!/2)."""

    def __init__(self, encoder: FrameEncoder, settings: SortingSettings, side: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.channel_splitting = settings.channel_splitting
        self.pairs = list(itertools.combinations(range(settings.frames), 2))
        self.pair = nn.Linear(2 * pooled_size(encoder, side), settings.pair_units)
        start_from_differences(self.pair)
        self.norm = nn.BatchNorm1d(settings.pair_units)
        self.dropout = nn.Dropout(settings.dropout)
        self.order = nn.Linear(len(self.pairs) * settings.pair_units, len(orders(settings.frames)))

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        samples = frames.shape[:2]
        if self.channel_splitting:
            channels = torch.full(samples, GREEN, device=frames.device)
            if self.training:
                channels = torch.randint(3, samples, device=frames.device)
            frames = split_channels(frames, channels)
        features = pooled(self.encoder.maps(frames.flatten(0, 1))).reshape(*samples, -1)
        pairs = torch.stack([features[:, list(pair)].flatten(1) for pair in self.pairs], dim=1)
        seen = self.norm(self.pair(pairs).flatten(0, 1)).relu().unflatten(0, pairs.shape[:2])
        return {"order": self.order(self.dropout(seen).flatten(1))}


class Sorting(FrameTask):
    """The task; its settings are the group `sorting`."""

    name = "sorting"

    @property
    def chance(self) -> Mapping[str, float]:
        return {"order": 1 / len(orders(self.settings.sorting.frames))}

    @property
    def minimum_frames(self) -> int:
        return (self.settings.sorting.frames - 1) * self.settings.sorting.spacing + 1

    @property
    def needs(self) -> str:
        return f"sorting needs {self.minimum_frames} frames (sorting.frames, sorting.spacing)"

    def sample(self, video: Video, rng: np.random.Generator) -> SampledClips:
        sorting = self.settings.sorting
        gaps = sorting.frames - 1
        begin, length = self.span(video.frames, self.minimum_frames)
        largest = min(LARGEST_SPACING * sorting.spacing, (length - 1) // gaps)
        spacing = int(rng.integers(sorting.spacing, largest + 1))
        start = begin + int(rng.integers(length - gaps * spacing))
        classes = orders(sorting.frames)
        label = int(rng.integers(len(classes)))
        order = np.array(classes[label])
        if rng.random() < 0.5:
            order = order[::-1]
        return SampledClips(
            self.in_context(start + spacing * order, video.frames),
            {"order": label},
            changes=(0,) * sorting.frames,
            windows=jittered_windows(self.settings.video, sorting.crop_jitter, sorting.frames, rng),
        )

    @property
    def frames_of_a_sample(self) -> int:
        return self.settings.sorting.frames

    def network(self, encoder: Encoder, pretrained: bool = False) -> nn.Module:
        assert isinstance(encoder, FrameEncoder)
        return SortingNetwork(encoder, self.settings.sorting, self.settings.video.crop)

    def loss(self, network: nn.Module, clips: Tensor, labels: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross entropy of the order."""
        losses, metrics = cross_entropies(network(self.shown(clips)), labels)
        return losses["order"].mean(), metrics

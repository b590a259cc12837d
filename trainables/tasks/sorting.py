"""Frame sorting (OPN, Lee et al. 2017; Sec. 3 and 5.1): in which order n frames of a video are shown.

Frames are equally far apart: by `spacing` frames up to twice as many, at random as far as there is room: in the whole video,
or in a track, which starts where something moves (`tuples`; the released code reads tuples and patches chosen by motion from
a file). They are shown in one of the n!/2 orders that differ by more than reversal, which half of the time is reversed, as
many actions look the same backwards: in time (`reversal`), or as shown, which the released code does. Of the latter's classes
one in three, of three frames as of four, is the same when the action goes backwards; each other one is then another class, so
that of an action that looks the same backwards no more than 2 in 3 can be told.

All frames of a sample are mirrored and coloured alike and cropped at one place, at random or where the track starts, from which
each is shifted on its own, so that the order cannot be read from where things are at the edges. That is so on validation videos
too, where nothing else is random.

With channel splitting every frame shows one of its three channels three times, so that the order cannot be read from colours
as they drift: in training one drawn for each frame (OPN) or for each sample, otherwise the second, green in RGB and BGR.

The head sees every pair of frames: a shared linear layer with batch norm, ReLU and dropout on the convolutional features of
the two, and a linear layer on all pairs. Up to reversal in time the order of three frames is that of their distances: the two
that differ most are the ends. `pair` says what the shared layer is given. Of the two features, joined, a unit makes relu(w (a
- b) + c), so that two units give the distance along one direction and `pair_units` of them along half as many; which these
are it has to learn. Of |a - b| and (a - b)^2 one unit gives the L1 or squared distance.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from trainables.models.encoder import Encoder, FrameEncoder
from trainables.settings import ExperimentSettings, SettingsError, VideoSettings
from trainables.settings.teachers import SortingSettings
from trainables.tasks.classifier import cross_entropies
from trainables.tasks.frames import FrameTask
from trainables.tasks.pooling import pooled, pooled_size, start_from_differences
from trainables.tasks.task import Batches, Tracks
from trainables.video.sampling import SampledClips, Window
from trainables.video.videos import Video

LARGEST_SPACING = 2
"""In units of `spacing`; frames far apart have nothing in common that could be put in order."""
GREEN = 1


def orders(frames: int, reversal: str) -> list[tuple[int, ...]]:
    """The n!/2 orders in which n frames are shown, none the reverse of another, one for each class, in lexicographical order.

    Reversed in time, the first and the last of the n change places, and so on: kept are those that show the first before the
    last. Reversed as shown, what was shown first is shown last: kept are those that begin with the earlier of the two.
    """
    last = frames - 1

    def kept(order: tuple[int, ...]) -> bool:
        return order[0] < order[-1] if reversal == "shown" else order.index(0) < order.index(last)

    return [order for order in itertools.permutations(range(frames)) if kept(order)]


def jittered_windows(
    video: VideoSettings, jitter: int, count: int, rng: np.random.Generator, patch: Window | None = None
) -> tuple[Window, ...]:
    """`count` windows of a patch's size, each up to `jitter` pixels off its place, as far as there is room.

    Without a patch they have the crop's size, and their place is drawn.
    """
    top, left, height, width = patch or (None, None, video.crop, video.crop)
    tops = _jittered(video.height - height, jitter, count, rng, top)
    lefts = _jittered(video.width - width, jitter, count, rng, left)
    return tuple((top, left, height, width) for top, left in zip(tops, lefts, strict=True))


def _jittered(room: int, jitter: int, count: int, rng: np.random.Generator, place: int | None) -> list[int]:
    reach = min(jitter, room // 2)
    base = rng.integers(reach, room - reach + 1) if place is None else min(max(place, reach), room - reach)
    return [int(place) for place in base + rng.integers(-reach, reach + 1, count)]


def split_channels(frames: Tensor, channels: Tensor) -> Tensor:
    """Of frames (B, V, 3, H, W) the given channels (B, V), each repeated three times."""
    return frames.gather(2, channels[..., None, None, None].expand(*channels.shape, 3, *frames.shape[-2:]))


class SortingNetwork(nn.Module):
    """The encoder, shared by all frames, and the head on pairs. Frames (B, n, 3, H, W) to logits `order` (B, n!/2)."""

    def __init__(self, encoder: FrameEncoder, settings: SortingSettings, side: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.layers, self.splitting, self.differences = (
            settings.layers,
            settings.channel_splitting,
            settings.pair == "difference",
        )
        self.pairs = list(itertools.combinations(range(settings.frames), 2))
        self.pair = nn.Linear(2 * pooled_size(encoder, side, self.layers), settings.pair_units)
        if not self.differences:
            start_from_differences(self.pair)
        self.norm = nn.BatchNorm1d(settings.pair_units)
        self.dropout = nn.Dropout(settings.dropout)
        self.order = nn.Linear(len(self.pairs) * settings.pair_units, len(orders(settings.frames, settings.reversal)))

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        samples = frames.shape[:2]
        if self.splitting != "off":
            frames = split_channels(frames, self._channels(samples, frames.device))
        features = pooled(self.encoder.maps(frames.flatten(0, 1), self.layers)).reshape(*samples, -1)
        pairs = torch.stack([self._of_pair(features[:, one], features[:, other]) for one, other in self.pairs], dim=1)
        seen = self.norm(self.pair(pairs).flatten(0, 1)).relu().unflatten(0, pairs.shape[:2])
        return {"order": self.order(self.dropout(seen).flatten(1))}

    def _channels(self, samples: torch.Size, device: torch.device) -> Tensor:
        if not self.training:
            return torch.full(samples, GREEN, device=device)
        drawn = samples if self.splitting == "per_frame" else (samples[0], 1)
        return torch.randint(3, drawn, device=device).expand(samples)

    def _of_pair(self, one: Tensor, other: Tensor) -> Tensor:
        """What the shared layer sees of the features (B, F) of two frames: (B, 2F)."""
        if not self.differences:
            return torch.cat([one, other], dim=1)
        difference = one - other
        return torch.cat([difference.abs(), difference.square()], dim=1)


class Sorting(FrameTask):
    """The task; its settings are the group `sorting`. Raises SettingsError where no track holds the frames of a sample."""

    name = "sorting"

    def __init__(self, settings: ExperimentSettings, tracks: Tracks | None = None) -> None:
        super().__init__(settings, tracks)
        if self.needs_tracks(settings) and self.minimum_frames > (longest := settings.tracking.frames):
            sorting = settings.sorting
            most = (longest - 1) // (sorting.frames - 1)
            raise SettingsError(
                f"sorting.tuples = {sorting.tuples}: {sorting.frames} frames {sorting.spacing} apart "
                f"take {self.minimum_frames}, and a track has tracking.frames = {longest}; set "
                + (f"sorting.spacing to at most {most}, or " if most else "")
                + f"tracking.frames to at least {self.minimum_frames}"
            )

    @classmethod
    def needs_tracks(cls, settings: ExperimentSettings) -> bool:
        return settings.sorting.tuples != "anywhere"

    @classmethod
    def reads(cls, settings: ExperimentSettings) -> tuple[str, ...]:
        return (*super().reads(settings), *(("tracking.frames",) if cls.needs_tracks(settings) else ()))

    @property
    def chance(self) -> Mapping[str, float]:
        sorting = self.settings.sorting
        return {"order": 1 / len(orders(sorting.frames, sorting.reversal))}

    def baseline(self, batches: Batches) -> Mapping[str, float]:
        """The order of the shortest way through the frames, by the L1 distances of their pixels: of three frames the two that
        differ most are its ends."""
        sorting = self.settings.sorting
        ways = [sorted(range(len(order)), key=order.__getitem__) for order in orders(sorting.frames, sorting.reversal)]
        right: list[Tensor] = []
        for clips, labels in batches:
            frames = self.shown(clips).float().flatten(2)
            distances = torch.cdist(frames, frames, p=1)
            lengths = torch.stack([distances[:, way[:-1], way[1:]].sum(1) for way in ways], dim=1)
            right.append(lengths.argmin(1) == labels["order"])
        return {"order": float(torch.cat(right).double().mean())}

    @property
    def minimum_frames(self) -> int:
        return (self.settings.sorting.frames - 1) * self.settings.sorting.spacing + 1

    @property
    def needs(self) -> str:
        where = " of a track (sorting.tuples)" if self.needs_tracks(self.settings) else ""
        return f"sorting needs {self.minimum_frames} frames{where} (sorting.frames, sorting.spacing)"

    def valid_for(self, longest: int) -> str:
        most = (longest - 1) // (self.settings.sorting.frames - 1)
        return f", which allow a sorting.spacing of at most {most}" if most else ""

    def usable(self, video: Video) -> bool:
        return bool(self._spans(video)) if self.needs_tracks(self.settings) else super().usable(video)

    def sample(self, video: Video, rng: np.random.Generator) -> SampledClips:
        sorting = self.settings.sorting
        gaps = sorting.frames - 1
        spans = self._spans(video)
        begin, length, patch = spans[rng.integers(len(spans))] if len(spans) > 1 else spans[0]
        largest = min(LARGEST_SPACING * sorting.spacing, (length - 1) // gaps)
        spacing = int(rng.integers(sorting.spacing, largest + 1))
        start = begin + int(rng.integers(length - gaps * spacing))
        classes = orders(sorting.frames, sorting.reversal)
        label = int(rng.integers(len(classes)))
        order = np.array(classes[label])
        if rng.random() < 0.5:
            order = order[::-1] if sorting.reversal == "shown" else gaps - order
        return SampledClips(
            self.in_context(start + spacing * order, video.frames),
            {"order": label},
            changes=(0,) * sorting.frames,
            windows=jittered_windows(self.settings.video, sorting.crop_jitter, sorting.frames, rng, patch),
        )

    def _spans(self, video: Video) -> list[tuple[int, int, Window | None]]:
        """First and number of the frames that samples are from, and the patch that they show: the video's, or of its tracks."""
        begin, length = self.span(video.frames, self.minimum_frames)
        if not self.needs_tracks(self.settings):
            return [(begin, length, None)]
        spans: list[tuple[int, int, Window | None]] = []
        for track in self.tracks.get(video.name, ()):
            first, last, top, left, height, width = (int(number) for number in track[:6])
            first, last = max(first, begin), min(last, begin + length - 1)
            patch = (top, left, height, width) if self.settings.sorting.tuples == "patches" else None
            if last - first + 1 >= self.minimum_frames:
                spans.append((first, last - first + 1, patch))
        return spans

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

"""Learning from ego-motion (Agrawal et al. 2015; Sec. 3 and 5.1): what lies between two frames, by `objective`.

- closeness (this paper): half of the pairs are at most `close_frames` frames apart, the others, of the same video, further. The
  encoder (BCNN, shared by the two) and a top network (TCNN) on its two maps together tell which.
- contrastive (Agrawal's baseline, "slow features"): the same pairs, told by the distance of the encoder's maps.
- transform: one frame seen by a synthetic camera in two places. The TCNN tells shift and zoom, each as one of `bins` classes,
  as Agrawal's network does with what a car's odometer measured. Frames that give the camera less room than `largest_shift` and
  `largest_zoom` ask for shrink both ranges alike, and the classes are evenly spaced in what is left.

The two frames of a pair are cropped, mirrored and coloured alike; for `transform` nothing is mirrored, which would turn the
shift around.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from trainables.models.encoder import Encoder, FrameEncoder
from trainables.settings import AugmentationSettings, ExperimentSettings, SettingsError, VideoSettings
from trainables.settings.teachers import EgoMotionSettings
from trainables.tasks.classifier import cross_entropies
from trainables.tasks.frames import FrameTask, context_settings
from trainables.tasks.pooling import GRID, map_shape, pooled, start_from_differences
from trainables.tasks.task import Batches, Tracks
from trainables.video.sampling import SampledClips, Window
from trainables.video.videos import Video


@dataclass(frozen=True)
class Camera:
    """The synthetic camera in frames of `height` x `width`: its first window has the side `crop`, all in pixels.

    shifts: (bins,) of the second window's centre, along either axis; sides: (bins,) of the second window, crop * zoom.
    """

    height: int
    width: int
    crop: int
    shifts: np.ndarray
    sides: np.ndarray

    def windows(self, shift_y: int, shift_x: int, zoom: int, rng: np.random.Generator) -> tuple[Window, Window]:
        """Both windows of a transform, given by its classes, at a random place where both fit into the frame."""
        side = int(self.sides[zoom])
        top, second_top = self._places(self.height, self.shifts[shift_y], side, rng)
        left, second_left = self._places(self.width, self.shifts[shift_x], side, rng)
        return (top, left, self.crop, self.crop), (second_top, second_left, side, side)

    def _places(self, length: int, shift: float, side: int, rng: np.random.Generator) -> tuple[int, int]:
        offset = int(_whole((self.crop - side) / 2 + shift))
        first = int(rng.integers(max(0, -offset), length - max(self.crop, offset + side) + 1))
        return first, first + offset


def synthetic_camera(video: VideoSettings, ego_motion: EgoMotionSettings) -> Camera:
    """The camera of these settings.

    With room r = (shorter side - crop) / crop, all windows fit if shift + zoom / 2 <= r and zoom <= r. Raises SettingsError
    when two classes would be less than a pixel apart, and so the same.
    """
    room = min(video.height, video.width) / video.crop - 1
    shift, zoom = ego_motion.largest_shift, ego_motion.largest_zoom
    shrunk = min(1.0, room / (shift + zoom / 2), room / zoom)
    reach = np.array([shift, zoom]) * shrunk * video.crop
    if (possible := int(2 * reach.min() + 1e-6) + 1) < ego_motion.bins:
        frame = f"a camera of video.crop = {video.crop} in frames of {video.height}x{video.width}"
        remedy = "larger video.height and video.width, a smaller video.crop, larger ego_motion.largest_shift and largest_zoom"
        if possible < 2:
            raise SettingsError(f"ego_motion.objective = transform: {frame} has no room to move; set {remedy}")
        raise SettingsError(
            f"ego_motion.bins = {ego_motion.bins}: {frame} can move to {possible} places a pixel apart; "
            f"set ego_motion.bins to at most {possible}, or {remedy}"
        )
    steps = np.linspace(-1, 1, ego_motion.bins)
    return Camera(video.height, video.width, video.crop, steps * reach[0], _whole(video.crop + steps * reach[1]))


def _whole(pixels: np.ndarray | float) -> np.ndarray:
    """Rounded to whole pixels, halves upwards, so that what is a pixel apart stays different."""
    return np.floor(np.asarray(pixels) + 0.5 + 1e-9).astype(np.int64)


class TransformNetwork(nn.Module):
    """BCNN and TCNN. Frames (B, 2, 3, H, W) to logits (B, classes) by name.

    The TCNN: two 3x3 convolutions of stride 2 on both maps, joined along the channels, and a fully connected layer.
    """

    def __init__(self, encoder: FrameEncoder, settings: EgoMotionSettings, side: int, classes: Mapping[str, int]) -> None:
        super().__init__()
        self.encoder = encoder
        channels, height, width = map_shape(encoder, side)
        first, second = settings.top_channels
        places = min(GRID, _halved(_halved(height))) * min(GRID, _halved(_halved(width)))
        joined = nn.Conv2d(2 * channels, first, 3, stride=2, padding=1)
        start_from_differences(joined)
        self.convolutions = nn.Sequential(
            joined,
            nn.ReLU(inplace=True),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
        )
        self.top = nn.Sequential(
            nn.Linear(second * places, settings.top_units), nn.ReLU(inplace=True), nn.Dropout(settings.dropout)
        )
        self.heads = nn.ModuleDict({name: nn.Linear(settings.top_units, number) for name, number in classes.items()})

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        maps = self.encoder.maps(frames.flatten(0, 1))
        joined = maps.reshape(len(frames), -1, *maps.shape[2:])
        features = self.top(pooled(self.convolutions(joined)))
        return {name: head(features) for name, head in self.heads.items()}


def _halved(side: int) -> int:
    """Side of a map after a 3x3 convolution of stride 2, padded by 1."""
    return (side + 1) // 2


class DistanceNetwork(nn.Module):
    """The encoder alone. Frames (B, 2, 3, H, W) to the distances (B,) of their pooled maps, float32."""

    def __init__(self, encoder: FrameEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, frames: Tensor) -> Tensor:
        features = pooled(self.encoder.maps(frames.flatten(0, 1))).float().reshape(*frames.shape[:2], -1)
        distances: Tensor = torch.linalg.vector_norm(features[:, 0] - features[:, 1], dim=1)
        return distances


def contrastive_loss(distances: Tensor, close: Tensor, margin: float) -> Tensor:
    """Caffe's, (B,): d^2 / 2 of close pairs, max(0, margin - d)^2 / 2 of others."""
    return torch.where(close.bool(), distances, (margin - distances).relu()).square() / 2


def best_threshold(distances: Tensor, close: Tensor) -> float:
    """Share of pairs that are told right by the best threshold below which a distance (N,) says close (N,), 0 or 1."""
    distances, order = distances.sort()
    gains = torch.cat([close.new_zeros(1), (2 * close[order] - 1).cumsum(0)])  # of the k nearest called close, over none
    apart = torch.cat([distances.diff() > 0, distances.new_ones(1, dtype=torch.bool)])
    best = gains[1:][apart].max().clamp_min(0)
    return float((len(close) - close.sum() + best) / len(close))


_OF_OBJECTIVE = {
    "closeness": ("close_frames", "top_channels", "top_units", "dropout"),
    "contrastive": ("close_frames", "margin"),
    "transform": ("bins", "largest_shift", "largest_zoom", "top_channels", "top_units", "dropout"),
}
"""What each objective depends on, of the group `ego_motion`."""


class EgoMotion(FrameTask):
    """The task; its settings are the group `ego_motion`. Raises SettingsError where frames leave `transform` no room."""

    name = "ego_motion"

    @classmethod
    def reads(cls, settings: ExperimentSettings) -> tuple[str, ...]:
        fields = ("objective", *_OF_OBJECTIVE[settings.ego_motion.objective])
        return (*(f"ego_motion.{name}" for name in fields), *context_settings(settings))

    def __init__(self, settings: ExperimentSettings, tracks: Tracks | None = None) -> None:
        super().__init__(settings, tracks)
        ego_motion = settings.ego_motion
        self.camera = synthetic_camera(settings.video, ego_motion) if ego_motion.objective == "transform" else None

    @property
    def augmentation(self) -> AugmentationSettings:
        if self.camera is None:
            return super().augmentation
        return super().augmentation.model_copy(update={"flip_probability": 0.0})

    def baseline(self, batches: Batches) -> Mapping[str, float]:
        """Pairs whose pixels differ less (L1) than a threshold are close, the one that is best for these very pairs."""
        if self.camera is not None:
            return {}
        distances, close = [], []
        for clips, labels in batches:
            first, second = self.shown(clips).float().unbind(1)
            distances.append((first - second).abs().flatten(1).mean(1))
            close.append(labels["close"])
        return {"close": best_threshold(torch.cat(distances), torch.cat(close))}

    @property
    def minimum_frames(self) -> int:
        return 1 if self.camera is not None else self.settings.ego_motion.close_frames + 2

    @property
    def needs(self) -> str:
        return f"ego_motion needs {self.minimum_frames} frames (ego_motion.close_frames)"

    @property
    def chance(self) -> Mapping[str, float]:
        if self.camera is None:
            return {"close": 1 / 2}
        return dict.fromkeys(("shift_x", "shift_y", "zoom"), 1 / self.settings.ego_motion.bins)

    def sample(self, video: Video, rng: np.random.Generator) -> SampledClips:
        if self.camera is not None:
            return self._transform(self.camera, video, rng)
        nearest = self.settings.ego_motion.close_frames
        close = int(rng.integers(2))
        begin, length = self.span(video.frames, self.minimum_frames)
        apart = int(rng.integers(1, nearest + 1) if close else rng.integers(nearest + 1, length))
        first = begin + int(rng.integers(length - apart))
        return SampledClips(self.in_context(np.array([first, first + apart]), video.frames), {"close": close}, changes=(0, 0))

    def _transform(self, camera: Camera, video: Video, rng: np.random.Generator) -> SampledClips:
        frame = int(rng.integers(video.frames))
        shift_y, shift_x, zoom = (int(drawn) for drawn in rng.integers(self.settings.ego_motion.bins, size=3))
        return SampledClips(
            self.in_context(np.array([frame, frame]), video.frames),
            {"shift_x": shift_x, "shift_y": shift_y, "zoom": zoom},
            changes=(0, 0),
            windows=camera.windows(shift_y, shift_x, zoom, rng),
        )

    def network(self, encoder: Encoder, pretrained: bool = False) -> nn.Module:
        assert isinstance(encoder, FrameEncoder)
        ego_motion = self.settings.ego_motion
        if ego_motion.objective == "contrastive":
            return DistanceNetwork(encoder)
        asked = {"close": 2} if self.camera is None else dict.fromkeys(("shift_x", "shift_y", "zoom"), ego_motion.bins)
        return TransformNetwork(encoder, ego_motion, self.settings.video.crop, asked)

    def loss(self, network: nn.Module, clips: Tensor, labels: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross entropy, for `transform` the sum of three; or the contrastive loss.

        `close_accuracy` of the latter takes pairs nearer than half of the margin for close.
        """
        answers = network(self.shown(clips))
        if self.settings.ego_motion.objective != "contrastive":
            losses, metrics = cross_entropies(answers, labels)
            return sum(losses.values(), start=clips.new_zeros(())).mean(), metrics
        margin, close = self.settings.ego_motion.margin, labels["close"]
        loss = contrastive_loss(answers, close, margin)
        accuracy = (answers.detach() < margin / 2) == close.bool()
        return loss.mean(), {"close_loss": loss.detach(), "close_accuracy": accuracy.to(torch.float32)}

"""Augmentation of clips in batches: parameters are drawn per clip, pixels change on the device.

Crop, flip and grey are the same for all frames of a clip; colour jitter is drawn per frame or per clip. Brightness, contrast,
saturation and hue act in this fixed order as one affine colour map per frame (hue as a rotation in YIQ), clamped once at the
end; torchvision applies them in random order, turns hue in HSV, and clamps after each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.settings import AugmentationSettings, VideoSettings
from trainables.video.sampling import Window

LUMA = (0.299, 0.587, 0.114)
TO_YIQ = ((0.299, 0.587, 0.114), (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))
CROP_RATIOS = (3 / 4, 4 / 3)
STATISTICS = {
    "rgb_normalised": ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)),
    "rgb_imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Mean and deviation of pixels: of Kinetics-400 and of ImageNet, as torchvision's models use them."""
NEUTRAL = (1.0, 1.0, 1.0, 0.0)
"""Jitter that changes nothing."""
MOTION_FLOOR = 0.01  # keeps the noise of a clip in which nothing moves from being blown up


@dataclass(frozen=True)
class Change:
    """What augmentation does to one clip: a window, resized to the crop if it has another size, flip and colours.

    jitter: (K, 4) factors of brightness, contrast, saturation and turn of hue.
    """

    window: Window
    flip: bool
    jitter: np.ndarray


def centre_window(video: VideoSettings) -> Window:
    return ((video.height - video.crop) // 2, (video.width - video.crop) // 2, video.crop, video.crop)


def unchanged(video: VideoSettings, frames: int | None = None) -> Change:
    """Centre crop and nothing else: evaluation. frames: of the clip, where it has not `video.clip_frames`."""
    return Change(centre_window(video), False, _neutral(frames or video.clip_frames))


def draw_change(
    video: VideoSettings, augmentation: AugmentationSettings, rng: np.random.Generator, frames: int | None = None
) -> Change:
    """A random crop, flip and colour jitter for one clip. frames: of the clip, where it has not `video.clip_frames`."""
    frames = frames or video.clip_frames
    height, width = (
        (video.crop, video.crop) if augmentation.crop_area is None else _draw_size(video, augmentation.crop_area, rng)
    )
    top = int(rng.integers(video.height - height + 1))
    left = int(rng.integers(video.width - width + 1))
    flip = bool(rng.random() < augmentation.flip_probability)
    jitter = _neutral(frames)
    if rng.random() < augmentation.jitter_probability:
        draws = frames if augmentation.jitter_per == "frame" else 1
        strengths = np.array([augmentation.brightness, augmentation.contrast, augmentation.saturation, augmentation.hue])
        jitter = jitter + rng.uniform(-1, 1, (draws, 4)).astype(np.float32) * strengths.astype(np.float32)
    if augmentation.grey_probability > 0 and rng.random() < augmentation.grey_probability:
        jitter[:, 2] = 0
    return Change((top, left, height, width), flip, jitter)


def _draw_size(video: VideoSettings, area: tuple[float, float], rng: np.random.Generator) -> tuple[int, int]:
    """Height and width of a window: its share of the frame uniform in `area`, its ratio log-uniform, cut to the frame."""
    pixels = rng.uniform(*area) * video.height * video.width
    ratio = np.exp(rng.uniform(*np.log(CROP_RATIOS)))
    height, width = round(np.sqrt(pixels / ratio)), round(np.sqrt(pixels * ratio))
    return max(1, min(height, video.height)), max(1, min(width, video.width))


def _neutral(frames: int) -> np.ndarray:
    return np.tile(np.array(NEUTRAL, dtype=np.float32), (frames, 1))


def resized(pixels: np.ndarray, side: int) -> np.ndarray:
    """A clip (K, H, W, 3) uint8 as (K, side, side, 3), bilinear with antialiasing; one of that size as it is."""
    if pixels.shape[1:3] == (side, side):
        return pixels
    frames = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2)
    scaled = F.interpolate(frames, (side, side), mode="bilinear", antialias=True)
    return scaled.permute(0, 2, 3, 1).contiguous().numpy()


def to_network(pixels: Tensor, flip: Tensor, jitter: Tensor, video: VideoSettings, channels_last: bool = False) -> Tensor:
    """Batch of clips as the network takes them.

    pixels: (B, K, H, W, 3) uint8 RGB, cropped, on the device that computes; flip: (B,) bool and jitter: (B, K, 4) on the host,
    which decides what there is to do without waiting for the device. Returns (B, 3, K, H, W) float32, under autocast too: in
    the memory layout in which pixels come, for networks that compute in `channels_last`, or contiguous.
    """
    with torch.autocast(pixels.device.type, enabled=False):
        clips = _to_network(pixels, flip, jitter, video).permute(0, 4, 1, 2, 3)
        return clips if channels_last else clips.contiguous()


def _to_network(pixels: Tensor, flip: Tensor, jitter: Tensor, video: VideoSettings) -> Tensor:
    """Of (B, K, H, W, 3) the same shape, in memory of its own."""
    clips = (_mirrored(pixels, flip) if bool(flip.any()) else pixels).to(torch.float32).div_(255)
    if bool(torch.any(jitter != jitter.new_tensor(NEUTRAL))):
        clips = _jittered(clips, jitter)
    return in_form(clips, video.pixels)


def in_form(clips: Tensor, pixels: str) -> Tensor:
    """Clips (B, K, H, W, 3) float32, RGB from 0 to 1, in a form of `video.pixels`; what it is given it may change."""
    if pixels == "bgr_255":
        return clips.flip(-1).mul_(255)
    if pixels == "rgb_unit":
        return clips
    if pixels == "rgb_motion":
        clips.sub_(clips.mean(1, keepdim=True))
        deviation = torch.linalg.vector_norm(clips.flatten(1), dim=1) / math.sqrt(clips[0].numel() - 1)  # the mean is 0
        return clips.div_(deviation[:, None, None, None, None] + MOTION_FLOOR)
    mean, deviation = (_along_a_row(values, clips) for values in STATISTICS[pixels])
    clips.flatten(3).sub_(mean).div_(deviation)
    return clips


def _along_a_row(values: tuple[float, ...], clips: Tensor) -> Tensor:
    """A value for each channel, for all pixels of a row, (W * 3,): loops over three numbers would take ten times as long."""
    return torch.tensor(values).repeat(clips.shape[3]).to(clips.device, non_blocking=True)


def _mirrored(pixels: Tensor, flip: Tensor) -> Tensor:
    """With some of the clips (B, K, H, W, 3) mirrored: these come behind all clips, and then each is taken in its form."""
    places = flip.nonzero().flatten().to(pixels.device, non_blocking=True)
    both = torch.cat([pixels, pixels.index_select(0, places).flip(3)])
    taken = torch.where(flip, len(flip) + flip.cumsum(0) - 1, torch.arange(len(flip)))
    return both.index_select(0, taken.to(pixels.device, non_blocking=True))


def _jittered(clips: Tensor, jitter: Tensor) -> Tensor:
    colour, grey = (values.to(clips.device, non_blocking=True) for values in _colour_maps(jitter))
    offset = (clips.mean((2, 3)) * grey).sum(-1)
    frames = clips.flatten(2, 3).flatten(0, 1)
    changed = torch.bmm(frames, colour.flatten(0, 1).transpose(1, 2))
    return changed.add_(offset.reshape(-1, 1, 1)).clamp_(0, 1).reshape(clips.shape)


def _colour_maps(jitter: Tensor) -> tuple[Tensor, Tensor]:
    """The affine map of colours in each frame of jitter (B, K, 4): a matrix (B, K, 3, 3), and weights (B, K, 3) of the frame's
    mean colour, whose weighted sum is added to all channels: a grey, which saturation and hue leave as it is."""
    brightness, contrast, saturation, turn = jitter.unbind(-1)
    luma, to_yiq = jitter.new_tensor(LUMA), jitter.new_tensor(TO_YIQ)
    grey = (1 - saturation)[..., None, None] * luma.expand(3, 3) + saturation[..., None, None] * torch.eye(3)
    angle = 2 * torch.pi * turn
    rotation = torch.zeros(*turn.shape, 3, 3)
    rotation[..., 0, 0] = 1
    rotation[..., 1, 1] = rotation[..., 2, 2] = angle.cos()
    rotation[..., 1, 2], rotation[..., 2, 1] = -angle.sin(), angle.sin()
    hue = torch.linalg.inv(to_yiq) @ rotation @ to_yiq
    colour = (hue @ grey) * (contrast * brightness)[..., None, None]
    return colour, ((1 - contrast) * brightness)[..., None] * luma

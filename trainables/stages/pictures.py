"""Small pictures of videos and clips, kept in a stage's `pictures.safetensors`, for people to look at. uint8, RGB."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trainables.settings import VideoSettings
from trainables.stages.work import Work
from trainables.video.augmentation import centre_window, resized, to_network
from trainables.video.dataset import ClipDataset
from trainables.video.videos import Video

FILE = "pictures"
SIDE = 64
"""Pixels of a picture's sides, at most."""
FRAMES = 4
"""Of a film strip."""
SAMPLES, SAMPLE_FRAMES = 3, 8
"""Of what a network is trained on."""


def film_strips(work: Work, videos: Sequence[Video]) -> Tensor:
    """Frames spread evenly over each video, centre crop: (videos, FRAMES, side, side, 3)."""
    video = work.settings.video
    strips = []
    for source in videos:
        numbers = np.linspace(0, source.frames - 1, FRAMES).round().astype(int).tolist()
        read = work.cache.read(source, numbers, (video.height, video.width), centre_window(video))
        strips.append(_small(read.pixels))
    return torch.stack(strips)


def training_samples(dataset: ClipDataset) -> Tensor:
    """What a network is shown in its first epoch, augmented, before pixels are normalised; of videos spread over the set.

    Returns (samples, V, frames, side, side, 3), of clips of any length SAMPLE_FRAMES frames at most.
    """
    samples = []
    for index in np.linspace(0, len(dataset) - 1, min(SAMPLES, len(dataset))).round().astype(int):
        sample = dataset[0, int(index)]
        clips = to_network(sample["pixels"], sample["flip"], sample["jitter"], VideoSettings(pixels="rgb_unit"))
        frames = (clips.permute(0, 2, 3, 4, 1) * 255).round().to(torch.uint8).numpy()
        shown = np.linspace(0, frames.shape[1] - 1, min(SAMPLE_FRAMES, frames.shape[1])).round().astype(int)
        samples.append(torch.stack([_small(clip[shown]) for clip in frames]))
    return torch.stack(samples)


def _small(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(resized(frames, min(SIDE, frames.shape[1]))))

"""Training steps written out plainly, as released code has it: what a GPU is compared with.

Float32 in torch's own memory layout; each frame's colours are changed by itself on the CPU, brightness, contrast, saturation
and hue (by way of HSV) one after the other, as torchvision does; clips come as float32 from a DataLoader, are copied while
the host waits, and the loss is read in every step. Network, loss and samples are those of the stage.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from trainables.stages.work import Training, Work
from trainables.video.augmentation import LUMA
from trainables.video.dataset import ClipDataset

MEAN, DEVIATION = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)


class PlainClips(Dataset[dict[str, Any]]):
    """The samples of a dataset's first epoch with clips (V, 3, K, H, W), float32, changed frame by frame."""

    def __init__(self, clips: ClipDataset) -> None:
        self.clips = clips

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = self.clips[0, index]
        pixels, jitter = sample.pop("pixels"), sample.pop("jitter")
        changed = [
            torch.stack([_changed(frame, *factors.tolist()) for frame, factors in zip(clip, of_clip, strict=True)], dim=1)
            for clip, of_clip in zip(pixels, jitter, strict=True)
        ]
        flipped = [clip.flip(-1) if flip else clip for clip, flip in zip(changed, sample.pop("flip"), strict=True)]
        return {"clips": torch.stack(flipped), **sample}


def _changed(frame: Tensor, brightness: float, contrast: float, saturation: float, turn: float) -> Tensor:
    """A frame (H, W, 3) uint8 as (3, H, W) float32, normalised."""
    image = frame.permute(2, 0, 1).float() / 255
    if (brightness, contrast, saturation, turn) != (1, 1, 1, 0):
        image = (image * brightness).clamp(0, 1)
        image = (contrast * image + (1 - contrast) * _grey(image).mean()).clamp(0, 1)
        image = (saturation * image + (1 - saturation) * _grey(image)).clamp(0, 1)
        image = _of_hsv(_turned(_to_hsv(image), turn))
    return (image - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]


def _grey(image: Tensor) -> Tensor:
    return (image * torch.tensor(LUMA)[:, None, None]).sum(0, keepdim=True)


def _turned(hsv: Tensor, turn: float) -> Tensor:
    return torch.stack([(hsv[0] + turn) % 1, hsv[1], hsv[2]])


def _to_hsv(image: Tensor) -> Tensor:
    red, green, blue = image
    most, least = image.amax(0), image.amin(0)
    width = most - least
    span = torch.where(width > 0, width, 1)
    hue = torch.where(
        most == red,
        (green - blue) / span % 6,
        torch.where(most == green, (blue - red) / span + 2, (red - green) / span + 4),
    )
    return torch.stack([hue / 6 % 1, width / torch.where(most > 0, most, 1), most])


def _of_hsv(hsv: Tensor) -> Tensor:
    hue, saturation, value = hsv
    sectors = (torch.tensor([5.0, 3.0, 1.0])[:, None, None] + hue * 6) % 6
    return value - value * saturation * torch.minimum(sectors, 4 - sectors).clamp(0, 1)


def plain_steps(training: Training, work: Work, batches: int) -> float:
    """Train on so many batches; the mean loss."""
    optimisation, network = training.optimisation, training.network.train()
    loader: DataLoader[dict[str, Any]] = DataLoader(
        PlainClips(training.loader.dataset),
        batch_size=training.loader.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=work.runtime.workers,
    )
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = torch.optim.SGD(weights, optimisation.learning_rate, optimisation.momentum)
    total = 0.0
    epochs = itertools.chain.from_iterable(itertools.repeat(loader))
    for batch in itertools.islice(epochs, batches):
        clips, labels = batch.pop("clips").to(work.device), {name: value.to(work.device) for name, value in batch.items()}
        loss, _ = training.step(clips, labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += loss.item()
    return total / batches

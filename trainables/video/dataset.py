"""Clips of a set of videos in batches.

All randomness of a sample comes from (seed, stage, epoch, index), so that neither the number of loader workers nor an
interruption changes what is drawn.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from trainables.settings import AugmentationSettings, VideoSettings
from trainables.video.augmentation import Change, draw_change, resized, to_network, unchanged
from trainables.video.cache import FrameCache
from trainables.video.sampling import ClipSampler
from trainables.video.videos import DataError, Video

Batch = dict[str, Tensor]
ON_HOST = ("flip", "jitter", "wrapped", "replaced")
"""What stays there of a batch: what decides what there is to do, and what is counted."""
DEATHS = ("DataLoader worker (pid", "Pin memory thread exited unexpectedly", "received 0 items of ancillary data")
"""How messages begin where a loader process was killed, or nobody is left to hand over what it read."""
RAISED_INSIDE = "in DataLoader worker process"
"""What torch puts into the message of an error that a loader process raised itself."""


class LoaderDied(RuntimeError):
    """A process that loads clips was killed or crashed; the message says what for and how."""


def generator(seed: int, stream: str, *numbers: int) -> np.random.Generator:
    """The random generator of one purpose: the same numbers give the same draws anywhere."""
    return np.random.default_rng([seed, zlib.crc32(stream.encode()), *numbers])


class ClipDataset(Dataset[dict[str, Any]]):
    """Samples of `clips_per_video` draws from each video; an item is asked for as (epoch, index).

    A sample holds pixels (V, K, crop, crop, 3) uint8, flip (V,), jitter (V, K, 4), the sampler's labels, the class label
    `target`, the number of `wrapped` clips and of frames `replaced` because they could not be decoded, and what was asked for:
    `epoch` and `index`. V clips per sample. order_seed: of the order in which training sees them, where it is not `seed`.
    """

    def __init__(
        self,
        videos: Sequence[Video],
        sampler: ClipSampler,
        cache: FrameCache,
        video: VideoSettings,
        augmentation: AugmentationSettings | None,
        *,
        seed: int,
        stream: str,
        clips_per_video: int = 1,
        order_seed: int | None = None,
    ) -> None:
        if not videos:
            raise DataError(f"{stream}: there is no video to read")
        self.videos = tuple(videos)
        self.sampler = sampler
        self.cache = cache
        self.video = video
        self.augmentation = augmentation
        self.seed = seed
        self.order_seed = seed if order_seed is None else order_seed
        self.stream = stream
        self.clips_per_video = clips_per_video

    def __len__(self) -> int:
        return len(self.videos) * self.clips_per_video

    def __getitem__(self, item: tuple[int, int]) -> dict[str, Any]:
        epoch, index = item
        rng = generator(self.seed, self.stream, epoch, index)
        source = self.videos[index % len(self.videos)]
        sampled = self.sampler(source, rng)
        numbers = sampled.changes or tuple(range(len(sampled.indices)))
        frames = len(sampled.indices[0])
        changes = [self._change(rng, frames) for _ in range(max(numbers) + 1)]
        windows = sampled.windows or [changes[number].window for number in numbers]
        transforms = sampled.transforms or [None] * len(numbers)
        clips = self.cache.read_clips(source, list(sampled.indices), (self.video.height, self.video.width), windows)
        pixels, flips, jitters, replaced = [], [], [], 0
        for read, number, transform in zip(clips, numbers, transforms, strict=True):
            change = changes[number]
            cropped = resized(read.pixels, self.video.crop)
            pixels.append(cropped if transform is None else transform(cropped))
            flips.append(change.flip)
            jitters.append(change.jitter)
            replaced += read.replaced
        return {
            "pixels": torch.from_numpy(np.stack(pixels)),
            "flip": torch.tensor(flips),
            "jitter": torch.from_numpy(np.stack(jitters)),
            "target": source.label,
            "wrapped": sampled.wrapped,
            "replaced": replaced,
            "epoch": epoch,
            "index": index,
            **sampled.labels,
        }

    def _change(self, rng: np.random.Generator, frames: int) -> Change:
        if self.augmentation is None:
            return unchanged(self.video, frames)
        return draw_change(self.video, self.augmentation, rng, frames)


class EpochOrder(Sampler[tuple[int, int]]):
    """(epoch, index) of every sample, shuffled by (seed, epoch), or in order when `shuffled` is False.

    With `views` an epoch shows again what was shown so many epochs before, in another order. The first `start` are left out.
    """

    def __init__(self, dataset: ClipDataset, shuffled: bool, views: int | None) -> None:
        self.dataset = dataset
        self.shuffled = shuffled
        self.views = views
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.arange(len(self.dataset))
        if self.shuffled:
            generator(self.dataset.order_seed, self.dataset.stream + "/order", self.epoch).shuffle(order)
        shown = self.epoch if self.views is None else self.epoch % self.views
        return ((shown, int(index)) for index in order[self.start :])


class ClipLoader:
    """Batches of a dataset, epoch by epoch. Training drops an incomplete last batch unless it is the only one.

    views: how many epochs differ in what they show; None: all. pinned: batches lie where a GPU copies them from without the
    host.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        batch_size: int,
        *,
        training: bool,
        workers: int,
        views: int | None = None,
        pinned: bool = False,
    ) -> None:
        if training and len(dataset) < 2:
            raise DataError(f"{dataset.stream}: one clip is too few to train on; batch normalisation needs two")
        self.order = EpochOrder(dataset, shuffled=training, views=views)
        self.batch_size = min(batch_size, len(dataset))
        self.training = training
        self.workers, self.pinned = workers, pinned
        self.loader = self._new_loader()

    @property
    def dataset(self) -> ClipDataset:
        """What the batches are of."""
        return self.order.dataset

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.loader)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (0-based) from batch `start` on; the clips of those before it are not read.

        Draws nothing from torch's global generator. Raises LoaderDied; after that an epoch has new processes.
        """
        self.order.epoch, self.order.start = epoch, start * self.batch_size
        try:
            with _signal_handler_kept():
                batches = iter(self.loader)
            yield from batches
        except (RuntimeError, OSError, EOFError) as error:
            if not self._died_of(error):
                raise
            self.loader = self._new_loader()
            raise LoaderDied(f"{self.dataset.stream}: {str(error).strip() or type(error).__name__}") from None

    def _died_of(self, error: Exception) -> bool:
        """Whether an error says that a process is gone: its connection may break before it is known to be dead."""
        if self.workers == 0 or RAISED_INSIDE in str(error):
            return False
        return not isinstance(error, RuntimeError) or str(error).startswith(DEATHS)

    def _new_loader(self) -> DataLoader[dict[str, Any]]:
        return DataLoader(
            self.dataset,
            batch_size=self.batch_size,
            sampler=self.order,
            drop_last=self.training,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=self.pinned,
            generator=torch.Generator(),
        )


@contextlib.contextmanager
def _signal_handler_kept() -> Iterator[None]:
    """Leaves SIGCHLD as it was. Torch's handler raises of a dead loader process wherever the main thread is then, which may be
    the middle of an update; without it the loader finds out when it waits for the next batch."""
    handler = signal.getsignal(signal.SIGCHLD)
    yield
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, handler)


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on the device but for ON_HOST, without waiting for what is copied from pinned memory."""
    return {name: value if name in ON_HOST else value.to(device, non_blocking=True) for name, value in batch.items()}


def network_clips(batch: Batch, video: VideoSettings, device: torch.device, channels_last: bool = False) -> Tensor:
    """The clips of a batch as (B, V, 3, K, H, W) float32 on the device. channels_last: as of `to_network`."""
    batch = on_device(batch, device)
    samples, views = batch["pixels"].shape[:2]
    pixels, flip, jitter = (batch[name].flatten(0, 1) for name in ("pixels", "flip", "jitter"))
    clips = to_network(pixels, flip, jitter, video, channels_last)
    return clips.reshape(samples, views, *clips.shape[1:])

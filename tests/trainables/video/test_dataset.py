"""The clip dataset: a sample is a function of (seed, stream, epoch, index) and of nothing else."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.settings import AugmentationSettings, VideoSettings
from trainables.video.cache import FrameCache
from trainables.video.dataset import Batch, ClipDataset, ClipLoader, LoaderDied, generator, network_clips
from trainables.video.sampling import SampledClips, consecutive_clip, uniform_clips
from trainables.video.videos import DataError, Video

VIDEO = VideoSettings(clip_frames=4, height=24, width=32, crop=16)
FRAMES = (24, 30, 3, 40, 28)


@pytest.fixture
def videos(tmp_path: Path, write_video: Callable[..., Path]) -> list[Video]:
    return [
        Video(f"{number}.mp4", write_video(tmp_path / f"{number}.mp4", frames, seed=number), number, str(number), frames)
        for number, frames in enumerate(FRAMES)
    ]


def dataset(videos: list[Video], cache: Path | None, **changes: Any) -> ClipDataset:
    options = {"seed": 0, "stream": "test", "clips_per_video": 2} | changes
    sampler = options.pop("sampler", functools.partial(consecutive_clip, length=4))
    augmentation = options.pop("augmentation", AugmentationSettings())
    return ClipDataset(videos, sampler, FrameCache(cache, 2**30 if cache else 0), VIDEO, augmentation, **options)


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(torch.as_tensor(first[name]), torch.as_tensor(second[name])) for name in first
    )


def epoch(loader: ClipLoader, number: int) -> list[Batch]:
    return list(loader.epoch(number))


def test_a_sample_is_a_function_of_seed_stream_epoch_and_index(videos: list[Video], tmp_path: Path) -> None:
    samples = dataset(videos, tmp_path / "frames")
    reference = samples[3, 1]
    for index in (4, 0, 2):
        samples[3, index]
    assert same(samples[3, 1], reference), "whatever was drawn before"
    assert same(dataset(videos, tmp_path / "frames")[3, 1], reference)
    assert same(dataset(videos, None)[3, 1], reference), "and with direct decoding"
    others = {
        "epoch": samples[4, 1],
        "draw of the same video": samples[3, 1 + len(videos)],
        "seed": dataset(videos, None, seed=1)[3, 1],
        "stream": dataset(videos, None, stream="other")[3, 1],
    }
    for what, other in others.items():
        assert not torch.equal(other["jitter"], reference["jitter"]), what


def test_any_number_of_workers_gives_the_same_batches(videos: list[Video], tmp_path: Path) -> None:
    loaders = [ClipLoader(dataset(videos, tmp_path / "frames"), 3, training=True, workers=workers) for workers in (0, 2)]
    for number in (0, 1):
        alone, together = (epoch(loader, number) for loader in loaders)
        assert len(alone) == len(together) == 3
        assert all(same(a, b) for a, b in zip(alone, together, strict=True))


def test_an_epoch_shows_every_video_as_often_as_asked_in_an_order_of_its_own(videos: list[Video]) -> None:
    loader = ClipLoader(dataset(videos, None), 5, training=True, workers=0)
    orders = [torch.cat([batch["target"] for batch in epoch(loader, number)]).tolist() for number in (0, 1, 0)]
    assert all(sorted(order) == sorted([*range(5)] * 2) for order in orders)
    assert orders[0] != orders[1]
    assert orders[0] == orders[2]


def test_training_drops_an_incomplete_batch_and_evaluation_keeps_it_in_order(videos: list[Video]) -> None:
    training = ClipLoader(dataset(videos, None, clips_per_video=1), 2, training=True, workers=0)
    evaluation = ClipLoader(dataset(videos, None, clips_per_video=1), 2, training=False, workers=0)
    assert [len(batch["target"]) for batch in epoch(training, 0)] == [2, 2]
    assert [batch["target"].tolist() for batch in epoch(evaluation, 0)] == [[0, 1], [2, 3], [4]]


def test_a_batch_larger_than_the_data_set_is_the_data_set(videos: list[Video]) -> None:
    loader = ClipLoader(dataset(videos, None, clips_per_video=1), 100, training=True, workers=0)
    assert [len(batch["target"]) for batch in epoch(loader, 0)] == [5]


def test_pixels_are_those_of_the_frames_asked_for(videos: list[Video]) -> None:
    """Centre crop of resized frames, through the dataset and read one by one."""
    sample = dataset(videos, None, augmentation=None, sampler=functools.partial(uniform_clips, length=4, clips=2))[0, 1]
    assert sample["pixels"].shape == (2, 4, 16, 16, 3)
    assert sample["pixels"].dtype == torch.uint8
    whole = FrameCache(None, 0).read(videos[1], range(30), (24, 32)).pixels
    for clip, start in enumerate((0, 26)):
        np.testing.assert_array_equal(sample["pixels"][clip].numpy(), whole[start : start + 4, 4:20, 8:24])


def test_a_video_shorter_than_the_clip_is_counted(videos: list[Video]) -> None:
    loader = ClipLoader(dataset(videos, None), 10, training=False, workers=0)
    (batch,) = epoch(loader, 0)
    assert batch["wrapped"].tolist() == [0, 0, 1, 0, 0] * 2
    assert batch["replaced"].tolist() == [0] * 10


def test_labels_of_a_sampler_reach_the_batch(videos: list[Video]) -> None:
    def sampler(video: Video, rng: np.random.Generator) -> SampledClips:
        return SampledClips(np.arange(4)[None] % video.frames, {"speed": video.frames})

    (batch,) = epoch(ClipLoader(dataset(videos, None, sampler=sampler, clips_per_video=1), 5, training=False, workers=0), 0)
    assert batch["speed"].tolist() == list(FRAMES)
    clips: Tensor = network_clips(batch, VIDEO, torch.device("cpu"))
    assert clips.shape == (5, 1, 3, 4, 16, 16)
    assert clips.dtype == torch.float32


def thrice(video: Video, rng: np.random.Generator, changes: tuple[int, ...] | None) -> SampledClips:
    """The same four frames as three clips of a sample."""
    return SampledClips(np.tile(np.arange(4), (3, 1)), changes=changes)


@pytest.mark.parametrize(
    ("changes", "alike"), [((0, 1, 1), {(1, 2)}), ((0, 0, 0), {(0, 1), (0, 2), (1, 2)}), ((1, 0, 1), {(0, 2)}), (None, set())]
)
def test_clips_of_one_number_are_changed_alike(
    videos: list[Video], changes: tuple[int, ...] | None, alike: set[tuple[int, int]]
) -> None:
    """Crop, flip, and every frame's colours: of the same frames the same pixels; others differ in the jitter at least."""
    settings = AugmentationSettings(jitter_probability=1)
    samples = dataset(videos, None, augmentation=settings, sampler=functools.partial(thrice, changes=changes))
    sample = samples[0, 1]
    found = {
        pair
        for pair in itertools.combinations(range(3), 2)
        if all(torch.equal(sample[name][pair[0]], sample[name][pair[1]]) for name in ("pixels", "flip", "jitter"))
    }
    assert found == alike
    assert {pair for pair in itertools.combinations(range(3), 2) if torch.equal(*sample["jitter"][list(pair)])} == alike


def quarter_turn(pixels: np.ndarray) -> np.ndarray:
    return np.rot90(pixels, axes=(1, 2)).copy()


def test_a_transform_changes_the_cropped_pixels_before_flip_and_colours(videos: list[Video]) -> None:
    """The same four frames twice, as they are and turned by 90 degrees: the corner at the top right comes to the top left.
    Crop, flip and colours are drawn as without a transform, and the mirror is upright: the network sees the turned clip
    mirrored, not the mirrored clip turned."""

    def sampler(video: Video, rng: np.random.Generator, transforms: Any = (np.asarray, quarter_turn)) -> SampledClips:
        return SampledClips(np.tile(np.arange(4), (2, 1)), changes=(0, 0), transforms=transforms)

    always = AugmentationSettings(flip_probability=1, jitter_probability=0)
    sample = dataset(videos, None, augmentation=always, sampler=sampler)[0, 1]
    plain, turned = sample["pixels"]
    assert torch.equal(turned[:, 0, 0], plain[:, 0, 15])
    assert torch.equal(turned, torch.rot90(plain, dims=(1, 2)))
    assert not torch.equal(turned, plain)
    without = dataset(videos, None, augmentation=always, sampler=functools.partial(sampler, transforms=None))[0, 1]
    assert torch.equal(without["pixels"][0], plain) and torch.equal(without["pixels"][1], plain)
    for name in ("flip", "jitter"):
        assert torch.equal(without[name], sample[name]), name
    batch = torch.utils.data.default_collate([sample])
    shown = network_clips(batch, VIDEO.model_copy(update={"pixels": "rgb_unit"}), torch.device("cpu"))[0, 1]
    expected = torch.rot90(plain, dims=(1, 2)).flip(2).permute(3, 0, 1, 2).float() / 255
    torch.testing.assert_close(shown, expected)


def test_windows_of_other_sizes_are_resized_to_the_crop(videos: list[Video]) -> None:
    """RSPNet's crops cover 0.4 to 1 of the frame; all arrive as 16 x 16, and the largest ones have the frame's colours."""
    samples = dataset(videos, None, augmentation=AugmentationSettings(crop_area=(0.4, 1.0)))
    for index in range(len(videos)):
        assert samples[0, index]["pixels"].shape == (1, 4, 16, 16, 3)
    largest = dataset(videos, None, augmentation=AugmentationSettings(crop_area=(1.0, 1.0), flip_probability=0))[0, 3]
    frames = FrameCache(None, 0).read(videos[3], range(40), (24, 32)).pixels.astype(float)
    differences = np.abs(frames.mean((1, 2))[:, None] - largest["pixels"][0].numpy().mean((1, 2))[None]).max(2).min(0)
    assert differences.max() < 3, "the mean colour of each frame of the clip is that of a frame"


def test_no_video_and_a_single_clip_are_errors(videos: list[Video]) -> None:
    with pytest.raises(DataError, match="test: there is no video"):
        dataset([], None)
    with pytest.raises(DataError, match="one clip is too few"):
        ClipLoader(dataset(videos[:1], None, clips_per_video=1), 4, training=True, workers=0)


def test_generators_of_different_purposes_are_unrelated() -> None:
    draws = {
        (seed, stream, number): int(generator(seed, stream, number).integers(2**62))
        for seed in (0, 1)
        for stream in ("a", "b")
        for number in (0, 1)
    }
    assert len(set(draws.values())) == 8
    assert int(generator(1, "b", 1).integers(2**62)) == draws[1, "b", 1]


class Noting(ClipDataset):
    """Notes which samples were read, in this process."""

    read: list[tuple[int, int]]

    def __getitem__(self, item: tuple[int, int]) -> dict[str, Any]:
        self.read.append(item)
        return super().__getitem__(item)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("training", [True, False])
def test_an_epoch_goes_on_from_any_batch(videos: list[Video], tmp_path: Path, training: bool, workers: int) -> None:
    """Ten clips in batches of three: the same batches as of the whole epoch, the incomplete last one dropped or not."""
    loader = ClipLoader(dataset(videos, tmp_path / "frames"), 3, training=training, workers=workers)
    whole = epoch(loader, 1)
    assert len(whole) == len(loader) == (3 if training else 4)
    for start in range(len(whole) + 1):
        rest = list(loader.epoch(1, start))
        assert len(rest) == len(whole) - start
        assert all(same(a, b) for a, b in zip(rest, whole[start:], strict=True))
    assert all(same(a, b) for a, b in zip(epoch(loader, 1), whole, strict=True)), "the next epoch is whole again"


def test_clips_before_the_batch_that_an_epoch_goes_on_from_are_not_read(videos: list[Video]) -> None:
    samples = dataset(videos, None)
    samples.__class__ = Noting
    assert isinstance(samples, Noting)
    samples.read = []
    loader = ClipLoader(samples, 3, training=True, workers=0)
    order = list(loader.order)
    list(loader.epoch(0, 2))
    assert samples.read == order[6:9]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_takes_nothing_from_torch_s_random_numbers(videos: list[Video], workers: int) -> None:
    """Whether its processes are new or were there before: what is drawn beside it is the same."""
    loader, before = ClipLoader(dataset(videos, None), 5, training=True, workers=workers), torch.get_rng_state()
    for number in (0, 1):
        epoch(loader, number)
        assert torch.equal(torch.get_rng_state(), before)


def test_killed_loader_processes_are_told_from_other_errors_and_an_epoch_after_that_has_new_ones(
    videos: list[Video], tmp_path: Path
) -> None:
    """SIGKILL, and the batches that they had read; in this thread nothing is raised before the loader is asked."""
    samples = dataset(videos, tmp_path / "frames", clips_per_video=8)
    loader, alone = (ClipLoader(samples, 2, training=True, workers=workers) for workers in (2, 0))
    handler = signal.getsignal(signal.SIGCHLD)
    batches = loader.epoch(0)
    read = [next(batches)]
    for process in multiprocessing.active_children():
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    with pytest.raises(LoaderDied, match=r"^test: DataLoader worker \(pid.*"):
        for batch in batches:
            read.append(batch)
    read += loader.epoch(0, len(read))
    assert len(read) == len(loader) == 20
    assert all(same(a, b) for a, b in zip(read, epoch(alone, 0), strict=True))
    assert signal.getsignal(signal.SIGCHLD) == handler


def test_an_error_in_a_loader_process_is_raised_as_it_is(videos: list[Video]) -> None:
    """Also one that looks like a broken connection, and one of this process."""
    for kind, workers in ((RuntimeError, 1), (ConnectionResetError, 1), (ConnectionResetError, 0)):

        def sampler(video: Video, rng: np.random.Generator, kind: type[Exception] = kind) -> SampledClips:
            raise kind("of the sampler's own")

        loader = ClipLoader(dataset(videos, None, sampler=sampler), 5, training=True, workers=workers)
        with pytest.raises(kind, match="of the sampler's own") as raised:
            epoch(loader, 0)
        assert not isinstance(raised.value, LoaderDied)


@pytest.mark.parametrize(
    "error",
    [ConnectionResetError(104, "Connection reset by peer"), EOFError(), RuntimeError("received 0 items of ancillary data")],
)
def test_a_connection_that_breaks_before_its_process_is_known_to_be_dead(videos: list[Video], error: Exception) -> None:
    """What reading the answer of a process that was killed a moment ago gives now and then."""
    loader = ClipLoader(dataset(videos, None), 5, training=True, workers=1)
    broken = loader.loader

    class Breaking:
        def __iter__(self) -> Breaking:
            return self

        def __next__(self) -> Batch:
            raise error

    loader.loader = Breaking()  # type: ignore[assignment]
    with pytest.raises(LoaderDied, match=r"^test: (\[Errno 104\] Connection reset by peer|EOFError|received 0 items)"):
        epoch(loader, 0)
    assert loader.loader is not broken
    assert len(epoch(loader, 0)) == 2

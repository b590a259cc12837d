"""Clips per second from disk to the training loop, over decoding every file from its beginning for every clip.

    AUXGRAPH_CLIPS=DIR python benchmarks/input.py

DIR holds `UCF-101/` and `splits/ucf101/`; without it the embedded clips are read, and with `--folder` any directory that
has a sub-folder of videos per class. Clips as finetuning draws them (consecutive frames, random start and crop) and as
evaluation does (ten clips spread over a video) pass through the real `ClipDataset`, with these readers beneath it, in one
process with one thread:

- cache: `FrameCache` after all videos were stored; jpeg: the same with frames as JPEG images (`data.cache_format`);
- direct: `FrameCache` with a bound of 0 bytes, as beyond the bound: only what is needed is decoded and converted;
- decord: opens the file for each clip and seeks, as direct reading did before;
- naive: decodes all frames of a file up to the last one of a clip, resizes those of the clip, crops;
- decoder: opens, seeks and decodes like direct, and converts nothing.

The limit is what memory allows: copying the pixels of the clips, which lie in memory already. The targets are for real
videos; the embedded clips are so short that reading them from the beginning costs little. Seconds of the process, so that other
work on the machine disturbs less. About a minute.
"""

from __future__ import annotations

import functools
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

sys.path[0] = str(Path(__file__).resolve().parents[1])

import av
import numpy as np
import torch
import typer
from torch.nn import functional

from benchmarks.comparison import Figure, alternate, median_ratio, show, timed
from trainables.data import open_data
from trainables.presets import PRESETS, preset
from trainables.runtime import DEFAULT_CACHE_BYTES, Runtime
from trainables.settings import AugmentationSettings, with_values
from trainables.video.cache import FrameCache, Indices
from trainables.video.dataset import ClipDataset, generator
from trainables.video.decoding import Frames, Window, cut, read_frames
from trainables.video.pixels import Pixels
from trainables.video.sampling import ClipSampler, consecutive_clip, uniform_clips
from trainables.video.sequence import sound_frames, timeline_of
from trainables.video.videos import DataSource, Video

EVALUATED = 10
"""Clips of a video in evaluation, as both papers take them."""
FEW_CLIPS = {"data.embedded.train": 4, "data.embedded.validation": 1, "data.embedded.test": 1}


class ClipByClip(FrameCache):
    """Keeps nothing: every clip is read for itself, by decord."""

    def __init__(self) -> None:
        super().__init__(None, 0)

    def read_clips(
        self, video: Video, clips: Sequence[Indices], size: tuple[int, int], windows: Sequence[Window | None]
    ) -> list[Frames]:
        return [self.of_clip(video, clip, size, window) for clip, window in zip(clips, windows, strict=True)]

    def of_clip(self, video: Video, indices: Indices, size: tuple[int, int], window: Window | None) -> Frames:
        return read_frames(video.path, list(indices), size, window, decoder="decord")


class Naive(ClipByClip):
    """Every clip is read from the beginning of its file."""

    def of_clip(self, video: Video, indices: Indices, size: tuple[int, int], window: Window | None) -> Frames:
        with av.open(str(video.path)) as container:
            container.streams.video[0].codec_context.thread_count = 1
            first = itertools.islice(container.decode(video=0), int(max(indices)) + 1)
            decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in first])
        clip = torch.from_numpy(decoded[np.asarray(indices)]).permute(0, 3, 1, 2)
        resized = functional.interpolate(clip, size=size, mode="bilinear", antialias=True).permute(0, 2, 3, 1)
        return Frames(cut(resized.numpy(), window), replaced=0)


class DecoderAlone(ClipByClip):
    """Decodes what `direct` decodes, and gives black clips."""

    def read_clips(
        self, video: Video, clips: Sequence[Indices], size: tuple[int, int], windows: Sequence[Window | None]
    ) -> list[Frames]:
        timeline = timeline_of(video.path)
        for group, needed in timeline.runs(np.unique(np.concatenate(clips))):
            last = needed[-1]
            any(place >= last for place, _ in sound_frames(video.path, timeline, lambda place, frame: None, group))
        return [
            Frames(cut(np.zeros((len(clip), *size, 3), np.uint8), window), replaced=0)
            for clip, window in zip(clips, windows, strict=True)
        ]


def main(
    preset_name: Annotated[str, typer.Option("--preset", help=f"size of the clips: {', '.join(PRESETS)}")] = "small",
    clips: Annotated[int, typer.Option(min=1, help="clips per round")] = 64,
    videos: Annotated[int, typer.Option(min=1, help="videos they are drawn from, at most")] = 64,
    folder: Annotated[Path | None, typer.Option(help="read this directory of class folders")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 7,
) -> None:
    """Compare the ways from a file to a clip."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="auxgraph-") as scratch:
        dataset_name, chosen = _videos(preset_name, folder, Path(scratch), videos)
        settings = preset(preset_name)
        crop = (settings.video.crop, settings.video.crop)
        stored = FrameCache(Path(scratch) / "frames", DEFAULT_CACHE_BYTES)
        stored.fill(chosen, (settings.video.height, settings.video.width))
        images = FrameCache(Path(scratch) / "images", DEFAULT_CACHE_BYTES, "jpeg")
        images.fill(chosen, (settings.video.height, settings.video.width))
        sizes = [sum(path.stat().st_size for path in (Path(scratch) / of).iterdir()) for of in ("frames", "images")]
        readers = {"cache": stored, "jpeg": images, "direct": FrameCache(None, 0), "decord": ClipByClip(), "naive": Naive()}
        readers["decoder"] = DecoderAlone()
        length = settings.video.clip_frames
        training = functools.partial(consecutive_clip, length=length)
        evaluation = functools.partial(uniform_clips, length=length, clips=EVALUATED)

        def dataset(reader: FrameCache, sampler: ClipSampler, augmentation: AugmentationSettings | None) -> ClipDataset:
            return ClipDataset(chosen, sampler, reader, settings.video, augmentation, seed=0, stream="benchmark/input")

        drawn = [(0, int(index)) for index in generator(0, "benchmark/order").integers(len(chosen), size=clips)]
        spread = drawn[: max(1, clips // EVALUATED)]
        sides = {}
        for name, reader in readers.items():
            one, other = dataset(reader, training, settings.augmentation), dataset(reader, evaluation, None)
            sides[name] = timed(functools.partial(_read, one, drawn), time.process_time)
            if name != "naive":
                sides[f"{name}, evaluation"] = timed(functools.partial(_read, other, spread), time.process_time)
        for sampler in (training, evaluation):
            _check_equal(dataset(stored, sampler, None), dataset(readers["direct"], sampler, None), drawn[:8])
        sides["limit"] = timed(functools.partial(_copy, np.ones((clips, length, *crop, 3), np.uint8)), time.process_time)
        alternate(sides, 1)
        seconds = alternate(sides, rounds)
    count = {name: len(spread) * EVALUATED if "evaluation" in name else clips for name in sides}
    rates = {name: [count[name] / value for value in values] for name, values in seconds.items()}

    def over(one: str, other: str, bound: float | None = None) -> Figure:
        bound = bound if dataset_name != "embedded" else None
        ratio = median_ratio(rates[one], rates[other])
        return Figure(f"{one} over {other}", statistics.median(rates[one]), "clips/s", ratio, at_least=bound)

    show(
        "input",
        f"{dataset_name}, clips of preset {preset_name}, {rounds} rounds of {clips} clips of {len(chosen)} videos",
        [
            *(Figure(name, statistics.median(rate), "clips/s") for name, rate in rates.items()),
            Figure("bytes, jpeg over cache", sizes[1] / 1e6, "MB", sizes[1] / sizes[0]),
            over("cache", "naive", 10.0),
            over("jpeg", "direct"),
            over("jpeg, evaluation", "direct, evaluation"),
            over("direct", "naive", 1.5),
            over("direct", "decord", 1.2),
            over("direct, evaluation", "decord, evaluation", 2.5),
            over("direct", "decoder"),
            over("direct, evaluation", "decoder, evaluation"),
        ],
        data=dataset_name,
        preset=preset_name,
        videos=len(chosen),
    )


def _videos(preset_name: str, folder: Path | None, scratch: Path, most: int) -> tuple[str, list[Video]]:
    """The name of the data set and at most `most` of its videos, evenly from all classes."""
    clips = os.environ.get("AUXGRAPH_CLIPS")
    name = "embedded"
    sources: tuple[tuple[str, DataSource], ...] = ()
    if folder is not None:
        name, sources = "folder", (("folder", DataSource(folder.absolute(), None)),)
    elif clips is not None:
        root = Path(clips).absolute()
        name, sources = "ucf101", (("ucf101", DataSource(root / "UCF-101", root / "splits" / "ucf101")),)
    values = {"data.pretraining": name, "data.downstream": "embedded", **FEW_CLIPS}
    data = with_values(preset(preset_name), values).data
    found = open_data(data, Runtime(store=scratch / "store", cache=scratch / "cache", sources=sources))["pretraining"]
    everything = sorted({*found.train, *found.validation, *found.test}, key=lambda video: video.name)
    return name, everything[:: -(-len(everything) // most)]


def _check_equal(one: ClipDataset, other: ClipDataset, items: Sequence[tuple[int, int]]) -> None:
    for item in items:
        if not torch.equal(one[item]["pixels"], other[item]["pixels"]):
            raise RuntimeError(f"cache and direct decoding differ in sample {item}")


def _read(dataset: ClipDataset, items: Sequence[tuple[int, int]]) -> None:
    for item in items:
        dataset[item]


def _copy(source: Pixels) -> None:
    for clip in source:
        clip.copy()


if __name__ == "__main__":
    typer.run(main)

"""Clips per second from disk to the training loop, over decoding every file from its beginning for every clip.

    AUXGRAPH_CLIPS=DIR python benchmarks/input.py

DIR holds `UCF-101/` and `splits/ucf101/`; without it the embedded clips are read, and with `--folder` any directory that
has a sub-folder of videos per class. Clips as finetuning draws them (consecutive frames, random start and crop) pass
through the real `ClipDataset`, with three readers beneath it, in one process with one thread:

- cache: `FrameCache` after all videos were stored;
- direct: `FrameCache` with a bound of 0 bytes, as beyond the bound: only what is needed is decoded and converted;
- naive: opens the file, decodes all frames up to the last one needed (with decord, or PyAV where decord is not exact),
  resizes those of the clip, crops.

The limit is what memory allows: copying the pixels of the clips, which lie in memory already. The targets are for real
videos; the embedded clips are so short that reading them from the beginning costs little. About a minute.
"""

from __future__ import annotations

import functools
import itertools
import os
import statistics
import sys
import tempfile
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
from trainables.settings import with_values
from trainables.video.cache import FrameCache
from trainables.video.dataset import ClipDataset, generator
from trainables.video.decoding import Frames, Window, cut
from trainables.video.pixels import Pixels
from trainables.video.sampling import consecutive_clip
from trainables.video.videos import DataSource, Video

FEW_CLIPS = {"data.embedded.train": 4, "data.embedded.validation": 1, "data.embedded.test": 1}


class NaiveReader(FrameCache):
    """Keeps nothing: every clip is read from the beginning of its file."""

    def __init__(self) -> None:
        super().__init__(None, 0)

    def read(self, video: Video, indices: Sequence[int], size: tuple[int, int], window: Window | None = None) -> Frames:
        decoded = _decoded_from_the_beginning(video, max(indices))
        clip = torch.from_numpy(decoded[np.asarray(indices)]).permute(0, 3, 1, 2)
        resized = functional.interpolate(clip, size=size, mode="bilinear", antialias=True).permute(0, 2, 3, 1)
        return Frames(cut(resized.numpy(), window), replaced=0)


def _decoded_from_the_beginning(video: Video, last: int) -> Pixels:
    """The frames up to `last` as RGB in the size of the source, decoded by one thread."""
    if video.decoder == "decord":
        import decord

        frames: Pixels = decord.VideoReader(str(video.path), num_threads=1).get_batch(range(last + 1)).asnumpy()
        return frames
    with av.open(str(video.path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        first = itertools.islice(container.decode(video=0), last + 1)
        return np.stack([frame.to_ndarray(format="rgb24") for frame in first])


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
        readers = {"cache": stored, "direct": FrameCache(None, 0), "naive": NaiveReader()}
        datasets = {
            name: ClipDataset(
                chosen,
                functools.partial(consecutive_clip, length=settings.video.clip_frames),
                reader,
                settings.video,
                settings.augmentation,
                seed=0,
                stream="benchmark/input",
            )
            for name, reader in readers.items()
        }
        items = [(0, int(index)) for index in generator(0, "benchmark/order").integers(len(chosen), size=clips)]
        _check_equal(datasets["cache"], datasets["direct"], items[:8])
        sides = {name: timed(functools.partial(_read, dataset, items)) for name, dataset in datasets.items()}
        sides["limit"] = timed(functools.partial(_copy, np.ones((clips, settings.video.clip_frames, *crop, 3), np.uint8)))
        alternate(sides, 1)
        seconds = alternate(sides, rounds)
    rates = {name: [clips / value for value in values] for name, values in seconds.items()}
    bounds = {"cache": 10.0, "direct": 1.5} if dataset_name != "embedded" else {}
    show(
        "input",
        f"{dataset_name}, clips of preset {preset_name}, {rounds} rounds of {clips} clips of {len(chosen)} videos",
        [
            Figure(name, statistics.median(rate), "clips/s", median_ratio(rate, rates["naive"]), at_least=bounds.get(name))
            for name, rate in rates.items()
        ],
        data=dataset_name,
        preset=preset_name,
        videos=len(chosen),
        decoders={name: sum(video.decoder == name for video in chosen) for name in ("decord", "pyav")},
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
    values = {"data.pretraining": name, "data.downstream": name, **FEW_CLIPS}
    data = with_values(preset(preset_name), values).data
    found = open_data(data, Runtime(store=scratch / "store", cache=scratch / "cache", sources=sources))["downstream"]
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

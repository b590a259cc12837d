"""What an exported network says of videos of no data set: as its trial's evaluation did, of clips spread evenly over each."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from trainables.exported import Model
from trainables.models.kernels import kernels
from trainables.runtime import Runtime
from trainables.stages import evaluate
from trainables.stages.work import Work
from trainables.video.decoding import probe
from trainables.video.videos import EXTENSIONS, UNLABELLED, Video, VideoSet


def open_video(path: Path) -> Video:
    """A file, or a directory of frames, as a video. Raises DecodingError with the reason where it is none."""
    found = probe(path)
    return Video(str(path), path, UNLABELLED, str(path), frames=found.frames, decoder=found.decoder)


def videos_below(directory: Path) -> list[Path]:
    """The files below a directory that have the ending of a video, in order of their names."""
    return sorted(path for path in directory.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())


def scores(model: Model, videos: Sequence[Video], device: str = "auto") -> Tensor:
    """Of each class in each video, (videos, classes): the mean over `evaluation.clips` clips, as the trial averaged."""
    return _asked(model, model.network, videos, device)


def features(model: Model, videos: Sequence[Video], clips: int | None = None, device: str = "auto") -> Tensor:
    """What the last layer sees, (videos, clips, features). clips: of a video; by default `frozen.clips`."""
    return _asked(model, model.for_features(), videos, device, clips or model.settings.frozen.clips)


def _asked(model: Model, network: nn.Module, videos: Sequence[Video], device: str, clips: int | None = None) -> Tensor:
    with tempfile.TemporaryDirectory() as nothing_kept:
        place = Path(nothing_kept)
        runtime = Runtime(store=place, cache=place, cache_bytes=0, device=device)
        seen = VideoSet("videos", model.classes or (), (), (), tuple(videos))
        work = Work("predict", model.settings, 0, seen, {}, runtime)
        with kernels(model.settings.compute, work.device), torch.no_grad():
            network = work.for_evaluation(network)
            if clips is None:
                return evaluate.predict(work, network, videos)
            return torch.cat([found.cpu() for found in evaluate.outputs_of_videos(work, network, videos, clips)])

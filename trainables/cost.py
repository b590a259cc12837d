"""What a stage will cost: clips through its networks times the measured seconds of one clip on this machine."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from trainables.models import make_backbone, make_encoder
from trainables.models.backbone import place
from trainables.pipeline import Stage
from trainables.pretext import TASKS
from trainables.settings import ComputeSettings, ExperimentSettings, Optimisation
from trainables.stages.teacher_classifier import SUFFIX as CLASSIFIER
from trainables.stages.views import SUFFIX as VIEWS
from trainables.teachers import TEACHERS
from trainables.video.layouts import PARTS, VideoSet

PROBE_CLIPS = 4
PROBE_CLASSES = 10
LONG_VIDEO = 10_000
NEGLIGIBLE = 1e-3
FLOW_SECONDS = 5e-7
"""Of optical flow, per pixel of a frame on one core."""

Passes = tuple[float, float]
"""How many clips go forward only, and how many forward and backward."""


@functools.lru_cache(maxsize=32)
def _measured(network: str, settings: ExperimentSettings, device: torch.device) -> tuple[float, float]:
    module: nn.Module
    if network == "backbone":
        module = make_backbone(settings.backbone, PROBE_CLASSES)
    else:
        module = make_encoder(network, settings, PROBE_CLASSES)
    place(module, device, ComputeSettings())
    frames, side = settings.video.clip_frames, settings.video.crop
    clips = torch.zeros(PROBE_CLIPS, 3, frames, side, side, device=device)
    forward, both = float("inf"), float("inf")
    for _ in range(2):
        started = time.perf_counter()
        loss = module(clips).sum()
        _wait(device)
        forward = min(forward, time.perf_counter() - started)
        loss.backward()
        _wait(device)
        both = min(both, time.perf_counter() - started)
    return forward / PROBE_CLIPS, both / PROBE_CLIPS


def clip_seconds(network: str, settings: ExperimentSettings, device: torch.device) -> tuple[float, float]:
    """Seconds of one clip: (forward, forward and backward), the better of two measurements on a few clips.

    network: `backbone`, or a name in ENCODERS. Settings that it does not depend on cause no new measurement.
    """
    groups = ("video", "frames", network)
    plain = ExperimentSettings().model_copy(update={name: getattr(settings, name) for name in groups})
    return _measured(network, plain, device)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def stage_seconds(stage: Stage, settings: ExperimentSettings, videos: VideoSet, device: torch.device) -> float:
    """Seconds that the networks of a stage compute on its videos; decoding and start-up come on top."""
    if stage.kind == "tracks":
        return _tracks_seconds(settings, videos)
    if stage.kind not in WORK:
        return NEGLIGIBLE
    network, passes_of = WORK[stage.kind]
    train, validation, test = (len(videos.part(part)) for part in PARTS)
    forward, both = clip_seconds(network, settings, device)
    only_forward, trained = passes_of(settings, train, validation, test)
    return only_forward * forward + trained * both


def _tracks_seconds(settings: ExperimentSettings, videos: VideoSet) -> float:
    video, tracking = settings.video, settings.tracking
    fields = (len(videos.train) + len(videos.validation)) * tracking.tracks_per_video * (tracking.frames - 1)
    return fields * video.height * video.width * FLOW_SECONDS


def _auxskd(settings: ExperimentSettings, train: int, validation: int, test: int) -> Passes:
    views = settings.auxskd.epochs * train * settings.auxskd.clips_per_video
    return views, views


def _pretext(settings: ExperimentSettings, train: int, validation: int, test: int) -> Passes:
    pretext = settings.pretext
    clips = len(TASKS[pretext.task](settings).sample(LONG_VIDEO, np.random.default_rng(0)).indices)
    return _pretrained(pretext, pretext.validation_clips, clips, train, validation)


def _teacher(task: str, settings: ExperimentSettings, train: int, validation: int, test: int) -> Passes:
    teacher = TEACHERS[task](settings)
    group = teacher.optimisation
    return _pretrained(group, group.validation_clips, teacher.clips_of_a_sample, train, validation)


def _pretrained(group: Optimisation, validation_clips: int, clips: float, train: int, validation: int) -> Passes:
    epochs = clips * group.epochs
    return epochs * validation * validation_clips, epochs * train * group.clips_per_video


def _supervised(group: str, settings: ExperimentSettings, train: int, validation: int, test: int) -> Passes:
    optimisation: Optimisation = getattr(settings, group)
    return optimisation.epochs * validation, optimisation.epochs * train * optimisation.clips_per_video


def _evaluated(settings: ExperimentSettings, train: int, validation: int, test: int) -> Passes:
    return (validation + test) * settings.evaluation.clips, 0


def _features(settings: ExperimentSettings, train: int, validation: int, test: int) -> Passes:
    return (train + validation + test) * settings.frozen.clips, 0


def _views(settings: ExperimentSettings, train: int, validation: int, test: int) -> Passes:
    return train * settings.views.views + (validation + test) * settings.evaluation.clips, 0


WORK: dict[str, tuple[str, Callable[[ExperimentSettings, int, int, int], Passes]]] = {
    "auxskd": ("backbone", _auxskd),
    "pretext": ("backbone", _pretext),
    "finetune": ("backbone", functools.partial(_supervised, "finetune")),
    "evaluate": ("backbone", _evaluated),
    "features": ("backbone", _features),
    "student": ("alexnet", functools.partial(_supervised, "student")),
    "evaluate_student": ("alexnet", _evaluated),
}
"""By kind of stage its network, and the passes of that network given the videos of each part."""
for _task, _kind in TEACHERS.items():
    WORK |= {
        _task: (_kind.encoder, functools.partial(_teacher, _task)),
        _task + CLASSIFIER: (_kind.encoder, functools.partial(_supervised, "teacher_finetune")),
        _task + VIEWS: (_kind.encoder, _views),
    }

"""Sizes and recipes: presets, and what graph distillation's recipes and published protocols set over them.

    configure("demo", {"pretext.task": "vcop", "finetune.epochs": 5})

Everything here is values by dotted name, laid over the settings' defaults: first the preset, then what it has for the data set
that is pretrained on, then what the pretext task's authors published (protocol `published`; `published` of the task), then what
graph distillation's recipes need, then the caller's.

`paper` is the published setting of auxSKD + VSPP and of graph distillation. `demo` and `small` set sizes, rates, calmer colours
and pixels that show only motion, without which networks this small learn no task in minutes; the code path is the same. They
have the same networks: `small` sees more pixels (graph distillation as many) of twice as many unlabelled videos, and is
judged by three times as many test videos.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from trainables.settings import (
    FOLLOW_PRETRAINING,
    GRAPH_RECIPES,
    ExperimentSettings,
    SettingsError,
    flat,
    is_import_path,
    with_values,
)
from trainables.suggestions import did_you_mean

_NARROW = {
    "augmentation.brightness": 0.2,
    "augmentation.contrast": 0.2,
    "augmentation.saturation": 0.2,
    "augmentation.hue": 0.05,
    "augmentation.jitter_per": "clip",
    "video.pixels": "rgb_motion",
    "backbone.depth": 10,
    "backbone.width": 8,
    "vcop.head_width": 64,
    "rspnet.projection": 32,
    "rspnet.memory_bank": 512,
    "rspnet.key_momentum": 0.98,
    "auxskd.batch_size": 16,
    "auxskd.student_temperature": 0.1,
    "auxskd.optimiser": "adam",
    "auxskd.learning_rate": 0.0005,
    "auxskd.weight_decay": 0.0,
    "auxskd.epochs": 2,
    "auxskd.teacher_momentum": 0.98,
    "auxskd.memory_bank": 512,
    "auxskd.projection": 32,
    "auxskd.predictor_hidden": 128,
    "pretext.batch_size": 16,
    "pretext.learning_rate": 0.002,
    "pretext.checkpoints": 4,
    "pretext.optimiser": "adam",
    "pretext.epochs": 4,
    "pretext.step_epochs": 3,
    "pretext.validation_clips": 2,
    "finetune.batch_size": 30,
    "finetune.learning_rate": 0.04,
    "finetune.epochs": 24,
    "finetune.step_epochs": 18,
    "evaluation.clips": 2,
    "frozen.clips": 2,
    "frames.per_clip": 2,
    "vgg.pooled_layers": [2, 3, 4],
    "vgg.conv1_filter": 5,
    "vgg.conv1_stride": 1,
    "vgg.cells": 1,
    "vgg.dropout": 0.1,
    "vgg.batch_norm": True,
    "vgg.channels": [12, 24, 32, 32, 8],
    "vgg.convolutions": [1, 1, 1, 1, 1],
    "vgg.hidden": 64,
    "prednet.dropout": 0.1,
    "prednet.features": "all",
    "prednet.targets": [3, 8, 12, 16],
    "prednet.representations": [8, 8, 12, 16],
    "prednet.side": 24,
    "alexnet.conv1_filter": 5,
    "alexnet.conv1_stride": 1,
    "alexnet.dropout": 0.1,
    "alexnet.batch_norm": True,
    "alexnet.channels": [8, 16, 24, 24, 24],
    "alexnet.hidden": 32,
    "sorting.epochs": 6,
    "sorting.batch_size": 16,
    "sorting.optimiser": "adam",
    "sorting.learning_rate": 0.002,
    "sorting.weight_decay": 0.0,
    "sorting.step_epochs": 5,
    "sorting.frames": 3,
    "sorting.spacing": 1,
    "sorting.crop_jitter": 0,
    "sorting.channel_splitting": "per_sample",
    "sorting.pair": "difference",
    "sorting.layers": 2,
    "sorting.pair_units": 128,
    "sorting.dropout": 0.0,
    "sorting.clips_per_video": 3,
    "ego_motion.batch_size": 16,
    "ego_motion.optimiser": "adam",
    "ego_motion.learning_rate": 0.002,
    "ego_motion.weight_decay": 0.0,
    "ego_motion.decay": 0.1,
    "ego_motion.close_frames": 2,
    "ego_motion.dropout": 0.1,
    "ego_motion.epochs": 8,
    "ego_motion.step_epochs": 6,
    "ego_motion.clips_per_video": 2,
    "ego_motion.top_channels": [32, 16],
    "ego_motion.top_units": 64,
    "tracking.batch_size": 16,
    "tracking.optimiser": "adam",
    "tracking.weight_decay": 0.0,
    "tracking.clips_per_video": 2,
    "tracking.epochs": 8,
    "tracking.step_epochs": 6,
    "tracking.frames": 12,
    "tracking.tracks_per_video": 1,
    "tracking.units": 64,
    "prediction.batch_size": 8,
    "prediction.learning_rate": 0.003,
    "prediction.stride": 3,
    "prediction.validation_clips": 1,
    "teacher_finetune.batch_size": 16,
    "teacher_finetune.optimiser": "adam",
    "teacher_finetune.learning_rate": 0.002,
    "teacher_finetune.weight_decay": 0.0,
    "views.views": 24,
    "student.batch_size": 16,
    "student.epochs": 120,
    "student.learning_rate": 0.002,
    "student.step_epochs": 48,
    "graph.sketch": 64,
}
"""What demo and small share: forms, rates and epochs for networks so small that published ones teach them little in minutes."""

PRESETS: dict[str, dict[str, Any]] = {
    "demo": {
        **_NARROW,
        "data.embedded.train": 60,
        "data.embedded.validation": 15,
        "data.embedded.test": 50,
        "data.labelled_share": 0.25,
        "video.height": 28,
        "video.width": 28,
        "video.crop": 24,
        "prediction.epochs": 12,
        "prediction.step_epochs": 10,
        "teacher_finetune.epochs": 25,
        "teacher_finetune.step_epochs": 20,
    },
    "small": {
        **_NARROW,
        "data.embedded.train": 120,
        "data.embedded.validation": 30,
        "data.embedded.test": 150,
        "data.embedded.height": 36,
        "data.embedded.width": 44,
        "data.labelled_share": 0.125,
        "video.height": 36,
        "video.width": 44,
        "video.crop": 32,
        "prediction.epochs": 6,
        "prediction.step_epochs": 5,
        "teacher_finetune.epochs": 60,
        "teacher_finetune.step_epochs": 48,
    },
    "paper": {"views.side": 13, "views.stored": "float16", "compute.cudnn_benchmark": True},
}

BY_PRETRAINING: dict[str, dict[str, dict[str, Any]]] = {"paper": {"ucf101": dict.fromkeys(FOLLOW_PRETRAINING, 10)}}
"""Over a preset, by `data.pretraining`: tenfold epochs "for UCF101" (Sec. 4.2 of auxSKD), and for no other data."""

_GRAPH_MEASURE = {"evaluation.measures": ["finetune"]}
GRAPH: dict[str, dict[str, Any]] = {
    "demo": {
        **_GRAPH_MEASURE,
        "video.clip_frames": 8,
        "video.height": 36,
        "video.width": 36,
        "video.crop": 32,
    },
    "small": {**_GRAPH_MEASURE, "video.clip_frames": 8},
    "paper": {
        **_GRAPH_MEASURE,
        "video.clip_frames": 10,
        "video.height": 256,
        "video.width": 340,
        "video.crop": 224,
        "video.pixels": "rgb_imagenet",
        "augmentation.jitter_probability": 0.0,
        "evaluation.clips": 25,
    },
}
"""Over a preset for the recipes of graph distillation: what both papers' experiments read, in the sizes of this one's."""


@functools.cache
def preset(name: str) -> ExperimentSettings:
    """The settings of a preset. Raises SettingsError for an unknown name."""
    if name not in PRESETS:
        raise SettingsError(f"unknown preset '{name}'{did_you_mean(name, PRESETS)}; valid presets: {', '.join(PRESETS)}")
    return with_values(ExperimentSettings(), PRESETS[name])


def configure(preset_name: str, values: Mapping[str, Any]) -> ExperimentSettings:
    """A preset with `values` by dotted name over it, and over what protocol and recipe set.

    Raises SettingsError for an unknown preset, an unknown setting, a value out of range, and settings with which a task that
    the experiment names cannot work.
    """
    base = preset(preset_name)
    recipe, protocol = (values.get(name, getattr(base, name)) for name in ("recipe", "protocol"))
    of_data = BY_PRETRAINING.get(preset_name, {}).get(str(values.get("data.pretraining", base.data.pretraining)), {})
    graph = GRAPH[preset_name] if recipe in GRAPH_RECIPES else {}
    task = values.get("pretext.task", base.pretext.task)
    published = _published(task) if protocol == "published" else {}
    settings = with_values(base, {**of_data, **published, **graph, **values})
    if recipe in GRAPH_RECIPES:
        _check_teachers(settings)
    elif is_import_path(settings.pretext.task):
        _check_pretext(settings)
    return settings


def _published(task: str) -> Mapping[str, Any]:
    from trainables.tasks import find_task  # needs torch, which few callers do

    return find_task(task).published


def _check_teachers(settings: ExperimentSettings) -> None:
    from trainables.tasks import BACKBONE, find_task

    for name in settings.teachers.names:
        task = find_task(name)
        if task.encoder == BACKBONE:
            raise SettingsError(f"teachers.tasks: {name} is a pretext task of the backbone, no task of a teacher's encoder")
        task(settings)


def _check_pretext(settings: ExperimentSettings) -> None:
    from trainables.tasks import BACKBONE, find_task

    task = find_task(settings.pretext.task)
    if task.encoder != BACKBONE:
        raise SettingsError(f"pretext.task: {settings.pretext.task} is a teacher's task, of the encoder {task.encoder}")
    task(settings)


def departures(settings: ExperimentSettings, preset_name: str) -> dict[str, Any]:
    """The settings that differ from what the preset gives with the same recipe, protocol, pretext task and pretraining data."""
    tasks = {"pretext.task": settings.pretext.task, "teachers.tasks": settings.teachers.tasks}
    same: dict[str, Any] = {"protocol": settings.protocol, "data.pretraining": settings.data.pretraining, **tasks}
    if settings.recipe in GRAPH_RECIPES:
        same["recipe"] = "fusion"
    usual = preset(preset_name)
    plain = flat(configure(preset_name, same)) | {"recipe": usual.recipe, "teachers.tasks": usual.teachers.tasks}
    plain |= {"data.pretraining": usual.data.pretraining}
    return {name: value for name, value in flat(settings).items() if value != plain[name]}

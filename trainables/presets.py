"""Sizes and recipes: the presets, and the protocol that each pretext task was published with.

    configure("demo", {"pretext.task": "vcop", "finetune.epochs": 5})

`paper` is the published setting of auxSKD + VSPP and of graph distillation. `demo` and `small` set sizes, rates, calmer colours
and pixels that show only motion, without which networks this small learn no task in minutes; the code path is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainables.settings import (
    GRAPH_RECIPES,
    AlexNetSettings,
    AugmentationSettings,
    AuxSKDSettings,
    BackboneSettings,
    DataSettings,
    EgoMotionSettings,
    EmbeddedSettings,
    EvaluationSettings,
    ExperimentSettings,
    FinetuneSettings,
    FrameSettings,
    FrozenSettings,
    GraphSettings,
    PredictionSettings,
    PredNetSettings,
    PretextSettings,
    RSPNetSettings,
    SettingsError,
    SortingSettings,
    StudentSettings,
    TeacherFinetuneSettings,
    TrackingSettings,
    VCOPSettings,
    VGGSettings,
    VideoSettings,
    ViewsSettings,
    flat,
    with_values,
)
from trainables.teachers import TEACHERS

_CALM = AugmentationSettings(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05, jitter_per="clip")

PRESETS: dict[str, ExperimentSettings] = {
    "demo": ExperimentSettings(
        data=DataSettings(embedded=EmbeddedSettings(train=20, validation=8, test=10)),
        video=VideoSettings(clip_frames=16, height=28, width=28, crop=24, pixels="rgb_motion"),
        augmentation=_CALM,
        backbone=BackboneSettings(depth=10, width=8),
        auxskd=AuxSKDSettings(
            epochs=2,
            batch_size=16,
            learning_rate=0.001,
            memory_bank=512,
            teacher_momentum=0.98,
            projection=32,
            predictor_hidden=128,
        ),
        vcop=VCOPSettings(head_width=64),
        rspnet=RSPNetSettings(memory_bank=512, key_momentum=0.98, projection=32),
        pretext=PretextSettings(epochs=4, batch_size=16, learning_rate=0.01, step_epochs=3, clips_per_video=3, checkpoints=4),
        finetune=FinetuneSettings(epochs=5, batch_size=16, learning_rate=0.01, step_epochs=4),
        frozen=FrozenSettings(clips=4),
        evaluation=EvaluationSettings(clips=10),
        frames=FrameSettings(per_clip=2),
        vgg=VGGSettings(
            channels=(12, 24, 32, 32, 8),
            convolutions=(1, 1, 1, 1, 1),
            pooled_layers=(2, 3, 4),
            cells=1,
            conv1_filter=5,
            conv1_stride=1,
            hidden=64,
            dropout=0.1,
            batch_norm=True,
        ),
        prednet=PredNetSettings(targets=(3, 8, 12, 16), representations=(8, 8, 12, 16), side=24, dropout=0.1),
        alexnet=AlexNetSettings(
            channels=(8, 16, 24, 24, 24), conv1_filter=5, conv1_stride=1, hidden=32, dropout=0.1, batch_norm=True
        ),
        sorting=SortingSettings(
            epochs=6,
            batch_size=16,
            optimiser="adam",
            learning_rate=2e-3,
            weight_decay=0.0,
            step_epochs=5,
            clips_per_video=8,
            validation_clips=4,
            frames=3,
            spacing=1,
            crop_jitter=0,
            pair_units=128,
            dropout=0.0,
        ),
        ego_motion=EgoMotionSettings(
            epochs=5,
            batch_size=16,
            optimiser="adam",
            learning_rate=2e-3,
            weight_decay=0.0,
            step_epochs=4,
            decay=0.1,
            clips_per_video=4,
            close_frames=2,
            top_channels=(32, 16),
            top_units=64,
            dropout=0.1,
        ),
        tracking=TrackingSettings(
            epochs=4,
            batch_size=16,
            optimiser="adam",
            learning_rate=1e-3,
            weight_decay=0.0,
            step_epochs=3,
            clips_per_video=2,
            frames=12,
            tracks_per_video=3,
            units=64,
        ),
        prediction=PredictionSettings(epochs=5, batch_size=8, learning_rate=3e-3, step_epochs=4, validation_clips=1),
        teacher_finetune=TeacherFinetuneSettings(
            epochs=10, batch_size=16, optimiser="adam", learning_rate=2e-3, weight_decay=0.0, step_epochs=8
        ),
        views=ViewsSettings(views=4),
        student=StudentSettings(epochs=20, batch_size=16, learning_rate=2e-3, step_epochs=8),
        graph=GraphSettings(sketch=64),
    ),
    "small": ExperimentSettings(
        data=DataSettings(embedded=EmbeddedSettings(train=60, validation=20, test=30, height=48, width=48)),
        video=VideoSettings(clip_frames=16, height=48, width=60, crop=40, pixels="rgb_motion"),
        augmentation=_CALM,
        backbone=BackboneSettings(depth=10, width=12),
        auxskd=AuxSKDSettings(
            epochs=5,
            step_epochs=4,
            batch_size=16,
            learning_rate=0.001,
            memory_bank=2048,
            teacher_momentum=0.99,
            projection=64,
            predictor_hidden=256,
        ),
        vcop=VCOPSettings(head_width=128),
        rspnet=RSPNetSettings(memory_bank=2048, key_momentum=0.99, projection=64),
        pretext=PretextSettings(epochs=10, batch_size=16, learning_rate=0.01, step_epochs=8, clips_per_video=2, checkpoints=4),
        finetune=FinetuneSettings(epochs=12, batch_size=16, learning_rate=0.01, step_epochs=9),
        frames=FrameSettings(per_clip=2),
        vgg=VGGSettings(
            channels=(16, 32, 48, 48, 16),
            convolutions=(1, 1, 2, 1, 1),
            pooled_layers=(2, 3, 4),
            cells=1,
            conv1_filter=5,
            conv1_stride=1,
            hidden=128,
            dropout=0.1,
            batch_norm=True,
        ),
        prednet=PredNetSettings(targets=(3, 8, 16, 24), representations=(8, 8, 16, 24), side=32, dropout=0.1),
        alexnet=AlexNetSettings(
            channels=(12, 24, 32, 32, 32), conv1_filter=5, conv1_stride=1, hidden=64, dropout=0.1, batch_norm=True
        ),
        sorting=SortingSettings(
            epochs=6,
            batch_size=16,
            optimiser="adam",
            learning_rate=2e-3,
            weight_decay=0.0,
            step_epochs=5,
            clips_per_video=6,
            frames=3,
            spacing=1,
            crop_jitter=0,
            pair_units=128,
            dropout=0.0,
        ),
        ego_motion=EgoMotionSettings(
            epochs=6,
            batch_size=16,
            optimiser="adam",
            learning_rate=2e-3,
            weight_decay=0.0,
            step_epochs=5,
            decay=0.1,
            clips_per_video=3,
            close_frames=2,
            top_channels=(64, 32),
            top_units=128,
            dropout=0.1,
        ),
        tracking=TrackingSettings(
            epochs=5,
            batch_size=16,
            optimiser="adam",
            learning_rate=1e-3,
            weight_decay=0.0,
            step_epochs=4,
            clips_per_video=2,
            frames=16,
            units=128,
        ),
        prediction=PredictionSettings(epochs=5, batch_size=8, learning_rate=3e-3, step_epochs=4, validation_clips=1),
        teacher_finetune=TeacherFinetuneSettings(
            epochs=12, batch_size=16, optimiser="adam", learning_rate=2e-3, weight_decay=0.0, step_epochs=9
        ),
        views=ViewsSettings(views=4),
        student=StudentSettings(epochs=24, batch_size=16, learning_rate=2e-3, step_epochs=8),
        graph=GraphSettings(sketch=128),
    ),
    "paper": ExperimentSettings(
        auxskd=AuxSKDSettings(clips_per_video=10),
        pretext=PretextSettings(clips_per_video=10),
        views=ViewsSettings(stored="float16"),
    ),
}

_GRAPH_MEASURE = {"evaluation.measures": ["finetune"]}
GRAPH: dict[str, dict[str, Any]] = {
    "demo": {
        **_GRAPH_MEASURE,
        "video.clip_frames": 8,
        "video.height": 36,
        "video.width": 36,
        "video.crop": 32,
        "evaluation.clips": 4,
    },
    "small": {
        **_GRAPH_MEASURE,
        "video.clip_frames": 8,
        "video.height": 48,
        "video.width": 60,
        "video.crop": 40,
        "evaluation.clips": 5,
    },
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

_JITTER_04 = {"augmentation.brightness": 0.4, "augmentation.contrast": 0.4, "augmentation.saturation": 0.4}
_AS_RELEASED_PACE = {"pretext.weight_decay": 5e-3, "auxskd.weight_decay": 5e-3, "video.pixels": "bgr_255", "backbone.depth": 10}

PUBLISHED: dict[str, dict[str, Any]] = {
    "vspp": {},  # preset paper as it is
    "video_pace": {  # laura-wang/video-pace
        **_AS_RELEASED_PACE,
        "pretext.epochs": 18,
        "pretext.clips_per_video": 10,
    },
    "vcop": {  # xudejing/video-clip-order-prediction; 200 epochs as re-run by the auxSKD paper (its own: 300)
        "backbone.depth": 10,
        "video.pixels": "rgb_unit",
        "augmentation.flip_probability": 0.0,
        "augmentation.jitter_probability": 0.0,
        "pretext.epochs": 200,
        "pretext.batch_size": 8,
        "pretext.step_epochs": 200,
        "pretext.clips_per_video": 1,
        "finetune.epochs": 150,
        "finetune.batch_size": 8,
        "finetune.learning_rate": 1e-3,
        "finetune.step_epochs": 150,
        "finetune.keep": "best",
        "evaluation.average": "logits",
    },
    "rspnet": {  # PeihaoChen/RSPNet
        **_JITTER_04,
        "augmentation.hue": 0.4,
        "augmentation.jitter_probability": 1.0,
        "augmentation.jitter_per": "clip",
        "augmentation.grey_probability": 0.2,
        "augmentation.crop_area": [0.4, 1.0],
        "backbone.depth": 10,
        "pretext.epochs": 200,
        "pretext.batch_size": 32,
        "pretext.learning_rate": 0.025,
        "pretext.weight_decay": 1e-4,
        "pretext.schedule": "cosine",
        "pretext.clips_per_video": 1,
        "finetune.epochs": 30,
        "finetune.batch_size": 8,
        "finetune.learning_rate": 0.1,
        "finetune.weight_decay": 1e-4,
        "finetune.schedule": "cosine",
        "evaluation.average": "logits",
    },
}
"""What each pretext task's authors published, over preset paper (protocol `published`); sources in docs/fidelity.md."""


def preset(name: str) -> ExperimentSettings:
    """The settings of a preset. Raises SettingsError for an unknown name."""
    if name not in PRESETS:
        raise SettingsError(f"unknown preset '{name}'; valid presets: {', '.join(PRESETS)}")
    return PRESETS[name]


def configure(preset_name: str, values: Mapping[str, Any]) -> ExperimentSettings:
    """A preset with `values` by dotted name over it: over what the pretext task was published with (protocol `published`) and
    over what graph distillation's recipes need (GRAPH).

    Raises SettingsError for an unknown preset, an unknown setting or a value out of range.
    """
    base = preset(preset_name)
    published = values.get("protocol", base.protocol) == "published"
    recipe = PUBLISHED.get(values.get("pretext.task", base.pretext.task), {}) if published else {}
    graph = GRAPH[preset_name] if values.get("recipe", base.recipe) in GRAPH_RECIPES else {}
    settings = with_values(base, {**recipe, **graph, **values})
    if graph:
        for task in settings.teachers.names:
            TEACHERS[task](settings)  # raises SettingsError for settings that the task cannot work with
    return settings


def departures(settings: ExperimentSettings, preset_name: str) -> dict[str, Any]:
    """The settings that differ from what the preset gives with the same recipe, protocol and pretext task."""
    same: dict[str, Any] = {"protocol": settings.protocol, "pretext.task": settings.pretext.task}
    if settings.recipe in GRAPH_RECIPES:
        same["recipe"] = "fusion"
    plain = flat(configure(preset_name, same)) | {"recipe": preset(preset_name).recipe}
    return {name: value for name, value in flat(settings).items() if value != plain[name]}

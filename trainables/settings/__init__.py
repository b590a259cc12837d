"""Typed, validated settings of every stage.

`ExperimentSettings` is the whole configuration of an experiment. A stage reads some of its groups (`video`, `auxskd`, ...);
only those enter the stage's key. Any value is overridden by its dotted name: `auxskd.teacher_temperature=0.05`.

Groups by file: `data` (what both papers read), `auxskd`, `graph`; `experiment` joins them. Defaults are published settings;
sizes and other recipes: trainables/presets.py; where paper and code differ: docs/fidelity.md.
"""

from trainables.settings.auxskd import (
    AuxSKDSettings,
    BackboneSettings,
    FinetuneSettings,
    FrozenSettings,
    PretextSettings,
    RSPNetSettings,
    VCOPSettings,
    VideoPaceSettings,
    VSPPSettings,
)
from trainables.settings.base import Optimisation, Pretraining, Settings, SettingsError, checkpoint_epoch
from trainables.settings.data import AugmentationSettings, ComputeSettings, DataSettings, EmbeddedSettings, VideoSettings
from trainables.settings.experiment import (
    GRAPH_RECIPES,
    EvaluationSettings,
    ExperimentSettings,
    check_values,
    flat,
    parse_assignment,
    parse_value,
    read_values,
    setting_names,
    validated,
    with_values,
)
from trainables.settings.graph import (
    TEACHER_TASKS,
    AlexNetSettings,
    EgoMotionSettings,
    FrameSettings,
    GraphSettings,
    PredictionSettings,
    PredNetSettings,
    SortingSettings,
    StudentSettings,
    TeacherFinetuneSettings,
    TeachersSettings,
    TrackingSettings,
    VGGSettings,
    ViewsSettings,
)

__all__ = [
    "GRAPH_RECIPES",
    "TEACHER_TASKS",
    "AlexNetSettings",
    "AugmentationSettings",
    "AuxSKDSettings",
    "BackboneSettings",
    "ComputeSettings",
    "DataSettings",
    "EgoMotionSettings",
    "EmbeddedSettings",
    "EvaluationSettings",
    "ExperimentSettings",
    "FinetuneSettings",
    "FrameSettings",
    "FrozenSettings",
    "GraphSettings",
    "Optimisation",
    "PredNetSettings",
    "PredictionSettings",
    "PretextSettings",
    "Pretraining",
    "RSPNetSettings",
    "Settings",
    "SettingsError",
    "SortingSettings",
    "StudentSettings",
    "TeacherFinetuneSettings",
    "TeachersSettings",
    "TrackingSettings",
    "VCOPSettings",
    "VGGSettings",
    "VSPPSettings",
    "VideoPaceSettings",
    "VideoSettings",
    "ViewsSettings",
    "check_values",
    "checkpoint_epoch",
    "flat",
    "parse_assignment",
    "parse_value",
    "read_values",
    "setting_names",
    "validated",
    "with_values",
]

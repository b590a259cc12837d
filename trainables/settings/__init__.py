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
from trainables.settings.base import (
    Optimisation,
    Pretraining,
    Readable,
    SelfSupervisedSettings,
    Settings,
    SettingsError,
    UndeclaredSetting,
    checkpoint_epoch,
    names_below,
)
from trainables.settings.data import AugmentationSettings, ComputeSettings, DataSettings, EmbeddedSettings, VideoSettings
from trainables.settings.experiment import (
    GRAPH_RECIPES,
    EvaluationSettings,
    ExperimentSettings,
    flat,
    parse_assignment,
    setting_names,
    validated,
    with_values,
)
from trainables.settings.graph import (
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
from trainables.settings.registry import BACKBONES, ENCODERS, LAYOUTS, TASKS, TEACHER_TASKS, Registry, from_file, is_import_path

__all__ = [
    "BACKBONES",
    "ENCODERS",
    "GRAPH_RECIPES",
    "LAYOUTS",
    "TASKS",
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
    "Readable",
    "Registry",
    "SelfSupervisedSettings",
    "Settings",
    "SettingsError",
    "SortingSettings",
    "StudentSettings",
    "TeacherFinetuneSettings",
    "TeachersSettings",
    "TrackingSettings",
    "UndeclaredSetting",
    "VCOPSettings",
    "VGGSettings",
    "VSPPSettings",
    "VideoPaceSettings",
    "VideoSettings",
    "ViewsSettings",
    "checkpoint_epoch",
    "flat",
    "from_file",
    "is_import_path",
    "names_below",
    "parse_assignment",
    "setting_names",
    "validated",
    "with_values",
]

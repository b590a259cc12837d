"""auxSKD + VSPP: backbone, pretext tasks, pretraining stages, finetuning and frozen features.

Defaults are the published setting (Secs. 3 and 4.2); where the released code differs, the field says so and takes both values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from trainables.settings.base import (
    Count,
    NonNegative,
    Optimisation,
    Positive,
    Pretraining,
    SelfSupervisedSettings,
    Settings,
)
from trainables.settings.registry import BACKBONES, ELSEWHERE, PRETEXT_TASKS, TEACHER_TASKS, BackboneName, TaskName


class BackboneSettings(Settings):
    """The 3D network. Depth 18 is torchvision's (31.3 M parameters at width 64), 10 the released code's (1,1,1,1) form."""

    family: BackboneName = Field("r2plus1d", json_schema_extra={"choices": BACKBONES.valid})
    depth: Literal[10, 18, 34] = Field(18, description="of r2plus1d and r3d; c3d has one depth")
    width: int = Field(64, ge=4, description="channels after the stem; the last layer has 8 times as many")


class VSPPSettings(Settings):
    """Video Segment Pace Prediction (Sec. 3.2, Eqs. 4 and 5): one of Z segments of a clip plays at one of Q speeds.

    With one segment there is no segment to tell, and no head for it: what is left is VideoPace's task.
    """

    segments: Count = Field(4, description="Z")
    speeds: Count = Field(4, description="Q")
    segment_frames: Literal["exact", "inclusive"] = Field(
        "exact",
        description="exact: K/Z altered frames (Eq. 4); inclusive: one more, as the released code's bounds give",
    )
    speed_weight: NonNegative = Field(1.0, description="alpha; 0: no speed head")
    segment_weight: NonNegative = Field(1.0, description="beta; 0: no segment head")
    unaltered_segment: Literal["keep", "exclude"] = Field(
        "keep", description="keep: a clip at speed 1 keeps its random segment label; exclude: it has no segment loss"
    )

    @model_validator(mode="after")
    def _some_loss(self) -> Self:
        speed = self.speed_weight > 0 and self.speeds > 1
        segment = self.segment_weight > 0 and self.segments > 1
        if not speed and not segment:
            raise ValueError("neither speed nor segment has a weight above 0 and more than one class: nothing to learn")
        if not speed and self.speeds == 1 and self.unaltered_segment == "exclude":
            raise ValueError("with speeds = 1 no segment is ever altered, and unaltered_segment = exclude leaves no loss")
        return self


class VideoPaceSettings(Settings):
    """VideoPace (Wang et al. 2020), its classification branch, as released: the whole clip plays at one of Q speeds."""

    speeds: int = Field(4, ge=2, description="Q")


class VCOPSettings(Settings):
    """Video clip order prediction (Xu et al. 2019): the order of shuffled clips that lie `interval` frames apart."""

    clips: Literal[2, 3, 4] = Field(3, description="clips of a sample; there are clips! orders")
    interval: int = Field(8, ge=0, description="frames between two clips")
    head_width: Count = Field(512, description="units of the layer that sees a pair of clips")
    dropout: float = Field(0.5, ge=0, lt=1)
    short_videos: Literal["exclude", "shrink"] = Field(
        "exclude",
        description="a video shorter than clips * K + (clips - 1) * interval frames. exclude: left out of the pretext stage "
        "and counted (VCOP's own lists); shrink: shorter intervals, then overlapping clips (microsoft/CtP)",
    )


class RSPNetSettings(Settings):
    """RSPNet (Chen et al. 2021), as released: relative speed of two clips, and which video a clip is from."""

    speed: int = Field(2, ge=2, description="the faster of the two speeds; the slower is 1")
    temperature: Positive = 0.07
    margin: NonNegative = Field(2.0, description="of the ranking loss, on similarities over the temperature")
    projection: Count = 128
    memory_bank: Count = Field(16384, description="keys of other videos")
    key_momentum: float = Field(0.999, ge=0, lt=1, description="of the key encoder's running average")
    appearance_weight: NonNegative = Field(1.0, description="of the contrastive loss A-VID")
    speed_weight: NonNegative = Field(1.0, description="of the relative speed loss")

    @model_validator(mode="after")
    def _some_loss(self) -> Self:
        if self.appearance_weight == 0 and self.speed_weight == 0:
            raise ValueError("appearance_weight and speed_weight are both 0: there is nothing to learn")
        return self


class AuxSKDSettings(Pretraining):
    """Similarity-based distillation from a momentum teacher (Sec. 3.1, Eqs. 1-3)."""

    teacher_temperature: Positive = Field(0.02, description="gamma^T")
    student_temperature: Positive = Field(0.02, description="gamma^S; 0.02: paper; 0.1: released code")
    loss_scale: Literal["none", "temperature", "temperature_squared"] = Field(
        "none",
        description="what the loss is multiplied by, so that temperatures do not decide how large steps are. none: paper; "
        "temperature: gamma^S; temperature_squared: gamma^S times the smaller of both, Hinton's T^2 where they are equal",
    )
    teacher_momentum: float = Field(0.999, ge=0, lt=1, description="m of the running average")
    memory_bank: Count = Field(16384, description="H anchors; 16384: paper; 15360: released code")
    anchors: Literal["all", "filled"] = Field(
        "all",
        description="all: random ones count until embeddings replace them (paper, released code); filled: embeddings only",
    )
    projection: Count = 128
    predictor_hidden: Count = 1024
    predictor_layers: Literal[2, 3] = Field(3, description="linear layers of the predictor; 3: paper's text; 2: released code")
    views: Literal["independent", "distinct"] = Field(
        "independent",
        description="independent: paper; distinct: speeds and segments of the two views differ (released code)",
    )

    off: ClassVar[Mapping[str, Any]] = {**Pretraining.off, "loss_scale": "none", "anchors": "all"}


class PretextSettings(SelfSupervisedSettings):
    """The primary pretext task; what is particular to a task is in the group of its name."""

    task: TaskName = Field("vspp", json_schema_extra={"choices": f"{', '.join(PRETEXT_TASKS)}, {ELSEWHERE}"})

    @field_validator("task")
    @classmethod
    def _of_clips(cls, task: str) -> str:
        if task in TEACHER_TASKS:
            valid = f"{', '.join(PRETEXT_TASKS)}, {ELSEWHERE}"
            raise ValueError(f"{task} is a task of graph distillation's teachers; valid: {valid}")
        return task


class FinetuneSettings(Optimisation):
    """Supervised training of the whole network on the downstream data set (Sec. 4.2)."""

    epochs: Count = 25
    learning_rate: Positive = 3e-3
    frozen_layers: int = Field(
        0, ge=0, description="leading layers that keep their weights and batch-norm statistics: the stem first"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="before the last layer")
    keep: Literal["last", "best"] = Field("last", description="the epoch whose weights are kept; best: by validation top-1")


class FrozenSettings(Settings):
    """What a backbone is worth as it is: features of frozen networks for the linear probe and for retrieval."""

    clips: Count = Field(10, description="clips of a video, spread evenly; retrieval compares their mean feature")

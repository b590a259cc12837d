"""Typed, validated settings of every stage, and the presets that size them.

`ExperimentSettings` is the whole configuration of an experiment. A stage reads some of its groups (`video`, `auxskd`, ...);
only those enter the stage's key. Any value is overridden by its dotted name: `auxskd.teacher_temperature=0.05`.

`paper` is the published setting of auxSKD + VSPP (Secs. 3 and 4.2); where the released code differs, the field says so and
takes both values (see docs/fidelity.md). `demo` and `small` set sizes, rates, calmer colours
and pixels that show only motion, without which networks this small learn no pretext task in minutes; the code path is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]


class SettingsError(ValueError):
    """A setting that does not exist or a value out of range; the message names it and what is valid."""


class Settings(BaseModel):
    """A frozen group of settings: unknown names and out-of-range values are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class EmbeddedSettings(Settings):
    """The generated clips that come with the project: videos per class of each part, and their size in pixels."""

    classes: int = Field(8, ge=6, le=10, description="motion classes")
    train: Count = 24
    validation: Count = 8
    test: Count = 12
    frames: int = Field(56, ge=2)
    height: int = Field(40, ge=16, multiple_of=2)
    width: int = Field(40, ge=16, multiple_of=2)
    seed: int = Field(0, ge=0)


class DataSettings(Settings):
    """Which data sets an experiment reads, and how their parts are made."""

    pretraining: str = Field("embedded", description="data set of the self-supervised stages, labels unused")
    downstream: str = Field("embedded", description="data set of finetuning and evaluation")
    split: int = Field(1, ge=1, description="official split (UCF101: 1-3) or the test fold of a csv")
    validation_fraction: float = Field(0.2, gt=0, lt=1, description="share of each class's groups held out of training")
    embedded: EmbeddedSettings = EmbeddedSettings()


class VideoSettings(Settings):
    """Size of a clip: frames, the size every frame is resized to, and the square crop of it that a network sees."""

    clip_frames: int = Field(16, ge=2, description="K, frames of a clip")
    height: int = Field(128, ge=8)
    width: int = Field(171, ge=8)
    crop: int = Field(112, ge=8)
    pixels: Literal["rgb_normalised", "bgr_255", "rgb_motion"] = Field(
        "rgb_normalised",
        description="rgb_normalised: mean and deviation of Kinetics-400; bgr_255: BGR, 0 to 255, not normalised, as the "
        "released code reads frames; rgb_motion: less the clip's mean image, over its deviation: only what moves is left",
    )

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.crop > min(self.height, self.width):
            raise ValueError(f"crop = {self.crop} does not fit into {self.height}x{self.width}")
        return self


class AugmentationSettings(Settings):
    """Random changes of training clips: crop and flip are drawn once per clip, colour jitter per frame or per clip."""

    flip_probability: Fraction = 0.5
    jitter_probability: Fraction = 0.8
    brightness: Fraction = 0.8
    contrast: Fraction = 0.8
    saturation: Fraction = 0.8
    hue: float = Field(0.2, ge=0, le=0.5)
    jitter_per: Literal["frame", "clip"] = Field("frame", description="frame: the paper and the released code")


class BackboneSettings(Settings):
    """The 3D network. Depth 18 is torchvision's (31.3 M parameters at width 64), 10 the released code's (1,1,1,1) form."""

    family: Literal["r2plus1d", "r3d"] = "r2plus1d"
    depth: Literal[10, 18, 34] = 18
    width: int = Field(64, ge=4, description="channels after the stem; the last layer has 8 times as many")


class ComputeSettings(Settings):
    """Arithmetic of the training steps. It changes the numbers, so it is part of every stage's key."""

    precision: Literal["float32", "bfloat16"] = "float32"


class VSPPSettings(Settings):
    """The VSPP transformation (Sec. 3.2, Eq. 4): one of Z segments of a clip plays at one of Q speeds."""

    segments: Count = Field(4, description="Z")
    speeds: Count = Field(4, description="Q")
    segment_frames: Literal["exact", "inclusive"] = Field(
        "exact",
        description="exact: K/Z altered frames (Eq. 4); inclusive: one more, as the released code's bounds give",
    )


class Optimisation(Settings):
    """SGD with a step schedule. `clips_per_video` clips of every video make an epoch (the paper's tenfold UCF101 epochs)."""

    epochs: Count = 20
    batch_size: int = Field(30, ge=2, description="batch normalisation needs at least 2")
    learning_rate: Positive = 1e-3
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: NonNegative = Field(5e-4, description="5e-4: paper; 5e-3: released code")
    step_epochs: Count = Field(6, description="epochs between two decays of the learning rate")
    decay: float = Field(0.1, gt=0, le=1)
    clips_per_video: Count = 1


class AuxSKDSettings(Optimisation):
    """Similarity-based distillation from a momentum teacher (Sec. 3.1, Eqs. 1-3)."""

    teacher_temperature: Positive = Field(0.02, description="gamma^T")
    student_temperature: Positive = Field(0.02, description="gamma^S; 0.02: paper; 0.1: released code")
    teacher_momentum: float = Field(0.999, ge=0, lt=1, description="m of the running average")
    memory_bank: Count = Field(16384, description="H anchors; 16384: paper; 15360: released code")
    projection: Count = 128
    predictor_hidden: Count = 1024
    predictor_layers: Literal[2, 3] = Field(3, description="linear layers of the predictor; 3: paper's text; 2: released code")
    views: Literal["independent", "distinct"] = Field(
        "independent",
        description="independent: paper; distinct: speeds and segments of the two views differ (released code)",
    )


class PretextSettings(Optimisation):
    """The primary pretext task (Eq. 5)."""

    task: Literal["vspp"] = "vspp"
    speed_weight: NonNegative = Field(1.0, description="alpha")
    segment_weight: NonNegative = Field(1.0, description="beta")
    unaltered_segment: Literal["keep", "exclude"] = Field(
        "keep", description="keep: a clip at speed 1 keeps its random segment label; exclude: it has no segment loss"
    )
    validation_clips: Count = Field(4, description="clips per validation video")

    @model_validator(mode="after")
    def _some_loss(self) -> Self:
        if self.speed_weight == 0 and self.segment_weight == 0:
            raise ValueError("speed_weight and segment_weight are both 0: there is nothing to learn")
        return self


class FinetuneSettings(Optimisation):
    """Supervised training of the whole network on the downstream data set (Sec. 4.2)."""

    epochs: Count = 25
    learning_rate: Positive = 3e-3
    dropout: float = Field(0.0, ge=0, lt=1, description="before the last layer")
    keep: Literal["last", "best"] = Field("last", description="the epoch whose weights are kept; best: by validation top-1")


class EvaluationSettings(Settings):
    """Clips sampled uniformly from each video, centre crop, predictions averaged."""

    clips: Count = 10
    average: Literal["softmax", "logits"] = Field("softmax", description="softmax: this paper; logits: VCOP and RSPNet")


Recipe = Literal["scratch", "pretext", "auxskd_pretext"]


class ExperimentSettings(Settings):
    """The whole configuration of an experiment."""

    recipe: Recipe = Field(
        "auxskd_pretext",
        description="scratch: finetune from random initialisation; pretext: pretext first; auxskd_pretext: auxSKD before it",
    )
    data: DataSettings = DataSettings()
    video: VideoSettings = VideoSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    backbone: BackboneSettings = BackboneSettings()
    compute: ComputeSettings = ComputeSettings()
    vspp: VSPPSettings = VSPPSettings()
    auxskd: AuxSKDSettings = AuxSKDSettings()
    pretext: PretextSettings = PretextSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.vspp.segments > self.video.clip_frames:
            raise ValueError(
                f"vspp.segments = {self.vspp.segments} is larger than the clip, video.clip_frames = {self.video.clip_frames}"
            )
        if self.auxskd.views == "distinct" and min(self.vspp.segments, self.vspp.speeds) < 2:
            raise ValueError("auxskd.views = distinct needs vspp.segments and vspp.speeds of at least 2")
        return self


def _tenfold(group: type[Optimisation], **values: Any) -> Any:
    return group(clips_per_video=10, **values)


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
        pretext=PretextSettings(epochs=4, batch_size=16, learning_rate=0.01, step_epochs=3, clips_per_video=3),
        finetune=FinetuneSettings(epochs=5, batch_size=16, learning_rate=0.01, step_epochs=4),
        evaluation=EvaluationSettings(clips=10),
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
        pretext=PretextSettings(epochs=10, batch_size=16, learning_rate=0.01, step_epochs=8, clips_per_video=2),
        finetune=FinetuneSettings(epochs=12, batch_size=16, learning_rate=0.01, step_epochs=9),
    ),
    "paper": ExperimentSettings(
        auxskd=_tenfold(AuxSKDSettings),
        pretext=_tenfold(PretextSettings),
    ),
}


def preset(name: str) -> ExperimentSettings:
    """The settings of a preset. Raises SettingsError for an unknown name."""
    if name not in PRESETS:
        raise SettingsError(f"unknown preset '{name}'; valid presets: {', '.join(PRESETS)}")
    return PRESETS[name]


def setting_names(settings: BaseModel | type[BaseModel] = ExperimentSettings, prefix: str = "") -> list[str]:
    """Dotted names of every setting below `settings`."""
    model = settings if isinstance(settings, type) else type(settings)
    names: list[str] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += setting_names(kind, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def parse_assignment(text: str) -> tuple[str, Any]:
    """`a.b=value` as (name, value); the value is read as YAML. Raises SettingsError when there is no '='."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise SettingsError(f"--set {text!r}: expected NAME=VALUE, for example auxskd.teacher_temperature=0.05")
    try:
        parsed = yaml.safe_load(value)
        if isinstance(parsed, str):
            try:
                parsed = float(parsed)  # YAML 1.1 reads 1e-3 as text
            except ValueError:
                pass
    except yaml.YAMLError as error:
        raise SettingsError(f"--set {text!r}: the value is not readable: {error}") from None
    return name.strip(), parsed


def with_values(settings: ExperimentSettings, values: Mapping[str, Any]) -> ExperimentSettings:
    """`settings` with the values of dotted names replaced, validated again as a whole.

    Raises SettingsError naming the unknown setting or the value out of range, and what is valid.
    """
    tree = settings.model_dump()
    valid = setting_names()
    for name, value in values.items():
        if name not in valid:
            group = name.rpartition(".")[0]
            near = [other for other in valid if group and other.startswith(group + ".")] or valid
            raise SettingsError(f"unknown setting '{name}'; valid settings: {', '.join(near)}")
        node = tree
        *groups, leaf = name.split(".")
        for part in groups:
            node = node[part]
        node[leaf] = value
    return validated(tree)


def validated(tree: Mapping[str, Any]) -> ExperimentSettings:
    """ExperimentSettings from plain data. Raises SettingsError with one line per problem."""
    try:
        return ExperimentSettings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(problem) for problem in error.errors())) from None


def _explain(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if not name or problem["type"] == "value_error":
        return f"{name}: {message}" if name else message
    return f"{name} = {problem['input']!r}: {message[0].lower()}{message[1:]}"


def flat(settings: ExperimentSettings) -> dict[str, Any]:
    """Every setting by its dotted name."""
    tree = settings.model_dump()
    result = {}
    for name in setting_names():
        node: Any = tree
        for part in name.split("."):
            node = node[part]
        result[name] = node
    return result

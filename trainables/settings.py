"""Typed, validated settings of every stage.

`ExperimentSettings` is the whole configuration of an experiment. A stage reads some of its groups (`video`, `auxskd`, ...);
only those enter the stage's key. Any value is overridden by its dotted name: `auxskd.teacher_temperature=0.05`.

Defaults are the published setting of auxSKD + VSPP (Secs. 3 and 4.2); where the released code differs, the field says so and
takes both values (see docs/fidelity.md). Sizes and other recipes: trainables/presets.py.
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
    frames: int = Field(72, ge=2)
    height: int = Field(40, ge=16, multiple_of=2)
    width: int = Field(40, ge=16, multiple_of=2)
    seed: int = Field(0, ge=0)


class DataSettings(Settings):
    """Which data sets an experiment reads, and how their parts are made. Several are joined by +: `kinetics100+ucf101`."""

    pretraining: str = Field("embedded", description="data sets of the self-supervised stages, together; labels unused")
    downstream: str = Field("embedded", description="data sets of finetuning and evaluation, each for itself")
    split: int = Field(1, ge=1, description="official split (UCF101: 1-3) or the test fold of a csv")
    validation_fraction: float = Field(0.2, gt=0, lt=1, description="share of each class's groups held out of training")
    embedded: EmbeddedSettings = EmbeddedSettings()

    @property
    def pretraining_sets(self) -> tuple[str, ...]:
        return tuple(self.pretraining.split("+"))

    @property
    def downstream_sets(self) -> tuple[str, ...]:
        return tuple(self.downstream.split("+"))

    @model_validator(mode="after")
    def _sets_differ(self) -> Self:
        for role, names in (("pretraining", self.pretraining_sets), ("downstream", self.downstream_sets)):
            if not all(names) or len(set(names)) < len(names):
                raise ValueError(f"{role} = {'+'.join(names)}: different names joined by +")
        return self


class VideoSettings(Settings):
    """Size of a clip: frames, the size every frame is resized to, and the square crop of it that a network sees."""

    clip_frames: int = Field(16, ge=2, description="K, frames of a clip")
    height: int = Field(128, ge=8)
    width: int = Field(171, ge=8)
    crop: int = Field(112, ge=8)
    pixels: Literal["rgb_normalised", "rgb_unit", "bgr_255", "rgb_motion"] = Field(
        "rgb_normalised",
        description="rgb_normalised: mean and deviation of Kinetics-400; rgb_unit: 0 to 1 (VCOP); bgr_255: BGR, 0 to 255, as "
        "the released code reads frames; rgb_motion: less the clip's mean image, over its deviation: only what moves is left",
    )

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.crop > min(self.height, self.width):
            raise ValueError(f"crop = {self.crop} does not fit into {self.height}x{self.width}")
        return self


class AugmentationSettings(Settings):
    """Random changes of training clips: crop, flip and grey are drawn once per clip, colour jitter per frame or per clip."""

    crop_area: tuple[Fraction, Fraction] | None = Field(
        None,
        description="share of the frame that a random crop covers, with sides 3:4 to 4:3, before it is resized to video.crop "
        "(RSPNet: 0.4 to 1); null: a window of video.crop pixels at a random place",
    )
    grey_probability: Fraction = Field(0.0, description="of showing a clip in grey")
    flip_probability: Fraction = 0.5
    jitter_probability: Fraction = 0.8
    brightness: Fraction = 0.8
    contrast: Fraction = 0.8
    saturation: Fraction = 0.8
    hue: float = Field(0.2, ge=0, le=0.5)
    jitter_per: Literal["frame", "clip"] = Field("frame", description="frame: the paper and the released code")


class BackboneSettings(Settings):
    """The 3D network. Depth 18 is torchvision's (31.3 M parameters at width 64), 10 the released code's (1,1,1,1) form."""

    family: Literal["r2plus1d", "r3d", "c3d"] = "r2plus1d"
    depth: Literal[10, 18, 34] = Field(18, description="of r2plus1d and r3d; c3d has one depth")
    width: int = Field(64, ge=4, description="channels after the stem; the last layer has 8 times as many")


class ComputeSettings(Settings):
    """Arithmetic of the training steps. It changes the numbers, so it is part of every stage's key."""

    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = Field(True, description="the memory layout in which a GPU's 3D convolutions are fastest; GPUs only")
    compile: bool = Field(False, description="torch.compile the networks of training stages")


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


class Optimisation(Settings):
    """SGD with a schedule. `clips_per_video` clips of every video make an epoch (the paper's tenfold UCF101 epochs)."""

    epochs: Count = 20
    batch_size: int = Field(30, ge=2, description="batch normalisation needs at least 2")
    learning_rate: Positive = 1e-3
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: NonNegative = Field(5e-4, description="5e-4: paper; 5e-3: released code")
    schedule: Literal["step", "cosine"] = Field(
        "step",
        description="step: times `decay` every `step_epochs`, however many epochs; cosine: down to a thousandth (RSPNet)",
    )
    step_epochs: Count = Field(6, description="epochs between two decays of the learning rate")
    decay: float = Field(0.1, gt=0, le=1)
    clips_per_video: Count = 1


class Pretraining(Optimisation):
    """A self-supervised stage, and which of its weights the next stage starts from.

    Weights are kept after each n-th part of the epochs, n = `checkpoints`: with 40 epochs and 4 checkpoints, after epochs 10,
    20, 30 and 40; with fewer epochs than checkpoints some are the same. One run serves them all, as which of them is handed
    on is not part of the stage's key.
    """

    checkpoints: Count = Field(1, description="evenly spaced checkpoints that are kept")
    checkpoint: Count | None = Field(None, description="which of them is handed on, from 1; null: the last")

    @model_validator(mode="after")
    def _checkpoint_exists(self) -> Self:
        if self.checkpoint is not None and self.checkpoint > self.checkpoints:
            raise ValueError(f"checkpoint = {self.checkpoint} is more than checkpoints = {self.checkpoints}")
        return self

    def checkpoint_epoch(self, number: int) -> int:
        """The epoch after which a checkpoint (from 1) is taken."""
        return -(-number * self.epochs // self.checkpoints)


class AuxSKDSettings(Pretraining):
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


class PretextSettings(Pretraining):
    """The primary pretext task; what is particular to a task is in the group of its name."""

    task: Literal["vspp", "video_pace", "vcop", "rspnet"] = "vspp"
    validation_clips: Count = Field(4, description="samples per validation video")


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


class EvaluationSettings(Settings):
    """What is measured, and how a finetuned network is: clips sampled uniformly from each video, centre crop, averaged."""

    measures: tuple[Literal["finetune", "linear_probe", "retrieval"], ...] = Field(
        ("finetune", "linear_probe", "retrieval"),
        min_length=1,
        description="finetune: the papers' protocol; linear_probe, retrieval: with the features of the frozen backbone",
    )
    clips: Count = 10
    average: Literal["softmax", "logits"] = Field("softmax", description="softmax: this paper; logits: VCOP and RSPNet")

    @model_validator(mode="after")
    def _measures_differ(self) -> Self:
        if len(set(self.measures)) < len(self.measures):
            raise ValueError(f"measures = {list(self.measures)}: one is named twice")
        return self


C3D_FRAMES, C3D_SIDE = 8, 16
"""What is left of smaller clips does not survive C3D's pooling."""

Recipe = Literal["scratch", "pretext", "auxskd_pretext"]


class ExperimentSettings(Settings):
    """The whole configuration of an experiment."""

    recipe: Recipe = Field(
        "auxskd_pretext",
        description="scratch: finetune from random initialisation; pretext: pretext first; auxskd_pretext: auxSKD before it",
    )
    protocol: Literal["like_for_like", "published"] = Field(
        "like_for_like",
        description="like_for_like: one backbone, pixels, schedule and finetuning for every pretext task, only sampler, heads "
        "and loss differ; published: each task with the recipe that its authors published (trainables/presets.py)",
    )
    data: DataSettings = DataSettings()
    video: VideoSettings = VideoSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    backbone: BackboneSettings = BackboneSettings()
    compute: ComputeSettings = ComputeSettings()
    vspp: VSPPSettings = VSPPSettings()
    video_pace: VideoPaceSettings = VideoPaceSettings()
    vcop: VCOPSettings = VCOPSettings()
    rspnet: RSPNetSettings = RSPNetSettings()
    auxskd: AuxSKDSettings = AuxSKDSettings()
    pretext: PretextSettings = PretextSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    frozen: FrozenSettings = FrozenSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.vspp.segments > self.video.clip_frames:
            raise ValueError(
                f"vspp.segments = {self.vspp.segments} is larger than the clip, video.clip_frames = {self.video.clip_frames}"
            )
        if self.backbone.family == "c3d" and (self.video.clip_frames < C3D_FRAMES or self.video.crop < C3D_SIDE):
            raise ValueError(f"backbone.family = c3d needs clips of {C3D_FRAMES} frames and {C3D_SIDE} pixels or more")
        if self.auxskd.views == "distinct":
            if self.pretext.task not in ("vspp", "video_pace"):
                raise ValueError(f"auxskd.views = distinct: {self.pretext.task} has no speeds in which two views could differ")
            if self.pretext.task == "vspp" and min(self.vspp.segments, self.vspp.speeds) < 2:
                raise ValueError("auxskd.views = distinct needs vspp.segments and vspp.speeds of at least 2")
        return self


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
    """Every setting by its dotted name, as JSON keeps it."""
    tree = settings.model_dump()
    result = {}
    for name in setting_names():
        node: Any = tree
        for part in name.split("."):
            node = node[part]
        result[name] = list(node) if isinstance(node, tuple) else node
    return result

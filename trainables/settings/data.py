"""Data sets, clips, augmentation and arithmetic: what the stages of both papers read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from trainables.settings.base import Count, Fraction, Settings
from trainables.settings.registry import names_as_kept

FOLLOW_PRETRAINING = ("auxskd.clips_per_video", "pretext.clips_per_video")
"""What preset `paper` has otherwise for one `data.pretraining` than for another (trainables/presets.py)."""


Domain = Literal["usual", "appearance", "pace", "motions"]
"""What embedded clips can be otherwise in."""


class EmbeddedSettings(Settings):
    """The generated clips that come with the project: videos per class of each part, and their size in pixels."""

    classes: int = Field(8, ge=6, le=10, description="motion classes")
    train: int = Field(24, ge=1, le=10_000)
    validation: int = Field(8, ge=1, le=10_000)
    test: int = Field(12, ge=1, le=10_000)
    frames: int = Field(72, ge=2, le=10_000)
    height: int = Field(40, ge=16, le=4096, multiple_of=2)
    width: int = Field(40, ge=16, le=4096, multiple_of=2)
    seed: int = Field(0, ge=0)
    domain: Domain = Field(
        "usual",
        description="appearance: other shapes and finer backgrounds, less contrast, more noise; pace: slower than any usual "
        "one; motions: those that the usual clips of so many classes have not, as many videos in all",
    )


class DataSettings(Settings):
    """Which data sets an experiment reads, and how their parts are made. Several are joined by +: `kinetics100+ucf101`."""

    off: ClassVar[Mapping[str, Any]] = {"decoder": "pyav", "verify": "frames", "cache_format": "raw"}

    pretraining: str = Field("embedded", description="data sets of the self-supervised stages, together; labels unused")
    downstream: str = Field("embedded", description="data sets of finetuning and evaluation, each for itself")
    split: int = Field(1, ge=1, description="official split (UCF101: 1-3) or the test fold of a csv")
    pretraining_share: float = Field(
        1.0, gt=0, le=1, description="share of the pretraining videos that are used; a smaller one is part of a larger one"
    )
    pretraining_domain: Domain | None = Field(
        None,
        description="data.embedded.domain of the clips of pretraining, where it is another one: the gap between what is "
        "learned from without labels and with them; null: the same",
    )
    labelled_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of each class's downstream training videos that are used, at least one of each; a smaller one "
        "is part of a larger one",
    )
    labelled_draw: int = Field(0, ge=0, description="which of many such shares: another number draws other videos")
    decoder: Literal["pyav", "decord"] = Field(
        "pyav",
        description="what reads video files: pyav all of them; decord those without damage and open groups of pictures, the "
        "same frames but for two of 255 levels in some pixels",
    )
    verify: Literal["frames", "packets"] = Field(
        "frames",
        description="what says how long a video is: frames, its last sound frame, so the last one is decoded; packets, of "
        "which no more than the first is decoded: faster, and the same unless the end of a file is damaged",
    )
    cache_format: Literal["raw", "jpeg"] = Field(
        "raw",
        description="raw: the frame cache holds pixels; jpeg: images of quality 95, an eighth of the bytes at the size of "
        "preset paper, whose pixels differ by about one of 255 levels, also where they are not kept",
    )
    validation_fraction: float = Field(0.2, gt=0, lt=1, description="share of each class's groups held out of training")
    embedded: EmbeddedSettings = EmbeddedSettings()

    @property
    def pretraining_sets(self) -> tuple[str, ...]:
        return tuple(self.pretraining.split("+"))

    @property
    def downstream_sets(self) -> tuple[str, ...]:
        return tuple(self.downstream.split("+"))

    @field_validator("pretraining", "downstream")
    @classmethod
    def _names_as_kept(cls, names: str) -> str:
        return names_as_kept(names)

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
    pixels: Literal["rgb_normalised", "rgb_imagenet", "rgb_unit", "bgr_255", "rgb_motion"] = Field(
        "rgb_normalised",
        description="rgb_normalised, rgb_imagenet: by mean and deviation of Kinetics-400 or ImageNet; rgb_unit: 0 to 1 (VCOP); "
        "bgr_255: BGR, 0 to 255, as the released code of auxSKD reads frames; rgb_motion: less the clip's mean image, over its "
        "deviation: only what moves is left",
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


class ComputeSettings(Settings):
    """Arithmetic of the training steps. It changes the numbers, so it is part of the key of every stage with a network.

    What says that it is of a GPU changes nothing on a CPU. Which kernels cuDNN tries is in no key: they differ in the order of
    summation, as a GPU's do from run to run, and where they may not (`deterministic`) it does not try.
    """

    off: ClassVar[Mapping[str, Any]] = {
        "guard": "on",
        "tf32": "convolutions",
        "fused": False,
        "deterministic": False,
        "cuda_graphs": False,
    }

    def _changes_nothing(self, name: str, value: Any) -> bool:
        return name == "cudnn_benchmark" or super()._changes_nothing(name, value)

    @field_validator("guard", mode="before")
    @classmethod
    def _as_yaml_reads_it(cls, value: Any) -> Any:
        """Its words are truth values to YAML 1.1."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = Field(
        True,
        description="networks and clips in the memory layout in which GPUs are fastest, and CPUs with networks as narrow as "
        "those of demo and small; a CPU is slower in it at the width of paper",
    )
    guard: Literal["on", "off"] = Field(
        "on",
        description="on: a training stage whose network collapses (the same features or logits for all clips, a dead layer) "
        "ends its trial as failed, with the reason; off: it goes on",
    )
    compile: bool = Field(False, description="torch.compile the networks of training stages")
    cuda_graphs: bool = Field(
        False, description="of a GPU: what was compiled is launched as CUDA graphs (mode reduce-overhead); needs compile"
    )
    tf32: Literal["none", "convolutions", "all"] = Field(
        "convolutions",
        description="of a GPU: what in float32 is computed with factors rounded to TensorFloat-32; convolutions: torch's "
        "default; all: products of matrices too",
    )
    cudnn_benchmark: bool = Field(
        False, description="of a GPU: cuDNN tries its convolutions on each new shape, and takes the fastest; in no key"
    )
    fused: bool = Field(False, description="of a GPU: the optimiser's step as one kernel")
    deterministic: bool = Field(
        False,
        description="of a GPU: only kernels that give the same bits from run to run, as a CPU does anyway; what has none ends "
        "its trial; not with cudnn_benchmark",
    )
    accumulation: Count = Field(
        1,
        description="parts of two or more samples in which a batch passes the network, one after the other, before the "
        "optimiser's step: less memory, the same gradient but for statistics of a batch (batch norm, the median of "
        "graph.bandwidth), which are each part's; a loss that compares the samples of a batch (tracking; graph.distance em "
        "and sinkhorn, graph.edges learned, and gain of running means) is never divided",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.deterministic and self.cudnn_benchmark:
            raise ValueError(
                "deterministic = true with cudnn_benchmark = true: what is fastest is another kernel from run to run; valid "
                "with it: cudnn_benchmark = false (--set compute.cudnn_benchmark=false)"
            )
        if self.cuda_graphs and not self.compile:
            raise ValueError(
                "cuda_graphs = true without compile = true: graphs are made of what was compiled; valid with it: "
                "compile = true (--set compute.compile=true)"
            )
        return self

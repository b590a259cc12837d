"""What all groups of settings have in common: strict numbers, frozen models, and how a stage is optimised.

A stage is given settings of which it can read only what is in its key (`Settings.readable`): reading anything else raises
UndeclaredSetting at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]

LARGEST = 2**31 - 1
"""Of a whole number among the settings: a larger one is a slip, and would compute for ever or fill every memory."""


class SettingsError(ValueError):
    """A setting that does not exist or a value out of range; the message names it and what is valid."""


class UndeclaredSetting(RuntimeError):
    """A stage read a setting that its key does not hold; the message names the setting and where to declare it."""


@dataclass(frozen=True)
class Readable:
    """The settings that a reader may read, by dotted name, and those that it has read so far.

    where: what to do about a setting that is not among them, for the error message. end: the setting that says how many epochs
    there are, of a training that more epochs go on from: nothing that it computes may depend on it.
    """

    names: frozenset[str]
    reader: str
    where: str
    end: str = ""
    read: set[str] = field(default_factory=set)

    def check(self, name: str, off: bool = False) -> None:
        """Note that a setting is read. Raises UndeclaredSetting for one that is not among them, unless it is off."""
        if name == self.end:
            raise UndeclaredSetting(
                f"{self.reader} reads {name}, but more epochs go on from where fewer ended, as if nothing depended on how many "
                "there are: a task whose loss does says so by `knows_end`"
            )
        if name not in self.names and not off:
            raise UndeclaredSetting(
                f"{self.reader} reads {name}, which is not in its key: two experiments that differ in it would share one "
                f"artifact. Declare it in {self.where}"
            )
        self.read.add(name)


class Settings(BaseModel):
    """A frozen group of settings: unknown names and out-of-range values are errors.

    off: values at which a setting changes nothing. There it is in no key and anyone may read it, as if it did not exist, so
    that what was computed before there was such a setting still counts; at any other value it is a setting like the others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
    off: ClassVar[Mapping[str, Any]] = {}

    def is_off(self, name: str) -> bool:
        """Whether the setting of this dotted name is at a value at which it changes nothing."""
        group, _, rest = name.partition(".")
        return bool(getattr(self, group).is_off(rest)) if rest else self._changes_nothing(name, getattr(self, name))

    def _changes_nothing(self, name: str, value: Any) -> bool:
        return name in self.off and bool(value == self.off[name])

    @field_validator("*")
    @classmethod
    def _is_no_slip(cls, value: Any) -> Any:
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(number, int) and number > LARGEST for number in numbers):
            raise ValueError(f"a whole number of at most {LARGEST:,}")
        return value

    _readable: Readable | None = PrivateAttr(None)
    _values: Mapping[str, Any] = PrivateAttr(default_factory=dict)
    _prefix: str = PrivateAttr("")

    def readable(self, readable: Readable, prefix: str = "") -> Self:
        """The same settings, of which only those that `readable` names can be read. prefix: of this group's names."""
        limited = type(self).model_construct()
        values: dict[str, Any] = dict(self)
        limited.__dict__.clear()
        for name, value in values.items():
            if isinstance(value, Settings):
                values[name] = value.readable(readable, f"{prefix}{name}.")
        limited._readable, limited._values, limited._prefix = readable, values, prefix
        return cast("Self", limited)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Only called for what is not there: a group that `readable` made shows a value once it was asked for."""
            if name.startswith("_") or self._readable is None or name not in self._values:
                return super().__getattr__(name)
            value = self._values[name]
            if not isinstance(value, Settings):
                self._readable.check(f"{self._prefix}{name}", self._changes_nothing(name, value))
            self.__dict__[name] = value
            return value

        def __iter__(self) -> Iterator[tuple[str, Any]]:
            if self._readable is None:
                yield from super().__iter__()
            else:
                yield from ((name, getattr(self, name)) for name in self._values)

        def __eq__(self, other: object) -> bool:
            if self._readable is None and (not isinstance(other, Settings) or other._readable is None):
                return super().__eq__(other)
            return type(self) is type(other) and dict(self) == dict(other)

        __hash__ = BaseModel.__hash__

        def model_dump(self, **options: Any) -> dict[str, Any]:
            if self._readable is None:
                return super().model_dump(**options)
            return {name: value.model_dump() if isinstance(value, Settings) else value for name, value in self}


def names_below(names: Collection[str], prefixes: Collection[str]) -> list[str]:
    """Those of dotted names that are one of the prefixes or in a group that one of them names, in order."""
    below = tuple(f"{prefix}." for prefix in prefixes)
    return [name for name in names if name in prefixes or name.startswith(below)]


class Optimisation(Settings):
    """An optimiser and its schedule. `clips_per_video` clips of every video make an epoch (10: the paper's UCF101 epochs)."""

    epochs: Count = 20
    batch_size: int = Field(30, ge=2, description="batch normalisation needs at least 2")
    optimiser: Literal["sgd", "adam"] = Field("sgd", description="adam: `momentum` is its beta1")
    learning_rate: Positive = 1e-3
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: NonNegative = Field(5e-4, description="5e-4: paper; 5e-3: released code")
    schedule: Literal["step", "cosine"] = Field(
        "step",
        description="step: times `decay` every `step_epochs`, however many epochs; cosine: down to a thousandth (RSPNet)",
    )
    step_epochs: Count = Field(6, description="epochs between two decays of the learning rate")
    decay: float = Field(0.1, gt=0, le=1)
    warmup_epochs: NonNegative = Field(
        0.0,
        description="epochs, or a part of one, in which the learning rate rises linearly, batch by batch, to what the schedule "
        "says; 0: none (paper)",
    )
    clip_gradient: Positive | None = Field(
        None, description="largest L2 norm of a step's gradient, which is shortened to it; null: none (paper)"
    )
    clips_per_video: Count = 1

    off: ClassVar[Mapping[str, Any]] = {"warmup_epochs": 0.0, "clip_gradient": None}

    @model_validator(mode="after")
    def _warmup_ends(self) -> Self:
        if self.warmup_epochs > self.epochs:
            raise ValueError(
                f"warmup_epochs = {self.warmup_epochs:g} is longer than the training: at most epochs = {self.epochs}"
            )
        return self

    def unread(self) -> tuple[str, ...]:
        """Fields that training with these settings does not depend on, beside those that are off."""
        return ("step_epochs", "decay") if self.schedule == "cosine" else ()


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
        return checkpoint_epoch(number, self.epochs, self.checkpoints)


class SelfSupervisedSettings(Pretraining):
    """The schedule of a self-supervised task, and how it is validated."""

    validation_clips: Count = Field(4, description="samples per validation video")


def checkpoint_epoch(number: int, epochs: int, checkpoints: int) -> int:
    """The epoch after which the n-th of so many checkpoints is taken: n/N of all epochs, rounded up."""
    return -(-number * epochs // checkpoints)

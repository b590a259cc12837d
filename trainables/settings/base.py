"""What all groups of settings have in common: strict numbers, frozen models, and how a stage is optimised."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]


class SettingsError(ValueError):
    """A setting that does not exist or a value out of range; the message names it and what is valid."""


class Settings(BaseModel):
    """A frozen group of settings: unknown names and out-of-range values are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


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
        return checkpoint_epoch(number, self.epochs, self.checkpoints)


def checkpoint_epoch(number: int, epochs: int, checkpoints: int) -> int:
    """The epoch after which the n-th of so many checkpoints is taken: n/N of all epochs, rounded up."""
    return -(-number * epochs // checkpoints)

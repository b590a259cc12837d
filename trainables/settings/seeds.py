"""What of a trial its seed draws, where a study asks for the sources of variance one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, field_validator

from trainables.settings.base import Settings
from trainables.suggestions import did_you_mean

Source = Literal["weights", "order", "clips", "noise", "rounding"]
SOURCES: tuple[Source, ...] = get_args(Source)
USUAL_SOURCES = "weights+order+clips+noise"
"""Those that every seed varies, unless it is said otherwise."""


class SeedsSettings(Settings):
    """Which sources of variance follow a trial's seed ("Accounting for Variance in Machine Learning Benchmarks", MLSys 2021).

    Each has random numbers of its own. Part of the key of every stage that draws any, except where the usual ones follow.
    """

    off: ClassVar[Mapping[str, Any]] = {"vary": USUAL_SOURCES, "others": 0}

    vary: str = Field(
        USUAL_SOURCES,
        description="joined by +. weights: what networks, heads and memory banks start from; order: of training samples; "
        "clips: which frames, speeds and changes of them are drawn; noise: what a step draws, as dropout does; rounding: every "
        "initial weight moves by one unit in its last place, up or down, as if sums had been taken in another order",
    )
    others: Annotated[int, Field(ge=0, strict=True)] = Field(0, description="the seed of the sources that do not vary")

    @field_validator("vary")
    @classmethod
    def _in_order(cls, vary: str) -> str:
        named = vary.split("+")
        if unknown := [source for source in named if source not in SOURCES]:
            near = did_you_mean(unknown[0], SOURCES)
            raise ValueError(f"vary = {vary}: '{unknown[0]}' is none of {', '.join(SOURCES)}, joined by +{near}")
        if len(set(named)) < len(named):
            raise ValueError(f"vary = {vary}: one is named twice")
        return "+".join(source for source in SOURCES if source in named)

    def varies(self, source: Source) -> bool:
        """Whether a source of variance follows the trial's seed."""
        return source in self.vary.split("+")

    def of(self, source: Source, seed: int) -> int:
        """The seed of a source, given the trial's."""
        fixed = self.others
        return seed if self.varies(source) else fixed

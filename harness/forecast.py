"""How long a sweep will still take: what its plan expects of the stages that are to be made, corrected by what others took."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

PRIOR = 0.1
"""The weight of the plan, as a share of all that it expects, against what stages took."""


@dataclass(frozen=True)
class Begun:
    """A stage that runs: its kind, for how many seconds, and which share of it is done; None: not known."""

    kind: str
    seconds: float
    share: float | None


class Forecast:
    """expected: seconds that each stage to run will take, by kind and key. at_once: trials that run side by side."""

    def __init__(self, expected: Mapping[tuple[str, str], float], at_once: int) -> None:
        self.at_once = at_once
        self.to_make = dict(expected)
        self.usual: dict[str, float] = {}
        for kind in {kind for kind, _ in expected}:
            seconds = [value for (one, _), value in expected.items() if one == kind]
            self.usual[kind] = sum(seconds) / len(seconds)
        self.prior = PRIOR * sum(expected.values())
        self.expected = self.taken = 0.0

    def made(self, kind: str, key: str, used: float) -> None:
        """A stage is there. used: seconds; 0: it was found."""
        expected = self._take((kind, key))
        if used > 0:
            self.expected += expected
            self.taken += used

    def dropped(self, stages: Collection[tuple[str, str]]) -> None:
        """Stages that will not be made after all, by kind and key."""
        for stage in stages:
            self.to_make.pop(stage, None)

    def of(self, stages: Collection[tuple[str, str]]) -> float:
        """Seconds that such stages will take, by kind and key: one that the plan does not name as those of its kind."""
        return self._pace() * sum(self.to_make.get(stage, self.usual.get(stage[0], 0.0)) for stage in stages)

    def left(self, begun: Iterable[Begun], trials: int) -> float:
        """Seconds until so many trials have ended, of which some have begun a stage."""
        pace = self._pace()
        rest = pace * sum(self.to_make.values())
        longest = 0.0
        for one in begun:
            whole = pace * self.usual.get(one.kind, 0.0)
            done = one.seconds / whole if one.share is None and whole else one.share or 0.0
            rest -= min(done, 1.0) * whole
            longest = max(longest, (1 - min(done, 1.0)) * whole)
        return max(rest / max(1, min(self.at_once, trials)), longest, 0.0)

    def _pace(self) -> float:
        """What stages take over what was expected of them."""
        return (self.taken + self.prior) / (self.expected + self.prior) if self.prior else 1.0

    def _take(self, stage: tuple[str, str]) -> float:
        """What was expected of a stage; of one that the plan does not name, as what it is depends on results, of one that
        stands for it."""
        if stage not in self.to_make:
            stage = next((one for one in self.to_make if one[0] == stage[0]), stage)
        return self.to_make.pop(stage, 0.0)

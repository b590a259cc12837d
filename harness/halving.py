"""Successive halving whose decisions depend on no clock: which configurations go on to more epochs. Imports no Ray, no Optuna.

Whether a configuration goes on after a rung is decided by the values at that rung of the configurations before it, in order
of position, and by nothing else: as many workers as there may be, in whatever order they end and however often they are
killed, decide the same (A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, decides by order of arrival).
A decision waits until all before it have a value at the rung, or will never have one; the first that is undecided never waits,
so that there is always something to run.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from search_spaces.space import Direction

FACTOR = 2
"""Of so many configurations at a rung one goes on, unless another number is asked for."""
Fate = Literal["promoted", "pruned", "failed"]


@dataclass(frozen=True)
class Rungs:
    """After how many epochs configurations are compared. setting: the dotted name of the epochs; epochs: rising, the last ones
    those of a whole training; factor: of so many one goes on."""

    setting: str
    epochs: tuple[int, ...]
    factor: int = FACTOR

    @classmethod
    def parse(cls, text: str, factor: int = FACTOR) -> Rungs:
        """`finetune.epochs=3,6,12`. Raises ValueError, which says what is valid."""
        setting, _, listed = text.partition("=")
        valid = "expected GROUP.epochs=E1,E2,..., for example finetune.epochs=3,6,12"
        group, dot, name = setting.rpartition(".")
        if not group or not dot or name != "epochs":
            raise ValueError(f"{text}: {valid}")
        try:
            epochs = tuple(int(one) for one in listed.split(","))
        except ValueError:
            raise ValueError(f"{text}: {valid}") from None
        if len(epochs) < 2:
            raise ValueError(f"{text}: with one rung nothing is stopped early: two or more")
        if epochs[0] < 1 or any(one >= other for one, other in itertools.pairwise(epochs)):
            raise ValueError(f"{text}: epochs from 1 on, each more than the one before")
        return cls(setting, epochs, factor)

    @property
    def top(self) -> int:
        """The number of the last rung, from 0."""
        return len(self.epochs) - 1

    def name(self, rung: int) -> str:
        """For people."""
        return f"rung {rung + 1} of {len(self.epochs)}, {self.epochs[rung]} epochs"

    def shares(self) -> Iterator[float]:
        """Of the configurations that begin, how many reach each rung, where values come in no order."""
        return (float(self.factor) ** -rung for rung in range(len(self.epochs)))


@dataclass(frozen=True)
class Decision:
    """What becomes of a configuration after a rung. better: how many of the `compared` before it are at least as good."""

    index: int
    rung: int
    fate: Fate
    better: int
    compared: int


@dataclass
class Halving:
    """The decisions of one sweep. Configurations are added in order of position; their values come in any order.

    spared: those that always go on, and are compared with. Decisions are made once, in order of position at each rung.
    """

    rungs: Rungs
    direction: Direction
    _order: list[int] = field(default_factory=list, init=False)
    _spared: set[int] = field(default_factory=set, init=False)
    _values: dict[tuple[int, int], float] = field(default_factory=dict, init=False)
    _ended: dict[int, int] = field(default_factory=dict, init=False)
    _next: list[int] = field(init=False)
    _before: list[list[float]] = field(init=False)

    def __post_init__(self) -> None:
        self._next = [0] * self.rungs.top
        self._before = [[] for _ in range(self.rungs.top)]

    def add(self, index: int, spared: bool = False) -> None:
        """The configuration at the next position."""
        if self._order and index <= self._order[-1]:
            raise ValueError(f"position {index} after {self._order[-1]}")
        self._order.append(index)
        if spared:
            self._spared.add(index)

    def reached(self, index: int, rung: int, value: float | None) -> None:
        """The objective of a configuration at a rung, the mean of its seeds; None where none of them got there."""
        worse = -math.inf if value is None or not math.isfinite(value) else value if self.direction == "maximize" else -value
        self._values[index, rung] = worse

    def decisions(self) -> list[Decision]:
        """Those below the last rung that can be made by now and were not, lower rungs first."""
        return [one for rung in range(self.rungs.top) for one in self._decisions(rung)]

    def _decisions(self, rung: int) -> Iterator[Decision]:
        before = self._before[rung]
        while self._next[rung] < len(self._order):
            index = self._order[self._next[rung]]
            if self._ended.get(index, rung) >= rung:  # else it does not get here
                if (index, rung) not in self._values:
                    return
                yield self._decide(index, rung, self._values[index, rung], before)
            self._next[rung] += 1

    def _decide(self, index: int, rung: int, value: float, before: list[float]) -> Decision:
        compared, better = len(before), len(before) - bisect.bisect_left(before, value)
        bisect.insort(before, value)
        fate: Fate = "promoted"
        if value == -math.inf:
            fate = "failed"
        elif compared >= self.rungs.factor and index not in self._spared and better >= (compared + 1) // self.rungs.factor:
            fate = "pruned"
        if fate != "promoted":
            self._ended[index] = rung
        return Decision(index, rung, fate, better, compared)

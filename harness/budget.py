"""What a sweep may take, `--budget`, and how much of that is spent. Imports no Ray.

A budget decides how far a sweep gets, never what comes next: what it runs is how a sweep without one begins. A trial begins
only if it is expected to end within what is left; what runs when all is spent is interrupted, and goes on from its last saved
state when the same command has more.
"""

from __future__ import annotations

import heapq
import itertools
import math
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.view import duration

TIMES = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DEVICES = {"gpu-hours": "GPU", "core-hours": "CPU"}
"""Units of what trials occupy, and Ray's name of that."""
EXPECTED = "expected 30m, 12h or 2d of time, or 200 gpu-hours or core-hours of what trials occupy"
MOST_NAMED = 6
_AMOUNT = re.compile(r"(?P<amount>\d+(?:\.\d+)?|\.\d+)\s*(?P<unit>[a-z-]+)", re.IGNORECASE)


class BudgetSpent(RuntimeError):
    """All of a budget is spent; the message says what was spent."""


@dataclass(frozen=True)
class Budget:
    """seconds: of time since the command was started; with a `device`, those for which trials may occupy one of these."""

    text: str
    seconds: float
    device: str | None = None

    def check(self, asked: Mapping[str, float]) -> None:
        """Raises ValueError where trials that ask for such resources occupy none of its devices."""
        if self.device is not None and not asked.get(self.device):
            raise ValueError(f"{self.text}: trials occupy no {self.device} here; {EXPECTED}")


def parse_budget(text: str) -> Budget:
    """Raises ValueError."""
    said = _AMOUNT.fullmatch(text.strip())
    unit = said["unit"].lower() if said else ""
    unit = f"{unit}s" if f"{unit}s" in DEVICES else unit
    if said is None or unit not in (*TIMES, *DEVICES):
        raise ValueError(f"{text!r}: {EXPECTED}")
    if not (amount := float(said["amount"])):
        raise ValueError(f"{text!r}: more than 0, or nothing would run")
    return Budget(text.strip(), amount * TIMES.get(unit, 3600.0), DEVICES.get(unit))


@dataclass
class Spending:
    """What of a budget is spent while a sweep runs; without one all that trials take is in it. Times are seconds.

    asked: how many of each device, by Ray's name, a trial occupies. at_once: trials that run side by side. before: seconds for
    which trials of earlier commands of the sweep occupied each, which counts where the budget is of devices. since: when the
    command was started, by the clock. search_over: whether it holds no more of a search that is confirmed now.
    """

    budget: Budget | None = None
    asked: Mapping[str, float] = field(default_factory=dict)
    at_once: int = 1
    before: Mapping[str, float] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)
    clock: Callable[[], float] = time.monotonic
    search_over: bool = False

    def __post_init__(self) -> None:
        self.ended = 0.0
        self.running: dict[str, tuple[float, float]] = {}

    def begin(self, worker: str, expected: float) -> None:
        """A worker has a trial, which will take so long, as far as that is known."""
        self.running[worker] = self.clock(), expected

    def end(self, worker: str) -> None:
        """The worker has its trial no more."""
        if worker in self.running:
            self.ended += self.clock() - self.running.pop(worker)[0]

    @property
    def occupied(self) -> dict[str, float]:
        """For how many seconds trials have occupied each device, by this command and those before it."""
        now = self.clock()
        ran = self.ended + sum(now - begun for begun, _ in [*self.running.values()])
        devices = self.before.keys() | self.asked.keys()
        return {device: self.before.get(device, 0.0) + self.asked.get(device, 0.0) * ran for device in sorted(devices)}

    def sign(self) -> dict[str, Any]:
        """What a sign of life says of it."""
        return {"occupied_seconds": self.occupied, "search_over": self.search_over}

    @property
    def rate(self) -> float:
        """How many of the budget's seconds a second of a trial takes."""
        return 1.0 if self.budget is None or self.budget.device is None else self.asked[self.budget.device]

    @property
    def spent(self) -> float:
        """In seconds of the budget."""
        if self.budget is None or self.budget.device is None:
            return self.clock() - self.since
        return self.occupied[self.budget.device]

    @property
    def left(self) -> float:
        return self.budget.seconds - self.spent if self.budget else math.inf

    def holds(self, expected: float, others: float = 0.0) -> bool:
        """Whether a trial that takes so long can end within what is left. others: seconds of trials that room is kept for."""
        if self.budget is None:
            return True
        if self.budget.device is None:
            return self.left > 0 and expected + others / self.at_once <= self.left
        now = self.clock()
        to_come = sum(max(whole - (now - begun), 0.0) for begun, whole in self.running.values())
        return self.left > 0 and self.rate * (to_come + expected + others) <= self.left

    def __str__(self) -> str:
        if self.budget is None:
            return duration(self.spent)
        share = f"{self.spent / self.budget.seconds:.0%}"
        if self.budget.device is None:
            return f"{duration(self.spent)} of a budget of {self.budget.text} ({share})"
        return f"{self.spent / 3600:.3g} hours of a budget of {self.budget.text} ({share})"


def how_many(spending: Spending, trials: Sequence[float], others: float = 0.0) -> int:
    """How many trials, which take so many seconds, end within what is left when they begin one after the other.

    others: seconds of trials that room is kept for.
    """
    budget, left = spending.budget, spending.left
    left -= others / spending.at_once if budget is None or budget.device is None else spending.rate * others
    if budget is not None and budget.device is not None:
        ends = itertools.accumulate(spending.rate * seconds for seconds in trials)
        return sum(end <= left for end in ends)
    free = [0.0] * spending.at_once
    for number, seconds in enumerate(trials):
        end = heapq.heappop(free) + seconds
        if end > left:
            return number
        heapq.heappush(free, end)
    return len(trials)


def some_of(names: Collection[str], unnamed: int = 0) -> str:
    """In words: trials, and how many of configurations that were not proposed."""
    some = [*names][:MOST_NAMED]
    more = len(names) - len(some) + unnamed
    return " and ".join(filter(None, [", ".join(some), f"{more} {'more ' if some else ''}trials" if more else ""])) or "nothing"

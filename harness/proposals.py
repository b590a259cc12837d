"""Which configuration comes next: Optuna's proposals, as a function of what the ledger holds. Imports no Ray.

The ledger is the only state. The study is rebuilt from it whenever a sweep command starts: configurations already recorded
are taken over as they are, and every new proposal is a function of (space, search, seed, its position, the results at least
`lookahead` positions before it). So a sweep that was killed proposes what it would have proposed, and neither the number of
workers nor the order in which trials end changes anything. Trials between that window and the proposal count as running
(TPE's constant liar). Optuna is told FAIL for a configuration of which no seed completed, and for a draw that is not used
because it repeats an earlier configuration or is invalid; another is drawn in its place.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from harness.positions import Named
from search_spaces.narrowing import NothingLeft
from search_spaces.space import Parameters, Space
from trainables.files import digest
from trainables.settings import ExperimentSettings, SettingsError

Search = Literal["tpe", "random", "grid"]
STARTUP_TRIALS = 5
ATTEMPTS = 200
"""Draws in a row that repeat earlier configurations before a space counts as exhausted."""
TPE_ATTEMPTS = 10
"""Of these, how many TPE makes; the rest are random, so that a small space is searched to its end."""


@dataclass(frozen=True)
class Configuration:
    """Parameters at a position of the sweep; row is the paper's label when it is one of its rows."""

    index: int
    parameters: Parameters
    row: str | None


class Waiting(Exception):
    """The next proposal needs results that are not there yet."""


class Exhausted(Exception):
    """There is nothing left to propose."""


class Proposals:
    """Configurations of a sweep in order of their position.

    named: what the space names, by position. known: parameters by position of what an earlier run of the sweep has recorded.
    limit: how many configurations in all; and, unless that is less than the space named when the sweep was started, all that it
    names and all that are known. configured: gives the settings of parameters; a proposal for which it raises SettingsError is
    told FAIL and drawn again.
    """

    def __init__(
        self,
        space: Space,
        search: Search,
        seed: int,
        limit: int,
        named: Mapping[int, Named],
        known: Mapping[int, Parameters],
        configured: Callable[[Parameters], ExperimentSettings],
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Fixed parameter .* out of range")
        self.space = space
        self.search = search
        self.seed = seed
        self.limit = limit
        self.named = dict(named)
        self.known = dict(known)
        self.configured = configured
        self.study = optuna.create_study(direction=space.direction)
        self.asked: dict[int, optuna.Trial] = {}
        self.position = 0
        self.proposed: set[str] = set()
        self.values: dict[int, float | None] = {}
        self.told = 0

    @property
    def size(self) -> int:
        """How many configurations there are, unless the space is exhausted earlier."""
        if self.limit < sum(not one.added for one in self.named.values()):
            return self.limit
        if self.search == "grid":
            return len(self.named)
        return max(self.limit, len(self.named.keys() | self.known.keys()))

    def next(self) -> Configuration:
        """The configuration at the next position. Raises Waiting or Exhausted."""
        if len(self.asked) >= self.size:
            raise Exhausted
        index = self._next_position()
        named = self.named.get(index)
        if named is not None or index in self.known:
            parameters = named.parameters if named is not None else self.known[index]
            trial = self._ask(index, 0, parameters)
        else:
            trial, parameters = self._propose(index)
        self.position = index + 1
        self.asked[index] = trial
        self.proposed.add(digest(parameters))
        return Configuration(index, parameters, named.label if named is not None else None)

    def _next_position(self) -> int:
        """The next at which there is something, or a proposal behind all that the space names."""
        there = self.named.keys() if self.search == "grid" else self.named.keys() | self.known.keys()
        if self.position > max(self.named, default=-1) and self.search != "grid":
            return self.position
        return min(index for index in there if index >= self.position)

    def close(self, index: int, value: float | None) -> None:
        """All seeds at this position have ended: their mean objective, or None when none completed."""
        self.values[index] = value

    def _propose(self, index: int) -> tuple[optuna.Trial, Parameters]:
        self._tell_before(index - self.space.lookahead + 1)
        for attempt in range(ATTEMPTS):
            trial = self._ask(index, attempt)
            try:
                parameters = self.space.draw(trial)
            except NothingLeft:
                self._tell(trial, None)
                continue
            if digest(parameters) not in self.proposed and self._valid(parameters):
                return trial, parameters
            self._tell(trial, None)
        raise Exhausted

    def _valid(self, parameters: Parameters) -> bool:
        try:
            self.configured(parameters)
        except SettingsError:
            return False
        return True

    def _ask(self, index: int, attempt: int, parameters: Parameters | None = None) -> optuna.Trial:
        self.study.sampler = self._sampler(int(digest([self.seed, index, attempt])[:8], 16), attempt)
        if parameters is None:
            return self.study.ask()
        self.study.enqueue_trial(parameters)
        trial = self.study.ask()
        self.space.draw(trial)
        return trial

    def _sampler(self, seed: int, attempt: int) -> BaseSampler:
        if self.search == "tpe" and attempt < TPE_ATTEMPTS:
            return TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, group=True, constant_liar=True)
        return RandomSampler(seed=seed)

    def _tell_before(self, end: int) -> None:
        while self.told < end:
            if self.told not in self.values:
                raise Waiting
            self._tell(self.asked[self.told], self.values[self.told])
            self.told += 1

    def _tell(self, trial: optuna.Trial, value: float | None) -> None:
        if value is None:
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            self.study.tell(trial, value)

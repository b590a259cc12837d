"""Which configuration comes next: Optuna's proposals, as a function of what the ledger holds. Imports no Ray.

The ledger is the only state. The study is rebuilt from it whenever a sweep command starts: configurations already recorded
are taken over as they are, and every new proposal is a function of (space, search, seed, its position, the results at least
`lookahead` positions before it). So a sweep that was killed proposes what it would have proposed, and neither the number of
workers nor the order in which trials end changes anything. Trials between that window and the proposal count as running
(TPE's constant liar). Optuna is told FAIL for a configuration of which no seed completed, and for a draw that is not used
because it repeats an earlier configuration or is invalid; another is drawn in its place. Of one that was pruned it is told
PRUNED, with what it reached after how many epochs.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import optuna
from optuna.trial import TrialState

from harness.positions import Named
from harness.samplers import SEARCHES, STATELESS, sampler_for
from search_spaces.narrowing import NothingLeft
from search_spaces.space import Parameters, Space
from trainables.files import digest
from trainables.settings import ExperimentSettings, SettingsError

ATTEMPTS = 200
"""Draws in a row that repeat earlier configurations before a space counts as exhausted."""
Reached = float | Sequence[float]
"""The objective of a configuration, or each of them."""


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
        search: str,
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
        self.study = optuna.create_study(directions=[direction for _, direction in space.objectives])
        self._try_own()
        self.asked: dict[int, optuna.Trial] = {}
        self.position = 0
        self.proposed: set[str] = set()
        self.values: dict[int, Reached | None] = {}
        self.rungs: dict[int, Mapping[int, float]] = {}
        self.told = 0

    def _try_own(self) -> None:
        """A draw that is thrown away. Raises SamplerError where somebody's own sampler fails at it."""
        if self.search not in SEARCHES.entries:
            tried = optuna.create_study(directions=self.study.directions, sampler=sampler_for(self.search, self.seed, 0, 0))
            with contextlib.suppress(NothingLeft):
                self.space.draw(tried.ask())

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
        if named is not None:
            parameters = named.parameters
            trial = self._ask(index, 0, parameters)
        elif index in self.known and self.search in STATELESS:
            parameters = self.known[index]
            trial = self._ask(index, 0, parameters)
        else:
            trial, parameters = self._propose(index)
            if digest(parameters) != digest(known := self.known.get(index, parameters)):  # of an earlier version
                self._tell(trial, None)
                trial, parameters = self._ask(index, 0, known), known
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

    def close(self, index: int, value: Reached | None, rungs: Mapping[int, float] | None = None) -> None:
        """All seeds at this position have ended: their mean objective (each, of several), or None when none completed.

        rungs: of a configuration that was pruned, epochs -> its objective after so many.
        """
        self.values[index] = value
        if rungs:
            self.rungs[index] = rungs

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
        self.study.sampler = sampler_for(self.search, self.seed, index, attempt)
        if parameters is not None:
            self.study.enqueue_trial(parameters)
        trial = self.study.ask()
        if parameters is not None:
            self.space.draw(trial)
        return trial

    def _tell_before(self, end: int) -> None:
        while self.told < end:
            if self.told not in self.values:
                raise Waiting
            self._tell(self.asked[self.told], self.values[self.told], self.rungs.get(self.told, {}))
            self.told += 1

    def _tell(self, trial: optuna.Trial, value: Reached | None, rungs: Mapping[int, float] = MappingProxyType({})) -> None:
        for epochs, reached in sorted(rungs.items()):
            trial.report(reached, epochs)
        if value is None:
            self.study.tell(trial, state=TrialState.PRUNED if rungs else TrialState.FAIL)
        else:
            self.study.tell(trial, value)

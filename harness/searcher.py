"""Which configuration comes next: an Optuna study behind Ray Tune's Searcher interface.

The ledger is the only state. The study is rebuilt from it whenever a sweep command starts: configurations already recorded
are taken over as they are, and every new proposal is a function of (space, search, seed, its position, the results at least
`lookahead` positions before it). So a sweep that was killed proposes what it would have proposed, and neither the number of
workers nor the order in which trials end changes anything. Trials between that window and the proposal count as running
(TPE's constant liar). Optuna is told FAIL for a configuration of which no seed completed, and for a draw that is not used
because it repeats an earlier configuration or is invalid; another is drawn in its place.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState
from ray.tune.search import Searcher

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

    known: parameters by position of what an earlier run of the sweep has recorded. limit: how many configurations in all.
    configured: gives the settings of parameters; a proposal for which it raises SettingsError is told FAIL and drawn again.
    """

    def __init__(
        self,
        space: Space,
        search: Search,
        seed: int,
        limit: int,
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
        self.known = dict(known)
        self.configured = configured
        self.fixed = self._fixed()
        self.study = optuna.create_study(direction=space.direction)
        self.asked: list[optuna.Trial] = []
        self.configurations: list[Configuration] = []
        self.values: dict[int, float | None] = {}
        self.told = 0

    def _fixed(self) -> list[tuple[str | None, Parameters]]:
        fixed: list[tuple[str | None, Parameters]] = [(row.label, dict(row.parameters)) for row in self.space.rows]
        if self.search == "grid":
            seen = {digest(parameters) for _, parameters in fixed}
            fixed += [(None, point) for point in self.space.points() if digest(point) not in seen]
        return fixed

    @property
    def size(self) -> int:
        """How many configurations there are, unless the space is exhausted earlier."""
        return min(self.limit, len(self.fixed)) if self.search == "grid" else self.limit

    def next(self) -> Configuration:
        """The configuration at the next position. Raises Waiting or Exhausted."""
        index = len(self.configurations)
        if index >= self.size:
            raise Exhausted
        row = self.fixed[index][0] if index < len(self.fixed) else None
        if index in self.known or index < len(self.fixed):
            parameters = self.known[index] if index in self.known else self.fixed[index][1]
            trial = self._ask(index, 0, parameters)
        else:
            trial, parameters = self._propose(index)
        self.asked.append(trial)
        self.configurations.append(Configuration(index, parameters, row))
        return self.configurations[-1]

    def close(self, index: int, value: float | None) -> None:
        """All seeds at this position have ended: their mean objective, or None when none completed."""
        self.values[index] = value

    def _propose(self, index: int) -> tuple[optuna.Trial, Parameters]:
        self._tell_before(index - self.space.lookahead + 1)
        earlier = {digest(configuration.parameters) for configuration in self.configurations}
        for attempt in range(ATTEMPTS):
            trial = self._ask(index, attempt)
            parameters = self.space.draw(trial)
            if digest(parameters) not in earlier and self._valid(parameters):
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


class StudySearcher(Searcher):
    """Ray Tune's view of a sweep: hands out jobs (one configuration with one seed) and passes on how they ended.

    jobs: gives the configs still to run of a configuration. ended: takes a config and its last result, or None. settled:
    whether all seeds of the configuration at a position have ended, and their mean objective or None. choose: gives the one
    of the waiting configs that starts next beside the running ones, or None to wait.
    """

    def __init__(
        self,
        proposals: Proposals,
        jobs: Callable[[Configuration], list[dict[str, Any]]],
        settled: Callable[[int], tuple[bool, float | None]],
        ended: Callable[[dict[str, Any], dict[str, Any] | None], None],
        choose: Callable[[Sequence[dict[str, Any]], Collection[dict[str, Any]]], dict[str, Any] | None],
    ) -> None:
        super().__init__()
        self.proposals = proposals
        self.jobs = jobs
        self.settled = settled
        self.ended = ended
        self.choose = choose
        self.queue: list[dict[str, Any]] = []
        self.exhausted = False
        self.running: dict[str, dict[str, Any]] = {}
        self.unsettled: set[int] = set()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        self.exhausted = self.exhausted or self._fill_queue()
        config = self.choose(self.queue, self.running.values())
        if config is None:
            return Searcher.FINISHED if self.exhausted and not self.queue else None
        self.queue.remove(config)
        self.running[trial_id] = config
        return dict(config)

    def _fill_queue(self) -> bool:
        """Queue every configuration that can be proposed by now; whether there will be no more."""
        while True:
            try:
                configuration = self.proposals.next()
            except Waiting:
                return False
            except Exhausted:
                return True
            self.queue.extend(self.jobs(configuration))
            self.unsettled.add(configuration.index)
            self._close_settled()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        config = self.running.pop(trial_id)
        self.ended(config, None if error else result)
        self._close_settled()

    def _close_settled(self) -> None:
        for index in sorted(self.unsettled):
            settled, value = self.settled(index)
            if settled:
                self.unsettled.remove(index)
                self.proposals.close(index, value)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles its searcher to be able to restore a run, which is done from the ledger here."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """An empty file, for Ray: the ledger is the state."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: the ledger is the state."""

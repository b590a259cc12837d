"""What proposes configurations: Optuna's samplers, and anybody's own, by the names of `--search`. Imports Optuna when asked.

A sampler is made anew for every draw, from a seed that says which sweep, position and attempt it is for. So what it proposes
follows from that and from the study alone, however often the sweep was interrupted.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from search_spaces.space import SpaceError
from trainables.files import digest
from trainables.settings import SettingsError
from trainables.settings.registry import Registry

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

SEARCHES = Registry(
    "search",
    {name: f"harness.samplers:{name}" for name in ("tpe", "random", "grid", "gp", "nsga2", "qmc")},
)
STATELESS = ("tpe", "random", "grid", "gp", "qmc")
"""Those to which nothing is known of a configuration but its parameters and its result. Others may keep more with it when they
propose it, so that what is on record is proposed once more when a sweep goes on."""
STARTUP_TRIALS = 5
POPULATION = 10
"""Configurations of a generation."""
ATTEMPTS = 10
"""Draws in a row that a sampler makes where they repeat earlier configurations; those after are random, so that a small space
is searched to its end."""
FURTHER = 4096
"""Points of a quasi-random sequence by which an attempt is ahead of the one before it."""


class SamplerError(SpaceError):
    """A sampler of somebody's own fails. A SpaceError, as `suggest` of a space is where most of them are asked."""


def sampler_for(search: str, seed: int, position: int, attempt: int) -> BaseSampler:
    """Raises SettingsError for a search that cannot be found, or is none, and SamplerError where it fails."""
    from optuna.samplers import BaseSampler

    drawn = int(digest([seed, position, attempt])[:8], 16)
    if attempt >= ATTEMPTS:
        return random(drawn)
    if search == "qmc":
        return _qmc(seed, drawn, position + FURTHER * attempt)
    with _told_by(search):
        made = SEARCHES.find(search)(seed=drawn)
    if not isinstance(made, BaseSampler):
        raise SettingsError(f"--search {search} gives {made!r}: expected a sampler of Optuna's, called with seed=")
    return made if search in SEARCHES.entries else _own(search, made)


@contextmanager
def _told_by(search: str) -> Iterator[None]:
    """Raises SamplerError for whatever goes wrong in somebody's own code."""
    try:
        yield
    except SettingsError:
        raise
    except Exception as error:
        raise SamplerError(f"--search {search} fails: {type(error).__name__}: {' '.join(str(error).split())}") from error


def _own(search: str, sampler: BaseSampler) -> BaseSampler:
    """Somebody's sampler, whose errors say that they are its, wherever Optuna asks it."""
    from optuna.samplers import BaseSampler

    class Own(BaseSampler):
        def infer_relative_search_space(self, *asked: Any) -> Any:
            with _told_by(search):
                return sampler.infer_relative_search_space(*asked)

        def sample_relative(self, *asked: Any) -> Any:
            with _told_by(search):
                return sampler.sample_relative(*asked)

        def sample_independent(self, *asked: Any) -> Any:
            with _told_by(search):
                return sampler.sample_independent(*asked)

        def before_trial(self, *asked: Any) -> None:
            with _told_by(search):
                sampler.before_trial(*asked)

        def after_trial(self, *told: Any) -> None:
            with _told_by(search):
                sampler.after_trial(*told)

    return Own()


def tpe(seed: int) -> BaseSampler:
    """Tree-structured Parzen estimators; of several objectives the multi-objective kind."""
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, group=True, constant_liar=True)


def random(seed: int) -> BaseSampler:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


grid = random
"""All that a grid search has is named; nothing is drawn."""


def gp(seed: int) -> BaseSampler:
    """A Gaussian process, whose objective is noisy."""
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS, warn_independent_sampling=False)


def nsga2(seed: int) -> BaseSampler:
    """Generations of configurations, of which those survive that no other beats in all objectives."""
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(seed=seed, population_size=POPULATION)


def qmc(seed: int) -> BaseSampler:
    """The first point of a scrambled Sobol sequence."""
    return _qmc(seed, seed, 0)


def _qmc(seed: int, drawn: int, point: int) -> BaseSampler:
    """A point of the sweep's sequence; what has another parameter than the first configuration had is random."""
    from optuna.samplers import QMCSampler, RandomSampler

    class Point(QMCSampler):
        def _find_sample_id(self, study: Any, search_space: Any) -> int:
            return point  # Optuna counts draws, of which a sweep that was interrupted makes others

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Point(
            qmc_type="sobol",
            scramble=True,
            seed=seed,
            independent_sampler=RandomSampler(seed=drawn),
            warn_asynchronous_seeding=False,
            warn_independent_sampling=False,
        )

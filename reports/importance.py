"""Which parameters of a sweep matter: PED-ANOVA (Watanabe et al. 2023), as Optuna computes it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import create_trial

from reports.leaderboard import Direction, Leaderboard

FEWEST = 8
"""Configurations below which no importance is told: the best quarter of them is less than two."""
WIDE = 10
"""Times that the greatest of positive values is the least, from which they are looked at by their logarithms."""
BEST = 0.25
"""Share of the configurations that count as good."""


def importances(board: Leaderboard) -> dict[str, float]:
    """By parameter its share of what tells the best quarter of the configurations from all of them; the greatest first.

    Of configurations with a number, by the mean over their seeds; of parameters that all of them have and in which they differ.
    Nothing where there are fewer than FEWEST, or no such parameter.
    """
    numbered = [one for one in board.ranked if one.objective is not None]
    names = {name for name in numbered[0].parameters if all(name in one.parameters for one in numbered)} if numbered else set()
    columns = {name: [one.parameters[name] for one in numbered] for name in sorted(names)}
    varied = {name: values for name, values in columns.items() if len({repr(value) for value in values}) > 1}
    if len(numbered) < FEWEST or not varied:
        return {}
    distributions = {name: _distribution(values) for name, values in varied.items()}
    study = _study(board.objective.direction)
    for number, one in enumerate(numbered):
        assert one.objective is not None
        params = {name: _value(values[number], distributions[name]) for name, values in varied.items()}
        study.add_trial(create_trial(params=params, distributions=distributions, value=one.objective.mean))
    if len(varied) == 1:
        return dict.fromkeys(varied, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST)
        found: Mapping[str, float] = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))


def _study(direction: Direction) -> optuna.Study:
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=direction)
    optuna.logging.set_verbosity(verbosity)
    return study


def _distribution(values: Sequence[Any]) -> BaseDistribution:
    if all(is_number(value) for value in values):
        return FloatDistribution(min(values), max(values), log=is_wide(values))
    return CategoricalDistribution(sorted({str(value) for value in values}))


def _value(value: Any, distribution: BaseDistribution) -> Any:
    return float(value) if isinstance(distribution, FloatDistribution) else str(value)


def is_number(value: Any) -> bool:
    """Whether a value of a setting is a number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_wide(values: Sequence[float]) -> bool:
    """Whether numbers are better looked at by their logarithms."""
    return min(values) > 0 and max(values) >= WIDE * min(values)

"""Samplers by name and import path: the same proposals whatever ends first or is interrupted, and what each is to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState

from harness.proposals import Configuration, Proposals
from harness.samplers import SEARCHES, SamplerError, sampler_for
from search_spaces.space import Row
from tests.harness.test_proposals import (
    S,
    T,
    finite,
    parameters,
    proposals,
    run_out,
    run_out_shuffled,
)
from trainables.settings import SettingsError

OWN = "tests.harness.test_samplers:own"


def own(seed: int) -> BaseSampler:
    return RandomSampler(seed=seed + 1)


def none(seed: int) -> int:
    return seed


def fails(seed: int) -> BaseSampler:
    raise ValueError("no licence")


class Fragile(RandomSampler):
    """Fails at what it is asked for the third time, or the first time that it is told."""

    asked = 0

    def sample_independent(self, *asked: Any) -> Any:
        Fragile.asked += 1
        if Fragile.asked == 3:
            raise IndexError("the pool\nis empty")
        return super().sample_independent(*asked)

    def after_trial(self, *told: Any) -> None:
        raise KeyError("told")


@pytest.mark.parametrize(("search", "limit", "every"), [("gp", 11, 4), ("nsga2", 34, 5), ("qmc", 20, 3), (OWN, 14, 4)])
def test_neither_workers_nor_interruptions_change_anything(search: str, limit: int, every: int) -> None:
    """Of NSGA-II over three generations of ten."""
    expected = parameters(run_out(proposals(search=search, limit=limit)))
    assert len(expected) == limit
    for done in range(7, limit, every):
        known = dict(enumerate(expected[:done]))
        assert parameters(run_out(proposals(search=search, limit=limit, known=known))) == expected, f"after {done} trials"
    gaps = {place: expected[place] for place in range(limit) if place not in (2, limit - 4, limit - 2)}
    assert parameters(run_out(proposals(search=search, limit=limit, known=gaps))) == expected
    for workers, seed in ((2, 1), (4, 2)):
        assert parameters(run_out_shuffled(proposals(search=search, limit=limit), workers, seed)) == expected


@pytest.mark.parametrize("search", ["gp", "nsga2", "qmc"])
def test_a_finite_space_ends_without_a_repeat(search: str) -> None:
    assert len({tuple(point.values()) for point in parameters(run_out(proposals(finite(), search, 50)))}) == 9


def test_generations_come_of_the_best_before() -> None:
    """NSGA-II on a bowl over two logarithms: later generations lie nearer to its middle than what is drawn at random."""

    def distance(configuration: Configuration) -> float:
        return math.hypot(*(math.log(value / 0.05) for value in configuration.parameters.values()))

    def last(search: str) -> float:
        found = run_out(proposals(search=search, limit=120), lambda one: -distance(one))
        return sum(map(distance, found[-30:])) / 30

    assert last("nsga2") < 0.8 * last("random")


def test_quasi_random_points_are_spread_evenly() -> None:
    """Eight in a row, from a multiple of eight on, lie in different eighths of each range (a property of Sobol's sequence)."""
    found = parameters(run_out(proposals(search="qmc", limit=24)))
    for start in (8, 16):
        for name in (T, S):
            eighths = [int(8 * math.log(point[name] / 0.005) / math.log(100)) for point in found[start : start + 8]]
            assert sorted(eighths) == list(range(8))


def test_several_objectives_are_told_and_searched() -> None:
    """Each with its direction. One is to be large, the other small, and both are the same distance: any place is as good."""

    def both(configuration: Configuration) -> Sequence[float]:
        value = float(configuration.parameters[T])
        return value, value

    for search in ("tpe", "nsga2", "gp"):
        space = finite(rows=(Row("first", {T: 0.1}),), suggest=lambda trial: {T: trial.suggest_float(T, 0.01, 0.5)}, grid=None)
        space = type(space)(**{**vars(space), "further": (("hours", "minimize"),)})
        source = proposals(space, search, 12)
        _run(source, both)
        told = [trial for trial in source.study.trials if trial.state == TrialState.COMPLETE]
        assert [direction.name for direction in source.study.directions] == ["MAXIMIZE", "MINIMIZE"]
        assert len(told) >= 8 and all(trial.values == [trial.params[T]] * 2 for trial in told)
        assert len(source.study.best_trials) == len(told)


def _run(source: Proposals, reached: Callable[[Configuration], Sequence[float]]) -> None:
    from harness.proposals import Exhausted

    with pytest.raises(Exhausted):
        while True:
            configuration = source.next()
            source.close(configuration.index, reached(configuration))


def test_what_is_no_sampler_is_said_before_anything_runs() -> None:
    assert all(isinstance(sampler_for(name, 7, 0, 0), BaseSampler) for name in SEARCHES)
    with pytest.raises(SettingsError, match=r"unknown search 'tpee', did you mean 'tpe'|unknown search 'tpee'"):
        sampler_for("tpee", 7, 0, 0)
    with pytest.raises(SettingsError, match="expected a sampler of Optuna's"):
        proposals(search="tests.harness.test_samplers:none")
    with pytest.raises(SamplerError, match="fails fails: ValueError: no licence"):
        proposals(search="tests.harness.test_samplers:fails")
    with pytest.raises(SettingsError, match="has no absent"):
        proposals(search="tests.harness.test_samplers:absent")


def test_errors_of_a_sampler_are_its_own_wherever_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the space's, in whose `suggest` it is asked: before anything runs where it fails at once, else when it does."""
    search = "tests.harness.test_samplers:Fragile"
    monkeypatch.setattr(Fragile, "asked", 2)
    with pytest.raises(SamplerError, match=f"^--search {search} fails: IndexError: the pool is empty$"):
        proposals(search=search)
    source = proposals(finite(), search, 12)
    with pytest.raises(SamplerError, match="KeyError: 'told'"):
        run_out(source)

"""Proposals: the paper's rows first, never a repeat, an end, and nothing that depends on timing or on interruptions."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from harness.positions import named_configurations, placed
from harness.proposals import Configuration, Exhausted, Proposals, Waiting
from search_spaces.space import Parameters, Row, Space, find_space
from trainables.presets import configure
from trainables.settings import ExperimentSettings

T, S = "auxskd.teacher_temperature", "auxskd.student_temperature"
SPEEDS, SEGMENTS = "vspp.speeds", "vspp.segments"


def finite_suggest(trial: Any) -> Parameters:
    return {SPEEDS: trial.suggest_int(SPEEDS, 2, 4), SEGMENTS: trial.suggest_categorical(SEGMENTS, [1, 2, 4])}


def finite(**changes: Any) -> Space:
    """Nine configurations, one of them the paper's."""
    values: dict[str, Any] = {
        "name": "finite",
        "summary": "",
        "rows": (Row("first", {SPEEDS: 2, SEGMENTS: 4}),),
        "suggest": finite_suggest,
        "grid": lambda: [{SPEEDS: q, SEGMENTS: z} for q, z in itertools.product((2, 3, 4), (1, 2, 4))],
    }
    return Space(**(values | changes))


def configured(parameters: Parameters) -> ExperimentSettings:
    return configure("demo", parameters)


def proposals(
    space: Space | None = None, search: str = "tpe", limit: int = 14, known: Mapping[int, Parameters] | None = None
) -> Proposals:
    space = space or find_space("temperatures")
    named = placed(named_configurations(space, search == "grid"), None, known or {})
    return Proposals(space, search, 7, limit, named, known or {}, configured)


def objective(parameters: Parameters) -> float:
    """Any function of the parameters: distinct values, with a best place."""
    return -sum((float(value) - 0.03) ** 2 for value in parameters.values())


def run_out(source: Proposals, value: Callable[[Configuration], float | None] | None = None) -> list[Configuration]:
    """All configurations, one at a time, each ended before the next is asked for."""
    found = []
    while True:
        try:
            configuration = source.next()
        except Exhausted:
            return found
        source.close(configuration.index, value(configuration) if value else objective(configuration.parameters))
        found.append(configuration)


def run_out_shuffled(source: Proposals, workers: int, seed: int) -> list[Configuration]:
    """The same with several workers of which any may end next."""
    rng, found, running = random.Random(seed), [], []
    exhausted = False
    while True:
        while len(running) < workers and not exhausted:
            try:
                running.append(source.next())
                found.append(running[-1])
            except Waiting:
                assert running, "waiting while nothing runs would be for ever"
                break
            except Exhausted:
                exhausted = True
        if not running:
            return found
        ended = running.pop(rng.randrange(len(running)))
        source.close(ended.index, objective(ended.parameters))


def parameters(configurations: Iterable[Configuration]) -> list[Parameters]:
    return [configuration.parameters for configuration in configurations]


@pytest.mark.parametrize("search", ["tpe", "random", "grid"])
def test_the_paper_s_rows_come_first_in_its_order(search: str) -> None:
    found = run_out(proposals(search=search, limit=9))
    rows = find_space("temperatures").rows
    assert [configuration.row for configuration in found[:7]] == [row.label for row in rows]
    assert parameters(found[:7]) == [dict(row.parameters) for row in rows]
    assert [configuration.index for configuration in found] == list(range(9))
    assert [configuration.row for configuration in found[7:]] == [None, None]


@pytest.mark.parametrize("limit", [1, 3, 7, 10])
def test_the_limit_counts_the_rows(limit: int) -> None:
    assert len(run_out(proposals(limit=limit))) == limit


def test_proposals_stay_in_their_ranges_and_use_the_results() -> None:
    """Two objectives lead to different proposals; the first ones after the rows may still coincide."""

    def near(place: float) -> list[Parameters]:
        return parameters(run_out(proposals(limit=20), lambda c: -sum((v - place) ** 2 for v in c.parameters.values())))

    low, high = near(0.005), near(0.5)
    assert all(0.005 <= value <= 0.5 for point in low[7:] + high[7:] for value in point.values())
    assert low[:7] == high[:7]
    assert low[12:] != high[12:]


@pytest.mark.parametrize("search", ["tpe", "random"])
def test_neither_workers_nor_the_order_of_ending_change_anything(search: str) -> None:
    expected = parameters(run_out(proposals(search=search)))
    for workers, seed in ((1, 0), (2, 1), (3, 2), (4, 3), (8, 4)):
        assert parameters(run_out_shuffled(proposals(search=search), workers, seed)) == expected


def spaces() -> list[Any]:
    return [pytest.param(find_space("temperatures"), 14, id="continuous"), pytest.param(finite(), 9, id="finite")]


@pytest.mark.parametrize("search", ["tpe", "random", "grid"])
@pytest.mark.parametrize(("space", "limit"), spaces())
def test_a_resumed_sweep_proposes_what_it_would_have_proposed(space: Space, limit: int, search: str) -> None:
    expected = parameters(run_out(proposals(space, search, limit)))
    for done in range(len(expected) + 1):
        known = dict(enumerate(expected[:done]))
        assert parameters(run_out(proposals(space, search, limit, known))) == expected, f"after {done} trials"


def test_resuming_with_gaps() -> None:
    """Trials that were running when the sweep was killed are missing from the ledger, later ones are there."""
    expected = parameters(run_out(proposals()))
    for missing in ({8}, {7, 9}, {3, 10}, {0, 7, 8}):
        known = {index: point for index, point in enumerate(expected[:11]) if index not in missing}
        assert parameters(run_out(proposals(known=known))) == expected


def test_a_larger_limit_extends_the_same_sequence() -> None:
    assert parameters(run_out(proposals(limit=14)))[:10] == parameters(run_out(proposals(limit=10)))


@pytest.mark.parametrize("search", ["tpe", "random", "grid"])
def test_a_finite_space_ends_without_a_repeat(search: str) -> None:
    found = parameters(run_out(proposals(finite(), search, 50)))
    distinct = {(point[SPEEDS], point[SEGMENTS]) for point in found}
    assert len(found) == len(distinct) == 9, "all nine, each once"


def test_grid_and_rows_are_not_run_twice() -> None:
    found = run_out(proposals(search="grid", limit=100))
    assert len(found) == 25
    assert len({(c.parameters[T], c.parameters[S]) for c in found}) == 25


@pytest.mark.parametrize("search", ["tpe", "random"])
def test_invalid_proposals_are_drawn_again(search: str) -> None:
    """`demo` has clips of 16 frames: more segments than that are refused by the settings, in half of this range."""
    space = finite(suggest=lambda trial: {SEGMENTS: trial.suggest_int(SEGMENTS, 1, 32)}, rows=())
    found = run_out(proposals(space, search, 8), lambda c: float(c.parameters[SEGMENTS]))
    assert len(found) == 8
    assert all(point[SEGMENTS] <= 16 for point in parameters(found))


def test_a_proposal_waits_for_the_results_lookahead_before_it() -> None:
    """Seven rows, lookahead 4: position 7 needs the results of positions 0 to 3, and no others."""
    source = proposals()
    for _ in range(7):
        source.next()
    for index in (6, 5, 3, 2, 1):
        with pytest.raises(Waiting):
            source.next()
        source.close(index, 0.5)
    with pytest.raises(Waiting):
        source.next()
    source.close(0, None)
    assert source.next().index == 7
    with pytest.raises(Waiting):
        source.next()


def test_optuna_is_told_complete_and_fail_and_nothing_stays_running() -> None:
    source = proposals(limit=14)
    found = run_out(source, lambda c: None if c.index in (2, 8) else objective(c.parameters))
    states = [trial.state for trial in source.study.trials]
    told = states[: 14 - 4]
    assert told[2] == told[8] == TrialState.FAIL
    assert told.count(TrialState.COMPLETE) == 8
    assert source.study.trials[3].params == found[3].parameters
    assert source.study.trials[3].value == objective(found[3].parameters)


def test_a_study_of_failures_goes_on() -> None:
    assert len(run_out(proposals(limit=12), lambda c: None)) == 12


def test_conditional_parameters() -> None:
    """A space that asks for one parameter only when another has a certain value."""

    def suggest(trial: optuna.Trial) -> Parameters:
        chosen: Parameters = {"recipe": trial.suggest_categorical("recipe", ["pretext", "auxskd_pretext"])}
        if chosen["recipe"] == "auxskd_pretext":
            chosen[T] = trial.suggest_float(T, 0.01, 0.1, log=True)
        return chosen

    space = finite(suggest=suggest, rows=(Row("without", {"recipe": "pretext"}),))
    found = parameters(run_out(proposals(space, "tpe", 12), lambda c: float(c.parameters.get(T, 0.05))))
    assert found[0] == {"recipe": "pretext"}
    assert all((T in point) == (point["recipe"] == "auxskd_pretext") for point in found)
    assert len(found) == 12
    assert sum(point["recipe"] == "pretext" for point in found) == 1, "without its parameter it is one configuration"

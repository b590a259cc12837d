"""How long a sweep will still take, against calculation by hand."""

from __future__ import annotations

import pytest

from harness.forecast import PRIOR, Begun, Forecast

PLAN = {("pretext", "p1"): 100.0, ("finetune", "f1"): 30.0, ("finetune", "f2"): 30.0, ("finetune", "f3"): 40.0}


def test_before_anything_was_made_it_is_the_plan_side_by_side() -> None:
    assert Forecast(PLAN, 1).left([], 3) == 200
    assert Forecast(PLAN, 2).left([], 3) == 100
    assert Forecast(PLAN, 8).left([], 3) == pytest.approx(200 / 3), "no more at once than there are trials"
    assert Forecast({}, 2).left([], 3) == 0


def test_what_is_done_of_a_stage_that_runs_is_taken_off() -> None:
    """By its share where that is known, else by its time; what is left of the longest is the least there can be."""
    forecast = Forecast(PLAN, 2)
    assert forecast.left([Begun("pretext", 1, 0.25)], 3) == (200 - 25) / 2
    assert forecast.left([Begun("pretext", 40, None)], 3) == (200 - 40) / 2
    assert forecast.left([Begun("pretext", 4000, None)], 3) == (200 - 100) / 2, "never more than it takes"
    assert forecast.left([Begun("unknown", 4000, 0.5)], 3) == 100
    forecast.dropped([("finetune", key) for key in ("f1", "f2", "f3")])
    assert forecast.left([Begun("pretext", 1, 0.25)], 3) == 75


def test_what_stages_took_corrects_the_plan() -> None:
    forecast = Forecast(PLAN, 1)
    forecast.made("pretext", "p1", 200)
    pace = (200 + PRIOR * 200) / (100 + PRIOR * 200)
    assert forecast.left([], 3) == pytest.approx(pace * 100)
    half_of_one = 100 / 3 / 2
    assert forecast.left([Begun("finetune", 0, 0.5)], 3) == pytest.approx(pace * (100 - half_of_one)), "as stages of a kind are"
    forecast.made("finetune", "f3", 0)
    assert forecast.left([], 3) == pytest.approx(pace * 60), "one that was found says nothing of the pace"


def test_a_stage_of_a_proposal_takes_the_place_of_one_that_stands_for_it() -> None:
    """What is proposed depends on results, so the plan holds others in its place."""
    forecast = Forecast(PLAN, 1)
    forecast.made("finetune", "another", 30)
    assert sorted(forecast.to_make) == [("finetune", "f2"), ("finetune", "f3"), ("pretext", "p1")]
    forecast.made("compression", "unheard of", 5)
    assert len(forecast.to_make) == 3

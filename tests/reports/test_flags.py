"""Stages that ended at chance, by binomial tests, and destroyed starts: what tables and leaderboards say of them."""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Any

import pytest

from harness.ledger import Record
from reports.circumstances import description
from reports.flags import LEAP, Told, flags, stages_at_chance
from reports.groups import comparable_groups
from reports.leaderboard import DEFAULT, leaderboard
from reports.leaderboard_sheet import leaderboard_sheet

MakeTrial = Callable[..., Record]
VSPP = {"pretext/val_speed_chance": 0.25, "pretext/val_segment_chance": 0.25}


def told(make_trial: MakeTrial, seed: int = 0, validation: int = 16, **metrics: float) -> Record:
    """A trial with 16 validation videos, of which the pretext task sees four samples each."""
    named = {name.replace("__", "/"): value for name, value in metrics.items()}
    data: dict[str, Any] = make_trial(0.02, 0.02, 0, 50.0).data
    data = {role: {**entry, "validation": validation, "classes": 4} for role, entry in data.items()}
    trial = make_trial(0.02, 0.02, seed, 50.0, settings={"pretext.validation_clips": 4}, data=data)
    return trial.model_copy(update={"metrics": {**trial.metrics, **VSPP, **named}})


def test_how_probable_guessing_is_agrees_with_the_sum_of_the_distribution() -> None:
    for hits, samples, chance in ((0, 20, 0.25), (8, 20, 0.25), (20, 20, 0.25), (90, 500, 1 / 7)):
        whole = sum(comb(samples, k) * chance**k * (1 - chance) ** (samples - k) for k in range(hits, samples + 1))
        assert Told(hits / samples, chance, samples).p == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize(
    ("speed", "segment", "expected"),
    [
        (0.25, 0.25, ["pretext"]),
        (0.33, 0.25, ["pretext"]),  # 21 of 64: p = 0.095
        (0.36, 0.25, ["pretext"]),  # 23 of 64: p = 0.034, of two accuracies one of which may be lucky
        (0.39, 0.20, []),  # 25 of 64: p = 0.0095
        (0.20, 0.60, []),  # one of two is enough
    ],
)
def test_a_task_is_at_chance_where_none_of_its_accuracies_is_above_it(
    make_trial: MakeTrial, speed: float, segment: float, expected: list[str]
) -> None:
    record = told(make_trial, pretext__val_speed_accuracy=speed, pretext__val_segment_accuracy=segment)
    assert stages_at_chance(record) == expected


def test_classifiers_are_at_one_over_the_number_of_classes(make_trial: MakeTrial) -> None:
    """16 videos of 4 classes: 6 right may be guessed (p = 0.19), 9 are not (p = 0.007)."""
    assert stages_at_chance(told(make_trial, finetune__val_top1=6 / 16)) == ["finetune"]
    assert stages_at_chance(told(make_trial, finetune__val_top1=9 / 16)) == []


def test_without_chance_or_samples_nothing_is_said(make_trial: MakeTrial) -> None:
    assert stages_at_chance(told(make_trial, pretext__val_order_accuracy=0.1)) == []
    assert stages_at_chance(told(make_trial, validation=0, finetune__val_top1=0.0)) == []


def test_tables_and_leaderboards_say_in_how_many_trials(make_trial: MakeTrial) -> None:
    records = [told(make_trial, seed, pretext__val_speed_accuracy=accuracy) for seed, accuracy in enumerate((0.25, 0.2, 0.9))]
    expected = "pretext ended at chance in 2 of 3 trials: its accuracy on validation samples is not told from guessing"
    assert list(flags(records)) == [expected]
    (group,) = comparable_groups(records, varied=())
    assert expected in description(group)
    sheet = leaderboard_sheet(leaderboard("s", records, DEFAULT))
    assert expected in sheet.sections[0].notes
    assert list(flags(records[2:])) == []


def test_an_auxskd_that_destroyed_its_start_is_said(make_trial: MakeTrial) -> None:
    learned = {"pretext__val_speed_accuracy": 0.9}
    leaps = (LEAP - 0.01, LEAP + 0.01, 0.5)
    records = [told(make_trial, seed, **learned, auxskd__health_leap=leap) for seed, leap in enumerate(leaps)]
    (said,) = flags(records)
    assert said.startswith("auxskd lost much of its start in 2 of 3 trials: its first updates moved the weights by over 15%")

"""Verdicts on published effects: each by hand, and how often those of a whole table are wrong, by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from reports.verdicts import Expected, judge


@pytest.mark.parametrize(
    ("published", "differences", "expected"),
    [
        (-1.4, [-3.0, -3.1, -2.9], "agrees"),
        (-1.4, [3.0, 3.1, 2.9], "disagrees"),
        (-1.4, [-3.0, 3.1, -2.9], "undecided"),
        (-1.4, [-3.0], "undecided"),
        (-1.4, [], "undecided"),
        (-1.4, [-3.0, -3.0, -3.0], "undecided"),
        (+1.4, [1.5] * 6, "agrees"),
        (+1.4, [0.5] * 6, "smaller"),
        (+1.4, [0.1, -0.1, 0.0, 0.1], "smaller"),
        (+1.4, [0.5, 0.6, 0.55], "smaller"),
        (+1.4, [-0.5, -0.6, -0.55], "disagrees"),
        (+1.4, [1.3, 1.5, 1.4], "agrees"),
        (0.0, [0.5, 0.6, 0.55], "disagrees"),
        (None, [0.5, 0.6, 0.55], None),
    ],
)
def test_one_effect(published: float | None, differences: list[float], expected: str | None) -> None:
    (judged,) = judge([(None if published is None else Expected.printed(published), differences, None)])
    assert judged.verdict == expected


def test_what_one_effect_shows_alone_it_does_not_show_among_many() -> None:
    found = (Expected.printed(1.0), [2.0, 2.4, 2.7], None)
    (alone,), among = judge([found]), judge([found] * 8)
    assert alone.p is not None and alone.verdict == "agrees"
    assert among[0].p == pytest.approx(8 * alone.p) and among[0].verdict == "undecided"


@pytest.mark.parametrize("seeds", [3, 5])
def test_any_verdict_of_a_table_is_wrong_in_at_most_5_percent(seeds: int) -> None:
    """1,000 tables of eight effects on one reference, spread 1 over seeds; the standard error of a rate of 5 % is 0.7 %.

    Agrees is wrong for effects that are 0 or have the other sign, disagrees for those that are 0 or have the paper's, smaller
    for those as large as the paper's or larger. Such at the very boundary are the hardest.
    """
    published = 1.5
    true = np.array([0.0, 0.0, published, published, -published, 0.5, -0.5, 4.0])
    wrong = {"agrees": true <= 0, "disagrees": true >= 0, "smaller": np.abs(true) >= published, "undecided": true > np.inf}
    random, expected = np.random.default_rng(seeds), Expected.printed(published)
    errors, said = 0, set()
    for _ in range(1000):
        differences = true + (random.normal(size=(seeds, len(true))) + random.normal(size=(seeds, 1))) / 2**0.5
        verdicts = [judged.verdict for judged in judge([(expected, list(column), None) for column in differences.T])]
        errors += any(wrong[str(verdict)][place] for place, verdict in enumerate(verdicts))
        said.update(verdicts)
    assert errors / 1000 <= 0.05 + 3 * 0.007
    assert {"agrees", "undecided"} <= said


def test_a_nil_effect_is_shown_to_be_smaller_with_enough_seeds() -> None:
    random = np.random.default_rng(0)
    verdicts = [judge([(Expected.printed(3.0), list(random.normal(0, 1, size=8)), None)])[0].verdict for _ in range(300)]
    assert verdicts.count("smaller") > 280


def test_of_an_effect_without_a_number_the_sign_alone_is_judged() -> None:
    verdicts = [
        judge([(Expected(1, None), differences, None)])[0] for differences in ([0.01] * 6, [-0.01, -0.02, -0.015], [0.0, 0.1])
    ]
    assert [judged.verdict for judged in verdicts] == ["agrees", "disagrees", "undecided"]
    assert {judged.p_smaller for judged in verdicts} == {None}

"""Intervals and paired tests against tabulated critical values, SciPy, and how often they hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reports.seeds import estimate, paired_test, verdict


def test_interval_is_student_s() -> None:
    """Of 61, 62.5, 64, 70: mean 64.375, standard error 1.9725, and t = 3.1824 for three degrees of freedom."""
    found = estimate([61.0, 62.5, 64.0, 70.0])
    assert found.mean == pytest.approx(64.375)
    assert found.interval == pytest.approx((64.375 - 3.18245 * 1.97247, 64.375 + 3.18245 * 1.97247), abs=1e-3)
    assert found.n == 4 and not found.is_range


def test_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).normal(60, 2, size=12)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert estimate(list(values)).interval == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_cover_what_they_say(seeds: int) -> None:
    """In 4,000 worlds in which the seeds' mean is known; the standard error of a coverage of 95 % is then 0.3 %."""
    worlds = np.random.default_rng(seeds).normal(60, 2, size=(4000, seeds))
    found = [estimate(list(world)).interval for world in worlds]
    covered = np.mean([interval is not None and interval[0] <= 60 <= interval[1] for interval in found])
    assert covered == pytest.approx(0.95, abs=0.012)


def test_two_seeds_have_a_range_and_one_has_none() -> None:
    assert estimate([63.1, 61.0]).interval == (61.0, 63.1)
    assert estimate([63.1, 61.0]).is_range
    assert estimate([63.1]).interval is None and not estimate([63.1]).is_range


@pytest.mark.parametrize(("t", "significant"), [(4.29, False), (4.32, True)])
def test_t_test_turns_significant_at_the_tabulated_4_303_for_three_seeds(t: float, significant: bool) -> None:
    # Differences t/sqrt(3) + (-1, 0, 1) have mean t/sqrt(3) and standard error 1/sqrt(3).
    differences = [t / 3**0.5 + offset for offset in (-1.0, 0.0, 1.0)]
    test = paired_test(differences)
    assert test is not None
    assert test.kind == "t"
    assert test.statistic == pytest.approx(t)
    assert (test.p < 0.05) is significant


def test_t_test_equals_paired_test_of_scipy() -> None:
    ours, reference = [60.0, 64.0, 59.0, 66.0], [61.0, 66.0, 59.5, 70.0]
    test = paired_test([a - b for a, b in zip(ours, reference, strict=True)])
    theirs = stats.ttest_rel(ours, reference)
    assert test is not None
    assert (test.statistic, test.p) == pytest.approx((theirs.statistic, theirs.pvalue))


def test_equal_differences_fall_back_on_the_sign_test() -> None:
    rounding = [75.1 - 74.9, 0.851 * 100 - 84.9, 63.3 - 63.1]
    test = paired_test(rounding)
    assert test is not None
    assert test.kind == "sign"
    assert test.p == pytest.approx(stats.binomtest(3, 3).pvalue)
    six = paired_test([0.5] * 6)
    assert six is not None
    assert six.p == pytest.approx(stats.binomtest(6, 6).pvalue)


def test_all_zero_differences_have_p_1_and_single_ones_no_test() -> None:
    test = paired_test([0.0, 0.0, 0.0])
    assert test is not None
    assert test.p == 1.0
    assert paired_test([5.0]) is None
    assert paired_test([]) is None


@pytest.mark.parametrize(
    ("published", "differences", "expected"),
    [
        (-1.4, [-3.0, -3.1, -2.9], "agrees"),
        (-1.4, [3.0, 3.1, 2.9], "disagrees"),
        (-1.4, [-3.0, 3.1, -2.9], "undecided"),
        (-1.4, [-3.0], "undecided"),
        (-1.4, [-3.0, -3.0, -3.0], "undecided"),
        (+1.4, [0.5] * 6, "agrees"),
    ],
)
def test_verdict(published: float, differences: list[float], expected: str) -> None:
    assert verdict(published, float(np.mean(differences)), paired_test(differences)) == expected

"""Intervals and paired tests against exact enumeration, tabulated critical values and SciPy's own bootstrap."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from reports.seeds import estimate, paired_test, verdict


def test_interval_of_four_seeds_is_that_of_all_256_resamples() -> None:
    values = [61.0, 62.5, 64.0, 70.0]
    means = [np.mean(draw) for draw in product(values, repeat=4)]
    low, high = np.percentile(means, [2.5, 97.5])
    found = estimate(values)
    assert found.mean == pytest.approx(64.375)
    assert found.interval == pytest.approx((low, high), abs=0.2)
    assert found.n == 4


def test_interval_agrees_with_scipy_bootstrap() -> None:
    values = np.random.default_rng(3).normal(60, 2, size=12)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", random_state=1).confidence_interval
    assert estimate(list(values)).interval == pytest.approx((theirs.low, theirs.high), abs=0.1)


def test_interval_is_the_same_every_time_and_one_seed_has_none() -> None:
    assert estimate([1.0, 2.0, 4.0]) == estimate([1.0, 2.0, 4.0])
    assert estimate([63.1]).interval is None


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

"""Intervals and paired tests against tabulated critical values, SciPy, hand-worked cases, and how often they hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reports.seeds import equivalence_p, estimate, holm, outperforming, paired_test


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


def test_two_one_sided_tests_are_those_of_scipy() -> None:
    differences = [0.4, -0.3, 0.8, 0.1]
    p = max(
        stats.ttest_1samp(differences, -2.0, alternative="greater").pvalue,
        stats.ttest_1samp(differences, 2.0, alternative="less").pvalue,
    )
    assert equivalence_p(differences, 2.0) == pytest.approx(p)
    assert equivalence_p([0.5], 2.0) is None


def test_equal_differences_are_equivalent_by_the_one_sided_sign_test() -> None:
    assert equivalence_p([0.5] * 5, 2.0) == pytest.approx(stats.binomtest(5, 5, alternative="greater").pvalue)
    assert equivalence_p([2.0] * 5, 2.0) == equivalence_p([-3.0] * 5, 2.0) == 1.0


def test_outperforming_has_the_tabulated_intervals() -> None:
    """Clopper and Pearson's of 3 of 3 is 0.025^(1/3) to 1; of 8 of 10 it is tabulated as 0.4439 to 0.9748."""
    assert outperforming([1.0, 2.0, 0.1]).interval == pytest.approx((0.025 ** (1 / 3), 1.0))
    found = outperforming([1.0] * 8 + [-1.0] * 2)
    assert found.probability == pytest.approx(0.8)
    assert found.interval == pytest.approx((0.4439, 0.9748), abs=1e-4)
    assert outperforming([0.0, 0.0]).probability == 0.5 and outperforming([0.0, 0.0]).interval == (0.0, 1.0)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_outperforming_is_covered_also_where_seeds_tie(seeds: int) -> None:
    """Whole videos of a small test set: P(A > B), ties half, worked out from the distribution of the differences."""
    values, weights = np.array([-2.0, 0.0, 2.0, 4.0]), np.array([0.15, 0.25, 0.4, 0.2])
    true = weights[2:].sum() + weights[1] / 2
    worlds = np.random.default_rng(seeds).choice(values, p=weights, size=(2000, seeds))
    found = [outperforming(list(world)).interval for world in worlds]
    assert np.mean([low <= true <= high for low, high in found]) >= 0.95


def test_holm_is_worked_out_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_of_exclusive_hypotheses_one_counts_until_all_are_rejected() -> None:
    """Two effects of two hypotheses each: 2 x 0.01; the second leaves one effect open, 2 x 0.02; then 1 x 0.03 and 1 x 0.2."""
    assert holm([0.01, 0.2, 0.02, 0.03], [0, 0, 1, 1]) == pytest.approx([0.02, 0.2, 0.04, 0.06])

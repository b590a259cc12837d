"""What so many seeds can see: against simulated worlds, tabulated sample sizes, and what cannot be known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reports.power import MOST_SEEDS, Sensitivity, sensitivity


@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_a_difference_as_large_as_can_be_detected_is_found_in_four_of_five_cases(seeds: int) -> None:
    """In 4,000 worlds with this true difference; the standard error of a share of 80 % is then 0.6 %."""
    threshold = Sensitivity(None, seeds, 2.0).detectable
    worlds = np.random.default_rng(seeds).normal(threshold, 2.0, size=(4000, seeds))
    assert np.mean(stats.ttest_1samp(worlds, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.025)


@pytest.mark.parametrize(("effect", "seeds"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_seeds_needed_are_those_of_the_tables(effect: float, seeds: int) -> None:
    """Cohen's small, medium and large effect, paired, 5 % two-sided, power 80 %."""
    assert Sensitivity(None, 3, 1.0).seeds_needed(effect) == seeds
    assert Sensitivity(None, 3, 1.0).seeds_needed(-effect) == seeds


def test_seeds_needed_and_what_they_detect_belong_together() -> None:
    needed = Sensitivity(None, 3, 2.0).seeds_needed(1.5)
    assert needed is not None
    assert Sensitivity(None, needed, 2.0).detectable <= 1.5 < Sensitivity(None, needed - 1, 2.0).detectable
    assert Sensitivity(None, 3, 2.0).seeds_needed(40.0) == 2
    assert Sensitivity(None, 3, 2.0).seeds_needed(2.0 / MOST_SEEDS) is None


def test_the_spread_is_common_to_the_effects_and_weighted_by_their_seeds() -> None:
    """Variances 1 (of three seeds) and 8 (of two): (2 x 1 + 1 x 8) / 3."""
    found = sensitivity([([1.0, 2.0, 3.0], None), ([0.0, 4.0], None), ([9.0], None)], videos=80)
    assert found is not None
    assert (found.videos, found.seeds) == (80, 3)
    assert found.spread == pytest.approx((10 / 3) ** 0.5)


def test_a_spread_that_is_not_known_says_nothing() -> None:
    assert sensitivity([]) is None
    assert sensitivity([([1.0], None), ([2.0], None)]) is None
    assert sensitivity([([1.0, 2.0], None)]) is None
    assert sensitivity([([1.25, 1.25, 1.25], None)]) is None

"""What a handful of seeds can say: a mean with its interval, and a paired test of a difference.

With three seeds the percentile bootstrap interval is the range of the values, so it is too narrow; verdicts therefore
rest on the paired test, never on intervals that do not overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

RESAMPLES = 10_000
CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
_BOOTSTRAP_SEED = 0
EQUAL = 1e-3
"""Percentage points: far above rounding in a record, below the step of one video in any of the papers' test sets."""

Verdict = Literal["agrees", "disagrees", "undecided"]


@dataclass(frozen=True)
class Estimate:
    """Mean of n values and its 95 % interval; one value has no interval. In the unit of the values."""

    mean: float
    interval: tuple[float, float] | None
    n: int


@dataclass(frozen=True)
class PairedTest:
    """A two-sided test of n paired differences (percentage points) against zero.

    `t`: Student's t test with n - 1 degrees of freedom. `sign`: where all differences are equal (within EQUAL), their
    variance is 0 and t is undefined, so the exact sign test is used: p = 2^(1 - n), or p = 1 where all are zero.
    """

    kind: Literal["t", "sign"]
    statistic: float | None
    p: float
    n: int


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and percentile bootstrap interval of one or more values; the same values give the same interval always."""
    sample = np.asarray(values, dtype=np.float64)
    mean = float(sample.mean())
    if sample.size == 1:
        return Estimate(mean, None, 1)
    draws = np.random.default_rng(_BOOTSTRAP_SEED).integers(sample.size, size=(RESAMPLES, sample.size))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(sample[draws].mean(axis=1), [tail, 100 - tail])
    return Estimate(mean, (float(low), float(high)), int(sample.size))


def paired_test(differences: Sequence[float]) -> PairedTest | None:
    """Test of paired differences against zero; None for fewer than two, which cannot be tested."""
    n = len(differences)
    if n < 2:
        return None
    if max(differences) - min(differences) <= EQUAL:
        all_zero = max(map(abs, differences)) <= EQUAL
        return PairedTest("sign", None, 1.0 if all_zero else 2.0 ** (1 - n), n)
    result = stats.ttest_1samp(differences, 0.0)
    return PairedTest("t", float(result.statistic), float(result.pvalue), n)


def verdict(published: float, ours: float, test: PairedTest | None) -> Verdict:
    """Whether our effect has the sign of the published one: decided only where the test is significant at 5 %."""
    if test is None or test.p >= SIGNIFICANCE:
        return "undecided"
    return "agrees" if published * ours > 0 else "disagrees"

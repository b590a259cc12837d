"""What a handful of seeds can say: a mean with its interval, and a paired test of a difference.

Intervals are Student's, which cover what they say also of three values that are about normal (a percentile bootstrap of three
covers 74 % where it says 95). They speak of other seeds on the same videos, not of other videos. Verdicts rest on the paired
test, never on intervals that do not overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
POWER = 0.8
EQUAL = 1e-3
"""Percentage points: far above rounding in a record, below the step of one video in any of the papers' test sets."""

Verdict = Literal["agrees", "disagrees", "undecided"]


@dataclass(frozen=True)
class Estimate:
    """Mean of n values and its 95 % interval, in the unit of the values.

    Of two values `interval` is their range, as Student's would be 13 standard errors wide; one value has none.
    """

    mean: float
    interval: tuple[float, float] | None
    n: int

    @property
    def is_range(self) -> bool:
        """Whether the interval is the range of two values, which says nothing of other seeds."""
        return self.n == 2


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
    """Mean of one or more values with Student's interval, mean -+ t(0.975, n - 1) s / sqrt(n)."""
    sample = np.asarray(values, dtype=np.float64)
    mean = float(sample.mean())
    if sample.size == 1:
        return Estimate(mean, None, 1)
    if sample.size == 2:
        return Estimate(mean, (float(sample.min()), float(sample.max())), 2)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, sample.size - 1) * sample.std(ddof=1) / np.sqrt(sample.size))
    return Estimate(mean, (mean - half, mean + half), int(sample.size))


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


def holm(values: Sequence[float]) -> list[float]:
    """P values of several tests, corrected so that all of them together are wrong at most at the level of one (Holm 1979)."""
    corrected = [0.0] * len(values)
    greatest = 0.0
    for tests, place in enumerate(sorted(range(len(values)), key=lambda place: values[place])):
        greatest = max(greatest, min(1.0, (len(values) - tests) * values[place]))
        corrected[place] = greatest
    return corrected


def detectable(differences: Sequence[float]) -> float | None:
    """The smallest true difference that a paired t test of as many seeds would find in POWER of all cases.

    By the spread of these differences: (t(0.975, n - 1) + t(POWER, n - 1)) s / sqrt(n). None for fewer than three, of which the
    spread is not known.
    """
    n = len(differences)
    if n < 3:
        return None
    quantiles = stats.t.ppf([1 - SIGNIFICANCE / 2, POWER], n - 1).sum()
    return float(quantiles * np.std(differences, ddof=1) / np.sqrt(n))


def verdict(published: float, ours: float, test: PairedTest | None) -> Verdict:
    """Whether our effect has the sign of the published one: decided only where the test is significant at 5 %."""
    if test is None or test.p >= SIGNIFICANCE:
        return "undecided"
    return "agrees" if published * ours > 0 else "disagrees"

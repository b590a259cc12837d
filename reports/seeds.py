"""What a handful of seeds can say: a mean with its interval, paired tests of a difference, how often one side is higher.

Intervals are Student's, which cover what they say also of three values that are about normal (a percentile bootstrap of three
covers 74 % where it says 95). They speak of other seeds on the same videos, not of other videos. Verdicts (reports/verdicts.py)
rest on paired tests, never on intervals that do not overlap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special, stats

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
EQUAL = 1e-3
"""Percentage points: far above rounding in a record, below the step of one video in any of the papers' test sets."""


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


@dataclass(frozen=True)
class Outperforming:
    """How often one side is higher than the other by the same seed: the share of n seeds, of equal ones half; its interval."""

    probability: float
    interval: tuple[float, float]
    n: int


def outperforming(differences: Sequence[float]) -> Outperforming:
    """The probability that another seed's difference is above 0, from one or more (Bouthillier et al. 2021, P(A > B)).

    The interval is Clopper and Pearson's, which covers at least what it says of any number of seeds and any distribution; equal
    seeds count against either bound. Three of three seeds: 0.29 to 1.
    """
    n = len(differences)
    above = sum(difference > EQUAL for difference in differences)
    not_below = sum(difference >= -EQUAL for difference in differences)
    tail = (1 - CONFIDENCE) / 2
    low = float(stats.beta.ppf(tail, above, n - above + 1)) if above else 0.0
    high = float(stats.beta.ppf(1 - tail, not_below + 1, n - not_below)) if not_below < n else 1.0
    return Outperforming((above + not_below) / (2 * n), (low, high), n)


def paired_test(differences: Sequence[float]) -> PairedTest | None:
    """Test of paired differences against zero; None for fewer than two, which cannot be tested."""
    n = len(differences)
    if n < 2:
        return None
    if _are_equal(differences):
        all_zero = max(map(abs, differences)) <= EQUAL
        return PairedTest("sign", None, 1.0 if all_zero else 2.0 ** (1 - n), n)
    t = _t(differences)
    return PairedTest("t", t, float(2 * special.stdtr(n - 1, -abs(t))), n)


def equivalence_p(differences: Sequence[float], bound: float) -> float | None:
    """Whether the true difference lies between -bound and bound (more than 0): the p value of two one-sided tests.

    Each is as `paired_test`, of one side: against a difference of at most -bound, and of at least bound (Schuirmann 1987); the
    greater p is that of both. None for fewer than two, which cannot be tested.
    """
    n = len(differences)
    if n < 2:
        return None
    if _are_equal(differences):
        return 2.0**-n if max(map(abs, differences)) < bound - EQUAL else 1.0
    above_lower, below_upper = (_t([sign * value + bound for value in differences]) for sign in (1, -1))
    return float(special.stdtr(n - 1, -min(above_lower, below_upper)))


def _are_equal(differences: Sequence[float]) -> bool:
    return max(differences) - min(differences) <= EQUAL


def _t(differences: Sequence[float]) -> float:
    return float(np.mean(differences) / np.std(differences, ddof=1) * np.sqrt(len(differences)))


def holm(values: Sequence[float], exclusive: Sequence[int] | None = None) -> list[float]:
    """P values of several tests, corrected so that all of them together are wrong at most at the level of one (Holm 1979).

    Of hypotheses with the same number in `exclusive` at most one can be true: they count as one until all of them are rejected
    (Shaffer 1986).
    """
    left = Counter(exclusive or range(len(values)))
    corrected = [0.0] * len(values)
    greatest = 0.0
    for place in sorted(range(len(values)), key=lambda place: values[place]):
        greatest = max(greatest, min(1.0, len(left) * values[place]))
        corrected[place] = greatest
        number = exclusive[place] if exclusive else place
        left[number] -= 1
        if not left[number]:
            del left[number]
    return corrected

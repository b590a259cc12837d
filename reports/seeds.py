"""What a handful of seeds can say: a mean with its interval, paired tests of a difference, how often one side is higher.

Intervals are Student's, which cover what they say also of three values that are about normal (a percentile bootstrap of three
covers 74 % where it says 95). They speak of other seeds on the same videos. Where it is known what the choice of videos gives a
difference (reports/videos.py), its half width is added to that over seeds, in squares (Zou and Donner 2008), and the interval
speaks of other videos, too: simulated, it covers 95 to 98 % where that over seeds alone covers 79 to 95. Tests ask which such
interval ends at the value in question. Verdicts (reports/verdicts.py) rest on tests of differences, never on intervals that do
not overlap.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np
from scipy import special

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
class Spread:
    """Standard deviation of n values and its 95 % interval, in the unit of the values."""

    value: float
    interval: tuple[float, float]
    n: int


@dataclass(frozen=True)
class VideoError:
    """Standard error, percentage points, that the choice of so many videos gives a mean difference."""

    error: float
    videos: int


@dataclass(frozen=True)
class PairedTest:
    """A two-sided test of n paired differences (percentage points) against zero.

    `t`: Student's t test with n - 1 degrees of freedom. `sign`: where all differences are equal (within EQUAL), their
    variance is 0 and t is undefined, so the exact sign test is used: p = 2^(1 - n), or p = 1 where all are zero. Where the
    choice of videos counts, too, `statistic` is what t over seeds would be, and p that of both.
    """

    kind: Literal["t", "sign"]
    statistic: float | None
    p: float
    n: int
    of_videos: bool = False


def estimate(values: Sequence[float], videos: VideoError | None = None) -> Estimate:
    """Mean of one or more values with Student's interval, mean -+ t(0.975, n - 1) s / sqrt(n).

    videos: of three or more differences, what their choice adds.
    """
    sample = np.asarray(values, dtype=np.float64)
    mean = float(sample.mean())
    if sample.size == 1:
        return Estimate(mean, None, 1)
    if sample.size == 2:
        return Estimate(mean, (float(sample.min()), float(sample.max())), 2)
    half = _half_width(1 - CONFIDENCE, _error(values), int(sample.size), videos)
    return Estimate(mean, (mean - half, mean + half), int(sample.size))


def spread(values: Sequence[float]) -> Spread:
    """Standard deviation of two or more values; the interval is exact for normal ones, s sqrt((n - 1) / chi^2)."""
    from scipy import stats  # takes longer to import than a leaderboard to make

    n, deviation = len(values), float(np.std(values, ddof=1))
    tail = (1 - CONFIDENCE) / 2
    low, high = (deviation * math.sqrt((n - 1) / float(stats.chi2.ppf(level, n - 1))) for level in (1 - tail, tail))
    return Spread(deviation, (low, high), n)


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
    low = float(special.betaincinv(above, n - above + 1, tail)) if above else 0.0
    high = float(special.betaincinv(not_below + 1, n - not_below, 1 - tail)) if not_below < n else 1.0
    return Outperforming((above + not_below) / (2 * n), (low, high), n)


def paired_test(differences: Sequence[float], videos: VideoError | None = None) -> PairedTest | None:
    """Test of paired differences against zero; None for fewer than two, which cannot be tested."""
    n = len(differences)
    if n < 2:
        return None
    p = 2 * _tail(abs(fmean(differences)), differences, videos)
    if _are_equal(differences):
        all_zero = max(map(abs, differences)) <= EQUAL
        return PairedTest("sign", None, 1.0 if all_zero else max(2.0 ** (1 - n), p), n, videos is not None)
    return PairedTest("t", fmean(differences) / _error(differences), p, n, videos is not None)


def equivalence_p(differences: Sequence[float], bound: float, videos: VideoError | None = None) -> float | None:
    """Whether the true difference lies between -bound and bound (more than 0): the p value of two one-sided tests.

    Each is as `paired_test`, of one side: against a difference of at most -bound, and of at least bound (Schuirmann 1987); the
    greater p is that of both. None for fewer than two, which cannot be tested.
    """
    n = len(differences)
    if n < 2:
        return None
    distance = bound - abs(fmean(differences))
    if distance <= EQUAL:
        return 1.0
    p = _tail(distance, differences, videos)
    return max(2.0**-n, p) if _are_equal(differences) else p


def _are_equal(differences: Sequence[float]) -> bool:
    return max(differences) - min(differences) <= EQUAL


def _error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def _half_width(alpha: float, error: float, n: int, videos: VideoError | None) -> float:
    """Of the interval that covers 1 - alpha, given the standard error of the mean over n seeds."""
    of_seeds = float(special.stdtrit(n - 1, 1 - alpha / 2)) * error
    of_videos = float(special.stdtrit(videos.videos - 1, 1 - alpha / 2)) * videos.error if videos else 0.0
    return math.hypot(of_seeds, of_videos)


def _tail(distance: float, differences: Sequence[float], videos: VideoError | None) -> float:
    """Half of the alpha whose interval around the mean ends at a distance from it, one that is not negative."""
    n, error = len(differences), 0.0 if _are_equal(differences) else _error(differences)
    if videos is None or not videos.error:
        return float(special.stdtr(n - 1, -distance / error)) if error else 0.0
    from scipy import optimize

    least = 1e-12
    if _half_width(least, error, n, videos) <= distance:
        return least / 2
    return float(optimize.brentq(lambda alpha: _half_width(alpha, error, n, videos) - distance, least, 1.0)) / 2


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

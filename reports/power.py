"""What so many seeds can see: the smallest difference that they would find, and how many seeds a given one takes.

Both are of the two-sided paired t test of one difference, by the noncentral t distribution, at the spread of the differences at
hand, which few seeds know roughly only.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from reports.seeds import EQUAL, SIGNIFICANCE, VideoError

POWER = 0.8
"""In how many of all cases a difference is found that is said to be seen."""
MOST_SEEDS = 1000
_OF_VIDEOS = float(special.ndtri([1 - SIGNIFICANCE / 2, POWER]).sum())
"""How many standard errors over very many videos a true difference must be from 0 to be found in POWER of all cases."""


@dataclass(frozen=True)
class Sensitivity:
    """What the tests of differences on one set of videos can see. spread: standard deviation over seeds, percentage points.

    videos: how many test videos every seed is judged on, where it is known. video_error: the standard error that their choice
    gives a mean, in percentage points; 0 where it is not known.
    """

    videos: int | None
    seeds: int
    spread: float
    video_error: float = 0.0

    @property
    def detectable(self) -> float:
        """The smallest true difference that so many seeds find in POWER of all cases."""
        return self._seen_by(self.seeds)

    def _seen_by(self, seeds: int) -> float:
        return math.hypot(_standard_errors(seeds) * self.spread / math.sqrt(seeds), _OF_VIDEOS * self.video_error)

    def seeds_needed(self, difference: float) -> int | None:
        """The fewest seeds that find a true difference in POWER of all cases; None where MOST_SEEDS do not."""
        fewest, most = 1, MOST_SEEDS + 1
        while most - fewest > 1:
            seeds = (fewest + most) // 2
            if self._seen_by(seeds) <= abs(difference):
                most = seeds
            else:
                fewest = seeds
        return most if most <= MOST_SEEDS else None


def sensitivity(samples: Iterable[tuple[Sequence[float], VideoError | None]], videos: int | None = None) -> Sensitivity | None:
    """Of one or more effects, given the differences of each by seed and what the choice of videos gives their mean; of the one
    with the most seeds, at their common spread.

    None where the spread is not known: of fewer than two degrees of freedom together, or where all differences are equal.
    """
    found = [(sample, error) for sample, error in samples if len(sample) > 1]
    several = [sample for sample, _ in found]
    degrees = sum(len(sample) - 1 for sample in several)
    if degrees < 2:
        return None
    variance = sum((len(sample) - 1) * float(np.var(sample, ddof=1)) for sample in several) / degrees
    if variance <= EQUAL**2:
        return None
    squares = [error.error**2 for _, error in found if error is not None]
    error = math.sqrt(sum(squares) / len(squares)) if squares else 0.0
    return Sensitivity(videos, max(map(len, several)), math.sqrt(variance), error)


@functools.cache
def _standard_errors(seeds: int) -> float:
    """How many standard errors a true difference must be from 0 to be found, with its sign, in POWER of all cases."""
    from scipy import optimize, stats  # take longer to import than a table to make

    degrees = seeds - 1
    critical = float(stats.t.ppf(1 - SIGNIFICANCE / 2, degrees))

    return float(optimize.brentq(lambda errors: stats.nct.sf(critical, degrees, errors) - POWER, 0.0, 4 * critical))

"""What our trials say about published effects: agrees, smaller, disagrees or undecided, corrected for all effects of a table.

An effect is the mean of paired differences over all seeds that there could be; P is the published one. One verdict holds:

    disagrees   shown to have the other sign than P (two-sided paired t test against 0)
    smaller     else, shown to lie between -|P| and |P| (two one-sided tests): what there is, is less than the paper's effect
    agrees      else, shown to have the sign of P (two-sided test against 0)
    undecided   else: what was found may be chance, and may be an effect as large as the paper's

That an effect is 0 and that it is at least as large as P cannot both be true, so that the correction (Holm's) counts effects,
not tests: where the spread over seeds is about normal, any of a table's verdicts is wrong in at most 5 % of tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, Self

from reports.seeds import SIGNIFICANCE, PairedTest, VideoError, equivalence_p, holm, paired_test

Verdict = Literal["agrees", "smaller", "disagrees", "undecided"]


@dataclass(frozen=True)
class Expected:
    """What a paper says of an effect: its sign, 1, -1 or 0, and its size in percentage points where it is printed."""

    sign: int
    size: float | None

    @classmethod
    def printed(cls, effect: float) -> Self:
        return cls((effect > 0) - (effect < 0), abs(effect))


@dataclass(frozen=True)
class Judgement:
    """The test of an effect against 0, its p value and that of being smaller than the paper's, both corrected; the verdict.

    None: what cannot be tested. Without a published effect there is no verdict.
    """

    test: PairedTest | None
    p: float | None
    p_smaller: float | None
    verdict: Verdict | None


def judge(effects: Sequence[tuple[Expected | None, Sequence[float], VideoError | None]]) -> list[Judgement]:
    """Judge effects together: of each what the paper says, our differences by seed in percentage points, and what the choice of
    test videos gives their mean, where that is known."""
    tests = [paired_test(differences, videos) for _, differences, videos in effects]
    smaller = [
        equivalence_p(differences, expected.size, videos) if expected and expected.size else None
        for expected, differences, videos in effects
    ]
    values = {
        **{(number, "zero"): test.p for number, test in enumerate(tests) if test is not None},
        **{(number, "smaller"): p for number, p in enumerate(smaller) if p is not None},
    }
    corrected = dict(zip(values, holm(list(values.values()), [number for number, _ in values]), strict=True))
    judged = []
    for number, (expected, differences, _) in enumerate(effects):
        p, p_smaller = corrected.get((number, "zero")), corrected.get((number, "smaller"))
        verdict = None if expected is None else verdict_at(SIGNIFICANCE, expected.sign, differences, p, p_smaller)
        judged.append(Judgement(tests[number], p, p_smaller, verdict))
    return judged


def verdict_at(level: float, sign: int, differences: Sequence[float], p: float | None, p_smaller: float | None) -> Verdict:
    """What is shown of an effect of a sign where a corrected p value below a level shows something."""
    has_sign = p is not None and p < level
    if has_sign and sign * fmean(differences) <= 0:
        return "disagrees"
    if p_smaller is not None and p_smaller < level:
        return "smaller"
    return "agrees" if has_sign else "undecided"

"""A comparison of two sides as a sheet: per configuration the difference and its test, what differs, what is not compared."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from harness.ledger import is_fraction
from reports.lines import PAIR_COLUMNS, pair_lines
from reports.pairs import Pair, Paired
from reports.power import POWER
from reports.seeds import SIGNIFICANCE
from reports.sheet import (
    INTERVALS,
    OUTPERFORMING,
    OVER,
    Grid,
    Section,
    Sheet,
    configuration_text,
    counted,
    estimate_text,
    number_of,
    outperforming_text,
    over_text,
    p_text,
)

_RULES = (
    f"Mean {INTERVALS}, over the seeds that both sides have completed. Difference: second minus first, paired by seed. "
    f"{OUTPERFORMING.format('the second')} Told apart: by the two-sided paired t test over seeds at {SIGNIFICANCE:.0%}, "
    "corrected for all configurations by Holm (exact sign test where all differences are equal). Would be seen: the smallest "
    f"true difference that so many seeds find in {POWER:.0%} of all cases, by the spread of these. All pairs: the mean over "
    f"configurations, by seed. {OVER}"
)


def compare_sheet(found: Paired) -> Sheet:
    """One section: the pairs, and what could not be compared."""
    grids = [_pairs(found)] if found.pairs else []
    if found.refused:
        rows = tuple((configuration_text(one.label, one.parameters) or "-", one.why) for one in found.refused)
        grids.append(Grid("Not compared", ("configuration", "why"), rows, labels=1))
    unit = " in percent" if is_fraction(found.metric) else ""
    pairs = f"{counted(len(found.pairs), 'configuration')} on both sides"
    pairs += f", {len(found.refused)} more not compared" if found.refused else ""
    return Sheet(
        id=f"compare/{found.first.name}/{found.second.name}",
        title=f"{found.second.name} against {found.first.name}",
        subtitle=f"{found.metric}{unit}: {pairs}",
        sections=(Section(_headline(found), tuple(_notes(found)), tuple(grids)),),
        rules=_RULES,
        columns=PAIR_COLUMNS,
        lines=tuple(pair_lines(found)),
    )


def _headline(found: Paired) -> str:
    if not found.pairs:
        return "Nothing can be compared"
    one = found.overall or found.pairs[0]
    if one.test is None:
        return "One seed on both sides: differences may be chance alone"
    if one.test.p >= SIGNIFICANCE:
        return f"No difference is seen: {_p(one)}"
    return f"{found.second.name} is {'higher' if one.difference.mean > 0 else 'lower'}: {_p(one)}"


def _p(one: Pair) -> str:
    return p_text(one.test.p) if one.test else "-"


def _notes(found: Paired) -> Iterator[str]:
    if found.differing:
        yield "differs within pairs: " + "; ".join(found.differing)
    elif found.pairs:
        yield "no setting, data, code or version differs within pairs: what differs is chance, or what a record does not hold"
    for side, number in zip((found.first, found.second), found.alone, strict=True):
        if number:
            yield f"{counted(number, 'configuration')} of {side.name} without a counterpart"


def _pairs(found: Paired) -> Grid:
    number = number_of(found.metric)
    text = functools.partial(estimate_text, number=number)
    rows = []
    for one in (*found.pairs, *([found.overall] if found.overall else [])):
        seen = "-" if one.detectable is None else number(one.detectable, signed=False)
        p = one.corrected if one.corrected is not None else one.test.p if one.test else None
        rows.append(
            (
                one.label or configuration_text(None, one.parameters) or "-",
                text(one.first, signed=False),
                text(one.second, signed=False),
                text(one.difference, signed=True),
                outperforming_text(one.higher),
                str(one.difference.n),
                "one seed" if p is None else f"{'yes' if p < SIGNIFICANCE else 'no'}, {p_text(p)}",
                seen,
            )
        )
    columns = ("configuration", "first", "second", "difference", "P(higher)", "seeds", "told apart", "would be seen")
    tested = [one.videos for one in found.pairs if one.test is not None]
    note = over_text(tested, "configuration") if tested else ""
    return Grid(f"First: {found.first.name}; second: {found.second.name}", columns, tuple(rows), labels=1, note=note)

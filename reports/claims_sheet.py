"""The papers' claims as sheets: a scoreboard, the effects behind it, what is to be run, and the papers' words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reports.circumstances import circumstances
from reports.claimed import Claim
from reports.evidence import ClaimedEffect, Score
from reports.flags import flags
from reports.groups import Group
from reports.lines import CLAIM_COLUMNS, claim_lines
from reports.seeds import SIGNIFICANCE
from reports.sheet import (
    INTERVALS,
    OUTPERFORMING,
    OVER,
    Grid,
    Section,
    Sheet,
    counted,
    estimate_text,
    number_text,
    outperforming_text,
    over_text,
    p_text,
)

_ENOUGH_SEEDS = 3
_RULES = (
    f"Ours: mean {INTERVALS}; of several effects from the least mean to the greatest; in percentage points, if nothing else is "
    "said. An effect is a sum of rows that the claim holds to be above zero, paired by seed. "
    f"{OUTPERFORMING.format('it')} Verdicts, at {SIGNIFICANCE:.0%}, of the paired t test over seeds (exact sign test where all "
    "numbers are equal): agrees: each effect of the claim is shown to be above zero; disagrees: one is shown to be below; "
    "smaller: one is shown to be nearer to zero than the paper's own number (two one-sided t tests); the last two, and p, are "
    "corrected by Holm for the claim's effects; else undecided: may be chance. Counts need no test. Of each preset the "
    "comparable trials with the most effects count. "
    f"{OVER}"
)


def claim_sheets(scores: Sequence[Score]) -> list[Sheet]:
    """A sheet per paper."""
    by_paper: dict[str, list[Score]] = {}
    for score in scores:
        by_paper.setdefault(score.claim.paper, []).append(score)
    return [_sheet(paper, of_paper) for paper, of_paper in by_paper.items()]


def _sheet(paper: str, scores: Sequence[Score]) -> Sheet:
    groups = _groups(scores)
    notes = [
        "; ".join([f"({number}) {circumstances(group)}", *flags(group.records)])
        for number, group in enumerate(groups.values(), start=1)
    ]
    notes += _against_itself(scores)
    grids = [_board(scores), *([_evidence(scores, groups)] if groups else []), *_to_run(scores), _words(scores)]
    claims = len({score.claim.name for score in scores})
    return Sheet(
        id=f"claims/{scores[0].claim.sources[0].table.id.partition('/')[0]}",
        title="What trials say on the claims of a paper",
        subtitle=f"Paper: {paper}. {counted(claims, 'claim')}; verdicts by preset: {_counts(scores)}",
        sections=(Section("Scoreboard", tuple(notes), tuple(grids)),),
        rules=_RULES,
        columns=CLAIM_COLUMNS,
        lines=tuple(claim_lines(scores)),
    )


def _counts(scores: Sequence[Score]) -> str:
    names = [score.verdict or "without trials" for score in scores]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))


def _against_itself(scores: Sequence[Score]) -> Iterator[str]:
    """Claims that the paper's own numbers do not bear out."""
    for name, score in {score.claim.name: score for score in scores}.items():
        numbers = [effect.published for effect in score.effects if effect.published is not None]
        if against := sum(number <= 0 for number in numbers):
            yield f"{name}: the paper's own numbers are against its words in {against} of {counted(len(numbers), 'effect')}"


_Trials = frozenset[str]


def _groups(scores: Sequence[Score]) -> dict[_Trials, Group]:
    groups = [effect.group for score in scores for effect in score.tested if effect.group is not None]
    return {_trials(group): group for group in groups}


def _trials(group: Group | None) -> _Trials:
    return frozenset(record.trial for record in group.records) if group else frozenset()


def _board(scores: Sequence[Score]) -> Grid:
    rows = tuple(
        (
            score.claim.name,
            score.claim.says,
            score.preset or "-",
            f"{len(score.tested)} of {len(score.effects)}",
            _range([effect.published for effect in score.effects if effect.published is not None]),
            _ours(score.tested),
            _seeds(score.tested),
            score.verdict or "no trials",
        )
        for score in scores
    )
    columns = ("claim", "says", "preset", "effects", "paper", "ours", "seeds", "verdict")
    return Grid("Claims", columns, rows, labels=2)


def _ours(effects: Sequence[ClaimedEffect]) -> str:
    estimates = [effect.ours for effect in effects if effect.ours is not None]
    return estimate_text(estimates[0], signed=True) if len(estimates) == 1 else _range([one.mean for one in estimates])


def _range(values: Sequence[float]) -> str:
    if not values:
        return "-"
    low, high = (number_text(value, signed=True) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _seeds(effects: Sequence[ClaimedEffect]) -> str:
    numbers = sorted({len(effect.differences) for effect in effects})
    return " to ".join(map(str, numbers[:: len(numbers) - 1 or 1])) or "-"


def _evidence(scores: Sequence[Score], groups: Mapping[_Trials, Group]) -> Grid:
    numbers = {trials: number for number, trials in enumerate(groups, start=1)}
    rows = tuple(
        (
            score.claim.name,
            f"{effect.words}, {effect.measured}",
            f"({numbers[_trials(effect.group)]})",
            number_text(effect.published, signed=True),
            estimate_text(effect.ours, signed=True) if effect.ours else "-",
            outperforming_text(effect.higher) if effect.higher else "-",
            _test(score.claim, effect),
            effect.judgement.verdict or "-",
        )
        for score in scores
        for effect in score.tested
    )
    columns = ("claim", "effect", "trials", "paper", "ours", "P(higher)", "test (Holm)", "verdict")
    tested = [effect.videos for score in scores for effect in score.tested if effect.judgement.test is not None]
    return Grid("Effects behind the claims", columns, rows, labels=2, note=over_text(tested, "effect") if tested else "")


def _test(claim: Claim, effect: ClaimedEffect) -> str:
    judged = effect.judgement
    if claim.test == "count":
        return "count"
    if judged.test is None or judged.p is None:
        return "one seed"
    smaller = f"; smaller: {p_text(judged.p_smaller)}" if judged.verdict == "smaller" and judged.p_smaller is not None else ""
    return p_text(judged.p) + smaller


def _to_run(scores: Sequence[Score]) -> Iterator[Grid]:
    """What runs the trials that a claim lacks at every preset."""
    fullest: dict[str, Score] = {}
    for score in scores:
        if score.claim.name not in fullest or len(score.tested) > len(fullest[score.claim.name].tested):
            fullest[score.claim.name] = score
    rows = [(score.claim.name, lacking, command) for score in fullest.values() for command, lacking in _lacking(score).items()]
    if rows:
        yield Grid("What runs the trials that are missing", ("claim", "lacks", "command"), tuple(rows), labels=2)


def _lacking(score: Score) -> dict[str, str]:
    """Command -> what it adds."""
    found: dict[str, str] = {}
    for command in dict.fromkeys(effect.source.command for effect in score.effects):
        effects = [effect for effect in score.effects if effect.source.command == command]
        missing = sum(not effect.differences for effect in effects)
        few = min((len(effect.differences) for effect in effects if effect.differences), default=0)
        if missing:
            found[command] = f"{missing} of {counted(len(effects), 'effect')}"
        elif few < _ENOUGH_SEEDS and score.claim.test == "paired":
            found[command] = f"seeds: there {'is one' if few == 1 else f'are {few}'}"
    return found


def _words(scores: Sequence[Score]) -> Grid:
    claims = {score.claim.name: score.claim for score in scores}.values()
    rows = tuple((claim.name, claim.where, claim.words) for claim in claims)
    return Grid("The paper's words, shortened", ("claim", "where", "words"), rows, labels=1)

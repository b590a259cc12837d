"""Which configurations of a sweep are run with more seeds before one is called better, and what those say.

These are the best by the search and the paper's rows. The seeds by which the search chose say nothing of what it chose, as
the best of many is in part the luckiest: only the seeds after them do. An effect that so many seeds leave undecided gets more
where one as large as the paper's could have been missed, in looks: at most twice as many seeds at each, no more than would see
it. Who looks again and again until something is shown is wrong more often than a test says, so that half of the level is spent
at the first look, and at each later one half of what is left.

Everything is a function of the ledger: what is asked for next never depends on which trial ended first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from harness.identity import Confirm
from harness.ledger import Record, is_fraction
from reports.comparison import compare
from reports.leaderboard import ENDED, Objective, values_of
from reports.power import Sensitivity, sensitivity
from reports.resolution import paper_effects
from reports.seeds import SIGNIFICANCE, Estimate, estimate
from reports.verdicts import Expected, Judgement, judge, verdict_at
from search_spaces.papers import PaperTable


@dataclass(frozen=True)
class Question:
    """An effect that seeds are to decide, in percentage points where the metric is a fraction.

    name: in words. metric: what it is of. positions: of the configurations whose trials it is made of. published: the paper's
    effect, None of what a search has found. size: the smallest that is not to be missed, None where nothing says. verdict: None
    where it is undecided. detectable: the smallest true effect that so many seeds would have shown. needed: how many would show
    one of `size`.
    """

    name: str
    metric: str
    positions: tuple[int, ...]
    published: float | None
    size: float | None
    differences: tuple[float, ...]
    p: float | None
    verdict: str | None
    detectable: float | None
    needed: int | None

    @property
    def ours(self) -> Estimate | None:
        return estimate(self.differences) if self.differences else None

    @property
    def wants_more(self) -> bool:
        """Whether an effect as large as the paper's may have been missed."""
        may_miss = self.detectable is not None and self.size is not None and self.detectable > self.size
        return self.verdict is None and may_miss and self.needed is not None


@dataclass(frozen=True)
class Confirmation:
    """What is asked for: by position, how many seeds; and what the last complete look has said.

    picked: positions of the best by the search, the best first. rows: of the paper's rows. looks: how many are complete.
    is_over: whether nothing more is asked for.
    """

    asked: Confirm
    picked: tuple[int, ...]
    rows: tuple[int, ...]
    seeds: Mapping[int, int]
    looks: int
    is_over: bool
    questions: tuple[Question, ...]


def confirmation(records: Sequence[Record], objective: Objective, asked: Confirm, table: PaperTable | None) -> Confirmation:
    """records: the last of every trial of a sweep that stands. table: of whose rows the space has some."""
    by_position: dict[int, list[Record]] = {}
    for record in records:
        by_position.setdefault(record.index, []).append(record)
    picked = _picked(by_position, objective, asked)
    rows = tuple(position for position, of in sorted(by_position.items()) if of[0].row is not None and _ended(of, asked.first))
    seeds = dict.fromkeys([*picked, *rows], asked.seeds)
    decided: dict[tuple[str, str], Question] = {}
    questions: tuple[Question, ...] = ()
    looks = 0
    while all(_ended(by_position[position], number) for position, number in seeds.items()):
        level = SIGNIFICANCE / 2 ** (looks + 1) if asked.sequential else SIGNIFICANCE
        counted = {position: [one for one in by_position[position] if one.seed < seeds[position]] for position in seeds}
        found = [*_of_paper(counted, table, level), *_of_search(counted, picked, rows, objective, asked, table, level)]
        questions = tuple(decided.get((one.name, one.metric), one) for one in found)
        decided |= {(one.name, one.metric): one for one in questions if one.verdict is not None}
        looks += 1
        more = dict(seeds)
        for one in questions if asked.sequential else ():
            if one.wants_more and one.needed is not None:
                now = min(seeds[position] for position in one.positions)
                to = min(2 * now, now + one.needed - len(one.differences))
                more |= {position: max(more[position], to) for position in one.positions}
        if more == seeds:
            return Confirmation(asked, picked, rows, seeds, looks, True, questions)
        seeds = more
    return Confirmation(asked, picked, rows, seeds, looks, False, questions)


def _ended(records: Sequence[Record], seeds: int) -> bool:
    return {record.seed for record in records if record.outcome in ENDED} >= set(range(seeds))


def _picked(by_position: Mapping[int, list[Record]], objective: Objective, asked: Confirm) -> tuple[int, ...]:
    """The best by the seeds that the search had, of configurations for which these have all ended."""
    means = {}
    for position, records in by_position.items():
        reached = values_of([one for one in records if one.seed < asked.first], objective.metric)
        if reached and _ended(records, asked.first):
            means[position] = fmean(reached.values())
    sign = -1 if objective.direction == "maximize" else 1
    return tuple(sorted(means, key=lambda position: (sign * means[position], position))[: asked.best])


def _of_paper(counted: Mapping[int, list[Record]], table: PaperTable | None, level: float) -> Iterator[Question]:
    """The paper's effects, by test videos, judged together."""
    if table is None or not table.measures:
        return
    records = [record for of in counted.values() for record in of if record.row is not None]
    for comparison in compare(table, records):
        for row in comparison.rows:
            for cell, measure, seen in zip(row.cells, table.measures, comparison.sensitivities, strict=True):
                for effect in cell.effects:
                    sides = (row.row, effect.reference)
                    of = {
                        record.index
                        for record in records
                        if measure.counts(record.settings) and any(side.holds(record.settings) for side in sides)
                    }
                    if effect.published is None or not effect.differences:
                        continue
                    name = table.effect_label(row.row, effect.reference)
                    if not table.pairs and table.effect is None:
                        name = f"{name} against {effect.reference.label}"
                    verdict = _verdict(effect.published, effect.differences, effect.judgement, level)
                    size = abs(effect.published)
                    yield _question(
                        name, measure.heading, of, effect.published, size, effect.differences, effect.judgement, verdict, seen
                    )


def _of_search(
    counted: Mapping[int, list[Record]],
    picked: Sequence[int],
    rows: Sequence[int],
    objective: Objective,
    asked: Confirm,
    table: PaperTable | None,
    level: float,
) -> Iterator[Question]:
    """What the search has found against the best of the paper's rows, or, of a space without rows, against the best of it, by
    the objective and seeds that the search has not seen, judged together.

    Which one is the best the search's own seeds say: those that test it must not choose it.
    """
    reached = {
        position: values_of([one for one in counted[position] if one.seed >= asked.first], objective.metric)
        for position in counted
    }
    sign = 1 if objective.direction == "maximize" else -1
    searched = {
        position: values_of([one for one in counted[position] if one.seed < asked.first], objective.metric)
        for position in rows or picked
    }
    among = [position for position, values in searched.items() if values and reached[position]]
    best = max(among, key=lambda position: (sign * fmean(searched[position].values()), -position), default=None)
    others = [position for position in picked if position not in rows and position != best]
    if best is None or not others:
        return
    differences = [
        tuple(value - reached[best][seed] for seed, value in reached[position].items() if seed in reached[best])
        for position in others
    ]
    judged = judge([(None, each, None) for each in differences])
    seen = sensitivity((each, None) for each in differences)
    effects = paper_effects(table) if table is not None and table.measures and is_fraction(objective.metric) else []
    label = counted[best][0].row or f"#{best}"
    for position, each, one in zip(others, differences, judged, strict=True):
        shown = one.p is not None and one.p < level
        verdict = ("better" if sign * fmean(each) > 0 else "worse") if shown else None
        yield _question(
            f"#{position} against {label}", objective.metric, {position, best}, None, max(effects, default=None), each, one,
            verdict, seen,
        )  # fmt: skip


def _verdict(published: float, differences: Sequence[float], judged: Judgement, level: float) -> str | None:
    """As of a table, at a level of one's own; None where that shows nothing."""
    verdict = verdict_at(level, Expected.printed(published).sign, differences, judged.p, judged.p_smaller)
    return None if verdict == "undecided" else verdict


def _question(
    name: str,
    metric: str,
    positions: set[int],
    published: float | None,
    size: float | None,
    differences: tuple[float, ...],
    judged: Judgement,
    verdict: str | None,
    seen: Sensitivity | None,
) -> Question:
    own = replace(seen, seeds=len(differences)) if seen and len(differences) > 1 else None
    return Question(
        name,
        metric,
        tuple(sorted(positions)),
        published,
        size,
        differences,
        judged.p,
        verdict,
        own.detectable if own else None,
        own.seeds_needed(size) if own and size else None,
    )

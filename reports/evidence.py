"""What the trials of all sweeps say on the papers' claims, by preset: the effects of each claim, judged together.

A claim agrees where each of its effects is shown to be above zero: as all of them are asked for, each may be tested at the full
level (intersection-union test). It disagrees where any effect is shown to be below zero, and is smaller where any is shown to
be smaller than the paper's; these are corrected for the number of effects (reports/verdicts.py). Else it is undecided.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from harness.ledger import Record, scale_of
from reports.claimed import Claim, Contrast, Curve, Source
from reports.comparison import Reached, fill, groups_of, history_of, number_of_trial, reached_by, said_by_seed
from reports.costs import Quantity
from reports.groups import Group
from reports.seeds import EQUAL, SIGNIFICANCE, Estimate, Outperforming, VideoError, estimate, outperforming
from reports.verdicts import Expected, Judgement, Verdict, judge
from reports.videos import Telling, Told, nothing_told, video_error
from search_spaces.papers import Measure, PaperTable, PublishedRow, printed

_NOT_JUDGED = Judgement(None, None, None, None)


@dataclass(frozen=True)
class ClaimedEffect:
    """One of a claim's effects, by one measure: what it is in words, and the number by seed, as `published` if it is printed.

    unit: what the numbers are in, where they are not percentage points of a measure.
    """

    source: Source
    group: Group | None
    words: str
    measured: str
    published: float | None
    differences: tuple[float, ...]
    videos: VideoError | None
    judgement: Judgement = _NOT_JUDGED

    @property
    def ours(self) -> Estimate | None:
        return estimate(self.differences, self.videos) if self.differences else None

    @property
    def higher(self) -> Outperforming | None:
        return outperforming(self.differences) if self.differences else None


@dataclass(frozen=True)
class Score:
    """A claim as the trials of a preset see it; of none, with empty effects, where no preset has any."""

    claim: Claim
    preset: str | None
    effects: tuple[ClaimedEffect, ...]
    verdict: Verdict | None

    @property
    def tested(self) -> list[ClaimedEffect]:
        """The effects that have numbers."""
        return [effect for effect in self.effects if effect.differences]


def scoreboard(claims: Iterable[Claim], trials: Sequence[Record], told: Telling = nothing_told) -> list[Score]:
    """A score of each claim by each preset that has numbers for it; one that says so where none has.

    told: what trials have said of each test video.
    """
    claims = list(claims)
    complete = [trial for trial in trials if trial.outcome == "complete"]
    sources = {source.table.id: source for claim in claims for source in claim.sources}
    groups = {name: _groups(source, complete) for name, source in sources.items()}
    return [score for claim in claims for score in _scores(claim, groups, told)]


def _scores(claim: Claim, groups: Mapping[str, Sequence[Group]], told: Telling) -> list[Score]:
    """groups: of comparable trials, by table."""
    by_source = [_by_preset(source, groups[source.table.id], told) for source in claim.sources]
    presets = sorted({preset for found in by_source for preset in found})
    scores = []
    for preset in presets:
        effects = [
            effect
            for source, found in zip(claim.sources, by_source, strict=True)
            for effect in found.get(preset, _effects(source, None, told))
        ]
        scores.append(_score(claim, preset, effects))
    if scores:
        return scores
    return [_score(claim, None, [effect for source in claim.sources for effect in _effects(source, None, told)])]


def _by_preset(source: Source, groups: Sequence[Group], told: Telling) -> dict[str, list[ClaimedEffect]]:
    """Of each preset the group of comparable trials that has numbers for the most effects, and of these by the most seeds."""
    found: dict[str, list[ClaimedEffect]] = {}
    for group in groups:
        effects = _effects(source, group, told)
        if _fullness(effects) > _fullness(found.get(group.preset, [])):
            found[group.preset] = effects
    return found


def _fullness(effects: Sequence[ClaimedEffect]) -> tuple[int, int]:
    return sum(bool(effect.differences) for effect in effects), sum(len(effect.differences) for effect in effects)


def _groups(source: Source, trials: Sequence[Record]) -> list[Group]:
    if source.measures:
        return [comparison.group for comparison in fill(source.table, trials).comparisons if comparison.group is not None]
    return groups_of(source.table, trials)


def _effects(source: Source, group: Group | None, told: Telling) -> list[ClaimedEffect]:
    effects = []
    for measured in _measures(source):
        reached = {key: _reached(source, group, key, measured) for key in _keys(source)}
        said = {key: _said(source, group, key, measured, told) for key in _keys(source)}
        for contrast in source.contrasts:
            published, differences = _sum(contrast, measured.published), _by_seed(contrast, reached)
            videos = video_error([(sign, said[key]) for sign, key in contrast.terms])
            effects.append(
                ClaimedEffect(source, group, _words(source, contrast), measured.name, published, differences, videos)
            )
    return effects


@dataclass(frozen=True)
class _Measured:
    """What the rows of a source are compared by: its name, published numbers by key, and a trial's number by key.

    measure: where it is one of the table's.
    """

    name: str
    published: Mapping[str, float | None]
    number: Callable[[str, Record], float]
    measure: Measure | None = None


def _measures(source: Source) -> list[_Measured]:
    table = source.table
    if quantity := source.cost:
        *_, last = table.networks
        name = f"{quantity.name.replace('_', ' ')} in % of the {table.networks[last].lower()}'s"
        return [_Measured(name, {}, lambda key, record: _cost(record, quantity, key, last))]
    if curve := source.curve:
        return [_Measured(_CURVES[curve.of].format(curve.metric), {}, lambda _, record: _of_curve(table, record, curve))]
    return [
        _Measured(
            measure.heading,
            {key: row.published[measure.column] for key, row in source.rows.items()},
            functools.partial(_of_measure, measure),
            measure,
        )
        for measure in source.measures
    ]


_CURVES = {
    "mean": "mean of {} over its epochs",
    "early": "what {} falls in the first half of the epochs less in the second, in % of its first value",
}


def _of_measure(measure: Measure, _: str, record: Record) -> float:
    return number_of_trial(measure, record) if measure.counts(record.settings) else math.nan


def _cost(record: Record, quantity: Quantity, network: str, last: str) -> float:
    own, other = (record.metrics.get(f"compression/{name}_{quantity.name}", math.nan) for name in (network, last))
    return 100 * own / other if other else math.nan


def _of_curve(table: PaperTable, record: Record, curve: Curve) -> float:
    """Not a number where the metric was not told, or of one epoch only."""
    values = history_of(table, record, curve.metric)
    if len(values) < 2 or not values[0]:
        return math.nan
    if curve.of == "mean":
        return fmean(values) * scale_of(curve.metric)
    middle = values[math.ceil(len(values) / 2) - 1]
    return 100 * ((values[0] - middle) - (middle - values[-1])) / values[0]


def _keys(source: Source) -> Iterable[str]:
    return source.table.networks if source.cost else source.rows


def _reached(source: Source, group: Group | None, key: str, measured: _Measured) -> Reached:
    return reached_by(_trials(source, group, key), functools.partial(measured.number, key))


def _said(source: Source, group: Group | None, key: str, measured: _Measured, told: Telling) -> dict[int, Told | None]:
    """What trials have said of each test video, where shares of videos are compared."""
    measure = measured.measure
    if measure is None:
        return {}
    return said_by_seed([one for one in _trials(source, group, key) if measure.counts(one.settings)], measure, told)


def _trials(source: Source, group: Group | None, key: str) -> list[Record]:
    rows = source.rows.values() if source.cost else [source.rows[key]]
    return [record for record in (group.records if group else ()) if any(row.holds(record.settings) for row in rows)]


def _sum(contrast: Contrast, numbers: Mapping[str, float | None]) -> float | None:
    values = [(sign, number) for sign, key in contrast.terms if (number := numbers.get(key)) is not None]
    return sum(sign * number for sign, number in values) if len(values) == len(contrast.terms) else None


def _by_seed(contrast: Contrast, reached: Mapping[str, Reached]) -> tuple[float, ...]:
    """The sum by seed, a mean over the splits that all its terms have."""
    sums = []
    of_terms = [(sign, reached[key]) for sign, key in contrast.terms]
    for seed in of_terms[0][1]:
        splits = set.intersection(*(set(values.get(seed, {})) for _, values in of_terms))
        if splits:
            sums.append(fmean(sum(sign * values[seed][split] for sign, values in of_terms) for split in splits))
    return tuple(sums)


def _words(source: Source, contrast: Contrast) -> str:
    """A contrast in words: what tells its rows apart, behind what they share."""
    if source.cost:
        names = [source.table.networks[key].lower() for _, key in contrast.terms]
        return " against ".join(names)
    rows = [source.rows[key] for _, key in contrast.terms]
    if len(rows) == 2:
        shared = {name for name in source.table.distinguishing if rows[0].entry[name] == rows[1].entry[name]}
        common = [_value(rows[0], name) for name in source.table.distinguishing if name in shared]
        apart = [" / ".join(_value(row, name) for name in source.table.distinguishing if name not in shared) for row in rows]
        return f"{' / '.join(common)}: {apart[0]} against {apart[1]}" if common else f"{apart[0]} against {apart[1]}"
    names = [" / ".join(_value(row, name) for name in source.table.distinguishing) for row in rows]
    parts = [f"{'+' if sign > 0 else '-'} ({name})" for (sign, _), name in zip(contrast.terms, names, strict=True)]
    return names[0] if len(parts) == 1 else " ".join(parts).removeprefix("+ ")


def _value(row: PublishedRow, column: str) -> str:
    value = row.entry[column]
    return f"{'with' if value else 'without'} {column.replace('_', ' ')}" if isinstance(value, bool) else printed(value)


def _score(claim: Claim, preset: str | None, effects: Sequence[ClaimedEffect]) -> Score:
    if preset is None:
        return Score(claim, None, tuple(effects), None)
    if claim.test == "count":
        return Score(claim, preset, tuple(effects), _counted(effects))
    judgements = judge([(Expected(1, _size(effect)), effect.differences, effect.videos) for effect in effects])
    judged = tuple(replace(effect, judgement=judgement) for effect, judgement in zip(effects, judgements, strict=True))
    return Score(claim, preset, judged, _verdict(judged))


def _size(effect: ClaimedEffect) -> float | None:
    """The published size, where the paper's own number has the sign of its words."""
    return effect.published if effect.published is not None and effect.published > 0 else None


def _verdict(effects: Sequence[ClaimedEffect]) -> Verdict:
    verdicts = {effect.judgement.verdict for effect in effects}
    for one_is_enough in ("disagrees", "smaller"):
        if one_is_enough in verdicts:
            return one_is_enough
    return "agrees" if all(_is_shown(effect) for effect in effects) else "undecided"


def _is_shown(effect: ClaimedEffect) -> bool:
    test = effect.judgement.test
    return test is not None and test.p < SIGNIFICANCE and fmean(effect.differences) > 0


def _counted(effects: Sequence[ClaimedEffect]) -> Verdict:
    """Of numbers that no seed changes."""
    if any(max(effect.differences, default=0.0) < -EQUAL for effect in effects):
        return "disagrees"
    return "agrees" if all(min(effect.differences, default=0.0) > EQUAL for effect in effects) else "undecided"

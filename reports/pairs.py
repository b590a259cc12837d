"""Two sides of trials, paired by configuration and seed, and which pairs may not be compared.

A side is a sweep, or what a sweep has of one value of a setting. Configurations whose numbers are of other videos, or of
another version of the evaluation protocol, are not compared. What else differs, settings, training data, code and versions, is
what a comparison is about, and is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from harness.ledger import Record
from reports.leaderboard import values_of
from reports.power import sensitivity
from reports.seeds import Estimate, Outperforming, PairedTest, VideoError, estimate, holm, outperforming, paired_test
from reports.videos import Telling, nothing_told, video_error
from trainables.files import digest

_Values = tuple[dict[int, float], dict[int, float]]
"""Of both sides: seed -> the metric."""


@dataclass(frozen=True)
class Side:
    """One of the two. name: for people. records: its trials, those that stand."""

    name: str
    records: Sequence[Record]


@dataclass(frozen=True)
class Pair:
    """A configuration that both sides have, by the seeds that both have completed.

    first, second: the metric, in percent where it is a fraction. difference: second minus first. higher: how often it is above
    0. videos: what the choice of videos gives the difference, where it is known. corrected: the p value of the test among those
    of all pairs, by Holm. detectable: the smallest difference that so many seeds would have shown.
    """

    label: str | None
    parameters: Mapping[str, Any]
    first: Estimate
    second: Estimate
    difference: Estimate
    higher: Outperforming
    videos: VideoError | None
    test: PairedTest | None
    detectable: float | None
    corrected: float | None = None


@dataclass(frozen=True)
class Refused:
    """A configuration that both sides have and that may not be compared, and why."""

    label: str | None
    parameters: Mapping[str, Any]
    why: str


@dataclass(frozen=True)
class Paired:
    """The comparison.

    overall: of the mean over all pairs, by the seeds that all of them have; None for fewer than two pairs. alone: how many
    configurations only one side has, with a number at least. differing: what differs within the pairs, in words.
    """

    metric: str
    first: Side
    second: Side
    pairs: tuple[Pair, ...]
    refused: tuple[Refused, ...]
    alone: tuple[int, int]
    differing: tuple[str, ...]
    overall: Pair | None


def paired(first: Side, second: Side, metric: str, setting: str | None = None, told: Telling = nothing_told) -> Paired:
    """Set the second side against the first: configurations of the same parameters, or of the same settings but for one."""
    sides = _by_key(first, metric, setting), _by_key(second, metric, setting)
    pairs, values, refused, terms = [], [], [], []
    differing: Counter[str] = Counter()
    for name in (name for name in sides[0] if name in sides[1]):
        ours, theirs = sides[0][name], sides[1][name]
        label = None if setting else ours[0].row or theirs[0].row
        parameters = {name: value for name, value in ours[0].parameters.items() if name != setting}
        if why := _why_not(ours[0], theirs[0]):
            refused.append(Refused(label, parameters, why))
            continue
        by_seed = values_of(ours, metric), values_of(theirs, metric)
        if by_seed[0].keys() & by_seed[1].keys():
            said = [{one.seed: told(one, metric) for one in records} for records in (ours, theirs)]
            terms += [(1.0, said[1]), (-1.0, said[0])]
            pairs.append(_pair(label, parameters, by_seed, video_error(terms[-2:])))
            values.append(by_seed)
            differing.update(_differences(ours[0], theirs[0]))
    both = len(sides[0].keys() & sides[1].keys())
    return Paired(
        metric,
        first,
        second,
        _corrected(pairs),
        tuple(refused),
        (len(sides[0]) - both, len(sides[1]) - both),
        tuple(f"{what} (in {number} of {len(pairs)} pairs)" for what, number in sorted(differing.items())),
        _overall(values, video_error([(weight / len(pairs), said) for weight, said in terms])) if len(pairs) > 1 else None,
    )


def _by_key(side: Side, metric: str, setting: str | None) -> dict[str, list[Record]]:
    """The trials with a number of each configuration, by what is to be the same on both sides."""
    found: dict[str, list[Record]] = {}
    for record in sorted(side.records, key=lambda record: (record.index, record.seed)):
        if record.outcome == "complete" and metric in record.metrics:
            same = {name: value for name, value in record.settings.items() if name != setting} if setting else record.parameters
            found.setdefault(digest(same), []).append(record)
    return found


def _why_not(ours: Record, theirs: Record) -> str:
    """Why two numbers are not of the same question to the same videos; empty where they are."""
    versions = [record.versions.get("protocol") for record in (ours, theirs)]
    if versions[0] != versions[1]:
        return f"evaluated by protocol versions {versions[0]} and {versions[1]}"
    judged = [
        {role: entry for role, entry in record.data.items() if role.startswith("downstream")} for record in (ours, theirs)
    ]
    for role in sorted(judged[0].keys() | judged[1].keys()):
        mine, its = (data.get(role, {}) for data in judged)
        if mine.get("fingerprint") != its.get("fingerprint"):
            names = [f"{entry.get('dataset', 'none')} ({entry.get('test', 0)} test videos)" for entry in (mine, its)]
            return f"{role} is {names[0]} on one side, {names[1]} of other content on the other"
    return ""


def _differences(ours: Record, theirs: Record) -> Iterator[str]:
    if ours.preset != theirs.preset:
        yield f"preset: {ours.preset} and {theirs.preset}"
    for name in sorted(ours.settings.keys() | theirs.settings.keys()):
        values = [record.settings.get(name, "unset") for record in (ours, theirs)]
        if values[0] != values[1]:
            yield f"{name}: {values[0]} and {values[1]}"
    for role in sorted(ours.data.keys() | theirs.data.keys()):
        if ours.data.get(role, {}).get("fingerprint") != theirs.data.get(role, {}).get("fingerprint"):
            yield f"data of {role}"
    for stage in sorted(ours.code.keys() & theirs.code.keys()):
        codes = [record.code[stage] for record in (ours, theirs)]
        if codes[0].split()[:1] != codes[1].split()[:1]:
            yield f"code of stage {stage}"
    for name in sorted(ours.versions.keys() & theirs.versions.keys() - {"node"}):
        if ours.versions[name] != theirs.versions[name]:
            yield f"{name}: {ours.versions[name]} and {theirs.versions[name]}"


def _pair(label: str | None, parameters: Mapping[str, Any], values: _Values, videos: VideoError | None) -> Pair:
    seeds = sorted(values[0].keys() & values[1].keys())
    first, second = ([side[seed] for seed in seeds] for side in values)
    differences = [b - a for a, b in zip(first, second, strict=True)]
    seen = sensitivity([(differences, videos)])
    return Pair(
        label,
        parameters,
        estimate(first),
        estimate(second),
        estimate(differences, videos),
        outperforming(differences),
        videos,
        paired_test(differences, videos),
        seen.detectable if seen else None,
    )


def _corrected(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    tested = [one.test.p for one in pairs if one.test is not None]
    corrected = iter(holm(tested))
    return tuple(replace(one, corrected=next(corrected)) if one.test is not None else one for one in pairs)


def _overall(values: Sequence[_Values], videos: VideoError | None) -> Pair | None:
    seeds = set.intersection(*(set(side) for both in values for side in both))
    if not seeds:
        return None
    first, second = ({seed: fmean(both[side][seed] for both in values) for seed in seeds} for side in (0, 1))
    return _pair("all pairs", {}, (first, second), videos)

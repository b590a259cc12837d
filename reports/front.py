"""Which configurations of a sweep no other one beats: its Pareto front over the objectives that its search had."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from reports.leaderboard import Leaderboard, Ranked, values_of


def objectives_of(one: Ranked, board: Leaderboard) -> list[float] | None:
    """Each objective of a configuration, the mean over its seeds, in percent where it is a fraction; None if one is missing."""
    found = [values_of(one.counted, metric).values() for metric, _ in board.objective.all]
    return [fmean(values) for values in found] if all(found) else None


def front(board: Leaderboard) -> list[Ranked]:
    """In order of the first objective, the best first: of those whose seeds have all ended the ones that no other equals in all
    objectives and beats in one. Equal ones stand side by side."""
    signs = [1 if direction == "maximize" else -1 for _, direction in board.objective.all]
    standing = [(one, values) for one in board.ranked if one.stands and (values := objectives_of(one, board)) is not None]
    scores = [[sign * value for sign, value in zip(signs, values, strict=True)] for _, values in standing]
    return [one for (one, _), own in zip(standing, scores, strict=True) if not any(_beats(other, own) for other in scores)]


def _beats(other: Sequence[float], own: Sequence[float]) -> bool:
    return other != own and all(theirs >= mine for theirs, mine in zip(other, own, strict=True))

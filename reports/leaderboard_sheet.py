"""A leaderboard as a sheet: the configurations, the best first, and the trials that gave no number, with the reasons."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from harness.ledger import is_fraction
from reports.flags import flags
from reports.front import front, objectives_of
from reports.leaderboard import Leaderboard, Ranked
from reports.lines import leaderboard_columns, leaderboard_lines
from reports.seeds import SIGNIFICANCE
from reports.sheet import (
    INTERVALS,
    Grid,
    Section,
    Sheet,
    configuration_text,
    counted,
    estimate_text,
    number_of,
    number_text,
    p_text,
    short_names,
    time_text,
    value_text,
)

_RULES = (
    f"Mean {INTERVALS}; 2/3: of 2 complete of 3 seeds. Best: the highest mean (the lowest, where less is better) of the "
    "objective among configurations whose seeds have all ended, which is what the search goes by; it never sees a test number. "
    "Behind: a configuration's objective minus the best one's, paired by seed. Told apart: by the two-sided paired t test over "
    f"seeds at {SIGNIFICANCE:.0%}, p corrected for all that are compared with the best (Holm); the choice of validation videos "
    "counts, too, where the store says what was said of each. The best of many is in part the luckiest: run it with further "
    "seeds before it is called better. Time: what its trials took; in brackets what they would have taken alone."
)


def leaderboard_sheet(board: Leaderboard, shown: int | None = None) -> Sheet:
    """shown: how many configurations, the best ones; all where it is None."""
    grids = [_configurations(board, board.ranked[:shown])] if board.ranked else []
    if board.objective.further and board.ranked:
        grids.append(_front(board))
    if (unfinished := _unfinished(board)) and shown is None:
        grids.append(unfinished)
    hidden = len(board.ranked) - len(board.ranked[:shown])
    notes = [*_notes(board), *([f"and {counted(hidden, 'configuration')} more: reports/sweep.py shows all"] if hidden else [])]
    return Sheet(
        id=f"sweep/{board.sweep}",
        title=f"What sweep {board.sweep} found",
        subtitle=counts_text(board),
        sections=(Section(_headline(board), tuple(notes), tuple(grids)),),
        rules=_RULES,
        columns=leaderboard_columns(board),
        lines=tuple(leaderboard_lines(board)),
    )


def _headline(board: Leaderboard) -> str:
    if board.best is None:
        return "No configuration has a number yet"
    best = board.best
    return f"Best: {name_of(best)}" + (
        "" if best.stands else " (its seeds have not all ended)" if best.confirmed else " (not confirmed)"
    )


def counts_text(board: Leaderboard) -> str:
    """How many configurations there are, and what became of their trials."""
    outcomes = [record.outcome for record in board.records]
    if not outcomes:
        return "No trials recorded"
    others = [f"{number} {outcome}" for outcome in ("failed", "pruned", "interrupted") if (number := outcomes.count(outcome))]
    complete = f"{outcomes.count('complete')} of {counted(len(outcomes), 'trial')} complete"
    return f"{counted(len(board.ranked), 'configuration')}: {', '.join([complete, *others])}"


def _notes(board: Leaderboard) -> Iterator[str]:
    metric, best = board.objective.metric, board.best
    unit = " in percent" if is_fraction(metric) else ""
    better = "more" if board.objective.direction == "maximize" else "less"
    levels = sorted({one.chance for one in board.ranked if one.chance is not None})
    chance = f"; guessing reaches {' to '.join(number_text(level, signed=False) for level in levels[:: len(levels) - 1 or 1])}"
    yield f"objective: {metric}{unit}, {better} is better{chance if levels else ''}"
    if best is None and board.ranked:
        yield f"no complete trial has {metric}"
    elif best is not None:
        if confirm := board.objective.confirm:
            number = sum(one.confirmed for one in board.ranked)
            yield (
                f"{number} of {counted(len(board.ranked), 'configuration')} confirmed, with seeds from {confirm.first} on, "
                "which alone count here: those before them chose (reports/confirm.py)"
            )
        if best.asked == 1:
            yield "one seed each: what differs may be chance alone; --seeds 3 tells more"
        elif apart := board.not_told_apart:
            yield f"not told apart from the best: {counted(len(apart), 'configuration')} of {len(board.ranked) - 1}"
    judged_on = {
        str(sorted(entry.get("fingerprint", "") for role, entry in record.data.items() if role.startswith("downstream")))
        for record in board.records
    }
    if len(judged_on) > 1:
        yield f"configurations are judged on {len(judged_on)} different data sets or parts, so by different videos"
    yield from flags(board.records)
    used, alone = (sum(one.seconds[which] for one in board.ranked) for which in (0, 1))
    yield f"computed in {time_text(used)}; alone the trials would have taken {time_text(alone)}"


def _configurations(board: Leaderboard, ranked: Sequence[Ranked]) -> Grid:
    names = short_names(sorted({name for one in board.ranked for name in one.parameters}))
    has_rows = any(one.label for one in board.ranked)
    has_test = any(one.test for one in board.ranked)
    metric, on_test = board.objective.metric, board.objective.on_test
    text = functools.partial(estimate_text, number=number_of(metric))
    columns = ["#", *(["row"] if has_rows else []), *names.values(), metric, "seeds", *([on_test] if has_test else [])]
    rows = []
    for one in ranked:
        values = [value_text(one.parameters.get(name)) for name in names]
        tested = [text(one.test, signed=False) if one.test else "-"] if has_test else []
        reached = text(one.objective, signed=False) if one.objective else "-"
        behind = text(one.behind, signed=True) if one.behind else "-"
        place = [str(one.position), *([one.label or ""] if has_rows else [])]
        compared = (behind, _told_apart(one, board.best))
        rows.append((*place, *values, reached, _seeds(one), *tested, *compared, _times(one)))
    labels = 1 + has_rows + len(names)
    return Grid("Configurations, the best first", (*columns, "behind", "told apart", "time"), tuple(rows), labels)


def _front(board: Leaderboard) -> Grid:
    """What no other configuration beats in all objectives."""
    ones = front(board)
    names = short_names(sorted({name for one in ones for name in one.parameters}))
    objectives = [f"{metric} ({'more' if way == 'maximize' else 'less'} is better)" for metric, way in board.objective.all]
    rows = []
    for one in ones:
        numbers = zip(board.objective.all, objectives_of(one, board) or (), strict=True)
        shown = [number_of(metric)(value, signed=False) for (metric, _), value in numbers]
        rows.append((str(one.position), one.label or "", *(value_text(one.parameters.get(name)) for name in names), *shown))
    note = (
        "Means over seeds, of configurations whose seeds have all ended; accuracies are percent, hours those of a trial alone."
    )
    columns = ("#", "row", *names.values(), *objectives)
    return Grid("Pareto front: what no other configuration beats in all objectives", columns, tuple(rows), 2 + len(names), note)


def _unfinished(board: Leaderboard) -> Grid | None:
    """Every seed of every configuration that did not complete."""
    rows = []
    for one in sorted(board.ranked, key=lambda one: one.position):
        by_seed = {record.seed: (record.outcome, record.reason or "") for record in one.records}
        for seed in range(one.asked):
            outcome, reason = by_seed.get(seed, ("not run", ""))
            if outcome != "complete":
                rows.append((str(one.position), name_of(one), str(seed), outcome, reason))
    columns = ("#", "configuration", "seed", "outcome", "reason")
    return Grid("Trials that are not complete", columns, tuple(rows), labels=3) if rows else None


def name_of(one: Ranked) -> str:
    """A configuration in words, or its position where it has no parameters."""
    return configuration_text(one.label, one.parameters) or f"#{one.position}"


def _seeds(one: Ranked) -> str:
    number = one.objective.n if one.objective else 0
    asked = one.asked - (one.counted[0].seed if one.counted and one.confirmed else 0)
    said = str(number) if number == asked else f"{number}/{asked}"
    return said if one.confirmed else f"{said}, not confirmed"


def _told_apart(one: Ranked, best: Ranked | None) -> str:
    if one is best:
        return "best"
    if one.objective is None or one.behind is None:
        return "-"
    return f"{'yes' if one.is_behind else 'no'}, {p_text(one.p)}" if one.p is not None else "one seed"


def _times(one: Ranked) -> str:
    used, alone = map(time_text, one.seconds)
    return used if used == alone else f"{used} ({alone})"

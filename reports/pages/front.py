"""What is on the page over all sweeps: a line for each, with its best configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.leaderboard import Leaderboard
from reports.leaderboard_sheet import counts_text, name_of
from reports.sheet import estimate_text, number_of, time_text, to_the_minute


@dataclass(frozen=True)
class FrontRow:
    """A sweep. link: to its page; empty where it has none. problem: why it cannot be read, if it cannot."""

    sweep: str
    link: str
    space: str = ""
    preset: str = ""
    trials: str = ""
    best: str = ""
    objective: str = ""
    reached: str = ""
    test: str = ""
    time: str = ""
    ended: str = ""
    problem: str = ""


def front_row(board: Leaderboard, link: str) -> FrontRow:
    """The line of a sweep that can be read."""
    records, best = board.records, board.best
    used = sum(one.seconds[0] for one in board.ranked)
    number = number_of(board.objective.metric)
    return FrontRow(
        sweep=board.sweep,
        link=link,
        space=records[0].space if records else "",
        preset=records[0].preset if records else "",
        trials=counts_text(board),
        best=name_of(best) if best else "",
        objective=board.objective.metric,
        reached=estimate_text(best.objective, signed=False, number=number) if best and best.objective else "-",
        test=estimate_text(best.test, signed=False, number=number) if best and best.test else "-",
        time=time_text(used),
        ended=to_the_minute(max((record.ended or "" for record in records), default="")),
    )


def newest_first(rows: Sequence[FrontRow]) -> list[FrontRow]:
    """By when their last trial ended."""
    return sorted(sorted(rows, key=lambda row: row.sweep), key=lambda row: row.ended, reverse=True)

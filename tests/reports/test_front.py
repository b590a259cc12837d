"""The Pareto front of a sweep with several objectives, worked out by hand."""

from __future__ import annotations

from harness.ledger import HOURS
from reports.front import front, objectives_of
from reports.leaderboard import Objective, leaderboard
from reports.leaderboard_sheet import leaderboard_sheet
from reports.writers import FORMATS
from tests.reports.test_leaderboard import METRIC, Make, make

__all__ = ["make"]


def test_the_front_is_of_what_no_other_equals_and_beats(make: Make) -> None:
    """Accuracy, hours: 0.5 in 2, 0.6 in 4, 0.4 in 3 (beaten by the first), 0.5 in 2 again, and one that has not ended."""
    reached = {0: (0.5, 2), 1: (0.6, 4), 2: (0.4, 3), 3: (0.5, 2)}
    records = [
        make(place, seed, top1, seconds={"finetune": {"used": hours * 3600, "saved": 0}})
        for place, (top1, hours) in reached.items()
        for seed in (0, 1)
    ]
    records += [make(4, 0, 0.9, seconds={"finetune": {"used": 1, "saved": 0}})]
    board = leaderboard("mine", records, Objective(METRIC, further=((HOURS, "minimize"),)))
    assert [one.position for one in front(board)] == [1, 0, 3]
    assert objectives_of(front(board)[0], board) == [60, 4]
    sheet = leaderboard_sheet(board)
    (grid,) = (one for one in sheet.sections[0].grids if one.caption.startswith("Pareto front"))
    assert [row[0] for row in grid.rows] == ["1", "0", "3"]
    assert grid.columns[-2:] == (f"{METRIC} (more is better)", "hours (less is better)")
    assert grid.rows[0][-2:] == ("60.0", "4")
    csv = FORMATS["csv"]([sheet]).splitlines()
    assert csv[0].endswith(",hours,front") and sum(line.endswith(",yes") for line in csv) == 3
    alone = leaderboard("mine", records, Objective(METRIC))
    assert not any(grid.caption.startswith("Pareto") for grid in leaderboard_sheet(alone).sections[0].grids)

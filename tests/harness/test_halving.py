"""Decisions of successive halving, against a definition that knows all values, in any order of arrival."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.halving import Decision, Halving, Rungs

RUNGS = Rungs("finetune.epochs", (1, 2, 4))
Values = list[list[float | None]]
Fates = dict[tuple[int, int], tuple[str, int, int]]


def by_definition(values: Values, spared: set[int], rungs: Rungs) -> Fates:
    """Every fate, from all values at once, one rung after the other, each configuration against those before it."""
    there, found = list(range(len(values))), Fates()
    for rung in range(rungs.top):
        go_on = []
        for place, index in enumerate(there):
            mine = values[index][rung]
            others = [values[other][rung] for other in there[:place]]
            better = sum(mine is None or (other is not None and other >= mine) for other in others)
            best = better < max((len(others) + 1) // rungs.factor, 1)
            goes_on = mine is not None and (index in spared or len(others) < rungs.factor or best)
            found[index, rung] = "failed" if mine is None else "promoted" if goes_on else "pruned", better, len(others)
            go_on += [index] * goes_on
        there = go_on
    return found


numbers = st.none() | st.integers(0, 5).map(float)
worlds = st.lists(st.lists(numbers, min_size=3, max_size=3), max_size=14)


@given(worlds, st.sets(st.integers(0, 13)), st.integers(2, 4), st.randoms(use_true_random=False), st.integers(0, 14))
def test_any_order_of_arrival_and_any_prefix_decide_the_same(
    values: Values, spared: set[int], factor: int, random: object, before: int
) -> None:
    """Configurations are added at any time, and values come one by one from whatever may run; a second process that begins
    again with what a first had seen goes on as the first."""
    rungs = Rungs("finetune.epochs", (1, 2, 4), factor)
    expected = by_definition(values, spared, rungs)
    halving, found = Halving(rungs, "maximize"), dict[tuple[int, int], Decision]()
    seen, may_run, to_add, steps = list[tuple[int, int]](), list[tuple[int, int]](), 0, 0
    while may_run or to_add < len(values):
        if to_add < len(values) and (not may_run or random.random() < 0.5):  # type: ignore[attr-defined]
            halving.add(to_add, to_add in spared)
            may_run.append((to_add, 0))
            to_add += 1
        else:
            ended = may_run.pop(random.randrange(len(may_run)))  # type: ignore[attr-defined]
            halving.reached(*ended, values[ended[0]][ended[1]])
            seen.append(ended)
        steps += 1
        if steps == before:  # killed: all that is known is told to a new one, in order of position
            halving, found = Halving(rungs, "maximize"), {}
            for index in range(to_add):
                halving.add(index, index in spared)
            for index, rung in sorted(seen):
                halving.reached(index, rung, values[index][rung])
        for one in halving.decisions():
            assert (one.index, one.rung) not in found, "made once"
            found[one.index, one.rung] = one
            following = (one.index, one.rung + 1)
            if one.fate == "promoted" and one.rung + 1 < rungs.top and following not in (*seen, *may_run):
                may_run.append(following)
    assert {place: (one.fate, one.better, one.compared) for place, one in found.items()} == expected


def test_ties_go_to_the_lower_position_and_rows_go_on() -> None:
    halving = Halving(RUNGS, "minimize")
    for index, value in enumerate([0.5, 0.5, 0.5, 0.4, 0.9]):
        halving.add(index, spared=index == 4)
        halving.reached(index, 0, value)
    fates = [(one.index, one.fate, one.better, one.compared) for one in halving.decisions()]
    assert fates == [
        (0, "promoted", 0, 0),
        (1, "promoted", 1, 1),
        (2, "pruned", 2, 2),
        (3, "promoted", 0, 3),
        (4, "promoted", 4, 4),
    ]


def test_a_decision_waits_for_those_before_it_and_for_no_other() -> None:
    halving = Halving(RUNGS, "maximize")
    for index in range(3):
        halving.add(index)
    halving.reached(2, 0, 1.0)
    halving.reached(1, 0, 1.0)
    assert halving.decisions() == []
    halving.reached(0, 0, None)
    assert [(one.index, one.fate) for one in halving.decisions()] == [(0, "failed"), (1, "promoted"), (2, "pruned")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("finetune.epochs=3", "two or more"),
        ("finetune.epochs=3,3", "each more than the one before"),
        ("finetune.epochs=0,3", "epochs from 1 on"),
        ("finetune.epochs=a,b", "for example finetune.epochs=3,6,12"),
        ("finetune.batch_size=3,6", "for example"),
        ("3,6", "for example"),
    ],
)
def test_rungs_that_are_none_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Rungs.parse(text)


def test_shares_of_a_factor() -> None:
    assert list(Rungs.parse("finetune.epochs=1,2,4").shares()) == [1, 0.5, 0.25]
    assert [Rungs.parse("a.epochs=1,3", 3).name(rung) for rung in (0, 1)] == ["rung 1 of 2, 1 epochs", "rung 2 of 2, 3 epochs"]

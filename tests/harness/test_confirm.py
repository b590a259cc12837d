"""Seeds that confirm what a search has found, handed out without Ray: when, which, and what a budget leaves of them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import joining
from harness.bookkeeper import Bookkeeper
from harness.budget import Spending, parse_budget
from harness.driver import only_driver
from harness.identity import Confirm, read_identity
from harness.joining import Joined, Reading
from harness.ledger import Ledger
from harness.planner import make_plan
from harness.request import RequestError
from harness.signs import Signs, read_sign
from harness.summary import seeds_to_confirm
from harness.sweep import _check_budget
from harness.trials import Sweep, seeds_of_search
from reports.leaderboard import objective_of
from tests.harness.test_bookkeeper import Witness, complete, hand_out
from tests.harness.test_budget import Clock, Forecaster

MakeSweep = Callable[..., Sweep]
CONFIRM = Confirm(best=1, seeds=3, first=1, sequential=False)


def keeper(sweep: Sweep, confirming: Callable[[Sweep], Mapping[int, int]] = seeds_to_confirm, **options: Any) -> Bookkeeper:
    sweep.settle_identity()
    progress = options.pop("progress", Witness())
    return Bookkeeper(sweep, Ledger(sweep.directory), Witness(), progress, False, confirming=confirming, **options)  # type: ignore[arg-type]


def test_seeds_are_asked_for_when_all_have_ended_until_nothing_more_is(make_sweep: MakeSweep) -> None:
    """And a second command that continues asks anew, from the start, and for the same."""
    sweep = make_sweep(confirm=CONFIRM)

    def confirming(asked: Sweep) -> Mapping[int, int]:
        there: dict[int, int] = {}
        for record in Ledger(asked.directory).records():
            there[record.index] = there.get(record.index, 0) + 1
        return {0: 3} if there[0] < 3 else {0: 3, 1: 2}

    given: list[tuple[int, int]] = []
    for _ in range(6):
        books = keeper(sweep, confirming)
        got = hand_out(books)
        if not got:
            break
        place, worker = next(iter(got.items()))
        complete(books, worker)  # then the process is killed
        given.append(place)
    assert given == [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1)]
    assert keeper(sweep, confirming).is_complete()


def test_what_confirms_is_told_to_no_search(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(confirm=CONFIRM)
    books = keeper(sweep, lambda _: {0: 3})
    for worker in hand_out(books).values():
        complete(books, worker)
    assert not books.is_complete() and books.is_confirming
    values = dict(books.proposals.values)
    for worker in hand_out(books).values():
        complete(books, worker, **{"validation/top1": 0.9})
    assert books.proposals.values == values and books.is_complete()
    assert books.settled(0) == (True, 0.9), "by the seeds that the search has not seen"
    settled = books.progress.of("configuration_settled")  # type: ignore[attr-defined]
    assert [value for _, _, value in settled] == [0.5, 0.5, 0.9]


def test_by_the_ledger_the_rows_get_their_seeds(make_sweep: MakeSweep, tmp_path: Path) -> None:
    """By the real report, in a process of its own. The plan says how many trials that will be, the identity what is asked."""
    sweep = make_sweep(confirm=CONFIRM)
    plan = make_plan(sweep, Ledger(sweep.directory), 1, 2**30)
    assert plan.confirming[0] == plan.as_json()["trials_confirming"] == 4 and plan.seconds_confirming > 0
    seconds = plan.seconds()
    assert seconds is not None and sum(seconds.values()) == pytest.approx(
        sum(one.seconds for _, one in plan.expected if one) + plan.seconds_confirming
    )
    books = keeper(sweep)
    for worker in hand_out(books).values():
        complete(books, worker)
    assert sorted(hand_out(books)) == [(index, seed) for index in (0, 1) for seed in (1, 2)]
    assert objective_of(read_identity(sweep.directory)).confirm == CONFIRM
    assert seeds_of_search(sweep.directory) == 1 and seeds_of_search(tmp_path / "none") == 1
    make_sweep(trials=3).settle_identity()
    assert objective_of(read_identity(sweep.directory)).confirm == CONFIRM, "what was confirmed stays so"
    (said,) = make_sweep(trials=3, seeds=3).settle_identity()
    assert "searched with 3 seeds, 1 before" in said, "the search has seen what confirmed"
    assert objective_of(read_identity(sweep.directory)).confirm is None and seeds_of_search(sweep.directory) == 3
    assert make_sweep(trials=3, seeds=3).settle_identity() == [], "said once"


def test_a_sweep_that_a_budget_cut_short_goes_on(make_sweep: MakeSweep) -> None:
    """Of four trials that confirm two rows three are complete: room is kept for the one that is not, of 40 s like the others,
    and where the search has no room, the one is run."""
    sweep = make_sweep(trials=2, confirm=CONFIRM)
    books = keeper(sweep, lambda _: {0: 3, 1: 3})
    for worker in hand_out(books).values():
        complete(books, worker)
    for worker in list(hand_out(books).values())[:3]:
        complete(books, worker)
    more = make_sweep(trials=3, confirm=CONFIRM)
    plan = make_plan(more, Ledger(more.directory), 1, 2**30)
    assert plan.confirming[0] == 3, "one of these two rows, two of the third"
    plan = replace(plan, pending=(("third seed 0", 40.0),), confirming=(3, {"all": 40.0}))

    def budget(text: str) -> Spending:
        return Spending(parse_budget(text), since=0.0, clock=Clock())

    for text in ("160s", "100s", "40s"):
        _check_budget(budget(text), plan)
    with pytest.raises(RequestError, match=r"takes about 0:40 here, and the 3 that confirm 2:00"):
        _check_budget(budget("39s"), plan)
    with pytest.raises(RequestError, match="nothing would end"):
        _check_budget(budget("100s"), replace(plan, trials_complete=0))


def test_an_answer_may_take_its_time(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else goes on without it; that there is none is told in words."""
    asked: list[float | None] = []

    def run(command: list[str], timeout: float | None = None, **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(timeout)
        return subprocess.CompletedProcess(command, 0, '{"0": 3}')

    monkeypatch.setattr(subprocess, "run", run)
    assert seeds_to_confirm(make_sweep(confirm=CONFIRM)) == {0: 3} and asked == [None]


def test_room_is_kept_for_what_confirms(make_sweep: MakeSweep) -> None:
    """Of 540 s the twelve trials that confirm six rows take 480: the search has its first trial, and no second one."""
    clock, progress = Clock(), Forecaster()
    sweep = make_sweep(trials=6, confirm=CONFIRM)
    spending = Spending(parse_budget("540s"), since=0.0, clock=clock)
    books = keeper(sweep, lambda _: {0: 3}, progress=progress, spending=spending)
    assert sweep.confirming == 12
    worker = "a"
    assert books.next(worker) is not None, "40 and 12 times 40 are 520"
    clock.now += 40
    complete(books, worker)
    assert books.next("b") is None and books.trimmed and not books.spent, "of 500 s 480 are kept"
    config = books.next("b")
    assert config is not None and (config["index"], config["seed"]) == (0, 1), "the search is over, and is confirmed"
    assert {job.configuration.index for job in books.trimmed} == {1, 2, 3, 4, 5}
    assert books.not_run().startswith("0.01 / 0.01 seed 1, 0.01 / 0.01 seed 2, 0.02 / 0.02 seed 0")


def test_a_process_that_joins_confirms_too(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the driver's ledger it asks for the same seeds, once the search is on record, and takes the last of them."""
    monkeypatch.setattr(joining, "LOOK_SECONDS", 0.0)
    sweep = make_sweep(confirm=CONFIRM)
    sweep.settle_identity()
    with only_driver(sweep.directory):
        driver = keeper(sweep, lambda _: {0: 3, 1: 2})
        joined = Joined(sweep, Reading(sweep.directory), Witness(), Witness(), False, confirming=lambda _: {0: 3, 1: 2})  # type: ignore[arg-type]
        for worker in hand_out(driver).values():
            complete(driver, worker)
        given = joined.next("j")
        assert given is not None and (given["index"], given["seed"]) == (1, 1)
        assert list(hand_out(driver)) == [(0, 1), (0, 2), (1, 1)]


def test_a_process_that_joins_ends_a_search_with_the_driver(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose sign of life says that its budget holds no more: what waits is dropped, what runs goes on, and it confirms."""
    monkeypatch.setattr(joining, "LOOK_SECONDS", 0.0)
    clock = Clock()
    sweep = make_sweep(trials=6, confirm=CONFIRM)
    sweep.settle_identity()
    spending = Spending(parse_budget("500s"), since=0.0, clock=clock)
    tell = {"total": 6, "ended": {}, "reused": 0, "running": [], "seconds_left": None}

    def told() -> dict[str, object]:
        return tell | spending.sign()

    with only_driver(sweep.directory), Signs(sweep.directory, sweep.command, told) as signs:
        driver = keeper(sweep, lambda _: {0: 3}, progress=Forecaster(), spending=spending)
        joined = Joined(sweep, Reading(sweep.directory), Witness(), Witness(), False, confirming=lambda _: {0: 3})  # type: ignore[arg-type]
        spending.budget = parse_budget("540s")
        assert driver.next("a") is not None
        given = joined.next("j")
        assert given is not None and given["index"] == 5
        complete(driver, "a")
        clock.now += 40
        assert driver.next("b") is None and spending.search_over
        signs._write()
        for worker, seed in (("k", 2), ("l", 1)):
            given = joined.next(worker)
            assert given is not None and (given["index"], given["seed"]) == (0, seed)
        complete(joined, "j")
        assert joined.next("m") is None and not joined.queue
    with only_driver(sweep.directory):
        later = Joined(sweep, Reading(sweep.directory), Witness(), Witness(), False, confirming=lambda _: {0: 3})  # type: ignore[arg-type]
        signs._write(over="of a process that is another one")
        written = read_sign(sweep.directory)
        assert written is not None and written.search_over
        (sweep.directory / "driver.lock").write_text('{"host": "elsewhere", "pid": 1, "since": ""}')
        assert later.next("m") is not None, "a search that another command's budget ended goes on"

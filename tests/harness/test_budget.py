"""Budgets: what is spent and what still fits, against calculation by hand, and a bookkeeper that keeps to one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.bookkeeper import Bookkeeper
from harness.budget import Budget, BudgetSpent, Spending, how_many, parse_budget, some_of
from harness.ledger import Ledger
from harness.proposals import Exhausted
from harness.signs import Signs
from harness.sweep import _spending
from harness.trials import Sweep
from tests.harness.test_bookkeeper import COMPLETE, Witness, bookkeeper, complete, hand_out, tell


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "seconds", "device"),
    [
        ("30m", 1800, None),
        ("12h", 43200, None),
        ("1.5 d", 129600, None),
        ("90s", 90, None),
        ("200 gpu-hours", 720000, "GPU"),
        ("1 GPU-hour", 3600, "GPU"),
        ("0.5core-hours", 1800, "CPU"),
    ],
)
def test_what_a_budget_is(text: str, seconds: float, device: str | None) -> None:
    assert parse_budget(text) == Budget(text, seconds, device)


@pytest.mark.parametrize("text", ["", "12", "h", "0h", "0.0 gpu-hours", "-1h", "12 weeks", "1e3h", "nan h", "1h30m"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected 30m, 12h|more than 0"):
        parse_budget(text)


def test_time_goes_by_whether_or_not_trials_run() -> None:
    clock = Clock()
    spending = Spending(parse_budget("100s"), {"CPU": 1.0}, 2, before={"CPU": 5000.0}, since=0.0, clock=clock)
    assert spending.holds(100) and not spending.holds(101)
    assert spending.holds(50, others=100) and not spending.holds(51, others=100), "others run two at once"
    spending.begin("a", 80)
    clock.now = 40
    assert (spending.spent, spending.left) == (40, 60)
    assert spending.holds(60), "beside the one that runs"
    clock.now = 100
    assert not spending.holds(0), "nothing is left"
    assert str(spending) == "1:40 of a budget of 100s (100%)"


def test_devices_are_occupied_by_trials_of_all_commands() -> None:
    """200 s of a GPU before, by trials of one; then, with two GPUs each, 30 s of one that has ended, 20 s so far of one that is
    to take 50 s."""
    clock = Clock()
    before = {"CPU": 200.0, "GPU": 200.0}
    spending = Spending(parse_budget("0.1 gpu-hours"), {"CPU": 3.0, "GPU": 2.0}, 8, before=before, since=0.0, clock=clock)
    clock.now = 1000
    spending.begin("a", 50)
    clock.now = 1030
    spending.end("a")
    spending.begin("b", 50)
    clock.now = 1050
    assert spending.occupied == spending.sign()["occupied_seconds"] == {"CPU": 350, "GPU": 300}
    assert spending.spent == 300 and spending.left == 60
    assert not spending.holds(1), "the other needs the 60 that are left"
    clock.now = 1060
    spending.end("b")
    assert spending.left == 40 and spending.holds(20) and not spending.holds(21)
    with pytest.raises(ValueError, match="trials occupy no GPU here"):
        parse_budget("1 gpu-hour").check({"CPU": 2, "GPU": 0})


def test_what_earlier_commands_occupied_is_counted_as_it_was(make_sweep: Callable[..., Sweep]) -> None:
    """By what the last one wrote down, which ran trials on other devices; else as if they had run as trials do now."""
    sweep = make_sweep()
    sweep.settle_identity()
    books, *_ = bookkeeper(sweep)
    for worker in hand_out(books).values():
        tell(books, worker, {"auxskd": (100.0, 0.0)})
        books.ended(worker, COMPLETE)
    budget = parse_budget("1 gpu-hour")
    assert _spending(budget, sweep, 1, 2.0, 0.0).spent == 2 * 200
    shown = {"total": 2, "ended": {}, "reused": 0, "running": [], "seconds_left": None}
    earlier = Spending(None, {"CPU": 1.0, "GPU": 0.5}, before={"CPU": 300.0, "GPU": 150.0}, clock=Clock())
    with Signs(sweep.directory, sweep.command, lambda: shown | earlier.sign()):
        pass
    assert _spending(budget, sweep, 1, 2.0, 0.0).spent == 150


def test_how_many_trials_fit() -> None:
    def fit(text: str, at_once: int, *trials: float) -> int:
        return how_many(Spending(parse_budget(text), {"CPU": 1.0}, at_once, since=0.0, clock=Clock()), trials)

    assert fit("100s", 1, 50, 40, 20, 1) == 2, "in order: the last would fit, but comes after one that does not"
    assert fit("100s", 2, 50, 90, 50, 10, 1) == 4
    assert fit("1m", 3, 61) == 0
    assert fit("1 core-hour", 8, 1800, 1800, 1) == 2, "side by side they occupy as much"
    assert some_of(["a", "b"]) == "a, b" and some_of([]) == "nothing"
    assert some_of(list("abcdefgh"), 3) == "a, b, c, d, e, f and 5 more trials" and some_of([], 3) == "3 trials"


class Forecaster(Witness):
    """A trial is expected to take 40 s."""

    def expected(self, stages: object) -> float:
        return 40.0


def test_a_sweep_is_as_far_as_its_budget_holds(make_sweep: Callable[..., Sweep]) -> None:
    """Three trials of 40 s in 100 s, by one worker: the third would not end in time; what ran is recorded, the rest named."""
    clock = Clock()
    sweep = make_sweep(trials=3)
    sweep.settle_identity()
    spending = Spending(parse_budget("100s"), since=0.0, clock=clock)
    books = Bookkeeper(sweep, Ledger(sweep.directory), Witness(), Forecaster(), False, spending=spending)  # type: ignore[arg-type]
    for worker in "ab":
        assert books.next(worker) is not None
        clock.now += 40
        complete(books, worker)
    assert not books.is_complete()
    assert books.next("c") is None
    assert books.is_complete() and books.spent
    with pytest.raises(Exhausted):
        books.next("c")
    assert [record.index for record in Ledger(sweep.directory).records()] == [0, 1]
    assert books.not_run() == f"{sweep.space.rows[2].label} seed 0"
    clock.now = 101
    with pytest.raises(BudgetSpent, match=r"1:41 of a budget of 100s \(101%\)"):
        books.check_budget()


def test_a_trial_that_does_not_fit_waits_for_those_that_run(make_sweep: Callable[..., Sweep]) -> None:
    """They may take less than expected: of 100 core-seconds two trials of 40 s are expected to leave 20, and leave 80."""
    clock = Clock()
    sweep = make_sweep(trials=3)
    sweep.settle_identity()
    spending = Spending(Budget("100 core-seconds", 100, "CPU"), {"CPU": 1.0}, clock=clock)
    books = Bookkeeper(sweep, Ledger(sweep.directory), Witness(), Forecaster(), False, spending=spending)  # type: ignore[arg-type]
    assert books.next("a") is not None and books.next("b") is not None
    assert books.next("c") is None and not books.spent
    clock.now = 10
    for worker in "ab":
        complete(books, worker)
    assert books.next("c") is not None

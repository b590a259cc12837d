"""A process that joins a sweep: what it hands out and what it leaves to the driver, of which it sees the ledger only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import joining
from harness.bookkeeper import Bookkeeper
from harness.driver import driver_of, only_driver
from harness.joining import DriverEnded, Joined, Reading
from harness.ledger import FILE_NAME, Ledger
from harness.proposals import Exhausted
from harness.trials import Sweep
from trainables.pipeline import Made

MakeSweep = Callable[..., Sweep]


class Witness:
    """In the place of tracker and progress: notes every call."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.calls.append(name)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "LOOK_SECONDS", 0.0)


@pytest.fixture
def sweep(make_sweep: MakeSweep) -> Sweep:
    sweep = make_sweep(trials=4)
    sweep.settle_identity()
    return sweep


@pytest.fixture
def driver(sweep: Sweep) -> Iterator[Bookkeeper]:
    with only_driver(sweep.directory):
        yield Bookkeeper(sweep, Ledger(sweep.directory), Witness(), Witness(), False)  # type: ignore[arg-type]


def join(sweep: Sweep) -> Joined:
    return Joined(sweep, Reading(sweep.directory), Witness(), Witness(), False)  # type: ignore[arg-type]


def position(config: dict[str, Any] | None) -> int | None:
    return None if config is None else config["index"]


def complete(books: Bookkeeper, worker: str) -> None:
    books.started(worker)
    for stage in books.assigned[worker].job.stages:
        values = {"validation/top1": 0.5, "test/top1": 0.4} if stage.kind == "evaluate" else {}
        made = Made(stage.key, values, {}, 1.0, 0.0)
        books.reported(worker, {"stage": stage.name, "made": vars(made)})
    books.ended(worker, {"outcome": "complete"})


def test_it_takes_trials_from_the_end_and_records_none(sweep: Sweep, driver: Bookkeeper) -> None:
    """Those that the driver has recorded meanwhile it does not take; it ends when nothing is left to hand out."""
    joined = join(sweep)
    assert [position(driver.next("d0")), position(joined.next("j0"))] == [0, 3]
    complete(joined, "j0")
    assert not (sweep.directory / FILE_NAME).exists()
    assert position(joined.next("j1")) == 2
    complete(driver, "d0")
    assert position(driver.next("d1")) == 1
    complete(driver, "d1")
    assert joined.next("j2") is None, "what is left is on record, or being computed here"
    complete(joined, "j1")
    with pytest.raises(Exhausted):
        joined.next("j2")
    assert joined.is_complete()
    assert [record.index for record in Ledger(sweep.directory).records()] == [0, 1]
    assert position(driver.next("d2")) == 2, "the driver comes to it, and finds its stages made"


def test_what_comes_next_is_read_from_the_driver_s_records(make_sweep: MakeSweep) -> None:
    """A proposal uses the results of those before it: not the results that this process got, but those on record."""
    sweep = make_sweep(trials=9)
    sweep.settle_identity()
    with only_driver(sweep.directory):
        driver = Bookkeeper(sweep, Ledger(sweep.directory), Witness(), Witness(), False)  # type: ignore[arg-type]
        joined = join(sweep)
        given = {position(joined.next(f"j{number}")): f"j{number}" for number in range(7)}
        assert set(given) == set(range(7)), "the rows"
        more = joined.next("j7")
        while more is not None:
            given[more["index"]] = f"j{len(given)}"
            more = joined.next(f"j{len(given)}")
        known = max(index for index in given if index is not None)
        for worker in given.values():
            complete(joined, worker)
        assert joined.next("late") is None
        for number in range(known + 1):
            assert position(driver.next(f"d{number}")) == number
            complete(driver, f"d{number}")
        more = joined.next("later")
        mine = driver.next("d-later")
        assert more is not None and mine is not None
        assert {position(more), position(mine)} <= {known + 1, known + 2}


def test_it_ends_with_the_driver(sweep: Sweep) -> None:
    with only_driver(sweep.directory):
        assert f"process {os.getpid()} on " in str(driver_of(sweep.directory))
        joined = join(sweep)
        assert joined.next("j0") is not None
        joined.started("j0")
    assert driver_of(sweep.directory) is None
    with pytest.raises(DriverEnded):
        joined.next("j1")
    with pytest.raises(DriverEnded):
        joined.reported("j0", {"stage": "auxskd", "epoch": 1, "epochs": 2})
    joined.interrupt()
    assert not (sweep.directory / FILE_NAME).exists()


def test_a_sweep_that_was_never_run_has_no_driver(tmp_path: Path) -> None:
    assert driver_of(tmp_path) is None
    assert list(tmp_path.iterdir()) == []

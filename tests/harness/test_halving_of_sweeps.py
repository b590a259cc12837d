"""A sweep by halving, without Ray: what runs, is recorded and proposed, whoever ends first and however often it is killed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.bookkeeper import Bookkeeper
from harness.halving import Rungs
from harness.identity import Confirm
from harness.ledger import Ledger
from harness.proposals import Configuration, Exhausted
from harness.trials import Job, Sweep, SweepError
from tests.harness.test_bookkeeper import Witness, tell
from trainables.settings import flat

MakeSweep = Callable[..., Sweep]
RUNGS = Rungs("finetune.epochs", (1, 2, 4))
TIMES = {"ended", "seconds"}


def value(job: Job) -> float:
    """A made-up objective of a trial after so many epochs: a number that its parameters, seed and epochs decide."""
    settings = flat(job.experiment.settings)
    temperature = float(settings["auxskd.student_temperature"])
    of_seed = 0.01 * job.experiment.seed
    return round(0.5 + 0.3 * temperature + of_seed + 0.02 * float(settings["finetune.epochs"]), 6)


def run(sweep: Sweep, workers: int, order: random.Random, kills: float = 0.0) -> list[tuple[int, int, int]]:
    """Trials end in any order, and the process is killed or interrupted now and then; position, seed and epochs of what ran."""
    ran: list[tuple[int, int, int]] = []
    while True:
        sweep.settle_identity()
        books = Bookkeeper(sweep, Ledger(sweep.directory), Witness(), Witness(), False)  # type: ignore[arg-type]
        if _until_killed(books, workers, order, kills, ran):
            return ran


def _until_killed(books: Bookkeeper, workers: int, order: random.Random, kills: float, ran: list[tuple[int, int, int]]) -> bool:
    free, busy = [str(number) for number in range(workers)], list[str]()
    while True:
        for worker in list(free):
            try:
                given = books.next(worker)
            except Exhausted:
                return True
            if given is not None:
                free.remove(worker)
                busy.append(worker)
                books.started(worker)
        assert busy, "something can always run"
        worker = busy.pop(order.randrange(len(busy)))
        free.append(worker)
        if order.random() < kills:
            if order.random() < 0.5:
                books.interrupt()
            return False
        job = books.assigned[worker].job
        ran.append((job.configuration.index, job.experiment.seed, flat(job.experiment.settings)["finetune.epochs"]))
        if job.configuration.index == 9 and job.rung == 1:
            books.ended(worker, {"outcome": "failed", "reason": "made up"})
            continue
        tell(books, worker, None, **{"validation/top1": value(job)})
        books.ended(worker, {"outcome": "complete"})


def recorded(sweep: Sweep) -> list[Mapping[str, Any]]:
    return [record.model_dump(exclude=TIMES) for record in Ledger(sweep.directory).records()]


def halved(make_sweep: MakeSweep, **changes: Any) -> Sweep:
    sweep = make_sweep({"finetune.epochs": 4}, rungs=RUNGS, **changes)
    return replace(sweep, space=replace(sweep.space, lookahead=4))


def test_workers_order_and_kills_change_neither_decisions_nor_the_ledger(make_sweep: MakeSweep, tmp_path: Any) -> None:
    ledgers = []
    for number, (workers, kills) in enumerate([(1, 0.0), (2, 0.0), (4, 0.0), (4, 0.15), (3, 0.3)]):
        sweep = halved(make_sweep, trials=16, seeds=2, directory=tmp_path / str(number))
        run(sweep, workers, random.Random(number), kills)
        ledgers.append(recorded(sweep))
    assert all(ledger == ledgers[0] for ledger in ledgers[1:])
    outcomes = {record["outcome"] for record in ledgers[0]}
    assert outcomes >= {"complete", "pruned"}


def test_what_is_pruned_costs_its_epochs_alone_and_says_why(make_sweep: MakeSweep) -> None:
    sweep = halved(make_sweep, trials=14)
    ran = run(sweep, 2, random.Random(0))
    assert len(ran) == len(set(ran)), "no rung twice"
    records = Ledger(sweep.directory).records()
    pruned = [record for record in records if record.outcome == "pruned"]
    complete = [record for record in records if record.outcome == "complete"]
    assert pruned and complete and all(record.outcome == "complete" for record in records if record.row)
    for record in records:
        epochs = [of for index, _, of in ran if index == record.index]
        assert epochs == list(RUNGS.epochs[: len(epochs)]), "one rung after the other"
        assert record.settings["finetune.epochs"] == 4, "what the trial is, is the whole training"
        (job,) = [
            job for job in sweep.jobs(Configuration(record.index, record.parameters, record.row)) if job.trial == record.trial
        ]
        assert job.rung is None
        if record.outcome in ("pruned", "complete"):
            assert list(record.rungs) == epochs
    assert all(record.reason and record.reason.startswith("rung ") for record in pruned)


def test_the_search_is_told_of_what_was_pruned_with_its_values(make_sweep: MakeSweep) -> None:
    sweep = halved(make_sweep, trials=22)
    run(sweep, 2, random.Random(0))
    pruned = {record.index: record.rungs for record in Ledger(sweep.directory).records() if record.outcome == "pruned"}
    sweep = replace(sweep, trials=23)
    sweep.settle_identity()
    books = Bookkeeper(sweep, Ledger(sweep.directory), Witness(), Witness(), False)  # type: ignore[arg-type]
    assert books.next("one more") is not None
    told = books.proposals.study.trials[: books.proposals.told]
    assert books.proposals.told == 22 - sweep.space.lookahead + 1
    expected = [pruned[index] for index in sorted(pruned) if index < books.proposals.told]
    assert [trial.intermediate_values for trial in told if trial.state.name == "PRUNED"] == expected != []


def test_what_confirms_is_trained_to_its_end_at_once(make_sweep: MakeSweep) -> None:
    sweep = replace(halved(make_sweep, trials=14), confirm=Confirm(best=1, seeds=3, first=1, sequential=False))
    sweep.settle_identity()
    options = {"confirming": lambda _: {0: 3}}
    books = Bookkeeper(sweep, Ledger(sweep.directory), Witness(), Witness(), False, **options)  # type: ignore[arg-type]
    ran: list[tuple[int, int, int]] = []
    assert _until_killed(books, 2, random.Random(0), 0.0, ran)
    assert sorted(one for one in ran if one[1] > 0) == [(0, 1, 4), (0, 2, 4)]
    assert [record.outcome for record in Ledger(sweep.directory).records() if record.index == 0] == ["complete"] * 3


def test_a_sweep_goes_on_with_its_own_rungs_only(make_sweep: MakeSweep) -> None:
    sweep = halved(make_sweep)
    sweep.settle_identity()
    for other in (None, replace(RUNGS, factor=3), replace(RUNGS, epochs=(2, 4))):
        with pytest.raises(SweepError, match="was started with other settings"):
            replace(sweep, rungs=other).settle_identity()


def test_a_trial_that_ran_out_of_memory_keeps_its_parts_at_further_rungs(make_sweep: MakeSweep) -> None:
    sweep = halved(make_sweep, trials=1)
    sweep.settle_identity()
    books = Bookkeeper(sweep, Ledger(sweep.directory), Witness(), Witness(), False, oom_halvings=1)  # type: ignore[arg-type]
    assert books.next("a") is not None
    books.ended("a", {"outcome": "failed", "reason": "out of memory", "parts": 2})
    seen = []
    for worker in "bcd":
        assert books.next(worker) is not None
        settings = flat(books.assigned[worker].job.experiment.settings)
        seen.append((settings["finetune.epochs"], settings["compute.accumulation"]))
        tell(books, worker)
        books.ended(worker, {"outcome": "complete"})
    assert seen == [(1, 2), (2, 2), (4, 2)]
    (record,) = Ledger(sweep.directory).records()
    assert (record.outcome, record.settings["compute.accumulation"]) == ("complete", 2)

"""What a search goes by: how it is said, which metrics a sweep's trials will have, and several of them at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.bookkeeper import ObjectiveMissing
from harness.halving import Rungs
from harness.ledger import HOURS, Ledger, Record
from harness.objectives import check_objectives, check_rungs, parse_objective
from harness.request import RequestError
from harness.trials import Sweep, SweepError
from search_spaces.space import SpaceError, find_space
from tests.harness.test_bookkeeper import bookkeeper, complete, hand_out

MakeSweep = Callable[..., Sweep]


@pytest.mark.parametrize(
    ("text", "metric", "direction"),
    [
        ("validation/top1", "validation/top1", "maximize"),
        ("hours", "hours", "minimize"),
        ("compression/student_latency", "compression/student_latency", "minimize"),
        ("pretext/loss=minimize", "pretext/loss", "minimize"),
        ("validation/map=minimize", "validation/map", "minimize"),
    ],
)
def test_how_objectives_are_said(text: str, metric: str, direction: str) -> None:
    assert parse_objective(text) == (metric, direction)


@pytest.mark.parametrize("text", ["pretext/loss", "validation/top1=", "=maximize", "validation/top1=up"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(RequestError, match=r"maximize"):
        parse_objective(text)


def test_no_objective_is_of_test_videos_or_named_twice() -> None:
    space = find_space("temperatures")
    with pytest.raises(SpaceError, match="'test/top1' is a test metric"):
        replace(space, further=(("test/top1", "maximize"),))
    with pytest.raises(SpaceError, match="named twice"):
        replace(space, further=(("validation/top1", "minimize"),))


def checked(sweep: Sweep, *objectives: str, records: tuple[Record, ...] = ()) -> None:
    (first, *_) = sweep.configurations()
    (job,) = sweep.jobs(first)
    check_objectives(objectives, "here", job.stages, job.experiment.settings, records)


def test_what_no_stage_reports_is_said_with_what_is_valid(make_sweep: MakeSweep) -> None:
    sweep = make_sweep()
    checked(sweep, "validation/top1", "validation/map", HOURS, "pretext/loss", "pretext/val_knn")
    with pytest.raises(RequestError, match=r"'?validation/top2: no stage of here reports it.*valid: .*validation/top1"):
        checked(sweep, "validation/top2")
    for absent in ("validation/linear_probe_top5", "compression/student_latency", "sorting/loss", "pretext/speed"):
        with pytest.raises(RequestError, match=rf"{absent}: no stage of here reports it"):
            checked(sweep, absent)
    books, _, _ = bookkeeper(sweep)
    complete(books, hand_out(books)[0, 0])
    records = tuple(Ledger(sweep.directory).records())
    with pytest.raises(RequestError, match=r"pretext/val_knn: .* valid: .*pretext/loss"):
        checked(sweep, "pretext/val_knn", records=records)  # the trial on record has none


def test_a_search_is_told_each_objective(make_sweep: MakeSweep) -> None:
    """The means over seeds that have all of them; the first is what people see."""
    space = replace(find_space("temperatures"), further=(("validation/map", "maximize"), (HOURS, "minimize")))
    sweep = make_sweep(space=space, seeds=2, trials=1)
    books, _, progress = bookkeeper(sweep)
    given = hand_out(books)
    stages = [stage.name for stage in books.assigned[given[0, 0]].job.stages]
    for seed, (top1, average) in enumerate(((0.2, 0.3), (0.4, 0.5))):
        from tests.harness.test_bookkeeper import COMPLETE, tell

        tell(books, given[0, seed], {stages[0]: (1800.0, 1800.0)}, **{"validation/top1": top1, "validation/map": average})
        books.ended(given[0, seed], COMPLETE)
    assert books.proposals.values[0] == pytest.approx([0.3, 0.4, 1.0])
    assert books.settled(0) == (True, pytest.approx(0.3))
    assert [value for _, _, value in progress.of("configuration_settled")] == pytest.approx([0.3])


def test_a_trial_without_one_of_them_ends_the_sweep(make_sweep: MakeSweep) -> None:
    space = replace(find_space("temperatures"), further=(("validation/mpa", "maximize"),))
    books, _, _ = bookkeeper(make_sweep(space=space))
    with pytest.raises(ObjectiveMissing, match="no metric 'validation/mpa'"):
        complete(books, hand_out(books)[0, 0])


def test_a_sweep_keeps_its_objectives(make_sweep: MakeSweep) -> None:
    space = replace(find_space("temperatures"), further=((HOURS, "minimize"),))
    make_sweep(space=space).settle_identity()
    make_sweep(space=space).settle_identity()
    with pytest.raises(SweepError, match="further_objectives"):
        make_sweep().settle_identity()


@pytest.mark.parametrize(
    ("values", "text", "said"),
    [
        ({}, "finetune.epochs=1,2", "here trains 4 epochs, so the last rung is 4, not 2"),
        ({}, "finetunes.epochs=1,2", r"no stage of here trains by it.*did you mean 'finetune.epochs'"),
        (
            {"finetune.schedule": "cosine"},
            "finetune.epochs=1,4",
            "cannot go on from a shorter training, as finetune.schedule is cosine",
        ),
    ],
)
def test_rungs_that_a_configuration_does_not_have(make_sweep: MakeSweep, values: dict[str, str], text: str, said: str) -> None:
    sweep = make_sweep({"finetune.epochs": 4, **values})
    (job, *_) = sweep.jobs(sweep.configurations()[0])
    with pytest.raises(RequestError, match=said):
        check_rungs(Rungs.parse(text), "here", job.stages)

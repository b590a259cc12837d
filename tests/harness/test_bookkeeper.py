"""The bookkeeper, without Ray: what becomes of trials that end, fail, die, are interrupted, or were there before."""

from __future__ import annotations

import errno
import itertools
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.bookkeeper import Bookkeeper, Ending, verdict
from harness.deaths import WORKER_LIVES
from harness.executor import how_it_failed
from harness.hindrances import LOOK_SECONDS, MOST_IN_A_ROW, GivenUp, Hindrances
from harness.ledger import FILE_NAME, SCHEMA, Ledger, Record, read_records, superseded
from harness.planner import make_plan
from harness.proposals import Configuration, Exhausted
from harness.trials import Sweep
from harness.watchdog import Limits
from search_spaces.space import Row, find_space
from trainables.pipeline import Made, run_experiment
from trainables.runtime import Runtime
from trainables.stages import training
from trainables.stages.memory import OutOfMemory
from trainables.store import Workplace

MakeSweep = Callable[..., Sweep]


class Witness:
    """In the place of tracker and progress: notes every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.calls.append((name, arguments))

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [arguments for called, arguments in self.calls if called == name]


def bookkeeper(sweep: Sweep, retry_failed: bool = False, **options: Any) -> tuple[Bookkeeper, Witness, Witness]:
    sweep.settle_identity()
    tracker, progress = Witness(), Witness()
    books = Bookkeeper(sweep, Ledger(sweep.directory), tracker, progress, retry_failed, **options)  # type: ignore[arg-type]
    return books, tracker, progress


def configuration(sweep: Sweep, index: int = 0) -> Configuration:
    row = sweep.space.rows[index]
    return Configuration(index, dict(row.parameters), row.label)


Given = dict[tuple[int, int], str]
"""Workers by the configuration and seed of the trial that each was given."""


NUMBERS = itertools.count()


def hand_out(books: Bookkeeper) -> Given:
    """Workers ask for trials until there is none for them."""
    given: Given = {}
    for worker in map(str, NUMBERS):
        try:
            config = books.next(worker)
        except Exhausted:
            return given
        if config is None:
            return given
        json.dumps(config)
        given[config["index"], config["seed"]] = worker
    raise AssertionError


def trial_of(sweep: Sweep, index: int = 0, seed: int = 0) -> str:
    return sweep.jobs(configuration(sweep, index))[seed].trial


def fill_store(sweep: Sweep, index: int = 0) -> None:
    """Artifacts of all stages of a configuration's seeds."""
    store = sweep.runtime.open_store()
    for job in sweep.jobs(configuration(sweep, index)):
        for stage in job.stages:
            if store.find(stage.kind, stage.key) is None:
                Workplace(store, stage.kind, stage.key).publish(settings={}, metrics={})


COMPLETE = {"outcome": "complete"}


def tell(books: Bookkeeper, worker: str, times: dict[str, tuple[float, float]] | None = None, **metrics: float) -> None:
    """What a worker says of the stages of its trial as it makes them; `metrics` are those of the last measures."""
    for stage in books.assigned[worker].job.stages:
        suffix = stage.name.removeprefix(stage.kind)
        values, history = {}, {}
        if stage.kind in ("auxskd", "pretext", "finetune"):
            values, history = {f"{stage.kind}/loss{suffix}": 1.0}, {f"{stage.kind}/loss{suffix}": [3.0, 1.0]}
        elif stage.kind == "evaluate":
            values = {
                f"{name}{suffix}": value for name, value in ({"validation/top1": 0.5, "test/top1": 0.4} | metrics).items()
            }
        used, saved = (times or {}).get(stage.name, (0.0, 0.0))
        line = {"stage": stage.name, "made": asdict(Made(stage.key, values, history, used, saved))}
        books.reported(worker, json.loads(json.dumps(line)))


def complete(books: Bookkeeper, worker: str, **metrics: float) -> None:
    tell(books, worker, **metrics)
    books.ended(worker, COMPLETE)


def test_a_trial_that_completes_is_one_whole_record(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(seeds=2, trials=4)
    books, tracker, progress = bookkeeper(sweep)
    given = hand_out(books)
    assert list(given) == [(index, seed) for index in range(4) for seed in (0, 1)]
    trial, worker = trial_of(sweep, 3, 1), given[3, 1]
    books.started(worker)
    books.reported(worker, {"stage": "auxskd", "epoch": 2, "epochs": 2, "auxskd/loss": 3.0, "time_total_s": 9})
    books.reported(worker, {"stage": "pretext", "before": {"pretext/loss": [5.0]}})
    books.reported(worker, {"stage": "finetune", "epoch": 1, "epochs": 2, "finetune/loss": 2.0})
    assert tracker.of("replay") == [(trial, "pretext", {"pretext/loss": [5.0]})], "of a stage that goes on"
    assert books.settled(3) == (False, None)
    tell(books, worker, {"auxskd": (1.5, 0.0), "pretext": (0.0, 2.5)})
    books.ended(worker, COMPLETE | {"computed_by/node": "far-away", "computed_by/torch": "9.0"})
    (record,) = read_records(sweep.directory / FILE_NAME, histories=True)
    assert (record.index, record.row, record.seed, record.outcome, record.reason) == (3, "0.07 / 0.07", 1, "complete", None)
    assert record.parameters == {"auxskd.teacher_temperature": 0.07, "auxskd.student_temperature": 0.07}
    assert record.settings["auxskd.teacher_temperature"] == 0.07
    assert set(record.stages) == {"auxskd", "pretext", "finetune", "evaluate", "features", "linear_probe", "retrieval"}
    assert record.history == {f"{kind}/loss": [3.0, 1.0] for kind in ("auxskd", "pretext", "finetune")}
    assert record.departures["auxskd.teacher_temperature"] == 0.07
    assert record.departures["pretext.epochs"] == 2
    assert not {"recipe", "vspp.segments", "pretext.learning_rate"} & record.departures.keys(), "those are the preset's"
    assert record.metrics == {
        "auxskd/loss": 1.0,
        "pretext/loss": 1.0,
        "finetune/loss": 1.0,
        "validation/top1": 0.5,
        "test/top1": 0.4,
    }
    assert (record.seconds["auxskd"].used, record.seconds["pretext"].saved) == (1.5, 2.5)
    assert {"python", "numpy", "ray", "optuna", "protocol"} <= record.versions.keys()
    assert (record.versions["node"], record.versions["torch"]) == ("far-away", "9.0"), "as it was where it ran"
    assert record.data["downstream"]["train"] == 12
    assert tracker.of("epoch") == [(trial, "auxskd", 2, {"auxskd/loss": 3.0}), (trial, "finetune", 1, {"finetune/loss": 2.0})]
    assert {stage: history for _, stage, history in tracker.of("replay") if history} == {
        kind: {f"{kind}/loss": [3.0, 1.0]} for kind in ("auxskd", "pretext", "finetune")
    }
    assert [arguments[:2] for arguments in tracker.of("finish")] == [(trial, "complete")]
    ((shown, objective),) = progress.of("trial_ended")
    assert (shown.model_copy(update={"schema_version": SCHEMA}), objective) == (record, 0.5)
    assert books.settled(3) == (False, None), "the other seed has not ended"
    complete(books, given[3, 0])
    assert books.settled(3) == (True, 0.5)


def test_a_trial_on_several_sets_records_each_and_the_mean(make_sweep: MakeSweep, runtime: Callable[..., Runtime]) -> None:
    place = runtime(stand_ins=(("hmdb51", "embedded"), ("ucf101", "embedded")))
    sweep = make_sweep({"data.downstream": "ucf101+hmdb51"}, runtime=place)
    books, tracker, progress = bookkeeper(sweep)
    worker = hand_out(books)[0, 0]
    books.started(worker)
    for dataset in ("ucf101", "hmdb51"):
        books.reported(worker, {"stage": f"finetune/{dataset}", "epoch": 1, "epochs": 2, f"finetune/loss/{dataset}": 2.0})
    tell(books, worker)
    stage = next(stage for stage in books.assigned[worker].job.stages if stage.name == "evaluate/hmdb51")
    metrics = {"validation/top1/hmdb51": 0.9, "test/top1/hmdb51": 0.2}
    books.assigned[worker].made[stage.name] = Made(stage.key, metrics, {}, 0.0, 0.0)
    books.ended(worker, COMPLETE)
    (record,) = read_records(sweep.directory / FILE_NAME, histories=True)
    assert record.metrics["test/top1/ucf101"] == 0.4
    assert record.metrics["test/top1/hmdb51"] == 0.2
    assert record.metrics["test/top1"] == pytest.approx(0.3)
    assert record.history["finetune/loss/hmdb51"] == [3.0, 1.0]
    assert "finetune/loss" not in record.history
    assert record.data.keys() == {"pretraining", "downstream/ucf101", "downstream/hmdb51"}
    assert [record.data[role]["dataset"] for role in record.data] == ["embedded"] * 3
    assert [arguments[1:3] for arguments in tracker.of("epoch")] == [("finetune/ucf101", 1), ("finetune/hmdb51", 1)]
    ((shown, objective),) = progress.of("trial_ended")
    assert (shown.trial, objective) == (record.trial, pytest.approx(0.7))


def test_a_trial_of_graph_distillation_counts_the_epochs_of_what_trains(
    make_sweep: MakeSweep, tiny_graph_values: dict[str, Any]
) -> None:
    """Mined tracks and answered views are shown as they come, but W&B's are the epochs of teachers, classifiers and student;
    the record has all stages, the metrics of each and the student's epochs."""
    given = {name: value for name, value in tiny_graph_values.items() if name != "graph.sketch"}
    sweep = make_sweep({**given, "teachers.tasks": "sorting+tracking"}, space=find_space("graph"))
    books, tracker, progress = bookkeeper(sweep)
    worker = hand_out(books)[0, 0]
    books.started(worker)
    run_experiment(sweep.jobs(configuration(sweep))[0].experiment, sweep.runtime, lambda line: books.reported(worker, line))
    assert {line["stage"] for _, line in progress.of("reached")} >= {"tracks", "tracking_views", "student"}
    teaching = [(f"{task}{stage}", 1) for task in ("sorting", "tracking") for stage in ("", "_classifier")]
    told = [arguments[1:3] for arguments in tracker.of("epoch")]
    assert sorted(told[:4]) == sorted(teaching) and told[4:] == [("student", epoch) for epoch in (1, 2, 3)]
    assert "student/distance_tracking" in tracker.of("epoch")[-1][3]
    books.ended(worker, COMPLETE | {"computed_by/device": "cpu"})
    (record,) = read_records(sweep.directory / FILE_NAME, histories=True)
    of_teachers = [f"{task}{stage}" for task in ("sorting", "tracking") for stage in ("", "_classifier", "_views")]
    assert set(record.stages) == {*of_teachers, "tracks", "student", "evaluate_student"}
    assert {
        "test/map",
        "validation/top1",
        "test/tracking_top1",
        "tracks/tracks",
        "student/edge_sorting",
    } <= record.metrics.keys()
    assert len(record.history["student/val_top1"]) == 3
    assert record.versions["device"] == "cpu"
    assert progress.of("trial_ended")[0][1] == record.metrics["validation/top1"]


def test_a_table_does_not_run_what_another_sweep_has_completed(make_sweep: MakeSweep, tmp_path: Path) -> None:
    """Exactly the missing cells: a complete trial of another sweep is shown, not run, and not written down again; other seeds
    and rows are run."""
    other = make_sweep(name="other", directory=tmp_path / "other")
    books, _, _ = bookkeeper(other)
    complete(books, hand_out(books)[0, 0])
    elsewhere = {record.trial: record for record in Ledger(other.directory).records()}

    sweep = make_sweep(seeds=2, elsewhere=elsewhere)
    books, tracker, progress = bookkeeper(sweep)
    missing = hand_out(books)
    assert list(missing) == [(0, 1), (1, 0), (1, 1)]
    assert [arguments[0] for arguments in progress.of("trial_ended")] == list(elsewhere.values())
    assert books.settled(0) == (False, None)
    complete(books, missing[0, 1])
    assert books.settled(0) == (True, 0.5), "the mean over both seeds"
    assert {record.seed for record in Ledger(sweep.directory).records()} == {1}
    assert tracker.of("start") == []
    assert make_plan(sweep, Ledger(sweep.directory), 1, 2**30).trials_complete == 2


def test_the_search_sees_the_mean_of_the_seeds_that_completed(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(seeds=3)
    books, _, _ = bookkeeper(sweep)
    given = hand_out(books)
    for seed, top1 in enumerate((0.2, 0.6)):
        complete(books, given[0, seed], **{"validation/top1": top1})
    books.ended(given[0, 2], {"outcome": "failed", "reason": "pretext: the loss became nan in epoch 1"})
    assert books.settled(0) == (True, pytest.approx(0.4))


def test_stages_of_a_trial_that_failed_are_not_waited_for(make_sweep: MakeSweep) -> None:
    """But for those that another one needs: with dropouts the seed's pretraining; the next command drops them, too."""
    space = replace(
        find_space("temperatures"), rows=tuple(Row(str(value), {"finetune.dropout": value}) for value in (0.0, 0.5)), table=None
    )
    sweep = make_sweep(space=space)
    books, _, progress = bookkeeper(sweep)
    given = hand_out(books)
    books.started(given[0, 0])
    books.ended(given[0, 0], {"outcome": "failed", "reason": "why"})
    first, second = (
        {(stage.kind, stage.key) for stage in sweep.jobs(configuration(sweep, index))[0].stages} for index in (0, 1)
    )
    assert {stage for (stages,) in progress.of("stages_dropped") for stage in stages} == first - second
    books, _, again = bookkeeper(sweep)
    hand_out(books)
    assert first - second <= {stage for (stages,) in again.of("stages_dropped") for stage in stages}


def test_failures_carry_their_reason_and_search_is_told_none(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(seeds=2)
    books, tracker, _ = bookkeeper(sweep)
    given = hand_out(books)
    books.ended(given[0, 0], {"outcome": "failed", "reason": "finetune: the loss became nan in epoch 2"})
    for _ in range(WORKER_LIVES - 1):
        books.died(given[0, 1], EXIT, ())
        given |= hand_out(books)
    books.died(given[0, 1], EXIT, ())
    reasons = [record.reason for record in Ledger(sweep.directory).records()]
    assert reasons == ["finetune: the loss became nan in epoch 2", "its worker died 5 times, at last exit code 3"]
    assert books.settled(0) == (True, None)
    assert [arguments[1] for arguments in tracker.of("finish")] == ["failed", "failed"]


EXIT = "The actor died unexpectedly before finishing this task. Worker exits with an exit code 3."
EPOCH = {"stage": "finetune", "epoch": 2, "epochs": 5, "finetune/loss": 1.0}


@pytest.mark.parametrize(
    ("ending", "last", "expected"),
    [
        ("returned", COMPLETE, ("complete", None)),
        ("returned", {"outcome": "failed", "reason": "a full disk"}, ("failed", "a full disk")),
        ("returned", {"outcome": "pruned", "reason": "rung 1"}, ("pruned", "rung 1")),
        ("returned", EPOCH, ("failed", "it ended without an outcome after epoch 2 of stage finetune")),
        ("returned", {}, ("failed", "it ended without an outcome before any epoch")),
        ("stopped", EPOCH, ("pruned", "the scheduler stopped it after epoch 2 of stage finetune")),
        ("stopped", COMPLETE, ("complete", None)),
        ("interrupted", EPOCH, ("interrupted", "the sweep was interrupted")),
    ],
)
def test_what_a_trial_counts_as(ending: Ending, last: dict[str, Any], expected: tuple[str, str | None]) -> None:
    """By its own outcome where it reported one, whatever stopped it then; else by what ended it."""
    assert verdict(ending, last) == expected


def test_a_trial_that_reported_an_epoch_last_did_not_complete(make_sweep: MakeSweep) -> None:
    """It failed without an outcome, or is pruned when a scheduler stopped it; a search learns nothing from either."""
    sweep = make_sweep()
    books, _, _ = bookkeeper(sweep)
    given = hand_out(books)
    books.stopped(given[1, 0])
    for worker in given.values():
        books.ended(worker, EPOCH)
    assert [record.outcome for record in Ledger(sweep.directory).records()] == ["failed", "pruned"]
    assert [books.settled(index) for index in (0, 1)] == [(True, None), (True, None)]
    assert hand_out(bookkeeper(sweep, retry_failed=True)[0]).keys() == {(0, 0)}, "what was pruned stands"


def test_what_is_recorded_stands(make_sweep: MakeSweep) -> None:
    """Complete trials are not run again, failed ones only when asked, interrupted ones always; new seeds are added."""
    sweep = make_sweep(seeds=3, trials=1)
    books, _, _ = bookkeeper(sweep)
    given = hand_out(books)
    complete(books, given[0, 0])
    books.ended(given[0, 1], {"outcome": "failed", "reason": "a full disk"})
    books.started(given[0, 2])
    books.interrupt()
    outcomes = {record.seed: record.outcome for record in Ledger(sweep.directory).records()}
    assert outcomes == {0: "complete", 1: "failed", 2: "interrupted"}

    def seeds(sweep: Sweep, retry_failed: bool) -> list[int]:
        return [seed for _, seed in hand_out(bookkeeper(sweep, retry_failed)[0])]

    assert seeds(sweep, False) == [2]
    assert seeds(sweep, True) == [1, 2]
    assert seeds(make_sweep(seeds=5, trials=1), False) == [2, 3, 4]


def test_only_trials_that_have_begun_are_recorded_as_interrupted(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(trials=3)
    books, tracker, _ = bookkeeper(sweep)
    given = hand_out(books)
    for index in (2, 0):
        books.started(given[index, 0])
    books.interrupt()
    records = Ledger(sweep.directory).records()
    assert [(record.index, record.outcome, record.reason) for record in records] == [
        (index, "interrupted", "the sweep was interrupted") for index in (0, 2)
    ]
    assert {arguments[1] for arguments in tracker.of("finish")} == {"interrupted"}


def test_a_complete_sweep_writes_nothing_again(make_sweep: MakeSweep) -> None:
    sweep = make_sweep()
    books, _, _ = bookkeeper(sweep)
    for worker in hand_out(books).values():
        complete(books, worker)
    before = (sweep.directory / "ledger.jsonl").read_bytes()
    again, tracker, progress = bookkeeper(sweep)
    assert again.is_complete()
    assert hand_out(again) == {}
    assert (sweep.directory / "ledger.jsonl").read_bytes() == before
    assert tracker.calls == []
    assert len(progress.of("trial_ended")) == 2


def run_out(sweep: Sweep) -> tuple[Bookkeeper, int]:
    """Hands out all trials and then ends them; gives how many there were."""
    books, _, _ = bookkeeper(sweep)
    for index in range(sweep.trials):
        fill_store(sweep, index)
    workers = hand_out(books).values()
    for worker in workers:
        complete(books, worker)
    return books, len(workers)


def test_two_configurations_that_are_one_experiment(make_sweep: MakeSweep) -> None:
    """1 and 1.0 are one temperature: none of the two rows may be lost or crash."""
    temperature = "auxskd.teacher_temperature"
    rows = tuple(Row(str(value), {temperature: value}) for value in (1, 1.0, 2))
    sweep = make_sweep(space=replace(find_space("temperatures"), rows=rows), trials=3)
    books, number = run_out(sweep)
    assert number == 2
    records: list[Record] = Ledger(sweep.directory).records()
    assert [record.settings[temperature] for record in records] == [1.0, 2.0]
    assert all(books.settled(index) == (True, 0.5) for index in range(3))


def test_configurations_that_differ_in_nothing_that_runs_share_every_stage(make_sweep: MakeSweep) -> None:
    """Without auxSKD its temperatures do not matter: three trials, each with its own settings, and the stages of one."""
    sweep = make_sweep({"recipe": "pretext"}, trials=3)
    _, number = run_out(sweep)
    records = Ledger(sweep.directory).records()
    assert number == len(records) == len({record.trial for record in records}) == 3
    assert len({json.dumps(record.stages) for record in records}) == 1


def test_a_trial_waits_in_the_queue_while_another_computes_its_stages(make_sweep: MakeSweep) -> None:
    """Two dropouts share their pretraining: with the first one running, the second dropout of that seed is passed over for the
    other seed, and goes on once the pretraining is in the store, although the first trial still finetunes."""
    rows = tuple(Row(str(value), {"finetune.dropout": value}) for value in (0.0, 0.5))
    sweep = make_sweep(space=replace(find_space("temperatures"), rows=rows), seeds=2)
    books, _, _ = bookkeeper(sweep)
    assert list(hand_out(books)) == [(0, 0), (0, 1)], "the first of each seed; the second dropout waits for either"
    store = sweep.runtime.open_store()
    for stage in sweep.jobs(configuration(sweep))[0].stages:
        if stage.kind not in ("finetune", "evaluate"):
            Workplace(store, stage.kind, stage.key).publish(settings={}, metrics={}, history=[])
    assert list(hand_out(books)) == [(1, 0)]
    assert not books.is_complete(), "the last one still waits"
    for stage in sweep.jobs(configuration(sweep))[1].stages:
        Workplace(store, stage.kind, stage.key).publish(settings={}, metrics={}, history=[])
    assert list(hand_out(books)) == [(1, 1)]
    assert books.next("another") is None, "what runs may be hindered"
    for worker in list(books.assigned):
        complete(books, worker)
    with pytest.raises(Exhausted):
        books.next("another")


def test_a_trial_that_goes_on_from_another_s_training_waits_for_it(make_sweep: MakeSweep) -> None:
    """Of finetunings of 2, 3 and 1 epochs the second would go on from the first, which runs, and the third does not; once the
    first is in the store nothing is waited for, nor where states are not kept."""
    rows = tuple(Row(str(value), {"finetune.epochs": value}) for value in (2, 3, 1))
    values = {"recipe": "scratch", "evaluation.measures": ("finetune",)}
    sweep = make_sweep(values, space=replace(find_space("temperatures"), rows=rows), trials=3)
    books, _, _ = bookkeeper(sweep)
    assert list(hand_out(books)) == [(0, 0), (2, 0)]
    (first,) = (stage for stage in sweep.jobs(configuration(sweep))[0].stages if stage.kind == "finetune")
    Workplace(sweep.runtime.open_store(), first.kind, first.key).publish(settings={}, metrics={}, history=[])
    books.ended(next(iter(books.assigned)), {"outcome": "failed", "reason": "why"})
    assert books.next("another") is None, "that of one epoch runs"
    books.ended(next(iter(books.assigned)), {"outcome": "failed", "reason": "why"})
    assert list(hand_out(books)) == [(1, 0)]
    place = replace(sweep.runtime, keep_states=False, store=sweep.directory / "none")
    dropping = make_sweep(values, space=sweep.space, trials=3, directory=sweep.directory / "dropping", runtime=place)
    assert list(hand_out(bookkeeper(dropping)[0])) == [(0, 0), (1, 0), (2, 0)]


def test_a_proposal_waits_for_the_trials_before_it(make_sweep: MakeSweep) -> None:
    """Seven rows and a lookahead of 4: the eighth configuration is handed out when the first four have ended, not before."""
    sweep = make_sweep(trials=8)
    books, _, _ = bookkeeper(sweep)
    given = hand_out(books)
    assert [index for index, _ in given] == list(range(7))
    for index in (6, 1, 2, 3):
        books.ended(given[index, 0], {"outcome": "failed", "reason": "a full disk"})
        assert hand_out(books) == {}
    books.ended(given[0, 0], {"outcome": "failed", "reason": "a full disk"})
    assert list(hand_out(books)) == [(7, 0)]


def test_a_stage_found_half_way_is_recorded_with_a_failure(make_sweep: MakeSweep) -> None:
    """A trial that fails in its third stage keeps the first two and their metrics in its record."""
    sweep = make_sweep({"finetune.learning_rate": 1e20})
    books, _, _ = bookkeeper(sweep)
    worker = hand_out(books)[0, 0]
    job = sweep.jobs(configuration(sweep))[0]
    with pytest.raises(ArithmeticError) as error:
        run_experiment(job.experiment, sweep.runtime, lambda line: books.reported(worker, line))
    books.ended(worker, {"outcome": "failed", "reason": str(error.value)})
    (record,) = Ledger(sweep.directory).records()
    assert set(record.stages) == {"auxskd", "pretext"}
    assert {"auxskd/loss", "pretext/loss"} <= record.metrics.keys()
    assert record.reason is not None
    assert record.reason.startswith("finetune: ")


def test_the_objective_may_be_minimised(make_sweep: MakeSweep) -> None:
    space = replace(find_space("temperatures"), objective="finetune/loss", direction="minimize")
    sweep = make_sweep(space=space)
    books, _, _ = bookkeeper(sweep)
    complete(books, hand_out(books)[0, 0])
    assert books.settled(0) == (True, 1.0)


def test_jobs_are_named_by_their_row_only_when_they_are_rows(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(space=replace(find_space("temperatures"), rows=(Row("only", {"auxskd.teacher_temperature": 0.3}),)))
    proposals = sweep.proposals(Ledger(sweep.directory))
    labels = []
    for _ in range(2):
        labels.append(proposals.next())
        proposals.close(labels[-1].index, 0.1)
    assert [found.row for found in labels] == ["only", None]
    assert [job.name for found in labels for job in sweep.jobs(found)] == ["only seed 0", "#1 seed 0"]


def impatient(books: Bookkeeper) -> Bookkeeper:
    """Hindered trials are tried again at once."""
    books.hindrances.until = 0.0
    books.hindrances.looked = -LOOK_SECONDS
    return books


def test_what_the_store_shows_here_does_not_decide_what_a_trial_gave(make_sweep: MakeSweep) -> None:
    """A worker on a node without a shared disk tells all: the driver's empty store is not asked."""
    sweep = make_sweep()
    books, _, _ = bookkeeper(sweep)
    complete(books, hand_out(books)[0, 0], **{"validation/top1": 0.75})
    (record,) = Ledger(sweep.directory).records()
    assert len(record.stages) == 7
    assert record.metrics["validation/top1"] == 0.75
    assert not sweep.runtime.store.exists()


@pytest.mark.parametrize("fault", ["a stage is missing", "another key"])
def test_a_complete_trial_without_all_its_stages_is_none(make_sweep: MakeSweep, fault: str) -> None:
    """It has seen other data or run other code than the sweep was planned with: nothing is recorded, it is run again."""
    sweep = make_sweep(trials=1)
    books, _, progress = bookkeeper(sweep)
    worker = hand_out(books)[0, 0]
    tell(books, worker)
    made = books.assigned[worker].made
    if fault == "another key":
        made["finetune"] = replace(made["finetune"], key="0123")
    else:
        del made["finetune"]
    books.ended(worker, COMPLETE | {"computed_by/node": "far-away"})
    assert Ledger(sweep.directory).records() == []
    assert "far-away" in progress.of("note")[0][0] and "stage finetune" in progress.of("note")[0][0]
    assert list(hand_out(impatient(books))) == [(0, 0)]


def test_a_trial_recorded_as_complete_without_all_its_stages_runs_again(make_sweep: MakeSweep) -> None:
    """Early versions wrote such records where the driver's view of the store lagged behind."""
    sweep = make_sweep()
    books, _, _ = bookkeeper(sweep)
    for worker in hand_out(books).values():
        complete(books, worker)
    path = sweep.directory / FILE_NAME
    first, second = map(json.loads, path.read_text().splitlines())
    first["stages"].pop("evaluate")
    for record in (first, second):
        del record["seal"]
        record["schema_version"] = 1
    path.write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")
    assert list(hand_out(bookkeeper(sweep)[0])) == [(first["index"], 0)]


HINDERED = {"outcome": "hindered", "reason": "cannot write to the store at /data: Input/output error", "errno": errno.EIO}


def test_a_hindered_trial_has_no_outcome_and_is_tried_again(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.hindrances.FIRST_PAUSE", 60.0)
    sweep = make_sweep(trials=1)
    books, _, progress = bookkeeper(sweep)
    books.ended(hand_out(books)[0, 0], HINDERED)
    assert Ledger(sweep.directory).records() == []
    assert progress.of("trial_left") == [(trial_of(sweep),)]
    assert "Input/output error" in progress.of("note")[0][0]
    assert hand_out(books) == {}, "not at once"
    complete(books, hand_out(impatient(books))[0, 0])
    assert [record.outcome for record in Ledger(sweep.directory).records()] == ["complete"]


def test_the_last_trial_may_be_hindered_while_another_worker_asks(make_sweep: MakeSweep) -> None:
    """Tune never asks again once it was told that there is nothing more."""
    sweep = make_sweep(trials=1)
    books, _, _ = bookkeeper(sweep)
    worker = hand_out(books)[0, 0]
    assert books.next("idle") is None
    books.ended(worker, HINDERED)
    complete(books, hand_out(impatient(books))[0, 0])
    with pytest.raises(Exhausted):
        books.next("idle")


def test_a_result_whose_code_is_the_present_one_again_stands_again(make_sweep: MakeSweep) -> None:
    """Edited, run, and undone: what the edit gave does not stay the last word."""
    sweep = make_sweep(trials=1)
    books, _, _ = bookkeeper(sweep)
    complete(books, hand_out(books)[0, 0])
    (first,) = Ledger(sweep.directory).records()
    edited = first.model_copy(update={"trial": "edited", "ended": "2999-01-01"})
    Ledger(sweep.directory).append(edited.model_copy(update={"ended": first.ended}))
    assert superseded(Ledger(sweep.directory).records()) == [first]
    assert bookkeeper(sweep)[0].is_complete()
    (old,) = superseded(Ledger(sweep.directory).records())
    assert old.trial == "edited"


def test_an_interrupted_sweep_on_a_full_disk_ends_all_the_same(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = make_sweep()
    books, _, progress = bookkeeper(sweep)
    for worker in hand_out(books).values():
        books.started(worker)

    def full(record: Record) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(books.ledger, "append", full)
    books.interrupt()
    assert len([note for (note,) in progress.of("note") if "not on record" in note]) == 2


WORKER = {"node": "far-away", "node_id": "0abc", "pid": 7, "log": "/tmp/ray/worker.err", "oom_kills": 0}


def test_a_lost_node_is_not_counted_against_the_trial(make_sweep: MakeSweep) -> None:
    """However often; the trial goes on before others are begun. A worker that dies where its node lives counts."""
    sweep = make_sweep(trials=2)
    books, _, progress = bookkeeper(sweep)
    first, _ = given = hand_out(books)
    for number in range(2 * WORKER_LIVES):
        books.reported(given[first], {"worker": WORKER})
        books.died(given[first], EXIT, {"0def"} if number % 2 else {"0abc", "0def"} if number < 8 else {"0def"})
        assert Ledger(sweep.directory).records() == []
        given |= hand_out(books)
    assert "its node was lost: far-away" in progress.of("note")[-1][0]
    assert progress.of("trial_left") == [(trial_of(sweep),)] * 2 * WORKER_LIVES
    books.reported(given[first], {"worker": WORKER})
    books.died(given[first], EXIT, {"0abc"})
    (record,) = Ledger(sweep.directory).records()
    assert record.reason == ("its worker died 5 times, at last exit code 3: process 7 on far-away, log /tmp/ray/worker.err")
    assert record.versions["node"] == "far-away"


def test_a_worker_that_never_ran_is_no_outcome_of_its_trial(make_sweep: MakeSweep) -> None:
    """It is tried again after a while, and the sweep gives up when that goes on."""
    message = "The actor is dead because all references to the actor were removed. The actor never ran - it was cancelled"
    sweep = make_sweep(trials=1)
    books, _, _ = bookkeeper(sweep)
    for _ in range(MOST_IN_A_ROW - 1):
        books.died(hand_out(impatient(books))[0, 0], message, ())
    with pytest.raises(GivenUp, match="no worker could be started"):
        books.died(hand_out(impatient(books))[0, 0], message, ())
    assert Ledger(sweep.directory).records() == []


def test_a_trial_that_was_to_go_on_is_recorded_as_interrupted(make_sweep: MakeSweep) -> None:
    """The cluster may be lost with all its nodes, before or after the trial is given to a worker that never starts."""
    sweep = make_sweep()
    books, _, _ = bookkeeper(sweep)
    for worker in hand_out(books).values():
        books.started(worker)
        books.died(worker, EXIT, ())
    assert books.next("another") is not None
    books.interrupt()
    assert [record.outcome for record in Ledger(sweep.directory).records()] == ["interrupted"] * 2


def test_a_node_that_cannot_run_the_code_is_left_out_and_noted_once(make_sweep: MakeSweep) -> None:
    sweep = make_sweep()
    books, _, progress = bookkeeper(sweep)
    for worker in hand_out(books).values():
        books.ended(worker, {"outcome": "unfit", "reason": "No module named 'harness'", "node": "far-away", "node_id": "0abc"})
    assert Ledger(sweep.directory).records() == []
    ((note,),) = progress.of("note")
    assert "far-away" in note and "No module named 'harness'" in note
    config = books.next("another")
    assert config is not None
    assert config["left_out"] == ["0abc"]


def stopped_by_watchdog(books: Bookkeeper, worker: str, limit: str) -> None:
    head = {"limit": limit, "allowed": 9.0, "stage": "finetune", "at": {"epoch": 2, "epochs": 5}}
    books.assigned[worker].stack.write_text(f'{json.dumps(head)}\nTimeout (0:00:09)!\n  File "x.py", line 3 in forever\n')
    books.died(worker, EXIT, ())


@pytest.mark.parametrize("limit", ["stage", "trial"])
def test_a_trial_over_its_time_fails_with_its_stack_and_is_retried_when_asked(make_sweep: MakeSweep, limit: str) -> None:
    sweep = make_sweep(trials=1)
    books, _, _ = bookkeeper(sweep, limits=Limits(stage=9.0, trial=9.0))
    (worker,) = hand_out(books).values()
    stopped_by_watchdog(books, worker, limit)
    (record,) = Ledger(sweep.directory).records()
    assert record.outcome == "failed"
    assert record.reason is not None
    assert "finetune (at epoch 2 of 5)" in record.reason
    assert f"stopped after 9 s (--{limit}-timeout)" in record.reason
    said = (sweep.directory / "errors" / f"{record.trial}.txt").read_text()
    assert "in forever" in said
    assert books.settled(0) == (True, None)
    assert hand_out(bookkeeper(sweep)[0]) == {}
    assert list(hand_out(bookkeeper(sweep, retry_failed=True)[0])) == [(0, 0)]


def test_a_stage_that_stalls_goes_on_once(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(trials=1)
    books, _, progress = bookkeeper(sweep, limits=Limits(stall=9.0))
    (worker,) = hand_out(books).values()
    stopped_by_watchdog(books, worker, "stall")
    assert Ledger(sweep.directory).records() == []
    assert "in forever" in (sweep.directory / "errors" / f"{trial_of(sweep)}.txt").read_text()
    assert "goes on once more" in progress.of("note")[0][0]
    (worker,) = hand_out(books).values()
    stopped_by_watchdog(books, worker, "stall")
    (record,) = Ledger(sweep.directory).records()
    assert record.reason == "finetune (at epoch 2 of 5) made no progress for 9 s (--stall-timeout)"


def test_a_sweep_gives_up_when_trials_are_hindered_again_and_again(make_sweep: MakeSweep) -> None:
    """A stage that was made in between starts the count anew, one that was found does not."""
    sweep = make_sweep(trials=1)
    books, _, _ = bookkeeper(sweep)
    for _ in range(MOST_IN_A_ROW - 1):
        books.ended(hand_out(impatient(books))[0, 0], HINDERED)
    worker = hand_out(impatient(books))[0, 0]
    tell(books, worker, {"auxskd": (1.0, 0.0)})
    for _ in range(MOST_IN_A_ROW - 1):
        books.ended(worker, HINDERED)
        worker = hand_out(impatient(books))[0, 0]
        tell(books, worker, {"auxskd": (0.0, 1.0)})
    with pytest.raises(GivenUp, match=r"5 times in a row .*Input/output error"):
        books.ended(worker, HINDERED)
    assert Ledger(sweep.directory).records() == []


def test_a_full_disk_pauses_the_sweep_until_there_is_room(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often: a full disk is no reason to give up."""
    sweep = make_sweep(trials=1)
    books, _, progress = bookkeeper(sweep)
    free = 0
    monkeypatch.setattr(Hindrances, "_free", lambda self: free)
    for _ in range(2 * MOST_IN_A_ROW):
        books.ended(hand_out(impatient(books))[0, 0], HINDERED | {"errno": errno.ENOSPC})
        assert hand_out(impatient(books)) == {}
        free += 100
    assert "paused" in progress.of("note")[0][0]
    complete(books, hand_out(impatient(books))[0, 0])
    assert [record.outcome for record in Ledger(sweep.directory).records()] == ["complete"]


def test_a_record_waits_for_room_on_a_full_disk(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = make_sweep(trials=1)
    books, _, progress = bookkeeper(sweep)
    worker = hand_out(books)[0, 0]
    full, append = iter([True, True, False]), books.ledger.append

    def append_if_room(record: Record) -> None:
        if next(full):
            raise OSError(errno.ENOSPC, "No space left on device")
        append(record)

    monkeypatch.setattr("harness.bookkeeper.RETRY_SECONDS", 0.0)
    monkeypatch.setattr(books.ledger, "append", append_if_room)
    complete(books, worker)
    assert [record.outcome for record in Ledger(sweep.directory).records()] == ["complete"]
    assert len(progress.of("note")) == 2


def fail(sweep: Sweep, code: Callable[[], None]) -> None:
    """The sweep's only trial ends by what `code` raises."""
    books, _, _ = bookkeeper(sweep)
    with pytest.raises(Exception) as raised:
        code()
    books.ended(hand_out(books)[0, 0], how_it_failed(raised.value, begun=True))


def test_a_failure_leaves_its_traceback(make_sweep: MakeSweep) -> None:
    def code() -> None:
        raise KeyError("logits")

    sweep = make_sweep(trials=1)
    fail(sweep, code)
    (record,) = Ledger(sweep.directory).records()
    assert record.outcome == "failed"
    assert record.reason is not None
    assert "KeyError: 'logits' (test_bookkeeper.py:" in record.reason
    said = (sweep.directory / "errors" / f"{record.trial}.txt").read_text()
    assert said.startswith(record.reason)
    assert 'raise KeyError("logits")' in said


def test_a_key_that_an_error_quotes_is_in_no_file_of_the_sweep(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    def code() -> None:
        raise ValueError("no access with 0123456789abcdef")

    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    sweep = make_sweep(trials=1)
    fail(sweep, code)
    texts = {path.name: path.read_text() for path in sweep.directory.rglob("*") if path.is_file()}
    assert "ledger.jsonl" in texts
    assert len([text for text in texts.values() if "no access with ***" in text]) == 2
    assert not [name for name, text in texts.items() if "0123456789abcdef" in text]


OUT_OF_MEMORY = {"outcome": "failed", "reason": "pretext: out of memory on a GPU", "parts": 2}


def test_a_trial_that_runs_out_of_memory_is_tried_again_with_its_batches_in_parts(make_sweep: MakeSweep) -> None:
    """The same trial, whose record says with what it ran; it stands when the sweep is continued."""
    sweep = make_sweep(trials=1)
    books, _, progress = bookkeeper(sweep, oom_halvings=2)
    for parts in (2, 4):
        books.ended(hand_out(books)[0, 0], OUT_OF_MEMORY | {"parts": parts})
        assert f"compute.accumulation={parts}" in progress.of("note")[-1][0]
    assert Ledger(sweep.directory).records() == []
    worker = str(next(NUMBERS))
    config = books.next(worker)
    assert config is not None
    assert (config["trial"], config["settings"]["compute"]["accumulation"]) == (trial_of(sweep), 4)
    books.started(worker)
    complete(books, worker)
    (record,) = Ledger(sweep.directory).records()
    assert (record.trial, record.outcome) == (trial_of(sweep), "complete")
    assert record.settings["compute.accumulation"] == record.departures["compute.accumulation"] == 4
    asked = {stage.name: stage.key for stage in sweep.jobs(configuration(sweep))[0].stages}
    assert record.stages.keys() == asked.keys()
    assert record.stages["pretext"] != asked["pretext"], "another artifact than that of whole batches"
    assert books.settled(0) == (True, 0.5)
    assert bookkeeper(sweep)[0].is_complete()
    assert make_plan(sweep, Ledger(sweep.directory), 1, 2**30).trials_complete == 1


def test_what_fits_in_parts_is_trained_in_parts(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Really run: whole batches need more memory than any machine has, halves of them do not."""
    train_step = training.train_step

    def short_of_memory(work: Any, trained: Any, optimiser: Any, batch: Any) -> Any:
        if trained.parts == 1:
            torch.empty(2**60, dtype=torch.uint8)
        return train_step(work, trained, optimiser, batch)

    monkeypatch.setattr(training, "train_step", short_of_memory)
    sweep = make_sweep({"recipe": "scratch", "evaluation.measures": ["finetune"]}, trials=1)
    books, _, _ = bookkeeper(sweep, oom_halvings=1)
    ends = []
    while not books.is_complete():
        (worker,) = hand_out(books).values()
        job = books.assigned[worker].job
        try:
            run_experiment(job.experiment, sweep.runtime, lambda line, worker=worker: books.reported(worker, line))
            ends.append(COMPLETE)
        except OutOfMemory as error:
            ends.append(how_it_failed(error, begun=True))
        books.ended(worker, ends[-1])
    assert [end["outcome"] for end in ends] == ["failed", "complete"]
    (record,) = Ledger(sweep.directory).records()
    assert (record.trial, record.outcome) == (trial_of(sweep), "complete")
    assert record.settings["compute.accumulation"] == 2
    written = json.loads((sweep.runtime.store / "finetune" / record.stages["finetune"] / "settings.json").read_text())
    assert written["compute.accumulation"] == 2


@pytest.mark.parametrize(
    ("halvings", "varied", "parts"), [(0, False, 2), (1, True, 2), (1, False, None)], ids=["not asked", "varied", "indivisible"]
)
def test_a_batch_that_is_not_to_be_divided_fails(make_sweep: MakeSweep, halvings: int, varied: bool, parts: int | None) -> None:
    row = Row("one", {"compute.accumulation": 1} if varied else {"auxskd.teacher_temperature": 0.3})
    sweep = make_sweep(space=replace(find_space("temperatures"), rows=(row,)), trials=1)
    books, _, _ = bookkeeper(sweep, oom_halvings=halvings)
    books.ended(hand_out(books)[0, 0], OUT_OF_MEMORY | {"parts": parts})
    (record,) = Ledger(sweep.directory).records()
    assert (record.outcome, record.reason) == ("failed", OUT_OF_MEMORY["reason"])


def test_a_trial_that_never_fits_fails_with_what_it_was_tried_with(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(trials=1)
    books, _, _ = bookkeeper(sweep, oom_halvings=1)
    for parts in (2, 4):
        books.ended(hand_out(books)[0, 0], OUT_OF_MEMORY | {"parts": parts})
    (record,) = Ledger(sweep.directory).records()
    assert (record.outcome, record.settings["compute.accumulation"]) == ("failed", 2)
    assert list(hand_out(bookkeeper(sweep, retry_failed=True)[0])) == [(0, 0)]

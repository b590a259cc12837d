"""What a plan counts, against counts by hand; and that it writes nothing."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.cost import Measured
from harness.ledger import Ledger, Record, Seconds
from harness.planner import Plan, make_plan, outlook
from harness.proposals import Configuration
from harness.summary import show_plan
from harness.trials import Job, Sweep
from search_spaces.paper_tables import table_space
from search_spaces.space import Row, find_space
from trainables.data import describe
from trainables.pipeline import run_experiment
from trainables.runtime import Runtime
from trainables.settings import flat
from trainables.stages.kind import Counts
from trainables.video.videos import DataError

MakeSweep = Callable[..., Sweep]
DROPOUTS = replace(
    find_space("temperatures"),
    name="dropouts",
    rows=tuple(Row(str(value), {"finetune.dropout": value}) for value in (0.0, 0.25, 0.5)),
    suggest=lambda trial: {"finetune.dropout": trial.suggest_float("finetune.dropout", 0.0, 0.9)},
    grid=lambda: [{"finetune.dropout": value} for value in (0.0, 0.25, 0.5, 0.75)],
)


def plan(sweep: Sweep) -> Plan:
    return make_plan(sweep, Ledger(sweep.directory), 1, 2**30)


def counts(found: Plan) -> tuple[int, int, int, int]:
    return found.trials, found.stages_naive, found.stages_to_run, found.stages_done


@pytest.mark.parametrize(("trials", "seeds"), [(1, 1), (7, 1), (3, 2), (10, 1)])
def test_temperatures_share_nothing(make_sweep: MakeSweep, trials: int, seeds: int) -> None:
    """auxSKD differs in every configuration and comes first: seven stages per trial."""
    n = trials * seeds
    assert counts(plan(make_sweep(trials=trials, seeds=seeds))) == (n, 7 * n, 7 * n, 0)


def test_dropouts_share_their_pretraining(make_sweep: MakeSweep) -> None:
    """Per seed: one auxSKD, one pretext, three stages of the frozen backbone; per dropout one finetuning and one evaluation."""
    assert counts(plan(make_sweep(space=DROPOUTS, trials=3))) == (3, 21, 5 + 3 * 2, 0)
    assert counts(plan(make_sweep(space=DROPOUTS, trials=3, seeds=2))) == (6, 42, 2 * (5 + 3 * 2), 0)
    assert counts(plan(make_sweep(space=DROPOUTS, trials=99, search="grid"))) == (4, 28, 5 + 4 * 2, 0)
    assert counts(plan(make_sweep({"recipe": "scratch"}, space=DROPOUTS, trials=3))) == (3, 15, 3 + 3 * 2, 0)
    finetuned = {"evaluation.measures": ("finetune",)}
    assert counts(plan(make_sweep(finetuned, space=DROPOUTS, trials=3))) == (3, 12, 2 + 3 * 2, 0)


def kinds(sweep: Sweep) -> dict[str, int]:
    """How many different stages of each kind all jobs of a sweep need."""
    proposals = sweep.proposals(Ledger(sweep.directory))
    keys: dict[str, str] = {}
    for _ in range(sweep.trials):
        for job in sweep.jobs(proposals.next()):
            keys |= {stage.key: stage.kind for stage in job.stages}
    return dict(Counter(keys.values()))


def test_eight_points_of_figure_4_need_two_pretrainings_per_seed(make_sweep: MakeSweep) -> None:
    """With and without auxSKD; four checkpoints of each, which are what is finetuned."""
    values = {"pretext.epochs": 4, "pretext.checkpoints": 4, "data.pretraining": "embedded", "data.downstream": "embedded"}
    for space in (find_space("epochs"), table_space("auxskd/figure4-left", "demo")):
        sweep = make_sweep(values, space=space, trials=8, seeds=2)
        assert kinds(sweep) == {
            "auxskd": 2,
            "pretext": 2 * 2,
            **dict.fromkeys(("finetune", "evaluate", "features", "linear_probe", "retrieval"), 2 * 8),
        }
        naive = 4 * (1 + 5) + 4 * (2 + 5)
        assert counts(plan(sweep)) == (16, 2 * naive, 2 * (1 + 2 + 8 * 5), 0)


def test_each_pretraining_of_table_2_feeds_two_finetunings(make_sweep: MakeSweep, runtime: Callable[..., Runtime]) -> None:
    """Eight rows, of which four begin with auxSKD; both downstream sets from one pretraining. As a space, whose trials finetune
    on both sets, and as a table, whose trials are single cells."""
    stand_ins = tuple((name, "embedded") for name in ("hmdb51", "kinetics100", "kinetics400", "ucf101"))
    expected = {"auxskd": 4, "pretext": 8}
    expected |= dict.fromkeys(("finetune", "evaluate", "features", "linear_probe", "retrieval"), 16)
    for space, trials in ((find_space("auxskd"), 8), (table_space("auxskd/table2", "demo"), 16)):
        sweep = make_sweep(space=space, trials=trials, runtime=runtime(stand_ins=stand_ins))
        assert kinds(sweep) == expected
        assert counts(plan(sweep))[2] == 4 + 8 + 5 * 16


def test_the_rows_of_graph_table_2_share_their_teachers(
    make_sweep: MakeSweep, tiny_graph_values: dict[str, Any], runtime: Callable[..., Runtime]
) -> None:
    """Nine rows on three downstream sets, two seeds: four teachers per seed and tracks once; on each set a classifier of every
    teacher and its answers; and what is each row's own. Nothing less would do."""
    stand_ins = tuple((name, "embedded") for name in ("ccv", "hmdb51", "ucf101"))
    space = table_space("graph/table2", "demo")
    given = {name: value for name, value in tiny_graph_values.items() if name != "recipe"}
    values = {**given, **space.base, "prediction.stride": 1}  # the clips are short
    sweep = make_sweep(values, space=space, trials=27, seeds=2, runtime=runtime(stand_ins=stand_ins))
    tasks = ("sorting", "ego_motion", "tracking", "prediction")
    expected = {"tracks": 1, **dict.fromkeys(tasks, 2)}
    expected |= {f"{task}_{stage}": 2 * 3 for task in tasks for stage in ("classifier", "views")}
    expected |= {"fusion": 2 * 3, "ensemble": 2 * 3, "student": 2 * 3 * 7, "evaluate_student": 2 * 3 * 7}
    assert kinds(sweep) == expected
    naive = 2 * 3 * ((5 + 4 * 2 + 1) * 2 + (5 + 4 * 2 + 2) * 7)
    assert counts(plan(sweep)) == (54, naive, sum(expected.values()), 0)
    assert (naive // 2, (sum(expected.values()) + 1) // 2) == (399, 77), "for a single seed"


def test_tables_share_stages_with_each_other(make_sweep: MakeSweep, runtime: Callable[..., Runtime]) -> None:
    """Table 2: 4 pairs of with and without auxSKD, each measured on two sets. Table 4: six tasks, of which Q = Z = 4 is a trial
    of Table 2 (R3D, K-100, no auxSKD). Figure 4: four checkpoints of two pretrainings, the last of which Table 2 has too. Five
    stages come after pretraining: finetuning, evaluation, features, probe, retrieval."""
    place = runtime(stand_ins=tuple((name, "embedded") for name in ("ucf101", "hmdb51", "kinetics100", "kinetics400")))
    stages: dict[str, list[str]] = {}
    for table in ("auxskd/table2", "auxskd/table4", "auxskd/figure4-left"):
        space = table_space(table, "demo")
        sweep = make_sweep({"pretext.checkpoints": 4, **space.base}, space=space, trials=space.trials, runtime=place)
        proposals = sweep.proposals(Ledger(sweep.directory))
        jobs = [job for _ in range(space.trials) for job in sweep.jobs(proposals.next())]
        stages[table] = [stage.key for job in jobs for stage in job.stages]
    table2, table4, figure4 = (set(keys) for keys in stages.values())
    assert [len(keys) for keys in stages.values()] == [8 * (1 + 5) + 8 * (2 + 5), 6 * (1 + 5), 4 * (1 + 5) + 4 * (2 + 5)]
    assert (len(table2), len(table4), len(figure4)) == (4 + 8 + 16 * 5, 6 * (1 + 5), 1 + 2 + 8 * 5)
    assert (len(table2 & table4), len(table2 & figure4)) == (1 + 5, 1 + 2 + 2 * 5)
    assert (sum(map(len, stages.values())), len(table2 | table4 | figure4)) == (192, 152)


def test_what_the_store_holds_is_done(make_sweep: MakeSweep) -> None:
    """After one of three dropouts: its seven stages are there, the others need finetuning and evaluation."""
    sweep = make_sweep(space=DROPOUTS, trials=3)
    job = sweep.jobs(sweep.proposals(Ledger(sweep.directory)).next())[0]
    run_experiment(job.experiment, sweep.runtime, lambda line: None)
    found = plan(sweep)
    assert counts(found) == (3, 21, 4, 7)
    assert found.trials_complete == 0, "the ledger decides on that"
    assert 0 < found.hours_low < found.hours_expected < 0.1


def record_of(job: Job, seconds: float, **versions: str) -> Record:
    """As if each of its stages had taken so long here."""
    return Record(
        trial=job.trial,
        index=0,
        row=None,
        space="temperatures",
        preset="demo",
        parameters={},
        settings=flat(job.experiment.settings),
        data={role: describe(videos) for role, videos in job.data.items()},
        seed=0,
        stages={stage.name: stage.key for stage in job.stages},
        metrics={},
        seconds={stage.name: Seconds(used=seconds, saved=0) for stage in job.stages},
        outcome="complete",
        reason=None,
        versions={"device": "cpu", "node": platform.node(), **versions},
        command="",
    )


def test_stages_are_expected_to_take_what_stages_like_them_took_here(make_sweep: MakeSweep) -> None:
    """Of a recorded trial each took 10 s; training twice as long takes 20. Of other devices and machines nothing is known."""
    (job,) = make_sweep().jobs(Configuration(0, {}, None))
    (longer,) = make_sweep({"finetune.epochs": 4}).jobs(Configuration(0, {}, None))
    (wider,) = make_sweep({"backbone.width": 8}).jobs(Configuration(0, {}, None))

    def expected(job: Job, *records: Record) -> dict[str, float | None]:
        measured = Measured(records, "cpu")
        settings = job.experiment.settings
        counts = {stage.name: Counts.of(job.data[stage.data]) for stage in job.stages}
        seconds = {stage.name: measured.seconds(stage.declared, settings, counts[stage.name]) for stage in job.stages}
        return {name: value and round(value, 6) for name, value in seconds.items()}

    usual = dict.fromkeys((stage.name for stage in job.stages), 10.0)
    assert expected(job, record_of(job, 10)) == usual
    assert expected(longer, record_of(job, 10)) == {**usual, "finetune": 20.0}
    of_networks = {name for name in usual if name not in ("linear_probe", "retrieval")}
    assert {name for name, value in expected(wider, record_of(job, 10)).items() if value is None} == of_networks
    assert expected(job, record_of(job, 10), record_of(job, 11), record_of(job, 90)) == dict.fromkeys(usual, 11.0), "the median"
    for versions in ({"device": "a GPU"}, {"node": "elsewhere"}):
        assert set(expected(job, record_of(job, 10, **versions)).values()) == {None}
    strange = record_of(job, 10).model_copy(update={"settings": {"no.such": 1}})
    assert set(expected(job, strange).values()) == {None}


def test_a_plan_says_how_many_of_its_stages_are_on_record(make_sweep: MakeSweep) -> None:
    """Two trials of seven stages of 10 s each, side by side; without records the networks are measured."""
    sweep = make_sweep()
    found = plan(sweep)
    assert found.stages_measured == 0
    assert set(found.seconds() or ()) == {(stage.kind, stage.key) for stage, _ in found.expected}
    assert outlook(sweep, Ledger(sweep.directory), 1, 0, measure=False).seconds() is None
    other = sweep.directory.parent / "other"
    other.mkdir()
    Ledger(other).append(record_of(sweep.jobs(Configuration(0, {}, None))[0], 10))
    (sweep.directory.parent / "damaged").mkdir()
    (sweep.directory.parent / "damaged" / "ledger.jsonl").write_text("{}\n")
    found = plan(sweep)
    assert (found.stages_measured, found.stages_to_run) == (14, 14)
    assert found.hours_low == found.hours_expected == pytest.approx(2 * 7 * 10 / 3600)
    side_by_side = make_plan(sweep, Ledger(sweep.directory), 9, 0)
    assert side_by_side.hours_expected == pytest.approx(7 * 10 / 3600), "a trial is not divided"
    assert outlook(sweep, Ledger(sweep.directory), 1, 0, measure=False).seconds() == found.seconds()


def test_what_a_complete_trial_needed_is_not_run_although_it_is_gone(make_sweep: MakeSweep) -> None:
    """Two trials of seven stages, one of which is on record, and a store without anything."""
    sweep = make_sweep()
    job = sweep.jobs(sweep.proposals(Ledger(sweep.directory)).next())[0]
    sweep.settle_identity()
    Ledger(sweep.directory).append(record_of(job, 10))
    found = plan(sweep)
    assert (found.trials_complete, *counts(found)) == (1, 2, 14, 7, 7)


def test_a_plan_names_what_is_known_and_what_is_not(make_sweep: MakeSweep) -> None:
    found = plan(make_sweep(trials=9))
    assert [label for label, _, _ in found.experiments] == [row.label for row in find_space("temperatures").rows] + ["#7", "#8"]
    assert [known for _, _, known in found.experiments] == [True] * 7 + [False] * 2


def test_a_plan_writes_nothing(make_sweep: MakeSweep, tmp_path: Path) -> None:
    plan(make_sweep(trials=8))
    assert list(tmp_path.iterdir()) == []


def test_a_plan_refuses_what_no_video_is_long_enough_for(make_sweep: MakeSweep) -> None:
    sweep = make_sweep({"recipe": "pretext", "pretext.task": "vcop", "vcop.interval": 500}, space=DROPOUTS, trials=1)
    with pytest.raises(
        DataError, match=r"^stage pretext of 0\.0: vcop needs \d{3,} frames, and none of .* longest has \d+ frames"
    ):
        plan(sweep)
    assert outlook(sweep, Ledger(sweep.directory), 1, 2**30, measure=False).trials == 1, "a sweep runs its other trials"


def test_more_trials_at_once_take_less_time(make_sweep: MakeSweep) -> None:
    sweep = make_sweep()
    one, two = (make_plan(sweep, Ledger(sweep.directory), at_once, 2**30) for at_once in (1, 2))
    assert two.hours_expected == pytest.approx(one.hours_expected / 2)


def test_what_goes_on_from_a_shorter_training_is_expected_to_take_the_epochs_that_it_adds(
    make_sweep: MakeSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    """Finetuning of four epochs where one and two are there: half of what it is expected to take where none is."""
    values = {"recipe": "scratch", "evaluation.measures": ("finetune",), "finetune.epochs": 4}
    before = make_sweep(values, trials=1)
    anew = {stage.kind: one.seconds for stage, one in plan(before).expected if one}
    for epochs in (1, 2):
        (job,) = (shorter := make_sweep({**values, "finetune.epochs": epochs}, trials=1)).jobs(Configuration(0, {}, None))
        run_experiment(job.experiment, shorter.runtime, lambda line: None)
    found = make_plan(before, Ledger(before.directory), 1, 2**30)
    assert dict(found.extended) == {"finetune from 2 to 4 epochs": 1}
    left = {stage.kind: one.seconds for stage, one in found.expected if one}
    assert left["finetune"] == pytest.approx(anew["finetune"] / 2)
    assert found.as_json()["extended"] == {"finetune from 2 to 4 epochs": 1}
    show_plan(before, found, 1, Console(width=200))
    assert "goes on from what is there: finetune from 2 to 4 epochs\n" in capsys.readouterr().out


def test_a_plan_goes_on_from_what_it_will_have_trained(make_sweep: MakeSweep, runtime: Callable[..., Runtime]) -> None:
    """Finetunings of 1, 3 and 2 epochs, in that order: three epochs and one, where each anew were six."""
    rows = tuple(Row(str(value), {"finetune.epochs": value}) for value in (1, 3, 2))
    values = {"recipe": "scratch", "evaluation.measures": ("finetune",)}
    space = replace(find_space("temperatures"), rows=rows)

    def seconds(keep_states: bool) -> tuple[list[float], dict[str, int]]:
        sweep = make_sweep(values, space=space, trials=3, runtime=runtime(keep_states=keep_states))
        found = plan(sweep)
        return [one.seconds for stage, one in found.expected if stage.kind == "finetune" and one], dict(found.extended)

    (one, three, two), extended = seconds(True)
    assert extended == {"finetune from 1 to 3 epochs": 1, "finetune from 1 to 2 epochs": 1}
    assert (three, two) == (pytest.approx(2 * one), pytest.approx(one))
    (one, three, two), extended = seconds(False)
    assert extended == {}
    assert (three, two) == (pytest.approx(3 * one), pytest.approx(2 * one))

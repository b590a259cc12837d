"""benchmarks/sharing.py: what it counts against numbers derived by hand; nothing here depends on how fast the machine is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks import sharing
from benchmarks.comparison import Figure
from benchmarks.sharing import Asked, Spent, Swept, least_seconds, total, trials, up_to_checkpoint, whole
from trainables.pipeline import Experiment
from trainables.presets import configure, preset
from trainables.runtime import Runtime
from trainables.video.cache import FrameCache

TINY = {
    "data.embedded.classes": 6,
    "data.embedded.train": 1,
    "data.embedded.validation": 1,
    "data.embedded.test": 1,
    "data.embedded.frames": 16,
    "data.embedded.height": 16,
    "data.embedded.width": 16,
}
MEASURED = 5
"""Stages after pretraining: finetune, evaluate, features, linear_probe, retrieval."""


def test_stages_of_the_tables_and_how_many_differ(tmp_path: Path) -> None:
    """Table 2: 4 pairs of with and without auxSKD, each measured on two sets. Table 4: six tasks, of which Q = Z = 4 is a trial
    of Table 2 (R3D, K-100, no auxSKD). Figure 4: four checkpoints of two pretrainings, the last of which Table 2 has too."""
    asked = Asked("demo", TINY, tmp_path / "cache")
    jobs = {table: list(trials(asked.sweep(table, tmp_path))) for table in sharing.TABLES}
    naive = {table: sum(len(job.stages) for job in of_table) for table, of_table in jobs.items()}
    keys = {table: {stage.key for job in of_table for stage in job.stages} for table, of_table in jobs.items()}
    table2, table4, figure4 = sharing.TABLES
    assert naive == {
        table2: 8 * (1 + MEASURED) + 8 * (2 + MEASURED),
        table4: 6 * (1 + MEASURED),
        figure4: 4 * (1 + MEASURED) + 4 * (2 + MEASURED),
    }
    assert len(keys[table2]) == 4 + 8 + 16 * MEASURED
    assert len(keys[table4]) == 6 * (1 + MEASURED)
    assert len(keys[figure4]) == 1 + 2 + 8 * MEASURED
    assert len(keys[table2] & keys[table4]) == 1 + MEASURED
    assert len(keys[table2] & keys[figure4]) == 1 + 2 + 2 * MEASURED
    assert len(set.union(*keys.values())) == 152
    assert sum(naive.values()) == 192


def test_teachers_of_graph_distillation_are_shared_by_all_rows_and_data_sets(tmp_path: Path) -> None:
    """9 rows on 3 data sets. Four teachers and the tracks of one of them are pretrained once; each is finetuned and asked about
    the views once per set; the rest is one stage for fusion and for the ensemble, and two for each of seven students."""
    asked = Asked("demo", TINY, tmp_path / "cache")
    jobs = list(trials(asked.sweep("graph/table2", tmp_path)))
    assert len(jobs) == 27
    assert sum(len(job.stages) for job in jobs) == 3 * (2 * (1 + 3 * 4 + 1) + 7 * (1 + 3 * 4 + 2)) == 399
    assert len({stage.key for job in jobs for stage in job.stages}) == 1 + 4 + 3 * (2 * 4 + 2 + 7 * 2) == 77


def test_some_trials_of_a_table_are_spread_over_its_rows_and_data_sets(tmp_path: Path) -> None:
    sweep = Asked("demo", TINY, tmp_path / "cache").sweep("graph/table2", tmp_path)
    labels = [job.configuration.row for job in trials(sharing._part(sweep, 4))]
    assert labels == [sweep.space.rows[number].label for number in (0, 6, 13, 20)]
    assert {job.experiment.settings.data.downstream for job in trials(sharing._part(sweep, 4))} == {"ucf101", "hmdb51", "ccv"}
    assert len(list(trials(sharing._part(sweep, 99)))) == 27


def test_clips_are_decoded_before_in_the_size_that_the_rows_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipes of graph distillation have a size of their own at preset demo, beside which the preset's is of no use."""
    sizes: dict[str, set[tuple[int, int]]] = {}
    asked = Asked("demo", TINY, tmp_path / "cache")
    for table in ("graph/table2", "auxskd/table4"):
        sizes[table] = set()
        monkeypatch.setattr(FrameCache, "fill", lambda cache, videos, size, found=sizes[table]: found.add(size))
        asked.fill_cache(table)
    own, plain = configure("demo", {"recipe": "fusion"}).video, preset("demo").video
    assert sizes == {"graph/table2": {(own.height, own.width)}, "auxskd/table4": {(plain.height, plain.width)}}


def test_a_stage_costs_what_the_trials_spent_that_trained_it_longest() -> None:
    spent = [Spent("pretext", 1, 10.0), Spent("pretext", 4, 40.0), Spent("pretext", 4, 44.0), Spent("evaluate", 0, 3.0)]
    assert least_seconds(spent) == 42.0 + 3.0


def test_figures_compare_counts_and_times() -> None:
    """Two trials that share a stage of 6 s and have one of 2 s each: 10 of 16 naive seconds, 3 of 4 stages."""

    class Job:
        stages = ("pretext", "finetune")

    own: Any = [Job(), Job()]
    naive = Swept(9.0, own, [Spent("p", 4, 6.0), Spent("a", 1, 2.0), Spent("p", 4, 6.0), Spent("b", 1, 2.0)])
    shared = Swept(6.3, own, [Spent("p", 4, 5.0), Spent("a", 1, 2.0), Spent("b", 1, 2.0)])
    found = {figure.name: figure for figure in sharing.figures(shared, naive, 2)}
    assert found["stages run, shared / each once"].ratio == 1.0
    assert found["stages run, shared / naive"].ratio == 0.75
    assert found["seconds of stages, each once / naive"].ratio == 10 / 16
    assert found["wall-clock, shared / naive"].ratio == pytest.approx(0.7)
    assert found["wall-clock, shared / (naive x share of seconds)"].ratio == pytest.approx(0.7 / 0.625)
    wall = found["wall-clock, shared / (naive x share of stages)"]
    assert (wall.ratio, wall.met) == (pytest.approx(0.7 / 0.75), True)
    slower = sharing.figures(Swept(7.2, own, shared.spent), naive, 2)
    assert [figure.met for figure in slower if figure.name == wall.name] == [False]
    assert found["trials computing at a time, naive"].value == pytest.approx(16 / 9)


def test_a_stage_run_twice_misses_the_target_and_a_naive_side_that_shares_is_an_error() -> None:
    class Job:
        stages = ("pretext",)

    naive = Swept(1.0, [Job()], [Spent("p", 1, 1.0)])  # type: ignore[list-item]
    twice = Swept(1.0, [], [Spent("p", 1, 1.0), Spent("p", 1, 1.0)])
    found: list[Figure] = sharing.figures(twice, naive, 2)
    assert found[0].met is False
    with pytest.raises(RuntimeError, match="naive trial"):
        sharing.figures(twice, Swept(1.0, [Job(), Job()], naive.spent), 2)  # type: ignore[list-item]


@dataclass(frozen=True)
class Step:
    kind: str
    key: str


@dataclass(frozen=True)
class Trial:
    """What is read of a job."""

    trial: str
    experiment: Experiment
    stages: tuple[Step, ...]


def test_naive_trials_that_did_not_run_take_what_their_stages_took_on_the_shared_side() -> None:
    """Three trials share a pretraining of 8 s; the second ran without sharing, the third needs a quarter of the epochs."""
    last = configure("demo", {"pretext.epochs": 8, "pretext.checkpoints": 4})
    first = configure("demo", {"pretext.epochs": 8, "pretext.checkpoints": 4, "pretext.checkpoint": 1})
    pretext, finetune, features = Step("pretext", "p"), Step("finetune", "t"), Step("features", "f")
    jobs: Any = [
        Trial("one", Experiment(last, 0), (pretext, finetune)),
        Trial("two", Experiment(last, 0), (pretext, features)),
        Trial("three", Experiment(first, 0), (pretext,)),
    ]
    shared = Swept(12.0, jobs, [Spent("p", 8, 8.0), Spent("t", 5, 1.0), Spent("f", 0, 2.0)])
    measured = Swept(14.0, [jobs[1]], [Spent("p", 8, 9.0), Spent("f", 0, 3.0)])
    found = whole(measured, shared, at_once=2)
    assert found.jobs == jobs
    assert found.spent == [*measured.spent, Spent("p", 8, 8.0), Spent("t", 5, 1.0), Spent("p", 2, 2.0)]
    assert found.seconds == (9 + 3 + 8 + 1 + 2) / 2
    named = {figure.name: figure for figure in sharing.figures(shared, measured, 2, bound=0.35)}
    assert named["seconds of a stage, naive trials that ran / shared"].ratio == 12 / 10
    assert named["trials computing at a time, naive"].value == 12 / 14
    wall = named["wall-clock, shared / naive"]
    assert (wall.ratio, wall.target, wall.met) == (12 / 11.5, "<= 0.35", False)
    assert named["stages run, shared / naive"].ratio == 3 / 5
    assert [figure.name for figure in named.values() if figure.met] == ["stages run, shared / each once"]


def test_sweeps_add_up() -> None:
    one, two = Swept(1.0, [], [Spent("a", 0, 0.5)]), Swept(2.0, [], [Spent("b", 0, 1.5)])
    assert total([one, two]) == Swept(3.0, [], [*one.spent, *two.spent])
    assert total([one, two]).busy == 2.0


def test_a_naive_trial_has_its_own_store_and_trains_up_to_its_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of four checkpoints of eight epochs is a run of four; without one, all epochs are trained."""
    ran: list[dict[str, Any]] = []
    monkeypatch.setattr(sharing, "run_trial", ran.append)
    second = configure("demo", {"pretext.epochs": 8, "pretext.checkpoints": 4, "pretext.checkpoint": 2})
    assert up_to_checkpoint(preset("demo")) == preset("demo")
    runtime = Runtime(Path("runs/store"), Path("runs/cache")).as_config()
    for trial, settings in (("one", second), ("two", preset("demo"))):
        sharing.naive_trial({"trial": trial, "seed": 0, "settings": settings.model_dump(), "runtime": runtime})
    assert [config["settings"]["pretext"]["epochs"] for config in ran] == [4, preset("demo").pretext.epochs]
    assert ran[0]["settings"]["pretext"]["checkpoint"] is None
    assert ran[0]["settings"]["finetune"] == second.finetune.model_dump()
    assert len({config["runtime"]["store"] for config in ran} | {"runs/store"}) == 3
    assert {config["runtime"]["cache"] for config in ran} == {"runs/cache"}


def test_a_naive_trial_does_not_wait_for_one_that_computes_the_same_stages() -> None:
    books = object.__new__(sharing.NaiveBookkeeper)
    one, two = {"trial": "one"}, {"trial": "two"}
    assert books.choose([two, one], running=[one]) is two
    assert books.choose([], running=[one]) is None


@pytest.mark.slow
def test_both_sides_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Figure 4 left in miniature: 52 stages naively, of which 43 differ."""
    smallest = {
        **TINY,
        "auxskd.epochs": 1,
        "finetune.epochs": 1,
        "evaluation.clips": 1,
        "frozen.clips": 1,
        "video.clip_frames": 4,
        "video.height": 16,
        "video.width": 16,
        "video.crop": 16,
        "backbone.width": 4,
    }
    sharing.main(
        tables=["auxskd/figure4-left"],
        preset="demo",
        set_values=[f"{name}={value}" for name, value in smallest.items()],
        concurrency=2,
    )
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    values = {figure["name"]: figure for figure in found["figures"]}
    assert values["stages run, shared / each once"]["value"] == 43
    assert values["stages run, shared / each once"]["met"] is True
    assert values["stages run, shared / naive"]["ratio"] == pytest.approx(43 / 52)

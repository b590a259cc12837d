"""benchmarks/sharing.py: what it counts against numbers derived by hand; nothing here depends on how fast the machine is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import sharing
from benchmarks.comparison import Figure
from benchmarks.sharing import Asked, Spent, Swept, least_seconds, total, trials, up_to_checkpoint
from trainables.presets import configure, preset
from trainables.runtime import Runtime

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
    found = {figure.name: figure for figure in sharing.figures(shared, naive)}
    assert found["stages run, shared / each once"].ratio == 1.0
    assert found["stages run, shared / naive"].ratio == 0.75
    assert found["seconds of stages, each once / naive"].ratio == 10 / 16
    assert found["wall-clock, shared / naive"].ratio == pytest.approx(0.7)
    assert found["wall-clock, shared / (naive x share of seconds)"].ratio == pytest.approx(0.7 / 0.625)
    wall = found["wall-clock, shared / (naive x share of stages)"]
    assert (wall.ratio, wall.met) == (pytest.approx(0.7 / 0.75), True)
    slower = sharing.figures(Swept(7.2, own, shared.spent), naive)
    assert [figure.met for figure in slower if figure.name == wall.name] == [False]
    assert found["trials computing at a time, naive"].value == pytest.approx(16 / 9)


def test_a_stage_run_twice_misses_the_target_and_a_naive_side_that_shares_is_an_error() -> None:
    class Job:
        stages = ("pretext",)

    naive = Swept(1.0, [Job()], [Spent("p", 1, 1.0)])  # type: ignore[list-item]
    twice = Swept(1.0, [], [Spent("p", 1, 1.0), Spent("p", 1, 1.0)])
    found: list[Figure] = sharing.figures(twice, naive)
    assert found[0].met is False
    with pytest.raises(RuntimeError, match="naive trial"):
        sharing.figures(twice, Swept(1.0, [Job(), Job()], naive.spent))  # type: ignore[list-item]


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

"""Whole experiments of graph distillation: every recipe, what it measures, and that a seed says all of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainables.pipeline import Experiment, Result, run_experiment
from trainables.runtime import Runtime
from trainables.settings import TEACHER_TASKS, ExperimentSettings, with_values

Contents = Callable[[Path, Result], dict[str, bytes]]
Make = Callable[..., Runtime]
SCORES = {f"{part}/{name}" for part in ("validation", "test") for name in ("top1", "top5", "map", "videos")}
OF_TEACHERS = {name.replace("/", f"/{task}_") for name in SCORES for task in TEACHER_TASKS}
OF_STUDENT = {f"student/{name}" for name in ("loss", "accuracy", "val_loss", "val_top1", "wrapped_clips", "replaced_frames")}
OF_LOGITS = {f"student/{name}_{task}" for name in ("distance", "edge") for task in TEACHER_TASKS} | {"student/logits_loss"}
OF_MAPS = {f"student/{name}_{k}" for name in ("mmd", "vertex") for k in range(1, 7)} | {"student/representation_loss"}


def ignore(line: dict[str, Any]) -> None:
    pass


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"recipe": "fusion"}, OF_TEACHERS),
        ({"recipe": "ensemble"}, OF_TEACHERS | {"ensemble/penalty"}),
        ({"recipe": "student"}, OF_STUDENT),
        ({}, OF_TEACHERS | OF_STUDENT | OF_LOGITS | OF_MAPS | {"student/hard_loss"}),
        ({"graph.representation": "none"}, OF_TEACHERS | OF_STUDENT | OF_LOGITS),
        ({"graph.logits": "none"}, OF_TEACHERS | OF_STUDENT | OF_MAPS),
        ({"teachers.outputs": "live"}, OF_STUDENT | OF_LOGITS | OF_MAPS | {"student/hard_loss"}),
        (
            {"graph.logits": "average", "graph.representation": "single", "teachers.tasks": "prediction"},
            OF_STUDENT | {"student/hard_loss", "student/logits_loss", "student/representation_loss"},
        ),
    ],
)
def test_every_recipe_gives_its_metrics(
    tiny_graph: ExperimentSettings, after_teachers: Make, values: dict[str, Any], expected: set[str]
) -> None:
    """Accuracy and mean average precision on validation and test, also of each teacher whose answers are stored; losses of the
    graphs, and the weights of their edges."""
    lines: list[dict[str, Any]] = []
    metrics = run_experiment(Experiment(with_values(tiny_graph, values), 0), after_teachers(), lines.append).metrics
    assert (SCORES | expected) <= metrics.keys()
    assert {(line["stage"], line["epochs"]) for line in lines if "epochs" in line} <= {("student", 3)}, (
        "the teachers were there"
    )
    fractions = [name for name in metrics if name.rpartition("/")[2].endswith(("top1", "top5", "map", "accuracy"))]
    assert all(0 <= metrics[name] <= 1 for name in fractions)
    assert metrics["test/videos"] == metrics["validation/videos"] == 6
    if expected >= OF_LOGITS | OF_MAPS:
        assert sum(metrics[f"student/edge_{task}"] for task in TEACHER_TASKS) == pytest.approx(1, abs=1e-5)
        assert sum(metrics[f"student/vertex_{k}"] for k in range(1, 7)) == pytest.approx(1, abs=1e-5)
        parts = (1 - 0.6) * metrics["student/hard_loss"] + 0.6 * metrics["student/logits_loss"]
        of_maps = metrics["student/representation_weight"] * metrics["student/representation_loss"]
        assert metrics["student/loss"] == pytest.approx(parts + of_maps, rel=1e-4)


def test_the_same_seed_gives_the_same_files_and_another_seed_others(
    tiny_graph: ExperimentSettings, taught: tuple[Path, Result], runtime: Make, contents: Contents
) -> None:
    """Every teacher, its answers, tracks and student, from an empty store; of another seed only the tracks are the same."""
    store, expected = taught
    place = runtime()
    again = run_experiment(Experiment(tiny_graph, 0), place, ignore)
    assert again.metrics == expected.metrics
    assert contents(place.store, again) == contents(store, expected)
    other = run_experiment(Experiment(tiny_graph, 1), place, ignore)
    assert {name for name in other.stages if other.stages[name] == again.stages[name]} == {"tracks"}
    assert other.made["tracks"].used == 0
    for name in ("student/loss", *(f"{task}_classifier/loss" for task in TEACHER_TASKS)):
        assert other.metrics[name] != again.metrics[name], name


def test_every_epoch_and_view_is_reported(tiny_graph: ExperimentSettings, runtime: Make) -> None:
    lines: list[dict[str, Any]] = []
    settings = with_values(tiny_graph, {"teachers.tasks": "sorting", "graph.representation": "single"})
    run_experiment(Experiment(settings, 0), runtime(), lines.append)
    assert [(line["stage"], line["epoch"], line["epochs"]) for line in lines if "epoch" in line] == [
        ("sorting", 1, 1),
        ("sorting_classifier", 1, 1),
        ("sorting_views", 1, 2),
        ("sorting_views", 2, 2),
        *(("student", epoch, 3) for epoch in (1, 2, 3)),
    ]


def test_metrics_of_several_downstream_sets_and_their_mean(tiny_graph: ExperimentSettings, runtime: Make) -> None:
    values = {"recipe": "fusion", "teachers.tasks": "sorting", "data.downstream": "ccv+ucf101"}
    place = runtime(stand_ins=(("ccv", "embedded"), ("ucf101", "embedded")))
    metrics = run_experiment(Experiment(with_values(tiny_graph, values), 0), place, ignore).metrics
    for name in ("test/map", "test/sorting_top1", "sorting_classifier/loss"):
        of_each = [metrics[f"{name}/{dataset}"] for dataset in ("ccv", "ucf101")]
        assert metrics[name] == pytest.approx(sum(of_each) / 2)
    assert "sorting/loss" in metrics
    assert "sorting/loss/ccv" not in metrics

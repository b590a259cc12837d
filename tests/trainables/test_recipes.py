"""Recipes: their stages, what feeds what, and on which data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trainables.data import open_data
from trainables.pipeline import Experiment, Stage, resolve
from trainables.runtime import Runtime
from trainables.settings import GRAPH_RECIPES, TEACHER_TASKS, ExperimentSettings, with_values
from trainables.video.videos import VideoSet

Data = dict[str, VideoSet]
PRETRAINING = {"auxskd", "pretext"}
KINDS = ("auxskd", "pretext", "finetune", "evaluate", "features", "linear_probe", "retrieval")


@pytest.fixture(scope="module")
def data(tiny: ExperimentSettings, clips: Path) -> Data:
    return open_data(tiny.data, Runtime(store=clips, cache=clips))


def stages(settings: ExperimentSettings, data: Data) -> dict[str, Stage]:
    return {stage.name: stage for stage in resolve(Experiment(settings, 0), data)}


def keys(settings: ExperimentSettings, data: Data) -> dict[str, str]:
    return {name: stage.key for name, stage in stages(settings, data).items()}


def test_recipes_are_these_chains(tiny: ExperimentSettings, data: Data) -> None:
    chains = {
        recipe: list(stages(with_values(tiny, {"recipe": recipe}), data)) for recipe in ("scratch", "pretext", "auxskd_pretext")
    }
    assert chains == {
        "scratch": ["finetune", "evaluate", "features", "linear_probe", "retrieval"],
        "pretext": ["pretext", "finetune", "evaluate", "features", "linear_probe", "retrieval"],
        "auxskd_pretext": list(KINDS),
    }
    found = stages(tiny, data)
    inputs = {
        "auxskd": {},
        "pretext": {"auxskd": "auxskd"},
        "finetune": {"pretext": "pretext"},
        "evaluate": {"finetuned": "finetune"},
        "features": {"pretext": "pretext"},
        "linear_probe": {"features": "features"},
        "retrieval": {"features": "features"},
    }
    assert {name: dict(stage.inputs) for name, stage in found.items()} == {
        name: {role: found[source] for role, source in sources.items()} for name, sources in inputs.items()
    }
    assert {name: stage.data for name, stage in found.items()} == {
        name: "pretraining" if name in PRETRAINING else "downstream" for name in KINDS
    }


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        (["finetune"], ["pretext", "finetune", "evaluate"]),
        (["linear_probe"], ["pretext", "features", "linear_probe"]),
        (["retrieval", "finetune"], ["pretext", "features", "retrieval", "finetune", "evaluate"]),
    ],
)
def test_only_what_is_measured_runs(tiny: ExperimentSettings, data: Data, measures: list[str], expected: list[str]) -> None:
    """And what runs has the key that it has beside the others."""
    found = keys(with_values(tiny, {"recipe": "pretext", "evaluation.measures": measures}), data)
    assert list(found) == expected
    assert found.items() <= keys(with_values(tiny, {"recipe": "pretext"}), data).items()


def teacher(task: str, last: str = "views") -> list[str]:
    return [*(["tracks"] if task == "tracking" else []), task, f"{task}_classifier", *([f"{task}_views"] * (last == "views"))]


def test_stages_of_each_recipe(tiny_graph: ExperimentSettings, data: Data) -> None:
    """Four teachers answer for a bank of views, to fusion, to the ensemble and to the student alike; a live teacher is asked by
    the student itself, and without teachers there is none."""
    banked = [name for task in TEACHER_TASKS for name in teacher(task)]
    asked = [name for task in TEACHER_TASKS for name in teacher(task, "classifier")]
    expected = {
        "fusion": [*banked, "fusion"],
        "ensemble": [*banked, "ensemble"],
        "student": ["student", "evaluate_student"],
        "distillation": [*banked, "student", "evaluate_student"],
    }
    assert tuple(expected) == GRAPH_RECIPES
    for recipe, names in expected.items():
        assert list(stages(with_values(tiny_graph, {"recipe": recipe}), data)) == names
    live = with_values(tiny_graph, {"teachers.outputs": "live"})
    assert list(stages(live, data)) == [*asked, "student", "evaluate_student"]


def test_what_feeds_what(tiny_graph: ExperimentSettings, data: Data) -> None:
    found = stages(with_values(tiny_graph, {"teachers.tasks": "tracking+sorting"}), data)
    inputs = {
        "sorting": {},
        "sorting_classifier": {"sorting": "sorting"},
        "sorting_views": {"sorting": "sorting_classifier"},
        "tracks": {},
        "tracking": {"tracks": "tracks"},
        "tracking_classifier": {"tracking": "tracking"},
        "tracking_views": {"tracking": "tracking_classifier"},
        "student": {"sorting": "sorting_views", "tracking": "tracking_views"},
        "evaluate_student": {"student": "student"},
    }
    assert {name: dict(stage.inputs) for name, stage in found.items()} == {
        name: {role: found[source] for role, source in sources.items()} for name, sources in inputs.items()
    }
    assert {name for name, stage in found.items() if stage.data == "pretraining"} == {"sorting", "tracks", "tracking"}
    live = stages(with_values(tiny_graph, {"teachers.tasks": "tracking+sorting", "teachers.outputs": "live"}), data)
    assert {role: stage.name for role, stage in live["student"].inputs.items()} == {
        "sorting": "sorting_classifier",
        "tracking": "tracking_classifier",
    }
    assert live["student"].key != found["student"].key
    assert live["sorting_classifier"].key == found["sorting_classifier"].key


def test_several_downstream_sets_share_the_self_supervised_teachers(
    tiny_graph: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    """Stages of each set are those of an experiment with that set alone."""
    place = runtime(stand_ins=(("ccv", "embedded"), ("ucf101", "embedded")))
    two = {"teachers.tasks": "tracking+prediction"}

    def on(downstream: str) -> dict[str, str]:
        settings = with_values(tiny_graph, {**two, "data.downstream": downstream})
        return keys(settings, open_data(settings.data, place))

    both = on("ucf101+ccv")
    upstream = ["tracks", "tracking", "prediction"]
    of_each = [f"{task}_{stage}" for task in ("tracking", "prediction") for stage in ("classifier", "views")]
    of_each += ["student", "evaluate_student"]
    assert set(both) == {*upstream, *(f"{kind}/{name}" for kind in of_each for name in ("ucf101", "ccv"))}
    for name in ("ucf101", "ccv"):
        alone = on(name)
        assert {kind: alone[kind] for kind in upstream} == {kind: both[kind] for kind in upstream}
        assert {kind: alone[kind] for kind in of_each} == {kind: both[f"{kind}/{name}"] for kind in of_each}


def test_costs_are_measured_without_training_anything(tiny_graph: ExperimentSettings, data: Data) -> None:
    assert list(stages(with_values(tiny_graph, {"evaluation.measures": ["compression"]}), data)) == ["compression"]
    both = with_values(tiny_graph, {"recipe": "student", "evaluation.measures": ["finetune", "compression"]})
    assert list(stages(both, data)) == ["student", "evaluate_student", "compression"]

"""Recipes of graph distillation: their stages, what feeds what, and which settings each stage's key depends on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainables.data import open_data
from trainables.pipeline import Experiment, Stage, resolve
from trainables.runtime import Runtime
from trainables.settings import GRAPH_RECIPES, TEACHER_TASKS, ExperimentSettings, flat, setting_names, with_values
from trainables.video.layouts import VideoSet

Data = dict[str, VideoSet]
SELF_SUPERVISED = {"tracks", *TEACHER_TASKS}
TAUGHT = {"student", "evaluate_student"}

OTHER_VALUES: dict[str, Any] = {
    "frames.per_clip": 2,
    "vgg.channels": [4, 4, 6, 6, 8],
    "vgg.convolutions": [1, 1, 1, 1, 2],
    "vgg.pooled_layers": [2],
    "vgg.batch_norm": False,
    "prednet.targets": [3, 5],
    "prednet.representations": [4, 7],
    "prednet.gates": "sigmoid",
    "alexnet.channels": [4, 6, 6, 6, 8],
    "alexnet.batch_norm": False,
    "sorting.frames": 4,
    "sorting.channel_splitting": False,
    "ego_motion.objective": "contrastive",
    "ego_motion.top_channels": [4, 6],
    "teacher_finetune.transferred_layers": 1,
    "teacher_finetune.freeze": True,
    "views.prednet_layer": 1,
    "views.stored": "float16",
    "student.initialisation": "imagenet",
    "student.keep": "best",
    "graph.distance": "kl",
    "graph.edges": "learned",
    "graph.vertices": "mean",
    "graph.bandwidth": 0.5,
    "graph.representation_edges": "uniform",
    "evaluation.average": "logits",
    **{f"{group}.schedule": "cosine" for group in (*TEACHER_TASKS, "teacher_finetune", "student")},
    **{f"{group}.optimiser": "adam" for group in ("sorting", "ego_motion", "tracking", "teacher_finetune")},
    **{f"{group}.optimiser": "sgd" for group in ("prediction", "student")},
}


@pytest.fixture(scope="module")
def data(tiny: ExperimentSettings, clips: Path) -> Data:
    return open_data(tiny.data, Runtime(store=clips, cache=clips))


@pytest.fixture(scope="module")
def two_teachers(tiny_graph: ExperimentSettings, data: Data) -> tuple[ExperimentSettings, dict[str, str]]:
    """Settings of a distillation from the sorting and the prediction teacher, and the keys of its stages."""
    settings = with_values(tiny_graph, {"teachers.tasks": "sorting+prediction"})
    return settings, keys(settings, data)


def stages(settings: ExperimentSettings, data: Data, seed: int = 0, **weights: str) -> dict[str, Stage]:
    return {stage.name: stage for stage in resolve(Experiment(settings, seed), data, weights)}


def keys(settings: ExperimentSettings, data: Data, seed: int = 0, **weights: str) -> dict[str, str]:
    return {name: stage.key for name, stage in stages(settings, data, seed, **weights).items()}


def differing(before: dict[str, str], after: dict[str, str]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def changed(settings: ExperimentSettings, name: str) -> ExperimentSettings:
    """The settings with another valid value of one."""
    value = flat(settings)[name]
    if name in OTHER_VALUES:
        other = OTHER_VALUES[name] if OTHER_VALUES[name] != value else flat(ExperimentSettings())[name]
    else:
        other = (value / 2 or 0.1) if isinstance(value, float) else value + 1
    assert other != value
    return with_values(settings, {name: other})


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


def test_the_order_in_which_teachers_are_named_is_none(tiny_graph: ExperimentSettings, data: Data) -> None:
    one, other = (with_values(tiny_graph, {"teachers.tasks": tasks}) for tasks in ("tracking+sorting", "sorting+tracking"))
    assert keys(one, data) == keys(other, data)


def test_costs_are_measured_without_training_anything(tiny_graph: ExperimentSettings, data: Data) -> None:
    """Once for all seeds and whatever the networks are trained with, but on every device."""
    costs = with_values(tiny_graph, {"evaluation.measures": ["compression"]})
    assert list(stages(costs, data)) == ["compression"]
    for other, seed in ((costs, 1), (with_values(costs, {"student.epochs": 9, "graph.edges": "uniform"}), 0)):
        assert keys(other, data, seed) == keys(costs, data)
    assert keys(changed(costs, "alexnet.hidden"), data) != keys(costs, data)
    elsewhere = resolve(Experiment(costs, 0), data, device="another")
    assert [stage.key for stage in elsewhere] != list(keys(costs, data).values()), "latency is the device's"
    trained = resolve(Experiment(tiny_graph, 0), data, device="another")
    assert {stage.name: stage.key for stage in trained} == keys(tiny_graph, data)
    both = with_values(tiny_graph, {"recipe": "student", "evaluation.measures": ["finetune", "compression"]})
    assert list(stages(both, data)) == ["student", "evaluate_student", "compression"]


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


def test_only_what_draws_nothing_is_shared_by_all_seeds(tiny_graph: ExperimentSettings, data: Data) -> None:
    before = keys(tiny_graph, data)
    assert differing(before, keys(tiny_graph, data, seed=1)) == before.keys() - {"tracks"}


AFFECTED: dict[str, set[str]] = {
    "frames": {"sorting_classifier"},
    "vgg": {"sorting"},
    "prednet": {"prediction"},
    "alexnet": TAUGHT,
    "sorting": {"sorting"},
    "prediction": {"prediction"},
    "tracking": set(),
    "ego_motion": set(),
    "teacher_finetune": {"sorting_classifier", "prediction_classifier"},
    "views": {"sorting_views", "prediction_views"},
    "views.vgg_layer": {"sorting_views"},
    "views.prednet_layer": {"prediction_views"},
    "student": TAUGHT,
    "graph": TAUGHT,
    "graph.ego_motion_temperature": set(),
    "graph.tracking_temperature": set(),
    "graph.sinkhorn_regularisation": set(),
    "graph.prior_weight": set(),
    "evaluation.clips": {"sorting_views", "prediction_views"},
    "evaluation.average": {"evaluate_student"},
}
"""With the teachers sorting and prediction: the first stages whose artifact a group of settings, or one setting, changes."""


def and_what_follows(kinds: set[str]) -> set[str]:
    found = set(kinds)
    for kind in kinds - TAUGHT:
        task = kind.partition("_")[0]
        chain = [task, f"{task}_classifier", f"{task}_views"]
        found |= {*chain[chain.index(kind) :], *TAUGHT}
    return found


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in setting_names()
        if (name in AFFECTED or name.partition(".")[0] in AFFECTED)
        and not name.endswith(".checkpoint")
        and name not in ("graph.logits", "graph.representation", "student.clips_per_video")
    ],
)
def test_a_setting_changes_the_keys_of_the_stages_it_matters_to(
    two_teachers: tuple[ExperimentSettings, dict[str, str]], data: Data, name: str
) -> None:
    """A teacher's depend on no other teacher, on no student and on no graph."""
    settings, before = two_teachers
    expected = and_what_follows(AFFECTED.get(name, AFFECTED.get(name.partition(".")[0], set())))
    assert differing(before, keys(changed(settings, name), data)) == expected


def test_tracks_depend_on_how_they_are_mined_only(tiny_graph: ExperimentSettings, data: Data) -> None:
    settings = with_values(tiny_graph, {"recipe": "fusion", "teachers.tasks": "tracking"})
    before = keys(settings, data)
    trained = {"tracking", "tracking_classifier", "tracking_views", "fusion"}
    mined = {f"tracking.{name}" for name in ("frames", "patch", "tracks_per_video", "least_motion")}
    for name in {"tracking.units", "tracking.epochs", "tracking.margin", "tracking.negatives", "tracking.hard_from"} | mined:
        found = differing(before, keys(changed(settings, name), data))
        assert found == (trained | {"tracks"} if name in mined else trained), name
    for name in ("video.crop", "video.pixels", "augmentation.flip_probability"):
        changes = {"video.crop": 10, "video.pixels": "rgb_unit", "augmentation.flip_probability": 0.0}
        assert differing(before, keys(with_values(settings, {name: changes[name]}), data)) == trained, name
    assert differing(before, keys(with_values(settings, {"video.width": 20}), data)) == trained | {"tracks"}


LOGITS = {"imitation_weight", "student_temperature", "sorting_temperature", "prediction_temperature"}
FLOWS = {"distance", "vertices", "edges", "edge_temperature", "gain_momentum"}
MAPS = {"representation_weight", "student_layer", "vertex_temperature", "bandwidth"}
PAIRS = {"sketch", "representation_edges", "representation_edge_temperature"}
READ = {
    "logits": {"none": set(), "average": LOGITS, "graph": LOGITS | FLOWS},
    "representation": {"none": set(), "single": MAPS, "graph": MAPS | PAIRS},
}
FORMS = [form for form in itertools.product(READ["logits"], READ["representation"]) if form != ("none", "none")]


def read_of_graph(settings: ExperimentSettings, data: Data) -> set[str]:
    """The settings of the group `graph` that are in the student's key, but for which of the graphs are on."""
    before = stages(settings, data)["student"].key
    others = [
        name for name in setting_names() if name.startswith("graph.") and name not in ("graph.logits", "graph.representation")
    ]
    found = {name for name in others if stages(changed(settings, name), data)["student"].key != before}
    return {name.removeprefix("graph.") for name in found}


@pytest.mark.parametrize(("logits", "representation"), FORMS)
def test_a_student_does_not_depend_on_graphs_that_are_off(
    tiny_graph: ExperimentSettings, data: Data, logits: str, representation: str
) -> None:
    """Nor on temperatures of teachers that it does not have."""
    values = {"teachers.tasks": "sorting+prediction", "graph.logits": logits, "graph.representation": representation}
    expected = READ["logits"][logits] | READ["representation"][representation]
    assert read_of_graph(with_values(tiny_graph, values), data) == expected


def test_a_student_depends_on_what_its_edges_and_its_distance_read(tiny_graph: ExperimentSettings, data: Data) -> None:
    """And without a logits graph on nothing of them."""
    base = with_values(tiny_graph, {"teachers.tasks": "sorting+prediction", "graph.representation": "none"})
    always = LOGITS | {"distance", "vertices", "edges"}
    gain = {"edge_temperature", "gain_momentum"}
    for edges, distance, expected in (
        ("uniform", "l2", set()),
        ("learned", "em", {"edge_temperature", "prior_weight"}),
        ("gain", "sinkhorn", gain | {"sinkhorn_regularisation"}),
    ):
        settings = with_values(base, {"graph.edges": edges, "graph.distance": distance})
        assert read_of_graph(settings, data) == always | expected, edges
    maps_only = {
        "graph.logits": "none",
        "graph.representation": "single",
        "graph.distance": "sinkhorn",
        "graph.edges": "learned",
    }
    assert read_of_graph(with_values(base, maps_only), data) == MAPS


def test_forms_of_the_graphs_are_students_of_their_own(tiny_graph: ExperimentSettings, data: Data) -> None:
    """All eight, and the student without teachers, which knows no graph."""
    found = [
        keys(with_values(tiny_graph, {"graph.logits": logits, "graph.representation": representation}), data)["student"]
        for logits, representation in FORMS
    ]
    alone = with_values(tiny_graph, {"recipe": "student"})
    assert len({*found, keys(alone, data)["student"]}) == 9
    others = {"graph.logits": "none", "graph.sketch": 9, "views.views": 9, "vgg.hidden": 9, "teacher_finetune.epochs": 9}
    assert keys(with_values(alone, {**others, "teachers.tasks": "tracking"}), data) == keys(alone, data)


def test_layers_of_live_teachers_are_in_the_student_s_key_where_maps_are_imitated(
    tiny_graph: ExperimentSettings, data: Data
) -> None:
    """A bank holds the maps of its own layers; a live teacher is asked for them by the student."""
    live = with_values(tiny_graph, {"teachers.outputs": "live", "teachers.tasks": "sorting+prediction"})
    for name in ("views.vgg_layer", "views.prednet_layer"):
        assert differing(keys(live, data), keys(changed(live, name), data)) == TAUGHT
        logits_only = with_values(live, {"graph.representation": "none"})
        assert keys(changed(logits_only, name), data) == keys(logits_only, data)
    of_frames = with_values(live, {"teachers.tasks": "sorting+ego_motion"})
    assert keys(changed(of_frames, "views.prednet_layer"), data) == keys(of_frames, data)
    assert keys(with_values(live, {"views.views": 7, "views.stored": "float16"}), data) == keys(live, data)


def test_the_share_of_unlabelled_videos_is_in_the_teachers_keys(
    tiny_graph: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    """And in what they teach; a student without teachers has the same labelled videos as before."""
    found = {}
    for share in (0.25, 0.5, 1.0):
        settings = with_values(tiny_graph, {"data.pretraining_share": share})
        opened = open_data(settings.data, runtime())
        found[share] = keys(settings, opened)
        alone = keys(with_values(settings, {"recipe": "student"}), opened)
        assert alone == keys(with_values(tiny_graph, {"recipe": "student"}), open_data(tiny_graph.data, runtime()))
    for one, other in itertools.combinations(found.values(), 2):
        assert differing(one, other) == one.keys() >= SELF_SUPERVISED


def test_weights_that_a_student_starts_from_are_in_its_key_and_in_no_other(tiny_graph: ExperimentSettings, data: Data) -> None:
    pretrained = with_values(tiny_graph, {"student.initialisation": "imagenet"})
    one, other = (keys(pretrained, data, alexnet=content) for content in ("1", "2"))
    assert differing(one, other) == differing(keys(tiny_graph, data), one) == TAUGHT
    assert keys(pretrained, data, alexnet="1") == one
    assert keys(tiny_graph, data, alexnet="1") == keys(tiny_graph, data), "not without asking for them"
    assert one["student"] != keys(pretrained, data)["student"], "without a file there is no such student"

"""Settings: what is refused and how it is said, the presets against the papers' numbers, the round trip by name, and groups
of settings that tasks from outside the package bring."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from trainables.presets import PRESETS, configure, preset
from trainables.settings import (
    ExperimentSettings,
    Settings,
    SettingsError,
    flat,
    parse_assignment,
    setting_names,
    validated,
    with_values,
)
from trainables.tasks.vspp import VSPP


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("auxskd.teacher_temperature", 0, "greater than 0"),
        ("auxskd.student_temperature", -0.02, "greater than 0"),
        ("auxskd.teacher_temperature", math.nan, "auxskd.teacher_temperature = nan"),
        ("auxskd.teacher_temperature", math.inf, "finite"),
        ("auxskd.teacher_temperature", "warm", "valid number"),
        ("auxskd.teacher_momentum", 1, "less than 1"),
        ("auxskd.memory_bank", 0, "greater than or equal to 1"),
        ("auxskd.predictor_layers", 4, "2 or 3"),
        ("vspp.speeds", 0, "greater than or equal to 1"),
        ("vspp.segments", 0, "greater than or equal to 1"),
        ("vspp.segments", 2.5, "integer"),
        ("vspp.segments", 17, "vspp.segments = 17 is larger than the clip, video.clip_frames = 16"),
        ("video.crop", 4000, "crop = 4000 does not fit into"),
        ("video.clip_frames", 1, "greater than or equal to 2"),
        ("finetune.epochs", 0, "greater than or equal to 1"),
        ("finetune.epochs", True, "integer"),
        ("finetune.batch_size", 1, "greater than or equal to 2"),
        ("pretext.learning_rate", 0, "greater than 0"),
        ("pretext.warmup_epochs", 20.5, "pretext: warmup_epochs = 20.5 is longer than the training: at most epochs = 4"),
        ("student.warmup_epochs", -1, "greater than or equal to 0"),
        ("auxskd.clip_gradient", 0, "greater than 0"),
        ("pretext.task", "jigsaw", "unknown task 'jigsaw'; valid: vspp, video_pace, vcop, rspnet, "),
        ("pretext.task", "vpsp", "unknown task 'vpsp'; did you mean 'vspp'?; valid: vspp"),
        ("pretext.task", "sorting", "a task of graph distillation's teachers; valid: vspp, video_pace, vcop, rspnet, or "),
        ("pretext.task", "nowhere:Task", "task nowhere:Task: nowhere cannot be imported"),
        ("backbone.family", "r4d", "unknown backbone 'r4d'; did you mean"),
        ("pretext.schedule", "linear", "'step' or 'cosine'"),
        ("video_pace.speeds", 1, "greater than or equal to 2"),
        ("vcop.clips", 5, "2, 3 or 4"),
        ("vcop.interval", -1, "greater than or equal to 0"),
        ("vcop.dropout", 1.0, "less than 1"),
        ("rspnet.speed", 1, "greater than or equal to 2"),
        ("rspnet.temperature", 0, "greater than 0"),
        ("augmentation.crop_area", [0.4, 1.5], "less than or equal to 1"),
        ("augmentation.crop_area", [0.4], "field required"),
        ("augmentation.grey_probability", -0.1, "greater than or equal to 0"),
        ("finetune.frozen_layers", -1, "greater than or equal to 0"),
        ("frozen.clips", 0, "greater than or equal to 1"),
        ("protocol", "theirs", "'like_for_like' or 'published'"),
        ("augmentation.flip_probability", 1.1, "less than or equal to 1"),
        ("backbone.depth", 50, "10, 18 or 34"),
        ("data.embedded.classes", 5, "greater than or equal to 6"),
        ("data.validation_fraction", 0, "greater than 0"),
        (
            "recipe",
            "everything",
            "'scratch', 'imported', 'pretext', 'auxskd_pretext', 'fusion', 'ensemble', 'student' or 'distillation'",
        ),
        ("compute.precision", "float8", "'float32' or 'bfloat16'"),
        ("data.pretraining_share", 0, "greater than 0"),
        ("data.pretraining_share", 1.1, "less than or equal to 1"),
        ("graph.imitation_weight", -0.1, "greater than or equal to 0"),
        ("graph.imitation_weight", 1.2, "less than or equal to 1"),
        ("graph.imitation_weight", math.nan, "graph.imitation_weight = nan"),
        ("graph.sorting_temperature", 0, "greater than 0"),
        ("graph.bandwidth", 0, "'median'"),
        ("graph.edges", "gate", "'uniform', 'learned', 'learned_global' or 'gain'"),
        ("graph.student_layer", 6, "less than or equal to 5"),
        ("graph.sample_cost", -0.1, "greater than or equal to 0"),
        ("graph.sample_cost_of", "video", "'clip' or 'label'"),
        ("graph.ground", "cosine", "'zero_one' or 'prototypes'"),
        ("graph.gain_sign", 1, "'imitated_well' or 'imitated_badly'"),
        ("graph.targets", "mix", "'own' or 'mixed'"),
        ("graph.mixing", 1.5, "less than or equal to 1"),
        ("graph.kd", "hinton2015", "'hinton' or 'one_sided'"),
        ("graph.edge_units", 0, "greater than or equal to 1"),
        ("student.batch_size", 1, "greater than or equal to 2"),
        ("student.initialisation", "places", "'random' or 'imagenet'"),
        ("teacher_finetune.transferred_layers", -1, "greater than or equal to 0"),
        ("views.views", 0, "greater than or equal to 1"),
        ("sorting.frames", 2, "3, 4 or 5"),
        ("tracking.patch", 1.5, "less than or equal to 1"),
        ("tracking.least_motion", 0, "greater than 0"),
        ("teachers.tasks", "sorting+jigsaw", "'jigsaw' is none of sorting, ego_motion, tracking, prediction, or "),
        ("teachers.tasks", "sorting+trackin", "'trackin' is none of sorting"),
        ("teachers.tasks", "", "'' is none of sorting"),
        ("teachers.tasks", "sorting+tracking+sorting", "two teachers are the same"),
        ("prednet.targets", [4, 8, 8, 8], "the first targets are the 3 channels of a frame"),
        ("prednet.representations", [8, 8], "as many of each"),
    ],
)
def test_a_bad_value_is_named_and_what_is_valid_is_said(name: str, value: Any, says: str) -> None:
    with pytest.raises(SettingsError) as error:
        with_values(preset("demo"), {name: value})
    assert says in str(error.value)
    assert name.rpartition(".")[2] in str(error.value)


def test_two_bad_values_are_both_named() -> None:
    with pytest.raises(SettingsError) as error:
        with_values(preset("demo"), {"finetune.epochs": 0, "vspp.speeds": -1})
    assert "finetune.epochs = 0" in str(error.value)
    assert "vspp.speeds = -1" in str(error.value)


def test_an_unknown_setting_names_the_one_that_may_be_meant_and_where_all_are_shown() -> None:
    with pytest.raises(SettingsError) as error:
        with_values(preset("demo"), {"auxskd.temperature": 1})
    assert "unknown setting 'auxskd.temperature'; did you mean 'auxskd.teacher_temperature'?" in str(error.value)
    assert "--settings auxskd shows" in str(error.value)
    with pytest.raises(SettingsError, match=r"unknown setting 'xyz' \(sweep\.py --settings shows"):
        with_values(preset("demo"), {"xyz": 1})
    with pytest.raises(SettingsError, match="'auxskd' is a group of settings"):
        with_values(preset("demo"), {"auxskd": {}})


def test_an_unknown_preset_lists_the_valid_ones() -> None:
    with pytest.raises(SettingsError, match="unknown preset 'tiny'; valid presets: demo, small, paper"):
        preset("tiny")


def test_settings_that_contradict_each_other() -> None:
    nothing_to_learn: list[dict[str, Any]] = [
        {"vspp.speed_weight": 0.0, "vspp.segment_weight": 0.0},
        {"vspp.speed_weight": 0.0, "vspp.segments": 1},
        {"vspp.segment_weight": 0.0, "vspp.speeds": 1},
        {"vspp.segments": 1, "vspp.speeds": 1},
        {"rspnet.appearance_weight": 0.0, "rspnet.speed_weight": 0.0},
    ]
    for values in nothing_to_learn:
        with pytest.raises(SettingsError, match="nothing to learn"):
            with_values(preset("demo"), values)
    with pytest.raises(SettingsError, match="distinct needs"):
        with_values(preset("demo"), {"auxskd.views": "distinct", "vspp.speeds": 1})
    for task in ("vcop", "rspnet"):
        with pytest.raises(SettingsError, match=f"distinct: {task} has no speeds"):
            with_values(preset("demo"), {"auxskd.views": "distinct", "pretext.task": task})
    assert with_values(preset("demo"), {"auxskd.views": "distinct", "pretext.task": "video_pace", "vspp.speeds": 1})
    for name, value in (("video.clip_frames", 4), ("video.crop", 15)):
        with pytest.raises(SettingsError, match="c3d needs clips of 8 frames and 16 pixels"):
            with_values(preset("demo"), {"backbone.family": "c3d", name: value})


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"teachers.tasks": "tracking"}, "teachers.tasks = tracking: the representation graph pairs teachers, so it needs two"),
        (
            {"graph.targets": "mixed", "graph.edges": "learned"},
            "these edges end at the student, and into teachers nothing flows; valid edges: gain, learned_global, uniform",
        ),
        ({"graph.logits": "none", "graph.representation": "none"}, "both none: nothing is distilled; use recipe student"),
        ({"student.clips_per_video": 2}, "student.clips_per_video = 2: an epoch sees one view of each video"),
        ({"frames.per_clip": 99}, "frames.per_clip = 99 is more than video.clip_frames"),
        ({"views.prednet_layer": 5}, "views.prednet_layer = 5: prednet.targets gives PredNet 4 layers"),
        (
            {"teachers.tasks": "sorting+tracking+prediction", "graph.vertex_temperature": [1.0, 2.0]},
            "graph.vertex_temperature has 2 values, and the 3 teachers give 3 vertices: one number for all, or one for each of "
            "sorting+tracking, sorting+prediction, tracking+prediction",
        ),
        (
            {"graph.representation": "single", "graph.representation_edge_temperature": [1.0] * 6},
            "6 values, and the 4 teachers give 4 vertices: one number for all, or one for each of sorting, ego_motion",
        ),
        ({"evaluation.measures": ["retrieval"]}, "recipe distillation has no retrieval; valid: finetune, compression"),
        ({"recipe": "pretext", "evaluation.measures": ["compression"]}, "compression is of the recipes fusion, ensemble"),
    ],
)
def test_graph_distillation_s_settings_that_contradict_each_other(values: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as error:
        configure("demo", {"recipe": "distillation", **values})
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (0, "graph.vertex_temperature = 0: input should be greater than 0"),
        ([], "graph.vertex_temperature = []: tuple should have at least 1 item after validation, not 0"),
        ([1.0, 0.0], "graph.vertex_temperature.1 = 0.0: input should be greater than 0"),
    ],
)
def test_a_number_or_a_list_is_told_what_is_wrong_with_it_alone(value: Any, says: str) -> None:
    with pytest.raises(SettingsError) as error:
        configure("demo", {"recipe": "distillation", "graph.vertex_temperature": value})
    assert str(error.value) == says


def test_what_is_wrong_with_two_settings_of_a_group_is_told_of_both() -> None:
    with pytest.raises(SettingsError, match=r"vgg\.cells = 0: .*\nvgg\.hidden = 'many': .*valid integer"):
        configure("demo", {"vgg.cells": 0, "vgg.hidden": "many"})


def test_what_graph_distillation_forbids_is_allowed_where_it_does_not_matter() -> None:
    """One teacher without pairs of teachers; several clips of a video with live teachers; a layer of a PredNet that is not
    there; and nothing of all that in the recipes of the other paper."""
    one = {"recipe": "distillation", "teachers.tasks": "tracking"}
    for values in (
        {**one, "graph.representation": "single"},
        {**one, "graph.representation": "none", "views.prednet_layer": 9},
        {**one, "graph.representation": "none", "graph.vertex_temperature": [1.0, 2.0]},
        {"recipe": "distillation", "graph.vertex_temperature": [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]},
        {"recipe": "distillation", "student.clips_per_video": 2, "teachers.outputs": "live"},
        {"recipe": "student", "student.clips_per_video": 2, "teachers.tasks": "tracking"},
        {"recipe": "pretext", "frames.per_clip": 99, "student.clips_per_video": 2, "teachers.tasks": "tracking"},
    ):
        assert configure("demo", values)


@pytest.mark.parametrize("measures", [[], ["finetune", "finetune"], ["knn"], "finetune"])
def test_measures_are_different_ones_that_exist(measures: Any) -> None:
    with pytest.raises(SettingsError, match=r"evaluation.*measures"):
        with_values(preset("demo"), {"evaluation.measures": measures})


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("auxskd.teacher_temperature=0.05", "auxskd.teacher_temperature", 0.05),
        ("pretext.learning_rate=1e-3", "pretext.learning_rate", 1e-3),
        ("pretext.learning_rate=1e20", "pretext.learning_rate", 1e20),
        (" recipe=scratch", "recipe", "scratch"),
        ("finetune.epochs=3", "finetune.epochs", 3),
        ("data.pretraining=a=b", "data.pretraining", "a=b"),
    ],
)
def test_assignments(text: str, name: str, value: Any) -> None:
    assert parse_assignment(text) == (name, value)
    assert type(parse_assignment(text)[1]) is type(value)


@pytest.mark.parametrize("text", ["finetune.epochs", "=3", "finetune.epochs=[1", ""])
def test_unreadable_assignments(text: str) -> None:
    with pytest.raises(SettingsError, match="--set"):
        parse_assignment(text)


def test_a_value_runs_no_code() -> None:
    with pytest.raises(SettingsError):
        parse_assignment("recipe=!!python/object/apply:os.getcwd []")


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_are_valid_and_complete(name: str) -> None:
    settings = preset(name)
    assert validated(settings.model_dump()) == settings
    assert sorted(flat(settings)) == sorted(setting_names())
    assert len(set(setting_names())) == len(setting_names())


def test_presets_keep_the_paper_s_task() -> None:
    """A preset changes sizes, learning rates and the strength of augmentation, not what is computed; but sorting and prediction
    have forms that networks so small can learn, and auxSKD the released temperature."""
    sizes = ("data.embedded", "data.labelled_share", "video.", "augmentation.", "backbone.", "evaluation.clips", "frozen.clips")
    training = ("epochs", "batch_size", "learning_rate", "clips_per_video", "memory_bank", "projection", "predictor_hidden")
    training += ("optimiser", "weight_decay", "ego_motion.decay", "sorting.pair_units")
    training += ("teacher_momentum", "key_momentum", "step_epochs", "checkpoints", "head_width")
    sizes += ("vgg.", "prednet.", "alexnet.", "frames.", "views.", "tracking.frames", "tracking.tracks_per_video")
    sizes += ("sorting.frames", "sorting.spacing", "sorting.crop_jitter", "ego_motion.close_frames", "ego_motion.top_channels")
    training += ("dropout", "units", "validation_clips", "graph.sketch")
    learnable = ("sorting.channel_splitting", "sorting.pair", "sorting.layers", "sorting.tuples", "prediction.stride")
    learnable += ("auxskd.student_temperature",)
    sizes += ("compute.cudnn_benchmark",)  # the shapes are worth it
    paper = flat(preset("paper"))
    for name in ("demo", "small"):
        other = flat(preset(name))
        changed = [key for key in paper if paper[key] != other[key]]
        assert [key for key in changed if not key.startswith(sizes) and not key.endswith((*training, *learnable))] == []


def test_preset_paper_is_the_paper_s_text() -> None:
    """Secs. 3.1, 3.2, 4.1 and 4.2 of the auxSKD paper."""
    values = flat(preset("paper"))
    expected = {
        "video.clip_frames": 16,
        "video.height": 128,
        "video.width": 171,
        "video.crop": 112,
        "backbone.depth": 18,
        "backbone.width": 64,
        "vspp.segments": 4,
        "vspp.speeds": 4,
        "vspp.segment_frames": "exact",
        "auxskd.memory_bank": 16384,
        "auxskd.teacher_momentum": 0.999,
        "auxskd.teacher_temperature": 0.02,
        "auxskd.student_temperature": 0.02,
        "auxskd.projection": 128,
        "auxskd.predictor_hidden": 1024,
        "auxskd.predictor_layers": 3,
        "auxskd.views": "independent",
        "vspp.speed_weight": 1.0,
        "vspp.segment_weight": 1.0,
        "finetune.epochs": 25,
        "finetune.learning_rate": 3e-3,
        "evaluation.clips": 10,
        "evaluation.average": "softmax",
        "augmentation.jitter_per": "frame",
    }
    for stage in ("auxskd", "pretext"):
        expected |= {f"{stage}.epochs": 20, f"{stage}.learning_rate": 1e-3}
    for stage in ("auxskd", "pretext", "finetune"):
        expected |= {f"{stage}.batch_size": 30, f"{stage}.momentum": 0.9, f"{stage}.weight_decay": 5e-4}
        expected |= {f"{stage}.step_epochs": 6, f"{stage}.decay": 0.1}
    assert {name: values[name] for name in expected} == expected


def test_preset_paper_is_the_graph_distillation_paper_s_text() -> None:
    """Secs. 3, 4.2, 5.1, 5.2 and 5.5, where they give a number or a name; frames in the sizes of its networks."""
    values = flat(configure("paper", {"recipe": "distillation"}))
    expected = {
        "teachers.tasks": "sorting+ego_motion+tracking+prediction",
        "vgg.channels": [96, 128, 256, 512, 512],
        "vgg.convolutions": [2, 2, 4, 4, 4],
        "vgg.conv1_filter": 11,
        "alexnet.channels": [64, 192, 384, 256, 256],
        "prednet.representations": [3, 48, 96, 256],
        "ego_motion.objective": "closeness",
        "student.epochs": 350,
        "student.optimiser": "adam",
        "student.momentum": 0.9,
        "student.batch_size": 128,
        "student.learning_rate": 0.01,
        "student.schedule": "step",
        "student.step_epochs": 50,
        "student.decay": 0.5,
        "graph.imitation_weight": 0.6,
        "graph.logits": "graph",
        "graph.representation": "graph",
        "graph.distance": "em",
        "graph.student_layer": 4,
        "video.crop": 224,
        "evaluation.measures": ["finetune"],
    }
    assert {name: values[name] for name in expected} == expected


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "recipe": st.sampled_from(["scratch", "pretext", "auxskd_pretext"]),
        "auxskd.teacher_temperature": st.floats(1e-6, 1e6),
        "auxskd.epochs": st.integers(1, 1000),
        "vspp.segments": st.integers(1, 16),
        "finetune.dropout": st.floats(0, 1, exclude_max=True),
        "finetune.keep": st.sampled_from(["last", "best"]),
        "data.embedded.seed": st.integers(0, 2**31 - 1),
        "data.pretraining": st.text(st.characters(codec="utf-8", exclude_characters="+"), min_size=1, max_size=10),
        "data.downstream": st.sampled_from(["ucf101", "ucf101+hmdb51", "a+b+c"]),
        "evaluation.measures": st.sampled_from([["finetune"], ["retrieval", "finetune"]]),
        "augmentation.crop_area": st.sampled_from([None, [0.4, 1.0]]),
        "backbone.depth": st.sampled_from([10, 18, 34]),
    },
)


@given(st.sampled_from(sorted(PRESETS)), CHANGES)
def test_values_survive_the_round_trip(name: str, changes: dict[str, Any]) -> None:
    before = preset(name)
    after = with_values(before, changes)
    assert flat(after) == flat(before) | changes
    assert with_values(before, flat(after)) == after
    assert ExperimentSettings.model_validate_json(after.model_dump_json()) == after
    assert with_values(after, flat(before)) == before


@given(st.floats(1e-12, 1e12))
def test_a_number_typed_after_set_is_that_number(number: float) -> None:
    assert parse_assignment(f"a.b={number!r}") == ("a.b", number)
    assert yaml.safe_load(str(parse_assignment(f"a.b={int(number)}")[1])) == int(number)


class TiltSettings(Settings):
    """Of a task that is not in the package."""

    degrees: int = Field(10, ge=1, le=45)


class Tilt(VSPP):
    name = "tilt"
    settings_model = TiltSettings


class Lean(VSPP):
    """Another one, without settings of its own."""


TILT, LEAN = f"{__name__}:Tilt", f"{__name__}:Lean"


def test_a_task_from_outside_brings_its_group_of_settings(tiny: ExperimentSettings) -> None:
    """It has its place among the names, in the record and in what a user sets, like a group of the package's own."""
    settings = with_values(tiny, {"pretext.task": TILT})
    assert settings.tilt == TiltSettings()
    assert flat(settings) == flat(tiny) | {"pretext.task": TILT, "tilt.degrees": 10}
    assert setting_names(settings) == [*setting_names(), "tilt.degrees"]
    steeper = with_values(settings, {"tilt.degrees": 30})
    assert flat(steeper)["tilt.degrees"] == 30
    assert with_values(tiny, {"pretext.task": TILT, "tilt.degrees": 30}) == steeper, "at once, in any order"
    assert with_values(tiny, {"tilt.degrees": 30, "pretext.task": TILT}) == steeper
    assert validated(steeper.model_dump()) == steeper
    assert ExperimentSettings.model_validate_json(steeper.model_dump_json()) == steeper
    assert flat(with_values(steeper, {"finetune.epochs": 9}))["tilt.degrees"] == 30, "kept while something else is set"


def test_with_another_task_its_group_goes(tiny: ExperimentSettings) -> None:
    settings = with_values(tiny, {"pretext.task": TILT, "tilt.degrees": 30})
    for other in ("vspp", LEAN):
        left = with_values(settings, {"pretext.task": other})
        assert flat(left) == flat(tiny) | {"pretext.task": other}
        assert left == with_values(tiny, {"pretext.task": other})
    with pytest.raises(SettingsError, match=r"unknown setting 'tilt\.degrees'"):
        with_values(settings, {"pretext.task": "vspp", "tilt.degrees": 20})


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"tilt.degrees": 46}, r"tilt\.degrees = 46: input should be less than or equal to 45"),
        ({"tilt.degree": 20}, r"unknown setting 'tilt\.degree'.*tilt\.degrees"),
        ({"tilt": 20}, r"'tilt' is a group of settings"),
    ],
)
def test_a_bad_value_in_a_group_from_outside_is_named(tiny: ExperimentSettings, values: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        with_values(tiny, {"pretext.task": TILT, **values})


def test_groups_that_no_task_brings_are_refused(tiny: ExperimentSettings) -> None:
    """In settings as nested data, as a record on disk has them."""
    with pytest.raises(SettingsError, match="unknown group of settings 'tilt'"):
        validated({"tilt": {"degrees": 20}})
    with pytest.raises(SettingsError, match="unknown group of settings 'finetunes'; did you mean 'finetune'"):
        validated({"finetunes": {}})
    with pytest.raises(SettingsError, match=r"tilt\.degree"):
        validated({"pretext": {"task": TILT}, "tilt": {"degree": 20}})

"""A stage's key holds what the stage reads and nothing else; and what that makes of some settings, seeds and data."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from trainables.data import open_data
from trainables.models import BACKBONE
from trainables.pipeline import Experiment, Result, Stage, resolve, run_experiment
from trainables.runtime import Runtime
from trainables.settings import (
    PRETEXT_TASKS,
    TEACHER_TASKS,
    ExperimentSettings,
    Readable,
    UndeclaredSetting,
    setting_names,
    with_values,
)
from trainables.stages import (
    auxskd,
    compression,
    ensemble,
    evaluate,
    features,
    finetune,
    fusion,
    imported,
    linear_probe,
    retrieval,
    self_supervised,
    student,
    teacher_classifier,
    tracks,
    view_bank,
)
from trainables.stages.kind import Kind
from trainables.tasks import find_task
from trainables.tasks.vspp import VSPP
from trainables.video.videos import VideoSet

Data = dict[str, VideoSet]
FINETUNED = {"finetune", "evaluate"}
FROZEN = {"features", "linear_probe", "retrieval"}
KINDS = {"auxskd", "pretext"} | FINETUNED | FROZEN
TAUGHT = {"student", "evaluate_student"}


class Ran(Protocol):
    """Experiments that ran (conftest.py)."""

    results: dict[str, Result]
    stages: list[tuple[Stage, Readable]]


def all_kinds() -> list[Kind]:
    """Every kind of stage of both papers, those of every task of the package."""
    pretext_tasks = tuple(map(find_task, PRETEXT_TASKS))
    teachers = tuple(map(find_task, TEACHER_TASKS))
    of_task = (self_supervised.kind_of, teacher_classifier.kind_of, view_bank.kind_of)
    single = (finetune, evaluate, features, linear_probe, retrieval, tracks, fusion, ensemble, compression)
    return [
        *(kind_of(task) for task in pretext_tasks for kind_of in (auxskd.kind_of, self_supervised.kind_of)),
        *(kind_of(task) for task in teachers for kind_of in of_task),
        *(module.KIND for module in single),
        *map(imported.kind_of, (BACKBONE, "vgg", "prednet")),
        imported.KIND_OF_CLASSIFIER,
        evaluate.KIND_OF_STUDENT,
        student.kind_of(),
        student.KIND_OF_SELFFER,
        *map(teacher_classifier.kind_from_scratch, ("vgg", "prednet")),
        *(student.kind_of(teachers, live) for live in (False, True)),
    ]


def unread(stage: Stage, name: str) -> str | None:
    """Why a setting is in a stage's key though nothing of the stage read it; None: for no reason."""
    if name in ("plugged_in", "weights", "device"):
        return "no setting, but what the stage is made of"
    if name == "pretext.task":
        return "says which class the stage is made of, and was read for that"
    if name.endswith(".checkpoint"):
        return "says which file of an input is read: work.checkpoints"
    if stage.kind == "tracking" and name in stage.inputs["tracks"].settings:
        return "read where tracks are mined, whose key is in this one"
    if name == "auxskd.views" and stage.settings["pretext.task"] in ("vcop", "rspnet"):
        return "has one valid value with this task"
    if name == "augmentation.flip_probability" and stage.settings.get("ego_motion.objective") == "transform":
        return "not mirrored, as that would turn a shift around; the others of the group count"
    return None


def test_stages_of_every_kind_read_what_is_in_their_keys(variety: Ran) -> None:
    """Every kind of both papers ran with settings that raise where a stage reads what its key does not hold; here the other
    direction: whatever is in the key of a stage was read by it."""
    ran = {id(stage.declared) for stage, _ in variety.stages}
    assert [kind.name for kind in all_kinds() if id(kind) not in ran] == []
    superfluous = {
        (stage.kind, name)
        for stage, readable in variety.stages
        for name in stage.settings.keys() - readable.read
        if unread(stage, name) is None
    }
    assert superfluous == set()


def test_no_setting_is_without_a_stage_that_reads_it(variety: Ran) -> None:
    """But those that say which data and stages there are."""
    of_recipe = {"recipe", "protocol", "pretext.task", "teachers.tasks", "teachers.outputs", "evaluation.measures"}
    of_recipe |= {"teacher_finetune.transferred_from"}
    read = set().union(*(readable.read for _, readable in variety.stages))
    others = {name for name in setting_names() if not name.startswith("data.") and not name.endswith(".checkpoint")}
    assert others - read == of_recipe


class Forgetful(VSPP):
    """VSPP that does not declare the weight of its loss."""

    @classmethod
    def reads(cls, settings: ExperimentSettings) -> tuple[str, ...]:
        return tuple(name for name in super().reads(settings) if name != "vspp.speed_weight")


def test_a_task_that_reads_what_it_has_not_declared_is_stopped(
    tiny: ExperimentSettings, data: Data, runtime: Callable[..., Runtime]
) -> None:
    """Two weights would share one pretraining. The message says what was read, and where to declare it."""
    settings = with_values(tiny, {"recipe": "pretext", "pretext.task": f"{__name__}:Forgetful"})
    other = with_values(settings, {"vspp.speed_weight": 0.5})
    assert keys(settings, data) == keys(other, data)
    place = runtime()
    says = (
        r"^the stage pretext reads vspp\.speed_weight, which is not in its key: .* share one artifact\. Declare it in `reads` "
        rf"of {__name__}\.Forgetful, or in trainables/stages/self_supervised\.py$"
    )
    with pytest.raises(UndeclaredSetting, match=says):
        run_experiment(Experiment(settings, 0), place, ignore)
    assert not list(place.store.glob("*/*/done.json"))


def test_a_stage_that_reads_what_it_has_not_declared_is_stopped(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = finetune.KIND.reads
    forgetful = replace(
        finetune.KIND, reads=lambda settings: tuple(name for name in declared(settings) if name != "finetune.dropout")
    )
    monkeypatch.setattr(finetune, "KIND", forgetful)
    settings = with_values(tiny, {"recipe": "scratch", "evaluation.measures": ["finetune"]})
    says = r"^the stage finetune reads finetune\.dropout, which .* Declare it in trainables\.stages\.finetune$"
    with pytest.raises(UndeclaredSetting, match=says):
        run_experiment(Experiment(settings, 0), runtime(), ignore)


def ignore(line: dict[str, Any]) -> None:
    pass


@pytest.fixture(scope="module")
def data(tiny: ExperimentSettings, clips: Path) -> Data:
    return open_data(tiny.data, Runtime(store=clips, cache=clips))


def keys(
    settings: ExperimentSettings, data: Mapping[str, VideoSet], seed: int = 0, device: str = "", **weights: str
) -> dict[str, str]:
    return {stage.name: stage.key for stage in resolve(Experiment(settings, seed), data, weights, device)}


def differing(before: dict[str, str], after: dict[str, str]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("video.pixels", "bgr_255", KINDS),
        ("vspp.speeds", 3, KINDS),  # also how auxSKD's views are drawn
        ("vspp.speed_weight", 0.5, KINDS - {"auxskd"}),
        ("auxskd.teacher_momentum", 0.5, KINDS),
        ("pretext.epochs", 3, KINDS - {"auxskd"}),
        ("pretext.warmup_epochs", 0.5, KINDS - {"auxskd"}),
        ("auxskd.clip_gradient", 1.0, KINDS),
        ("finetune.dropout", 0.5, FINETUNED),
        ("frozen.clips", 3, FROZEN),
        ("evaluation.clips", 3, {"evaluate"}),
        ("compute.accumulation", 2, KINDS),
        ("evaluation.measures", ["retrieval", "linear_probe", "finetune"], set()),
        ("rspnet.margin", 1.0, set()),
        ("graph.sketch", 9, set()),
    ],
)
def test_what_a_setting_changes(tiny: ExperimentSettings, data: Data, name: str, value: Any, expected: set[str]) -> None:
    assert differing(keys(tiny, data), keys(with_values(tiny, {name: value}), data)) == expected


def of_teachers(*tasks: str, begin: int = 0) -> set[str]:
    """Stages of teachers from pretraining (0), finetuning (1) or answers (2) on, and of the student."""
    chain = ("", "_classifier", "_views")
    return {f"{task}{stage}" for task in tasks for stage in chain[begin:]} | TAUGHT


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("sorting.pair_units", 9, of_teachers("sorting")),
        ("vgg.hidden", 9, of_teachers("sorting", "ego_motion")),
        ("teacher_finetune.epochs", 2, of_teachers("sorting", "ego_motion", "prediction", begin=1)),
        ("frames.per_clip", 2, of_teachers("sorting", "ego_motion", begin=1)),
        ("views.vgg_layer", 4, of_teachers("sorting", "ego_motion", begin=2)),
        ("views.prednet_layer", 1, of_teachers("prediction", begin=2)),
        ("student.epochs", 4, TAUGHT),
        ("prediction.clip_gradient", 1.0, of_teachers("prediction")),
        ("teacher_finetune.warmup_epochs", 1.0, of_teachers("sorting", "ego_motion", "prediction", begin=1)),
        ("finetune.warmup_epochs", 1.0, set()),
        ("graph.sketch", 9, TAUGHT),
        ("graph.vertex_norm", "location", TAUGHT),
        ("graph.representation_share", 0.9, TAUGHT),
        ("graph.student_map", "normalised", TAUGHT),
        ("graph.vertex_temperature", [0.1, 0.2, 0.3], TAUGHT),
        ("graph.sorting_temperature", 3.0, TAUGHT),
        ("evaluation.average", "logits", {"evaluate_student"}),
        ("ego_motion.close_frames", 3, of_teachers("ego_motion")),
        ("ego_motion.margin", 2.0, set()),  # of another objective
        ("ego_motion.bins", 3, set()),
        ("graph.tracking_temperature", 3.0, set()),  # of a teacher that is not there
        ("graph.prior_weight", 1.0, set()),  # of other edges
        ("graph.sinkhorn_regularisation", 0.1, set()),  # of another distance
        ("vspp.speeds", 3, set()),
        ("finetune.epochs", 3, set()),
    ],
)
def test_what_a_setting_changes_of_graph_distillation(
    tiny_graph: ExperimentSettings, data: Data, name: str, value: Any, expected: set[str]
) -> None:
    """With the teachers sorting, ego_motion and prediction."""
    settings = with_values(tiny_graph, {"teachers.tasks": "sorting+ego_motion+prediction"})
    assert differing(keys(settings, data), keys(with_values(settings, {name: value}), data)) == expected


def test_a_clip_s_length_reaches_a_task_of_frames_only_where_their_pixels_need_it(
    tiny_graph: ExperimentSettings, data: Data
) -> None:
    settings = with_values(tiny_graph, {"recipe": "fusion", "teachers.tasks": "sorting"})
    for pixels, expected in (("rgb_unit", set[str]()), ("rgb_motion", {"sorting"})):
        short, long = (
            keys(with_values(settings, {"video.pixels": pixels, "video.clip_frames": frames}), data) for frames in (8, 9)
        )
        assert differing(short, long) - {"sorting_classifier", "sorting_views", "fusion"} == expected, pixels


@pytest.mark.parametrize("of", ["tiny", "tiny_graph"])
def test_what_is_off_is_in_no_key(request: pytest.FixtureRequest, data: Data, of: str) -> None:
    """So that artifacts of before there was such a setting still count; what is on is there."""
    settings = request.getfixturevalue(of)
    groups = ("auxskd", "pretext", "finetune", *TEACHER_TASKS, "teacher_finetune", "student")
    on = with_values(settings, {f"{group}.warmup_epochs": 0.5 for group in groups})

    def found(settings: ExperimentSettings) -> set[str]:
        return {name for stage in resolve(Experiment(settings, 0), data) for name in stage.settings if "warmup" in name}

    assert found(settings) == set()
    expected = groups[:3] if of == "tiny" else groups[3:]
    assert found(on) == {f"{group}.warmup_epochs" for group in expected}


@pytest.mark.parametrize(("name", "value"), [("data.verify", "packets"), ("data.cache_format", "jpeg")])
def test_how_videos_are_read_is_in_the_keys_of_what_reads_them(
    tiny: ExperimentSettings, data: Data, name: str, value: str
) -> None:
    """Counted packets may be more than sound frames are, and JPEG images show other pixels."""
    before, after = (resolve(Experiment(with_values(tiny, values), 0), data) for values in ({}, {name: value}))
    assert not any(name in stage.settings for stage in before)
    assert [one.key != other.key for one, other in zip(before, after, strict=True)] == [True] * len(before)


def test_the_collapse_guard_is_in_the_keys_of_training_stages_where_it_is_off(tiny: ExperimentSettings, data: Data) -> None:
    """It changes no number of what it lets pass, so that it is in no key where it is on."""
    stages = resolve(Experiment(with_values(tiny, {"compute.guard": "off"}), 0), data)
    assert {stage.kind for stage in stages if "compute.guard" in stage.settings} == {"auxskd", "pretext", "finetune"}
    assert not any("compute.guard" in stage.settings for stage in resolve(Experiment(tiny, 0), data))


@pytest.mark.parametrize("of", ["tiny", "tiny_graph"])
def test_what_a_gpu_computes_with_is_in_the_keys_of_networks_alone(request: pytest.FixtureRequest, data: Data, of: str) -> None:
    """As torch has it by default it is in no key, so that what was computed before there were such settings still counts; and
    never which kernels cuDNN tries, which preset `paper` has otherwise."""
    settings = request.getfixturevalue(of)
    before = keys(settings, data)
    stages = resolve(Experiment(settings, 0), data)
    networks = {stage.name for stage in stages if "compute.precision" in stage.settings}
    trained = {stage.name for stage in stages if stage.declared.schedule is not None}
    assert trained < networks < set(before) | {"evaluate_student"}
    for changes, expected in (
        ({"compute.cudnn_benchmark": True}, set[str]()),
        ({"compute.tf32": "all"}, networks),
        ({"compute.deterministic": True}, networks),
        ({"compute.fused": True}, trained),
    ):
        asked = with_values(settings, changes)
        assert {stage.name for stage in resolve(Experiment(asked, 0), data) if changes.keys() & set(stage.settings)} == expected
        inherited = {stage.name for stage in stages if expected & {source.name for source in stage.upstream()}}
        assert differing(before, keys(asked, data)) == inherited, changes
    compiled = with_values(settings, {"compute.compile": True})
    graphs = with_values(compiled, {"compute.cuda_graphs": True})
    assert networks <= differing(keys(compiled, data), keys(graphs, data))


def test_a_cosine_schedule_knows_no_steps(tiny: ExperimentSettings, data: Data) -> None:
    for schedule, expected in (("step", FINETUNED), ("cosine", set[str]())):
        settings = with_values(tiny, {"finetune.schedule": schedule})
        for name, value in (("finetune.decay", 0.5), ("finetune.step_epochs", 9)):
            assert differing(keys(settings, data), keys(with_values(settings, {name: value}), data)) == expected


def test_tracks_depend_on_how_they_are_mined_only(tiny_graph: ExperimentSettings, data: Data) -> None:
    settings = with_values(tiny_graph, {"recipe": "fusion", "teachers.tasks": "tracking"})
    trained = {"tracking", "tracking_classifier", "tracking_views", "fusion"}
    for name, value, mined in (
        ("tracking.least_motion", 0.5, True),
        ("video.width", 20, True),
        ("tracking.units", 9, False),
        ("video.crop", 10, False),
        ("augmentation.flip_probability", 0.0, False),
    ):
        found = differing(keys(settings, data), keys(with_values(settings, {name: value}), data))
        assert found == (trained | {"tracks"} if mined else trained), name


def test_tasks_share_nothing_but_stay_apart(tiny: ExperimentSettings, data: Data) -> None:
    """auxSKD's views come from the task, so its key does too. One from elsewhere is not the task whose name it bears, nor is
    it the same in another version."""
    names = ("vspp", "video_pace", "vcop", "rspnet", f"{__name__}:Forgetful", f"{__name__}:Later")
    found = [keys(with_values(tiny, {"pretext.task": task}), data) for task in names]
    assert len({key for one in found for key in one.values()}) == len(names) * len(KINDS)


class Later(Forgetful):
    """Another class of the same settings."""


def test_a_task_s_version_is_in_its_keys(tiny: ExperimentSettings, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one from outside the package."""
    settings = with_values(tiny, {"pretext.task": f"{__name__}:Later"})
    before = keys(settings, data)
    later = type("Later", (Forgetful,), {"__module__": __name__, "version": 2})
    monkeypatch.setattr(sys.modules[__name__], "Later", later)
    assert differing(before, keys(settings, data)) == KINDS


def test_the_order_in_which_teachers_are_named_is_none(tiny_graph: ExperimentSettings, data: Data) -> None:
    one, other = (with_values(tiny_graph, {"teachers.tasks": tasks}) for tasks in ("tracking+sorting", "sorting+tracking"))
    assert keys(one, data) == keys(other, data)


@pytest.mark.parametrize(
    ("stage", "consumers"),
    [("auxskd", KINDS - {"auxskd"}), ("pretext", FINETUNED | FROZEN)],
)
def test_a_checkpoint_belongs_to_what_starts_from_it(
    tiny: ExperimentSettings, data: Data, stage: str, consumers: set[str]
) -> None:
    """One run of the stage serves all its checkpoints; the last one is what the stage hands on anyway."""
    four = with_values(tiny, {f"{stage}.epochs": 8, f"{stage}.checkpoints": 4})
    found = {number: keys(with_values(four, {f"{stage}.checkpoint": number}), data) for number in (None, 1, 2, 3, 4)}
    assert found[4] == found[None]
    assert differing(found[1], found[2]) == differing(found[1], found[4]) == consumers
    assert len({one["finetune"] for one in found.values()}) == 4


def test_a_checkpoint_of_a_stage_that_does_not_run_means_nothing(tiny: ExperimentSettings, data: Data) -> None:
    scratch = with_values(tiny, {"recipe": "scratch", "pretext.checkpoints": 2})
    assert keys(scratch, data) == keys(with_values(scratch, {"pretext.checkpoint": 1}), data)


def test_seed_and_data_are_in_every_key(tiny: ExperimentSettings, data: Data, runtime: Callable[..., Runtime]) -> None:
    before = keys(tiny, data)
    assert not set(before.values()) & set(keys(tiny, data, seed=1).values())
    reseeded = with_values(tiny, {"data.embedded.seed": 1})
    assert not set(before.values()) & set(keys(reseeded, open_data(reseeded.data, runtime())).values())


def test_only_what_draws_nothing_is_shared_by_all_seeds(tiny_graph: ExperimentSettings, data: Data) -> None:
    before = keys(tiny_graph, data)
    assert differing(before, keys(tiny_graph, data, seed=1)) == before.keys() - {"tracks"}


def test_each_stage_depends_on_the_parts_it_reads(tiny: ExperimentSettings, data: Data) -> None:
    """Another test part changes no training; another validation part all, auxSKD for its probe."""
    videos = data["downstream"]
    fewer_tests = {role: replace(videos, test=videos.test[1:]) for role in data}
    fewer_validations = {role: replace(videos, validation=videos.validation[1:]) for role in data}
    before = keys(tiny, data)
    assert differing(before, keys(tiny, fewer_tests)) == {"evaluate"} | FROZEN
    assert differing(before, keys(tiny, fewer_validations)) == KINDS


def test_keys_know_no_place(tiny: ExperimentSettings, data: Data, tmp_path: Path) -> None:
    """The same clips drawn below another directory; and nothing of a path or of the store in what is hashed."""
    elsewhere = open_data(tiny.data, Runtime(tmp_path / "other-store", tmp_path / "other-cache", workers=2))
    assert keys(tiny, elsewhere) == keys(tiny, data)


def test_keys_stay_the_same_from_one_process_to_another(tiny: ExperimentSettings, data: Data) -> None:
    found = keys(tiny, data, seed=3)
    assert all(len(key) == 16 and int(key, 16) >= 0 for key in found.values())
    assert keys(ExperimentSettings.model_validate_json(tiny.model_dump_json()), data, seed=3) == found


def test_rows_share_what_they_have_in_common(tiny: ExperimentSettings, data: Data) -> None:
    """Two dropouts and two temperatures: four experiments of 7 stages. Two auxSKD, two pretext, and of the frozen networks two
    times three; four finetunings and evaluations: 18, not 28."""
    found = {
        key
        for temperature in (0.02, 0.1)
        for dropout in (0.0, 0.5)
        for key in keys(
            with_values(tiny, {"auxskd.student_temperature": temperature, "finetune.dropout": dropout}), data
        ).values()
    }
    assert len(found) == 18


def test_forms_of_the_graphs_are_students_of_their_own(tiny_graph: ExperimentSettings, data: Data) -> None:
    """All eight, and the student without teachers, which knows no graph."""
    forms = list(itertools.product(("none", "average", "graph"), ("none", "single", "graph")))[1:]
    found = [
        keys(with_values(tiny_graph, {"graph.logits": logits, "graph.representation": representation}), data)["student"]
        for logits, representation in forms
    ]
    alone = with_values(tiny_graph, {"recipe": "student"})
    assert len({*found, keys(alone, data)["student"]}) == 9
    others = {"graph.logits": "none", "graph.sketch": 9, "views.views": 9, "vgg.hidden": 9, "teacher_finetune.epochs": 9}
    assert keys(with_values(alone, {**others, "teachers.tasks": "tracking"}), data) == keys(alone, data)


def test_selffer_networks_are_beside_the_others(tiny_graph: ExperimentSettings, data: Data) -> None:
    """No task is learned for a teacher whose layers are from a classifier, which all tasks of a network share; another student
    comes before the student; nothing of it is in the keys of stages that know of no other network."""
    fusion = with_values(tiny_graph, {"recipe": "fusion", "teachers.tasks": "sorting+ego_motion+prediction"})
    split = with_values(fusion, {"teacher_finetune.transferred_from": "classifier", "teacher_finetune.transferred_layers": 2})
    tasks = {"sorting", "ego_motion", "prediction"}
    stages = {f"{task}{end}" for task in tasks for end in ("_classifier", "_views")} | {"fusion"}
    assert set(keys(fusion, data)) == stages | tasks
    assert set(keys(split, data)) == stages | {"vgg_classifier", "prednet_classifier"}
    frozen = keys(with_values(split, {"teacher_finetune.freeze": True}), data)
    assert differing(keys(split, data), frozen) == stages, "one classifier serves all rows"

    student = with_values(tiny_graph, {"recipe": "student"})
    selffer = with_values(student, {"student.transferred_layers": 2})
    assert keys(selffer, data)["student"] == keys(student, data)["student"]
    assert set(keys(selffer, data)) == {"student", "student_selffer", "evaluate_student"}
    assert differing(keys(selffer, data), keys(with_values(selffer, {"student.freeze": True}), data)) == {
        "student_selffer",
        "evaluate_student",
    }
    assert keys(with_values(student, {"student.freeze": True}), data) == keys(student, data), "nothing is transferred"


@pytest.mark.parametrize(
    ("off", "values"),
    [
        ({"graph.logits": "average"}, {"graph.distance": "kl", "graph.edges": "uniform", "graph.edge_temperature": 3.0}),
        ({"graph.total": "sum"}, {"graph.imitation_weight": 0.1}),
        (
            {"graph.logits": "none"},
            {"graph.total": "sum", "graph.imitation_weight": 0.1, "graph.sorting_temperature": 3.0, "graph.edges": "learned"},
        ),
        ({"graph.representation": "single"}, {"graph.sketch": 9, "graph.representation_edges": "uniform"}),
        ({"graph.representation_weight": 1.0}, {"graph.representation_share": 2.0}),
        ({"graph.representation": "none"}, {"graph.representation_share": 2.0}),
        ({"graph.representation": "none"}, {"graph.student_layer": 3, "graph.bandwidth": 1.0, "graph.vertex_norm": "location"}),
    ],
)
def test_a_student_does_not_depend_on_graphs_that_are_off(
    tiny_graph: ExperimentSettings, data: Data, off: dict[str, Any], values: dict[str, Any]
) -> None:
    for name, value in values.items():
        on, without = (differing(*(keys(with_values(base, changes), data) for changes in ({}, {name: value})))
                       for base in (tiny_graph, with_values(tiny_graph, off)))  # fmt: skip
        assert (on, without) == (TAUGHT, set()), name


def test_layers_of_live_teachers_are_in_the_student_s_key_where_maps_are_imitated(
    tiny_graph: ExperimentSettings, data: Data
) -> None:
    """A bank holds the maps of its own layers; a live teacher is asked for them by the student."""
    live = with_values(tiny_graph, {"teachers.outputs": "live", "teachers.tasks": "sorting+prediction"})
    for changes in ({"views.vgg_layer": 2}, {"views.prednet_layer": 1}):
        assert differing(keys(live, data), keys(with_values(live, changes), data)) == TAUGHT
        logits_only = with_values(live, {"graph.representation": "none"})
        assert keys(with_values(logits_only, changes), data) == keys(logits_only, data)
    of_frames = with_values(live, {"teachers.tasks": "sorting+ego_motion"})
    assert keys(with_values(of_frames, {"views.prednet_layer": 1}), data) == keys(of_frames, data)
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
        assert differing(one, other) == one.keys() >= {"tracks", "sorting", "ego_motion", "tracking", "prediction"}


def test_weights_that_a_student_starts_from_are_in_its_key_and_in_no_other(tiny_graph: ExperimentSettings, data: Data) -> None:
    pretrained = with_values(tiny_graph, {"student.initialisation": "imagenet"})
    one, other = (keys(pretrained, data, alexnet=content) for content in ("1", "2"))
    assert differing(one, other) == differing(keys(tiny_graph, data), one) == TAUGHT
    assert keys(pretrained, data, alexnet="1") == one
    assert keys(tiny_graph, data, alexnet="1") == keys(tiny_graph, data), "not without asking for them"
    assert one["student"] != keys(pretrained, data)["student"], "without a file there is no such student"


def test_costs_are_measured_once_for_all_seeds_and_on_every_device(tiny_graph: ExperimentSettings, data: Data) -> None:
    """Whatever the networks are trained with; of nothing else the device is in the key."""
    costs = with_values(tiny_graph, {"evaluation.measures": ["compression"]})
    for other, seed in ((costs, 1), (with_values(costs, {"student.epochs": 9, "graph.edges": "uniform"}), 0)):
        assert keys(other, data, seed) == keys(costs, data)
    assert keys(with_values(costs, {"alexnet.hidden": 9}), data) != keys(costs, data)
    assert keys(costs, data, device="another") != keys(costs, data), "latency is the device's"
    assert keys(tiny_graph, data, device="another") == keys(tiny_graph, data)


def test_parts_of_batches_are_in_the_keys_of_stages_that_divide_them(tiny_graph: ExperimentSettings, data: Data) -> None:
    """Not of those that train nothing, and not of those whose loss compares the samples of a batch: whatever the setting,
    they share one artifact."""
    divided = {}
    for name, values in {"em": {}, "kl": {"graph.distance": "kl", "graph.edges": "learned_global"}}.items():
        stages = resolve(Experiment(with_values(tiny_graph, values), 0), data)
        divided[name] = {stage.kind for stage in stages if "compute.accumulation" in stage.settings}
    teachers = {"sorting", "ego_motion", "prediction"} | {f"{task}_classifier" for task in TEACHER_TASKS}
    assert divided == {"em": teachers, "kl": teachers | {"student"}}

"""Protocols: each task's published recipe over a preset, what the user sets over both, and how far settings depart."""

from __future__ import annotations

from typing import Any

import pytest

from trainables.presets import GRAPH, PRESETS, configure, departures, preset
from trainables.settings import GRAPH_RECIPES, TASKS, TEACHER_TASKS, SettingsError, flat, setting_names
from trainables.tasks import find_task

PUBLISHED_PROTOCOL = {"protocol": "published"}
PRETEXT_TASKS = [task for task in TASKS if task not in TEACHER_TASKS]


def differences(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in second.items() if value != first[name]}


def test_like_for_like_is_the_preset_whatever_the_task() -> None:
    """One recipe for all tasks: only the task's name differs, so that only sampler, heads and loss do."""
    for size in PRESETS:
        for task in PRETEXT_TASKS:
            found = flat(configure(size, {"pretext.task": task}))
            assert found == {**flat(preset(size)), "pretext.task": task}


def test_the_published_recipe_of_vspp_is_preset_paper() -> None:
    assert differences(flat(preset("paper")), flat(configure("paper", PUBLISHED_PROTOCOL))) == PUBLISHED_PROTOCOL


@pytest.mark.parametrize("task", PRETEXT_TASKS)
def test_every_task_has_a_published_recipe_of_settings_that_exist(task: str) -> None:
    published = find_task(task).published
    assert published.keys() <= set(setting_names())
    found = flat(configure("paper", {**PUBLISHED_PROTOCOL, "pretext.task": task}))
    assert {name: found[name] for name in published} == published
    assert differences(flat(preset("paper")), found).keys() <= published.keys() | {"protocol", "pretext.task"}


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("video_pace", {"pretext.epochs": 18, "pretext.weight_decay": 5e-3, "video.pixels": "bgr_255", "backbone.depth": 10}),
        ("vcop", {"pretext.epochs": 200, "pretext.batch_size": 8, "finetune.epochs": 150, "evaluation.average": "logits"}),
        ("vcop", {"augmentation.jitter_probability": 0.0, "video.pixels": "rgb_unit", "finetune.keep": "best"}),
        ("rspnet", {"pretext.epochs": 200, "pretext.schedule": "cosine", "pretext.learning_rate": 0.05 * 32 / 64}),
        ("rspnet", {"augmentation.crop_area": [0.4, 1.0], "augmentation.grey_probability": 0.2, "pretext.weight_decay": 1e-4}),
    ],
)
def test_published_recipes_have_their_authors_values(task: str, expected: dict[str, Any]) -> None:
    """A few of each, from the papers' tables and the released configurations (docs/fidelity.md)."""
    found = flat(configure("paper", {**PUBLISHED_PROTOCOL, "pretext.task": task}))
    assert {name: found[name] for name in expected} == expected


def test_the_user_s_values_are_over_the_published_ones() -> None:
    """Also a value that is the preset's own, which the published recipe would change."""
    values = {**PUBLISHED_PROTOCOL, "pretext.task": "rspnet"}
    paper = flat(preset("paper"))
    for name, value in {"pretext.epochs": 20, "finetune.epochs": 3, "augmentation.crop_area": None}.items():
        assert find_task("rspnet").published[name] != value
        found = flat(configure("paper", {**values, name: value}))
        assert found[name] == value
        assert differences(flat(configure("paper", values)), found) == {name: value}
    assert paper["pretext.epochs"] == 20


def test_departures_are_what_preset_and_protocol_do_not_give() -> None:
    for size in PRESETS:
        for task in PRETEXT_TASKS:
            chosen = {"pretext.task": task}
            assert departures(configure(size, chosen), size) == {}
            changed = configure(size, {**chosen, "finetune.dropout": 0.25, "data.split": 2})
            assert departures(changed, size) == {"finetune.dropout": 0.25, "data.split": 2}
    for task in PRETEXT_TASKS:
        chosen = {**PUBLISHED_PROTOCOL, "pretext.task": task}
        assert departures(configure("paper", chosen), "paper") == {}
        assert departures(configure("paper", {**chosen, "pretext.epochs": 7}), "paper") == {"pretext.epochs": 7}
    vcop = configure("paper", {"pretext.task": "vcop", "pretext.epochs": 200})
    assert departures(vcop, "paper") == {"pretext.epochs": 200}, "the published value is a departure like for like"


@pytest.mark.parametrize("protocol", ["like_for_like", "published"])
@pytest.mark.parametrize(
    ("size", "data", "expected"),
    [
        ("paper", "ucf101", 10),
        ("paper", "kinetics100", 1),
        ("paper", "kinetics400", 1),
        ("paper", "kinetics100+ucf101", 1),
        ("paper", "embedded", 1),
        ("small", "ucf101", 1),
    ],
)
def test_epochs_are_tenfold_at_preset_paper_on_ucf101(size: str, data: str, expected: int, protocol: str) -> None:
    """Which departs from nothing; what a user sets does."""
    values = {"data.pretraining": data, "protocol": protocol, "pretext.task": "video_pace"}
    settings = configure(size, values)
    assert settings.pretext.clips_per_video == expected
    assert settings.auxskd.clips_per_video == expected
    usual = {} if data == "embedded" else {"data.pretraining": data}
    assert departures(settings, size) == usual
    seven = {"pretext.clips_per_video": 7}
    assert departures(configure(size, {**values, **seven}), size) == {**usual, **seven}


@pytest.mark.parametrize("size", list(PRESETS))
@pytest.mark.parametrize("recipe", GRAPH_RECIPES)
def test_recipes_of_graph_distillation_have_its_sizes_of_clips(size: str, recipe: str) -> None:
    """Over the preset and under what the user sets; none of it departs from the preset."""
    found = flat(configure(size, {"recipe": recipe}))
    assert differences(flat(preset(size)), found) == {
        name: value for name, value in {**GRAPH[size], "recipe": recipe}.items() if flat(preset(size))[name] != value
    }
    assert departures(configure(size, {"recipe": recipe}), size) == {"recipe": recipe}
    smaller = configure(size, {"recipe": recipe, "video.clip_frames": 7, "evaluation.clips": 3})
    assert departures(smaller, size) == {"recipe": recipe, "video.clip_frames": 7, "evaluation.clips": 3}


def test_what_cannot_be_configured() -> None:
    with pytest.raises(SettingsError, match="unknown preset 'huge'"):
        configure("huge", {})
    with pytest.raises(SettingsError, match="unknown setting"):
        configure("demo", {"pretext.speed_weight": 1.0})


@pytest.mark.parametrize("size", ["demo", "small"])
def test_the_embedded_clips_are_long_enough_for_every_teacher(size: str) -> None:
    """Spacing, stride and tracks of a preset fit into the videos that it generates."""
    settings = configure(size, {"recipe": "fusion"})
    for name in TEACHER_TASKS:
        assert find_task(name)(settings).minimum_frames <= settings.data.embedded.frames
    assert settings.tracking.frames <= settings.data.embedded.frames

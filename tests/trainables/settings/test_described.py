"""Settings in words, against what the settings accept; and files of settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from trainables.settings import (
    ExperimentSettings,
    Settings,
    SettingsError,
    check_values,
    flat,
    read_values,
    setting_names,
    with_values,
)
from trainables.settings.described import Described, described
from trainables.tasks.vspp import VSPP

BY_NAME = {setting.name: setting for setting in described()}


def test_every_setting_is_described_once_with_its_default() -> None:
    assert [setting.name for setting in described()] == setting_names()
    assert {setting.name: setting.default for setting in described()} == flat(ExperimentSettings())
    json.dumps([vars(setting) for setting in described()])


@pytest.mark.parametrize(
    ("name", "kind", "valid", "default", "says"),
    [
        ("auxskd.teacher_temperature", "number", "above 0", 0.02, "gamma^T"),
        ("auxskd.teacher_momentum", "number", "at least 0 and below 1", 0.999, "running average"),
        ("data.pretraining_share", "number", "above 0 and at most 1", 1.0, "share of"),
        ("augmentation.hue", "number", "0 to 0.5", 0.2, ""),
        ("backbone.depth", "one of", "10, 18, 34", 18, "c3d has one depth"),
        ("backbone.width", "whole number", "at least 4", 64, "channels after the stem"),
        ("data.embedded.height", "whole number", "16 to 4096, a multiple of 2", 40, ""),
        ("pretext.checkpoint", "whole number or null", "at least 1", None, "handed on"),
        ("graph.bandwidth", "median or number", "above 0", "median", "Gaussian"),
        ("augmentation.crop_area", "list of 2 numbers or null", "each 0 to 1", None, "random crop"),
        (
            "vgg.channels",
            "list of 5 values, each whole number or list of whole numbers",
            "each at least 1",
            [96, 128, 256, 512, 512],
            "a list of one for each",
        ),
        ("vgg.pooled_layers", "list of whole numbers", "each 2 to 5", [2, 3, 4, 5], "2x2 pooling"),
        ("compute.compile", "true or false", "", False, "torch.compile"),
        ("data.pretraining", "text", "", "embedded", "labels unused"),
    ],
)
def test_types_and_ranges_in_words(name: str, kind: str, valid: str, default: Any, says: str) -> None:
    setting = BY_NAME[name]
    assert setting == Described(name, kind, valid, default, setting.description, setting.about_group)
    assert says in setting.description


@pytest.mark.parametrize("setting", [one for one in described() if one.type == "one of"], ids=lambda one: one.name)
def test_choices_are_those_that_are_accepted(setting: Described) -> None:
    for word in setting.valid.partition(", or package")[0].split(", "):
        check_values({setting.name: int(word) if word.isdecimal() else word})
    with pytest.raises(SettingsError, match=setting.name):
        check_values({setting.name: "none of them"})


BOUNDED = [one for one in described() if one.type in ("number", "whole number") and one.valid.startswith("at least ")]


@pytest.mark.parametrize("setting", BOUNDED, ids=lambda one: one.name)
def test_the_lower_end_is_accepted_and_what_is_below_is_not(setting: Described) -> None:
    low = int(setting.valid.removeprefix("at least ").partition(" ")[0].rstrip(","))
    check_values({setting.name: low})
    with pytest.raises(SettingsError, match=setting.name):
        check_values({setting.name: low - 1})


def test_settings_by_the_beginning_of_their_names() -> None:
    names = [name for name in setting_names() if name.startswith("auxskd.teacher_")]
    assert (
        [setting.name for setting in described("auxskd.teacher_")]
        == names
        == [
            "auxskd.teacher_temperature",
            "auxskd.teacher_momentum",
        ]
    )
    assert {setting.group for setting in described("data.embedded")} == {"data.embedded"}
    with pytest.raises(SettingsError, match=r"no setting begins with 'auxsdk'; did you mean 'auxskd'\?"):
        described("auxsdk")


def test_every_group_says_what_it_is() -> None:
    assert all(setting.about_group for setting in described())
    assert len({setting.about_group for setting in described() if setting.group}) > 20
    assert "momentum teacher" in BY_NAME["auxskd.epochs"].about_group


def test_a_file_of_settings_nested_or_dotted(tmp_path: Path) -> None:
    """Both forms mixed, a number that YAML 1.1 reads as text, a list, null; the same values as given one by one."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "recipe: pretext\nauxskd:\n  epochs: 3\n  learning_rate: 1e-3\ndata.embedded: {train: 5}\ndata:\n  split: 2\n"
        "vgg.channels: [1, 2, 3, 4, 5]\npretext.checkpoint: null\n"
    )
    expected = {
        "recipe": "pretext",
        "auxskd.epochs": 3,
        "auxskd.learning_rate": 0.001,
        "data.embedded.train": 5,
        "data.split": 2,
        "vgg.channels": [1, 2, 3, 4, 5],
        "pretext.checkpoint": None,
    }
    assert read_values(path) == expected
    assert flat(with_values(ExperimentSettings(), read_values(path)))["auxskd.learning_rate"] == 0.001
    path.write_text("# nothing yet\n")
    assert read_values(path) == {}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("auxskd: {epoch: 3}", r"mine\.yaml: unknown setting 'auxskd\.epoch'; did you mean 'auxskd\.epochs'\?"),
        ("axskd: {epochs: 3}", r"mine\.yaml: unknown setting 'axskd\.epochs'; did you mean 'auxskd\.epochs'\?"),
        ("auxskd: 3", r"mine\.yaml: 'auxskd' is a group of settings"),
        ("auxskd.epochs: 0", r"mine\.yaml: auxskd\.epochs = 0: input should be greater than or equal to 1"),
        ("auxskd: {epochs: many}", r"mine\.yaml: auxskd\.epochs = 'many'"),
        ("auxskd: {epochs: 3}\nauxskd.epochs: 4", r"mine\.yaml: auxskd\.epochs is given twice"),
        ("auxskd: {epochs: 3}\nauxskd: {epochs: 4}", r"mine\.yaml is not readable as YAML: 'auxskd' is given twice .*line 2"),
        ("auxskd: {epochs: 3, epochs: 4}", r"mine\.yaml is not readable as YAML: 'epochs' is given twice"),
        ("- auxskd.epochs", r"mine\.yaml: expected settings as NAME: VALUE, not a list"),
        ("3: 4", r"mine\.yaml: unknown setting '3'"),
        ("a: [", r"mine\.yaml is not readable as YAML: .*line 1"),
        ("a: !!python/object:os.system {}", r"mine\.yaml is not readable as YAML"),
        ("\x00", r"mine\.yaml is not readable as YAML"),
    ],
)
def test_files_that_are_no_settings(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(SettingsError, match=says):
        read_values(path)


def test_values_that_only_others_forbid_are_not_the_file_s_fault() -> None:
    """Judged with all others later: a checkpoint beyond those of the default, a teacher set of one."""
    check_values({"pretext.checkpoint": 3})
    with pytest.raises(SettingsError, match="more than checkpoints"):
        with_values(ExperimentSettings(), {"pretext.checkpoint": 3})


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.yaml: No such file"):
        read_values(tmp_path / "absent.yaml")
    with pytest.raises(SettingsError, match="directory"):
        read_values(tmp_path)


class TiltSettings(Settings):
    """Of a task that is not in the package."""

    degrees: int = Field(10, ge=1, le=45)


class Tilt(VSPP):
    name = "tilt"
    settings_model = TiltSettings


def test_a_file_has_values_for_a_task_from_outside_that_it_or_the_command_names(tmp_path: Path) -> None:
    path, task = tmp_path / "mine.yaml", f"{__name__}:Tilt"
    path.write_text(f"pretext: {{task: '{task}'}}\ntilt: {{degrees: 30}}\n")
    assert read_values(path) == {"pretext.task": task, "tilt.degrees": 30}
    assert flat(with_values(ExperimentSettings(), read_values(path)))["tilt.degrees"] == 30
    path.write_text("tilt.degrees: 30\n")
    assert read_values(path, {"pretext.task": task}) == {"tilt.degrees": 30}
    with pytest.raises(SettingsError, match=r"mine\.yaml: unknown setting 'tilt\.degrees'"):
        read_values(path)

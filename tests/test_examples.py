"""The examples in docs/examples: each keeps its contract and runs, and takes the lines that docs/architecture.md says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search_spaces.space import check_space, find_space
from trainables.checks import ContractError, check_backbone, check_layout, check_task
from trainables.data import open_data
from trainables.pipeline import Experiment, Result, Stage, resolve, run_experiment
from trainables.runtime import Runtime
from trainables.settings import TASKS, EmbeddedSettings, ExperimentSettings, SettingsError, flat, with_values
from trainables.stages import auxskd, self_supervised
from trainables.video.embedded import embedded_videos
from trainables.video.videos import DataSource

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLES = REPOSITORY / "docs" / "examples"
ROTATION = f"{EXAMPLES / 'rotation.py'}:Rotation"
FRAME_ROTATION = f"{EXAMPLES / 'frame_rotation.py'}:FrameRotation"
STILL_FRAMES = f"{EXAMPLES / 'still_frames.py'}:StillFrames"
NAMED_FILES = f"{EXAMPLES / 'named_files.py'}:LAYOUT"
Make = Callable[..., Runtime]


def run(settings: ExperimentSettings, place: Runtime) -> Result:
    return run_experiment(Experiment(settings, 0), place, lambda line: None)


def stages(settings: ExperimentSettings, place: Runtime) -> dict[str, Stage]:
    return {stage.name: stage for stage in resolve(Experiment(settings, 0), open_data(settings.data, place))}


def test_a_task_of_ones_own_pretrains_after_auxskd_on_its_own_views(tiny: ExperimentSettings, runtime: Make) -> None:
    """Its settings are in the key and in the record, by the names that a user sets; its file's path is in neither."""
    check_task(ROTATION)
    place = runtime()
    settings = with_values(tiny, {"pretext.task": ROTATION, "rotation.turns": 3})
    metrics = run(settings, place).metrics
    assert metrics["pretext/val_turn_chance"] == pytest.approx(1 / 3)
    assert {"auxskd/loss", "pretext/val_turn_accuracy", "test/top1"} <= metrics.keys()
    assert flat(settings)["pretext.task"] == "rotation:Rotation"
    assert flat(settings)["rotation.turns"] == 3
    read = stages(settings, place)["pretext"].settings
    assert (read["rotation.turns"], read["plugged_in"]) == (3, {"rotation:Rotation": 1})
    assert str(REPOSITORY) not in str(read)


def test_settings_and_version_of_ones_own_task_change_its_keys(
    tiny: ExperimentSettings, runtime: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = runtime()
    settings = with_values(tiny, {"pretext.task": ROTATION})
    before = stages(settings, place)
    turns = stages(with_values(settings, {"rotation.turns": 2}), place)
    assert all(turns[name].key != before[name].key for name in ("auxskd", "pretext", "finetune"))
    monkeypatch.setattr(TASKS.find(ROTATION), "version", 2)
    auxskd.kind_of.cache_clear()
    self_supervised.kind_of.cache_clear()
    raised = stages(settings, place)
    assert all(raised[name].key != before[name].key for name in ("auxskd", "pretext", "finetune"))


def test_errors_of_ones_own_settings_name_them(tiny: ExperimentSettings) -> None:
    with pytest.raises(SettingsError, match=r"rotation\.turns = 9: input should be less than or equal to 4"):
        with_values(tiny, {"pretext.task": ROTATION, "rotation.turns": 9})
    with pytest.raises(SettingsError, match=r"unknown setting 'rotation\.turn'"):
        with_values(tiny, {"pretext.task": ROTATION, "rotation.turn": 3})
    with pytest.raises(SettingsError, match=r"there is no file .*nowhere\.py"):
        with_values(tiny, {"pretext.task": "nowhere.py:Rotation"})


def test_a_teacher_of_ones_own_teaches_beside_others(tiny_graph: ExperimentSettings, runtime: Make) -> None:
    check_task(FRAME_ROTATION)
    small = {f"frame_rotation.{name}": value for name, value in {"epochs": 1, "batch_size": 5, "clips_per_video": 1}.items()}
    settings = with_values(tiny_graph, {"teachers.tasks": f"sorting+{FRAME_ROTATION}", **small})
    result = run(settings, runtime())
    names = ("frame_rotation", "frame_rotation_classifier", "frame_rotation_views", "sorting_views", "student")
    assert set(names) <= result.stages.keys()
    assert {"test/frame_rotation_top1", "student/distance_frame_rotation", "test/top1"} <= result.metrics.keys()


def test_a_network_of_ones_own_is_finetuned(tiny: ExperimentSettings, runtime: Make) -> None:
    check_backbone(STILL_FRAMES)
    place = runtime()
    settings = with_values(tiny, {"backbone.family": STILL_FRAMES, "recipe": "scratch", "evaluation.measures": ["finetune"]})
    assert "test/top1" in run(settings, place).metrics
    assert stages(settings, place)["finetune"].settings["plugged_in"] == {"still_frames:StillFrames": 1}


def test_a_layout_of_ones_own_is_read(tiny: ExperimentSettings, runtime: Make, tmp_path: Path) -> None:
    """The embedded clips, renamed; one that is named otherwise is an error that says how."""
    folder = tmp_path / "videos"
    folder.mkdir()
    videos = open_data(tiny.data, runtime())["downstream"]
    for number, video in enumerate((*videos.train, *videos.validation, *videos.test)):
        shutil.copy(video.path, folder / f"{videos.classes[video.label]}-film{number}-1.mp4")
    check_layout(NAMED_FILES, folder)
    place = runtime(sources=(("named_files:LAYOUT", DataSource(folder, None)),))
    named = {"data.pretraining": NAMED_FILES, "data.downstream": NAMED_FILES, "data.validation_fraction": 0.3}
    settings = with_values(tiny, {**named, "recipe": "scratch", "evaluation.measures": ["finetune"]})
    assert "test/top1" in run(settings, place).metrics
    (folder / "other.mp4").touch()
    with pytest.raises(ValueError, match=r"other\.mp4: expected <class>-<recording>-<number>"):
        check_layout(NAMED_FILES, folder)


COMMAND = re.compile(r"^    python (harness/sweep\.py .*|-m trainables\.checks .*)$", re.MULTILINE)


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "auxskd_vspp.py"))
def test_the_commands_of_an_example_do_what_they_say(name: str, tmp_path: Path) -> None:
    """The settings of a sweep are shown, which asks for all that it names; `videos` is as the layout describes it."""
    for number in (1, 2):
        for label in ("jump", "fall", "roll"):
            (tmp_path / "videos").mkdir(exist_ok=True)
            shutil.copy(_any_clip(tmp_path), tmp_path / "videos" / f"{label}-film{number}-1.mp4")
            shutil.copy(_any_clip(tmp_path), tmp_path / "videos" / f"{label}-film{number + 2}-1.mp4")
    commands = COMMAND.findall((EXAMPLES / name).read_text(encoding="utf-8"))
    assert commands
    for command in commands:
        words = [word.replace("docs/examples", str(EXAMPLES)) for word in command.split()]
        script = [str(REPOSITORY / words[0]), *words[1:], "--settings"] if words[0].endswith("sweep.py") else words
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(
            [sys.executable, *script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def _any_clip(folder: Path) -> Path:
    small = EmbeddedSettings(classes=6, train=1, validation=1, test=1, frames=20, height=16, width=16)
    return embedded_videos(small, folder / "clips").train[0].path


def test_a_space_of_ones_own_keeps_its_contract() -> None:
    check_space(find_space(str(EXAMPLES / "dropout.py")), "demo")


def test_the_page_without_the_harness_ends_in_an_accuracy(tiny_values: dict[str, Any]) -> None:
    """The whole script, on the smallest clips and networks."""
    small = [f"{name}={value}" for name, value in tiny_values.items()]
    script = str(EXAMPLES / "auxskd_vspp.py")
    done = subprocess.run(
        [sys.executable, script, *small],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"auxskd epoch 2: .*\nvspp epoch 1: .*\n(.*\n)*finetune epoch 2: .*\ntest top-1: [\d.]+ \(chance", done.stdout
    )


def test_a_broken_contract_is_named(tmp_path: Path) -> None:
    """Of the example with one thing broken at a time."""
    text = (EXAMPLES / "rotation.py").read_text(encoding="utf-8")
    breaks = {
        "frames 1 to 1 of a video of 1 frames": ("clip.indices, {", "clip.indices * 0 + video.frames, {"),
        "depend on the generator alone": ("int(rng.integers(self.own.turns))", "int(np.random.default_rng().integers(2**31))"),
        "no metric NAME_accuracy": ('{"turn": 1 / self.own.turns}', '{"tilt": 1 / self.own.turns}'),
        "no gradient of its loss": (
            'losses["turn"].mean(), metrics',
            'losses["turn"].detach().mean().requires_grad_(), metrics',
        ),
        "does not hold the encoder": ("ClipClassifier(encoder,", "ClipClassifier(__import__('copy').deepcopy(encoder),"),
    }
    for number, (says, (old, new)) in enumerate(breaks.items()):
        path = tmp_path / f"broken_{number}.py"
        assert text.count(old) == 1, old
        path.write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(ContractError, match=says):
            check_task(f"{path}:Rotation")


TASK = """
from trainables.settings import SelfSupervisedSettings, Settings
from trainables.tasks.sorting import Sorting
from trainables.tasks.vspp import VSPP

class Group(SelfSupervisedSettings):
    frames: int = 3
    spacing: int = 2
    crop_jitter: int = 0
    channel_splitting: str = "off"
    reversal: str = "time"
    tuples: str = "anywhere"
    pair: str = "joined"
    pair_units: int = 8
    layers: int | None = None
    dropout: float = 0.0

class Twin(Sorting):
    settings_model = Group

class Mined(Sorting):
    name = "tracks"
    settings_model = Group

class Bare(Sorting):
    name = "bare"

class OfStudents(Sorting):
    name = "of_students"
    encoder = "alexnet"
    settings_model = Group

class Extended(VSPP):
    class settings_model(Settings):
        twist: int = 1

def made():
    class Local(VSPP):
        name = "local"
    return Local

Local = made()
"""


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"teachers.tasks": "sorting+{file}:Twin"}, "'sorting' is a group of the package's"),
        ({"teachers.tasks": "tracking+{file}:Mined"}, "two stages of the experiment are called tracks"),
        ({"teachers.tasks": "sorting+{file}:Bare"}, "needs a settings_model that extends SelfSupervisedSettings"),
        ({"teachers.tasks": "sorting+{file}:OfStudents"}, "a task's encoder is one of backbone, vgg, prednet, not alexnet"),
        ({"pretext.task": "{file}:Extended"}, "'vspp' is a group of the package's"),
        ({"recipe": "pretext", "pretext.task": "{file}:Local"}, r"made\.<locals>\.Local cannot be told from others"),
    ],
)
def test_what_could_be_taken_for_something_else_is_refused(
    tiny: ExperimentSettings, tiny_graph: ExperimentSettings, runtime: Make, tmp_path: Path, values: dict[str, str], says: str
) -> None:
    """Tasks of one name, of no import path, or with the package's groups: two results would have one key."""
    file = tmp_path / f"other_{abs(hash(says))}.py"
    file.write_text(TASK, encoding="utf-8")
    base = tiny if "pretext.task" in values else tiny_graph
    with pytest.raises(SettingsError, match=says):
        stages(with_values(base, {name: value.format(file=file) for name, value in values.items()}), runtime())


def test_lines_of_the_examples_are_those_in_the_table() -> None:
    """`| a task | [rotation.py](examples/rotation.py) | 1 | 54 |`"""
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| \[(\w+\.py)\]\(examples/\w+\.py\) \| 1 \| (\d+) \|", text)
    assert {name for name, _ in rows} == {path.name for path in EXAMPLES.glob("*.py")} - {"auxskd_vspp.py"}
    for name, lines in rows:
        assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) == int(lines), name
    assert int(dict(rows)["rotation.py"]) < 60

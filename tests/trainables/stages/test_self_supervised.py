"""The self-supervised stage with every task: what it leaves and measures, exact resuming, and videos that cannot take part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from trainables.data import open_data
from trainables.models import make_encoder
from trainables.pipeline import Experiment, Result, run_experiment
from trainables.runtime import Runtime
from trainables.settings import TEACHER_TASKS, ExperimentSettings, with_values
from trainables.stages import self_supervised
from trainables.stages.work import Work
from trainables.store import Artifact, Store
from trainables.tasks import find_task
from trainables.video.videos import DataError, VideoSet

Contents = Callable[[Path, Result], dict[str, bytes]]
Make = Callable[..., Runtime]
RunStage = Callable[..., Artifact]
WorkOf = Callable[[str, ExperimentSettings, Runtime], Work]

METRICS = {
    "vspp": {"speed_loss", "speed_accuracy", "segment_loss", "segment_accuracy"},
    "video_pace": {"speed_loss", "speed_accuracy"},
    "vcop": {"order_loss", "order_accuracy"},
    "rspnet": {"appearance_loss", "appearance_accuracy", "speed_loss", "speed_accuracy"},
    "sorting": {"order_loss", "order_accuracy"},
    "ego_motion": {"close_loss", "close_accuracy"},
    "tracking": {"ranking_accuracy"},
    "prediction": {"error"},
}
BASELINES = {"sorting": {"order"}, "ego_motion": {"close"}, "tracking": {"ranking"}, "prediction": {"error"}}
CHANCE = {
    "vspp": {"speed": 1 / 4, "segment": 1 / 4},
    "video_pace": {"speed": 1 / 4},
    "vcop": {"order": 1 / 2},  # of two clips
    "rspnet": {"speed": 1 / 2},
    "sorting": {"order": 1 / 3},  # of three frames, forwards or backwards
    "ego_motion": {"close": 1 / 2},
    "tracking": {"ranking": 1 / 2},
    "prediction": {},
}


class Ran(Protocol):
    """Experiments that ran (conftest.py)."""

    store: Path
    results: dict[str, Result]


def ignore(line: dict[str, Any]) -> None:
    pass


def check_metrics(task: str, stage: str, metrics: dict[str, float]) -> None:
    """Those of the task, in training and validation, what guessing and a rule reach, and what was counted; nothing else."""
    own = {name.removeprefix(f"{stage}/"): value for name, value in metrics.items() if name.startswith(f"{stage}/")}
    own = {name: value for name, value in own.items() if not name.startswith("health_")}
    expected = {"loss"} | METRICS[task]
    probe = {"val_knn", "val_knn_before", "val_knn_chance"} if stage == "pretext" else set()
    counts = {"wrapped_clips", "replaced_frames", "excluded_videos", "learning_rate", "gradient_norm"}
    chance = {f"val_{name}_chance": level for name, level in CHANCE[task].items()}
    baselines = {f"val_{name}_baseline" for name in BASELINES.get(task, ())}
    assert own.keys() == expected | {f"val_{name}" for name in expected} | counts | chance.keys() | baselines | probe
    assert all(0 < own[name] <= 1 for name in baselines)
    assert {name: own[name] for name in chance} == pytest.approx(chance)
    assert {f"{name}_accuracy" for name in CHANCE[task]} <= METRICS[task]
    assert all(0 <= value <= 1 for name, value in own.items() if name.endswith("accuracy"))
    assert own["excluded_videos"] == 0


@pytest.mark.parametrize("task", ["vspp", "video_pace", "vcop", "rspnet"])
def test_a_whole_experiment_with_auxskd_before_the_task(variety: Ran, task: str) -> None:
    result = variety.results[task]
    assert list(result.stages) == ["auxskd", "pretext", "finetune", "evaluate", "features", "linear_probe", "retrieval"]
    check_metrics(task, "pretext", result.metrics)
    assert {"auxskd/similarity", "test/top1", "test/linear_probe_top1", "test/retrieval_r1"} <= result.metrics.keys()
    artifact = Store(variety.store).find("pretext", result.stages["pretext"])
    assert artifact is not None
    assert len(artifact.history()) == 2
    assert all(name.startswith(("stem.", "layer")) for name in artifact.tensors()), "heads, key encoder and bank are dropped"


@pytest.mark.parametrize("task", TEACHER_TASKS)
def test_a_teacher_leaves_its_encoder_and_its_metrics(
    tiny_graph: ExperimentSettings, taught: tuple[Path, Result], task: str
) -> None:
    """No head and no classifier."""
    store, result = taught
    artifact = Store(store).find(task, result.stages[task])
    assert artifact is not None
    own = make_encoder(find_task(task).encoder, tiny_graph, 6).state_dict()
    assert artifact.tensors().keys() == {name for name in own if not name.startswith("classifier.")}
    check_metrics(task, task, artifact.done["metrics"])


@pytest.mark.parametrize("recipe", ["pretext", "auxskd_pretext"])
def test_rspnet_interrupted_and_resumed_equals_an_uninterrupted_run_to_the_bit(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], contents: Contents, recipe: str
) -> None:
    """Its key encoder, the bank and the place in it are state: without any of them the third epoch would be another."""
    of_task = {"pretext.task": "rspnet", "rspnet.memory_bank": 7, "rspnet.projection": 8}  # batches of 5 do not divide the bank
    short = {"recipe": recipe, "pretext.epochs": 3, "auxskd.epochs": 1, "evaluation.measures": ["linear_probe"]}
    chosen = with_values(tiny, {**of_task, **short})

    def stopping(line: dict[str, Any]) -> None:
        if (line["stage"], line.get("epoch")) == ("pretext", 2):
            raise KeyboardInterrupt

    whole, parts = runtime("whole"), runtime("parts")
    expected = run_experiment(Experiment(chosen, 0), whole, ignore)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(Experiment(chosen, 0), parts, stopping)
    lines: list[dict[str, Any]] = []
    resumed = run_experiment(Experiment(chosen, 0), parts, lines.append)
    assert [(line["stage"], line["epoch"]) for line in lines if "epoch" in line] == [("pretext", 3)]
    assert contents(parts.store, resumed) == contents(whole.store, expected)


def test_videos_too_short_for_vcop(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    """Three clips of 8, 8 frames apart, need 40 frames and there are 20: none is left, which is an error that says so; with
    `shrink` all take part. auxSKD leaves none out."""
    values = {"pretext.task": "vcop", "vcop.clips": 3, "vcop.interval": 8, "vcop.head_width": 8}
    short = with_values(tiny, {**values, "evaluation.measures": ["linear_probe"]})
    lines: list[dict[str, Any]] = []
    with pytest.raises(DataError, match="vcop needs 40 frames, and none of 12 videos has that"):
        run_experiment(Experiment(short, 0), runtime(), lines.append)
    assert {line["stage"] for line in lines if "made" in line} == {"auxskd"}
    shrunk = with_values(short, {"vcop.short_videos": "shrink", "recipe": "pretext"})
    metrics = run_experiment(Experiment(shrunk, 0), runtime(), ignore).metrics
    assert metrics["pretext/excluded_videos"] == 0
    assert metrics["pretext/wrapped_clips"] == 0, "no clip of 8 is longer than its video"


def with_short_videos(videos: VideoSet, frames: int) -> VideoSet:
    """The first three training videos and the first validation video are as short as this."""
    train = tuple(replace(video, frames=frames) if place < 3 else video for place, video in enumerate(videos.train))
    validation = (replace(videos.validation[0], frames=frames), *videos.validation[1:])
    return replace(videos, train=train, validation=validation)


@pytest.mark.parametrize(("task", "frames"), [("sorting", 4), ("ego_motion", 3), ("prediction", 7)])
def test_videos_that_are_too_short_are_left_out_and_counted(
    tiny_graph: ExperimentSettings, runtime: Make, work_of: WorkOf, run_stage: RunStage, task: str, frames: int
) -> None:
    """One frame less than needed: three frames 2 apart; two that are 3 apart, more than the 2 that are close; a clip of 8."""
    place = runtime()
    videos = work_of(task, tiny_graph, place).videos
    for length, excluded in ((frames, 4), (frames + 1, 0)):
        artifact = run_stage(task, tiny_graph, place, videos=with_short_videos(videos, length))
        assert artifact.done["metrics"][f"{task}/excluded_videos"] == excluded


@pytest.mark.parametrize(
    ("task", "values", "says"),
    [
        ("sorting", {"sorting.spacing": 10}, r"sorting needs 21 frames \(sorting\.frames, sorting\.spacing\)"),
        ("sorting", {"sorting.tuples": "motion", "tracking.least_motion": 9.0}, r"sorting needs 5 frames of a track"),
        ("ego_motion", {"ego_motion.close_frames": 19}, r"ego_motion needs 21 frames \(ego_motion\.close_frames\)"),
        (
            "prediction",
            {"video.clip_frames": 21, "frames.per_clip": 1},
            r"prediction needs 21 frames \(video\.clip_frames, pred",
        ),
        ("prediction", {"prediction.stride": 3}, r"prediction needs 22 frames \(video\.clip_frames, prediction\.stride\)"),
        ("tracking", {"tracking.least_motion": 9.0}, r"tracking needs something that moves by 9 of the frame's side"),
    ],
)
def test_no_video_left_ends_the_experiment_and_says_what_is_needed(
    tiny_graph: ExperimentSettings, runtime: Make, task: str, values: dict[str, Any], says: str
) -> None:
    settings = with_values(tiny_graph, {"recipe": "fusion", "teachers.tasks": task, **values})
    place = runtime()
    if "tracking.least_motion" not in values:  # of which nobody knows before tracks were looked for
        videos = open_data(settings.data, place)["pretraining"]
        with pytest.raises(DataError, match=rf"^{says}.*, and none of 12 videos has that(; the longest has 20 frames.*)?$"):
            self_supervised.kind_of(find_task(task)).check_videos(settings, videos)
    with pytest.raises(DataError, match=rf"^{says}.*, and none of 12 videos has that(; the longest has 20 frames.*)?$"):
        run_experiment(Experiment(settings, 0), place, ignore)
    assert not list(place.store.glob(f"{task}/*/done.json"))


def test_the_tracking_teacher_leaves_out_videos_without_tracks(
    tiny_graph: ExperimentSettings, runtime: Make, work_of: WorkOf, run_stage: RunStage
) -> None:
    place = runtime()
    settings = with_values(tiny_graph, {"recipe": "fusion", "teachers.tasks": "tracking"})
    videos = with_short_videos(work_of("tracks", settings, place).videos, 1)
    mined = run_stage("tracks", settings, place, videos=videos)
    metrics = run_stage("tracking", settings, place, videos=videos, inputs={"tracks": mined}).done["metrics"]
    assert metrics["tracking/excluded_videos"] == 4

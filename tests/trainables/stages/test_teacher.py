"""Self-supervised stages of the teachers: tracks, what cannot take part and is counted, and what is left to finetuning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.pipeline import Experiment, Result, run_experiment
from trainables.runtime import Runtime
from trainables.settings import TEACHER_TASKS, ExperimentSettings, with_values
from trainables.stages import KINDS
from trainables.stages.teacher_classifier import new_classifier
from trainables.stages.work import Work
from trainables.store import Artifact, Store, Workplace
from trainables.tasks.tracks import unpack
from trainables.video.layouts import DataError, VideoSet

Make = Callable[..., Runtime]
WorkOf = Callable[[str, ExperimentSettings, Runtime], Work]
LOSSES = {
    "sorting": {"order_loss", "order_accuracy"},
    "ego_motion": {"close_loss", "close_accuracy"},
    "tracking": {"ranking_accuracy"},
    "prediction": {"error", "last_frame_error"},
}


def ignore(line: dict[str, Any]) -> None:
    pass


@pytest.mark.parametrize("task", TEACHER_TASKS)
def test_a_teacher_leaves_its_encoder_and_its_metrics(
    tiny_graph: ExperimentSettings, taught: tuple[Path, Result], task: str
) -> None:
    """No head and no classifier."""
    store, result = taught
    artifact = Store(store).find(task, result.stages[task])
    assert artifact is not None
    own = new_classifier(task, tiny_graph, 6).state_dict()
    assert artifact.tensors().keys() == {name for name in own if not name.startswith("classifier.")}
    metrics = {name.removeprefix(f"{task}/") for name in artifact.done["metrics"]}
    counts = {"wrapped_clips", "replaced_frames", "excluded_videos"}
    expected = {"loss"} | LOSSES[task]
    assert metrics == expected | {f"val_{name}" for name in expected} | counts
    assert artifact.done["metrics"][f"{task}/excluded_videos"] == 0


def with_short_videos(videos: VideoSet, frames: int) -> VideoSet:
    """The first three training videos and the first validation video are as short as this."""
    train = tuple(replace(video, frames=frames) if place < 3 else video for place, video in enumerate(videos.train))
    validation = (replace(videos.validation[0], frames=frames), *videos.validation[1:])
    return replace(videos, train=train, validation=validation)


def run_stage(work: Work, **changes: Any) -> Artifact:
    return KINDS[work.kind].run(Work(**{**vars(work), **changes}))


@pytest.mark.parametrize(("task", "frames"), [("sorting", 4), ("ego_motion", 3), ("prediction", 7)])
def test_videos_that_are_too_short_are_left_out_and_counted(
    tiny_graph: ExperimentSettings, runtime: Make, work_of: WorkOf, task: str, frames: int
) -> None:
    """One frame less than needed: three frames 2 apart; two that are 3 apart, more than the 2 that are close; a clip of 8."""
    work = work_of(task, tiny_graph, runtime())
    metrics = run_stage(work, videos=with_short_videos(work.videos, frames)).done["metrics"]
    assert metrics[f"{task}/excluded_videos"] == 4
    other = Workplace(Store(work.workplace.target.parents[1]), task, "other")
    metrics = run_stage(work, videos=with_short_videos(work.videos, frames + 1), workplace=other).done["metrics"]
    assert metrics[f"{task}/excluded_videos"] == 0


@pytest.mark.parametrize(
    ("task", "values", "says"),
    [
        ("sorting", {"sorting.spacing": 10}, r"sorting needs 21 frames \(sorting\.frames, sorting\.spacing\)"),
        ("ego_motion", {"ego_motion.close_frames": 19}, r"ego_motion needs 21 frames \(ego_motion\.close_frames\)"),
        ("prediction", {"video.clip_frames": 21, "frames.per_clip": 1}, r"prediction needs 21 frames \(video\.clip_frames\)"),
        ("tracking", {"tracking.least_motion": 9.0}, r"tracking needs something that moves by 9 of the frame's side"),
    ],
)
def test_no_video_left_ends_the_experiment_and_says_what_is_needed(
    tiny_graph: ExperimentSettings, runtime: Make, task: str, values: dict[str, Any], says: str
) -> None:
    settings = with_values(tiny_graph, {"recipe": "fusion", "teachers.tasks": task, **values})
    place = runtime()
    with pytest.raises(DataError, match=rf"^{says}.*, and none of 12 videos has that$"):
        run_experiment(Experiment(settings, 0), place, ignore)
    assert not list(place.store.glob(f"{task}/*/done.json"))


def test_videos_in_which_nothing_moves_are_counted(tiny_graph: ExperimentSettings, runtime: Make, work_of: WorkOf) -> None:
    """All of them, where more motion is asked for than there is; and those that are too short to track."""
    place = runtime()
    still = with_values(tiny_graph, {"tracking.least_motion": 9.0})
    metrics = run_stage(work_of("tracks", still, place)).done["metrics"]
    assert metrics == {"tracks/tracks": 0, "tracks/videos_without_motion": 18}
    work = work_of("tracks", tiny_graph, place)
    videos = with_short_videos(work.videos, 1)
    artifact = run_stage(work, videos=videos)
    assert artifact.done["metrics"] == {"tracks/tracks": 14 * 2, "tracks/videos_without_motion": 4}
    found = unpack(artifact.tensors("tracks"), (*videos.train, *videos.validation))
    assert set(found) == {video.name for video in (*videos.train, *videos.validation) if video.frames > 1}
    assert {rows.shape for rows in found.values()} == {(2, 10)}


def test_mining_goes_on_where_it_was_interrupted(
    tiny_graph: ExperimentSettings, taught: tuple[Path, Result], runtime: Make, work_of: WorkOf
) -> None:
    """The tracks of videos that were done are kept; the others are mined, and all are the same to the bit."""
    work = work_of("tracks", tiny_graph, runtime())
    lines: list[int] = []

    def stopping(line: dict[str, Any]) -> None:
        if line["epoch"] == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(work, report=stopping)
    resumed = run_stage(work, report=lambda line: lines.append(line["epoch"]))
    assert lines == list(range(8, 19))
    whole = Store(taught[0]).find("tracks", taught[1].stages["tracks"])
    assert whole is not None
    assert resumed.done["metrics"] == whole.done["metrics"]
    for name in ("tracks.safetensors", "settings.json"):
        assert (resumed.directory / name).read_bytes() == (whole.directory / name).read_bytes()


def test_the_tracking_teacher_leaves_out_videos_without_tracks(
    tiny_graph: ExperimentSettings, runtime: Make, work_of: WorkOf
) -> None:
    place = runtime()
    settings = with_values(tiny_graph, {"recipe": "fusion", "teachers.tasks": "tracking"})
    tracks = work_of("tracks", settings, place)
    videos = with_short_videos(tracks.videos, 1)
    mined = run_stage(tracks, videos=videos)
    work = work_of("tracking", settings, place)
    metrics = run_stage(work, videos=videos, inputs={"tracks": mined}).done["metrics"]
    assert metrics["tracking/excluded_videos"] == 4


def layer_of(name: str) -> int:
    """Number of the layer that a tensor of an encoder belongs to, from 1."""
    return int(name.removeprefix("features.").partition(".")[0]) + 1


@pytest.mark.parametrize("task", ["sorting", "prediction"])
@pytest.mark.parametrize(("layers", "freeze"), [(1, True), (1, False), (0, True), (None, True), (None, False)])
def test_finetuning_starts_from_the_transferred_layers_and_trains_what_is_not_frozen(
    tiny_graph: ExperimentSettings, after_teachers: Make, task: str, layers: int | None, freeze: bool
) -> None:
    """Against the self-supervised stage's artifact. Frozen layers are the same to the bit, batch-norm statistics and counts of
    batches included. At a learning rate of almost nothing the weights of transferred layers are still the teacher's. Those of
    other layers start fresh."""
    values = {"transferred_layers": layers, "freeze": freeze, "learning_rate": 0.1 if freeze else 1e-9, "weight_decay": 0.0}
    changes = {f"teacher_finetune.{name}": value for name, value in values.items()}
    settings = with_values(tiny_graph, {"recipe": "fusion", "teachers.tasks": task, **changes})
    place = after_teachers()
    result = run_experiment(Experiment(settings, 0), place, ignore)
    before, after = (Store(place.store).find(kind, result.stages[kind]) for kind in (task, f"{task}_classifier"))
    assert before is not None
    assert after is not None
    pretrained, finetuned = before.tensors(), after.tensors()
    network = new_classifier(task, settings, 6)
    assert finetuned.keys() == network.state_dict().keys()
    transferred = len(network.layers()) if layers is None else layers
    for name, value in pretrained.items():
        kept = layer_of(name) <= transferred
        if value.dim() > 1 or (kept and freeze):
            same = torch.equal(finetuned[name], value) if freeze else torch.allclose(finetuned[name], value, atol=1e-6, rtol=0)
            assert same == kept, name
